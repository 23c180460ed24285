/**
 * Overlapping partitions: a view whose members do not all see and count each other is, after a while, divided, on all
 * nodes alike (storage.md §5). What is left are islands that agree on who is in them, and those can be connected.
 *
 * What was said before this was noticed is no evidence: the view may have grown since, with a member that sleeps. Who is
 * not heard is waited for, until the link to it has been silent for too long.
 */
import type { NodeId } from '../environment.ts';
import { CLIQUE_PATIENCE_MS, CUT_PATIENCE_MS, TICK_MS } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import { divideIntoCliques } from './clique.ts';

/** What a linked node last said of itself. */
export interface Testimony {
  readonly view: readonly NodeId[];
  readonly linked: readonly NodeId[];
  /** When it was last said. */
  readonly atMs: number;
}

export interface DivisionHost {
  readonly node: Pick<NodeState, 'self' | 'view' | 'primaryNodeName' | 'idOf'>;
  readonly known: ReadonlyMap<NodeId, Testimony>;
  readonly linked: ReadonlyMap<NodeId, unknown>;
  /** The order of names. */
  compare(a: NodeId, b: NodeId): number;
  /** Tells all what this node sees. */
  tick(): void;
  exclude(member: NodeId): void;
}

export class Division {
  readonly #host: DivisionHost;
  readonly #node: DivisionHost['node'];
  #brokenSinceMs: number | undefined = undefined;
  /** When somebody was last found not to have been heard since then. */
  #unheardMs = 0;
  #checkedMs = 0;
  /** What `isWhole` found of this view, until somebody reports something else. */
  #found: { readonly view: ReadonlySet<NodeId>; readonly size: number; readonly isWhole: boolean } | undefined =
    undefined;

  constructor(host: DivisionHost) {
    this.#host = host;
    this.#node = host.node;
  }

  get isBroken(): boolean {
    return this.#brokenSinceMs !== undefined;
  }

  /** Somebody came, went or said something else. */
  reconsider(): void {
    this.#found = undefined;
  }

  /** Called with the clock. */
  check(nowMs: number): void {
    // This node slept itself: what it knows is what the others said before.
    if (nowMs - this.#checkedMs > 2 * TICK_MS) this.#brokenSinceMs = undefined;
    this.#checkedMs = nowMs;
    if (this.isWhole()) {
      this.#brokenSinceMs = undefined;
      return;
    }
    if (this.#brokenSinceMs === undefined) {
      this.#brokenSinceMs = nowMs;
      // Whoever hears this and has noticed it too says so at once: see isPlainCut.
      this.#host.tick();
    }
    if (!this.#haveAllBeenHeard(this.#brokenSinceMs)) this.#unheardMs = nowMs;
    if (nowMs - this.#brokenSinceMs < CUT_PATIENCE_MS) return;
    const heardMs = Math.max(this.#brokenSinceMs, this.#unheardMs);
    if (nowMs - heardMs < CLIQUE_PATIENCE_MS && !this.#isPlainCut(this.#brokenSinceMs)) return;
    this.#brokenSinceMs = undefined;
    this.#divide();
  }

  #divide(): void {
    const members = [...this.#node.view].sort((a, b) => this.#host.compare(a, b));
    const primaryName = this.#node.primaryNodeName();
    const primary = primaryName === undefined ? undefined : this.#node.idOf(primaryName);
    const islands = divideIntoCliques({ nodes: members, linked: this.#areTogether, primary });
    const mine = islands.find((island) => island.includes(this.#node.self)) as string[];
    for (const member of members) if (!mine.includes(member)) this.#host.exclude(member);
  }

  // -- who sees whom ---------------------------------------------------------------------------------------------------

  /** Whether two nodes see each other, as far as this node was told. */
  areLinked(a: NodeId, b: NodeId): boolean {
    return this.#reports(a, b) && this.#reports(b, a);
  }

  /** Whether two nodes see each other and count each other as running. */
  #areTogether = (a: NodeId, b: NodeId): boolean => this.areLinked(a, b) && this.#counts(a, b) && this.#counts(b, a);

  #counts(node: NodeId, other: NodeId): boolean {
    if (node === this.#node.self) return this.#node.view.has(other);
    return this.#host.known.get(node)?.view.includes(other) ?? false;
  }

  #reports(node: NodeId, other: NodeId): boolean {
    if (node === this.#node.self) return this.#host.linked.has(other);
    return this.#host.known.get(node)?.linked.includes(other) ?? false;
  }

  isWhole(): boolean {
    const { view } = this.#node;
    if (this.#found?.view !== view || this.#found.size !== view.size) {
      this.#found = { view, size: view.size, isWhole: this.#areAllTogether(view) };
    }
    return this.#found.isWhole;
  }

  #areAllTogether(view: ReadonlySet<NodeId>): boolean {
    for (const a of view) for (const b of view) if (a < b && !this.#areTogether(a, b)) return false;
    return true;
  }

  /**
   * Links are cut between members that live: both ends of each say so, and all have been heard at about that time, long
   * after the cut. Otherwise a node may be falling silent for one after the other, and that is waited for.
   */
  #isPlainCut(sinceMs: number): boolean {
    const { view } = this.#node;
    if (!this.#haveAllBeenHeard(sinceMs - TICK_MS)) return false;
    for (const a of view) {
      for (const b of view) {
        if (a >= b || this.#areTogether(a, b)) continue;
        if (this.#reports(a, b) || this.#reports(b, a)) return false;
      }
    }
    return true;
  }

  #haveAllBeenHeard(sinceMs: number): boolean {
    for (const member of this.#node.view) {
      if (member === this.#node.self) continue;
      if ((this.#host.known.get(member)?.atMs ?? Number.NEGATIVE_INFINITY) < sinceMs) return false;
    }
    return true;
  }
}
