/**
 * What a coordinator proposed or decided and not every participant has on its medium yet, in order of version. The
 * first bounds the watermark that lets the others forget; a synchronous transaction is answered when it leaves.
 */
import type { DiscFailure, NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import type { TransactionRun } from './run.ts';

export class OpenCommits {
  readonly #node: NodeState;
  readonly #settled: (run: TransactionRun) => void;
  readonly #open = new Map<number, TransactionRun>();
  /** Answered, and on this node's disc as far as the operating system knows. */
  #unsynced: TransactionRun[] = [];

  constructor(node: NodeState, settled: (run: TransactionRun) => void) {
    this.#node = node;
    this.#settled = settled;
  }

  /** Every commit of this node up to here is applied durably by all its participants. */
  get watermark(): number {
    for (const run of this.#open.values()) return run.version - 1;
    return this.#node.hlc.now();
  }

  add(run: TransactionRun): void {
    this.#open.set(run.n, run);
  }

  remove(run: TransactionRun): void {
    this.#open.delete(run.n);
  }

  with(participant: NodeId): TransactionRun[] {
    return [...this.#open.values()].filter((run) => run.participants.includes(participant));
  }

  /** This node's batch with the commit is with the operating system: it still awaits the next sync. */
  written(run: TransactionRun): void {
    if (this.#open.has(run.n)) this.#unsynced.push(run);
  }

  /** Syncs the disc: until then a commit of this node is remembered by the others (see Participant.syncApplied). */
  sync(): void {
    if (this.#unsynced.length === 0) return;
    const runs = this.#unsynced;
    this.#unsynced = [];
    const discDone = (failure: DiscFailure | undefined): void => {
      if (failure !== undefined) return;
      for (const run of runs) this.applied(run, this.#node.self);
    };
    this.#node.outbox.whenWritten({ discDone }, true);
  }

  onApplied(from: NodeId, numbers: readonly number[]): void {
    for (const n of numbers) {
      const run = this.#open.get(n);
      // A node that was lost before the decision may have settled it by itself: nobody awaits its word.
      if (!run?.unapplied.has(from)) continue;
      this.#node.noteAcknowledged(from, run.version);
      if (run.sync) run.keptBy.push(from);
      this.applied(run, from);
    }
  }

  /** `by` has it on its medium, or is lost and no longer awaited. */
  applied(run: TransactionRun, by: NodeId): void {
    run.unapplied.delete(by);
    if (run.unapplied.size > 0) return;
    this.#open.delete(run.n);
    this.#node.environment.probe('commit.kept');
    this.#settled(run);
  }
}
