/**
 * What a coordinator decided and not every participant has on its medium yet. The oldest bounds the watermark that lets
 * the others forget; a synchronous transaction is answered when its commit leaves.
 *
 * Decisions are numbered in the order they are made, and every participant hears of those it takes part in in that
 * order. So one number acknowledges all before it, and a commit is a place in some columns.
 */
import type { DiscFailure, NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { DIRTY } from '../replication/recent-commits.ts';
import { NUMBERS_PER_INCARNATION } from './messages.ts';
import type { TransactionRun } from './run.ts';

/** Commits at the front that are everywhere before the columns are cut. */
const CUT_AT = 1024;

export class OpenCommits {
  readonly #node: NodeState;
  readonly #settled: (run: TransactionRun) => void;
  /** Number of the decision before the first place of the columns. */
  #base: number;
  #n: number[] = [];
  #version: number[] = [];
  #participants: (readonly NodeId[])[] = [];
  /** Whether this node's disc holds it too. */
  #onDisc: boolean[] = [];
  /** Participants, this node's disc included as itself, that do not have it on their medium yet. */
  #awaited: number[] = [];
  /** Everything before this place is everywhere. */
  #head = 0;
  /** Who waits for a decision to be everywhere. */
  readonly #waiting = new Map<number, TransactionRun>();
  /** By participant: it has every commit decided up to here that it takes part in. */
  readonly #acknowledged = new Map<NodeId, number>();
  /** Decided since the last sync of this node's disc, and on it. */
  #isUnsynced = false;

  constructor(node: NodeState, settled: (run: TransactionRun) => void) {
    this.#node = node;
    this.#settled = settled;
    this.#base = node.incarnation * NUMBERS_PER_INCARNATION;
  }

  /** The least version that is not everywhere, if there is any. */
  get oldest(): number | undefined {
    let oldest = Number.POSITIVE_INFINITY;
    for (let at = this.#head; at < this.#n.length; at++) {
      if ((this.#awaited[at] as number) > 0 && (this.#version[at] as number) < oldest) {
        oldest = this.#version[at] as number;
      }
    }
    return oldest === Number.POSITIVE_INFINITY ? undefined : oldest;
  }

  get #last(): number {
    return this.#base + this.#n.length;
  }

  /** All have promised it: its place among the decisions. */
  decide(run: TransactionRun, onDisc: boolean): number {
    const awaited = this.#add(run.n, run.version, run.participants, onDisc);
    if (run.sync && awaited > 0) this.#waiting.set(this.#last, run);
    return this.#last;
  }

  /** A dirty write, which nobody was asked about: its place. */
  decideDirty(version: number, participants: readonly NodeId[], onDisc: boolean): number {
    this.#add(DIRTY, version, participants, onDisc);
    return this.#last;
  }

  /** Returns how many are to have it on their medium. */
  #add(n: number, version: number, participants: readonly NodeId[], onDisc: boolean): number {
    const awaited = participants.length - 1 + (onDisc ? 1 : 0);
    this.#n.push(n);
    this.#version.push(version);
    this.#participants.push(participants);
    this.#onDisc.push(onDisc);
    this.#awaited.push(awaited);
    if (onDisc) this.#isUnsynced = true;
    return awaited;
  }

  /** Syncs the disc: until then a commit of this node is remembered by the others (see Participant.syncApplied). */
  sync(): void {
    if (!this.#isUnsynced) return;
    this.#isUnsynced = false;
    const upTo = this.#last;
    const discDone = (failure: DiscFailure | undefined): void => {
      if (failure === undefined) this.acknowledge(this.#node.self, upTo);
    };
    this.#node.outbox.whenWritten({ discDone }, true);
  }

  /** `by` has on its medium all that was decided up to `upTo` and concerns it. */
  acknowledge(by: NodeId, upTo: number): void {
    if (upTo > this.#last) throw new TypeError(`decision ${upTo} was never made`);
    let latest = 0;
    this.#pass(by, upTo, (at, run) => {
      latest = Math.max(latest, this.#version[at] as number);
      run?.keptBy.push(by);
    });
    if (latest > 0 && by !== this.#node.self) this.#node.acknowledged.noteDecided(by, latest);
  }

  /** A participant is lost: nobody awaits its word. Calls `visit` for the numbers it has not acknowledged. */
  lost(participant: NodeId, visit: (n: number) => void): void {
    this.#pass(participant, this.#last, (at) => {
      if (this.#n[at] !== DIRTY) visit(this.#n[at] as number);
    });
  }

  /** Nobody waits for `by` any more in what was decided up to `upTo`; `visit` is called where somebody did. */
  #pass(by: NodeId, upTo: number, visit: (at: number, run: TransactionRun | undefined) => void): void {
    const before = this.#acknowledged.get(by) ?? this.#base;
    if (upTo <= before) return;
    this.#acknowledged.set(by, upTo);
    const isSelf = by === this.#node.self;
    const settled: TransactionRun[] = [];
    const end = upTo - this.#base;
    for (let at = Math.max(before - this.#base, this.#head); at < end; at++) {
      const concerns = isSelf ? this.#onDisc[at] : (this.#participants[at] as readonly NodeId[]).includes(by);
      if (!concerns) continue;
      const run = this.#waiting.size === 0 ? undefined : this.#waiting.get(this.#base + at + 1);
      visit(at, run);
      const awaited = (this.#awaited[at] as number) - 1;
      this.#awaited[at] = awaited;
      if (awaited > 0) continue;
      this.#node.environment.probe('commit.kept');
      if (run === undefined) continue;
      this.#waiting.delete(this.#base + at + 1);
      settled.push(run);
    }
    while (this.#head < this.#n.length && this.#awaited[this.#head] === 0) this.#head += 1;
    if (this.#head >= CUT_AT) this.#cut();
    for (const run of settled) this.#settled(run);
  }

  #cut(): void {
    const head = this.#head;
    this.#base += head;
    this.#head = 0;
    this.#n = this.#n.slice(head);
    this.#version = this.#version.slice(head);
    this.#participants = this.#participants.slice(head);
    this.#onDisc = this.#onDisc.slice(head);
    this.#awaited = this.#awaited.slice(head);
  }
}
