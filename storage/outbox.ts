/**
 * What leaves a node in one turn: messages to other nodes, one batch per node, and one batch to the disc. All prepares,
 * votes and commits of a turn share a frame, all its rows share a LevelDB batch (storage.md §4, batching).
 */
import type { DiscFailure, DiscOperation, Environment, NodeId } from './environment.ts';
import type { HybridClock } from './hybrid-clock.ts';
import type { Message } from './transactions/messages.ts';

/** Told once the batch that held its operations is with the operating system (or on the medium, if it was synced). */
export interface DiscWaiter {
  discDone(failure: DiscFailure | undefined): void;
}

export class Outbox {
  readonly #environment: Environment;
  readonly #hlc: HybridClock;
  readonly #messages = new Map<NodeId, unknown[]>();
  #operations: DiscOperation[] = [];
  #waiters: DiscWaiter[] = [];
  #sync = false;
  #scheduled = false;
  #discPending = 0;
  #drained: (() => void)[] = [];
  /** Counts disc batches handed over: what was noted under one number shares one batch. */
  turn = 0;
  /** The first failure: from then on nothing is written, reads go on. */
  failure: DiscFailure | undefined = undefined;
  onDiscFailure: (failure: DiscFailure) => void = () => undefined;

  constructor(environment: Environment, hlc: HybridClock) {
    this.#environment = environment;
    this.#hlc = hlc;
  }

  send(node: NodeId, message: Message): void {
    const batch = this.#messages.get(node);
    if (batch === undefined) this.#messages.set(node, [0, message]);
    else batch.push(message);
    this.#schedule();
  }

  write(operation: DiscOperation): void {
    this.#operations.push(operation);
    this.#schedule();
  }

  /** `waiter` hears when everything written so far in this turn is safe. */
  whenWritten(waiter: DiscWaiter, sync: boolean): void {
    this.#waiters.push(waiter);
    if (sync) this.#sync = true;
    this.#schedule();
  }

  /** Messages to a lost node of this turn go nowhere. */
  discard(node: NodeId): void {
    this.#messages.delete(node);
  }

  /** Calls `run` once no disc batch is under way. */
  drained(run: () => void): void {
    if (this.#discPending === 0) run();
    else this.#drained.push(run);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#environment.endOfTurn(() => this.flush());
  }

  flush(): void {
    this.#scheduled = false;
    this.#flushDisc();
    if (this.#messages.size === 0) return;
    const moment = this.#hlc.now();
    for (const [node, batch] of this.#messages) {
      batch[0] = moment;
      if (this.#environment.links.isUp(node)) this.#environment.links.send(node, batch);
    }
    this.#messages.clear();
  }

  #flushDisc(): void {
    if (this.#operations.length === 0 && this.#waiters.length === 0) return;
    const operations = this.#operations;
    const waiters = this.#waiters;
    const sync = this.#sync;
    this.#operations = [];
    this.#waiters = [];
    this.#sync = false;
    this.turn += 1;
    this.#discPending += 1;
    const done = (failure: DiscFailure | undefined): void => {
      this.#discPending -= 1;
      if (failure !== undefined) this.#failed(failure);
      for (const waiter of waiters) waiter.discDone(failure);
      if (this.#discPending > 0 || this.#drained.length === 0) return;
      for (const run of this.#drained.splice(0)) run();
    };
    if (this.failure === undefined) this.#environment.disc.write(operations, sync, done);
    else this.#environment.clock.after(0, () => done(this.failure));
  }

  #failed(failure: DiscFailure): void {
    if (this.failure !== undefined) return;
    this.failure = failure;
    this.onDiscFailure(failure);
  }
}
