/**
 * Changes of the schema that wait until every running node has them. One that is only proposed is made by the next node
 * connection transaction, on all nodes at once; until then nothing is changed, and what fails leaves everything as it was.
 */
import type { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import type { CopyOptions } from '../types.ts';

export interface SchemaChange {
  /** Says it in this node's reports. */
  publish(): void;
  /** Makes it where this node is alone. */
  make(): void;
  /** Why it cannot be made as things are. */
  obstacle(): StorageError | undefined;
  /** What the caller is told when it was not made in time; `cause` is a sentence. */
  late(timeoutMs: number, cause: string): StorageError;
}

interface Pending {
  readonly change: SchemaChange;
  readonly count: number;
  readonly deadlineMs: number;
  readonly timeoutMs: number;
  resolve(): void;
  reject(error: StorageError): void;
}

export interface PendingHost {
  readonly node: NodeState;
  /** Has the node connection transaction run. */
  proposed(): void;
  /** What one may be making now, by the count of changes: whether it is made does not lie with this node any more. */
  underWay(): number;
  isConnecting(): boolean;
}

export class PendingChanges {
  readonly #host: PendingHost;
  readonly #node: NodeState;
  #waiting: Pending[] = [];

  constructor(host: PendingHost) {
    this.#host = host;
    this.#node = host.node;
  }

  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Resolves once every running node has it on its disc. */
  propose(change: SchemaChange, { timeoutMs = this.#node.limits.transactionDeadlineMs }: CopyOptions): Promise<void> {
    const obstacle = change.obstacle();
    if (obstacle !== undefined) return Promise.reject(obstacle);
    // Counted even when alone: who joins is told.
    const count = this.#node.schema.next();
    if (this.#isAlone()) {
      change.make();
      return Promise.resolve();
    }
    const deadlineMs = this.#node.environment.clock.monotonicMs() + timeoutMs;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ change, count, deadlineMs, timeoutMs, resolve, reject });
      this.#publish();
      this.#node.environment.probe('schema.proposed');
      this.#host.proposed();
    });
  }

  #isAlone(): boolean {
    return this.#node.view.size === 1 && !this.#host.isConnecting();
  }

  /** What the reports of this node are to say. */
  #publish(): void {
    const { proposals } = this.#node;
    proposals.clear();
    for (const { change } of this.#waiting) change.publish();
  }

  /** A node connection transaction ended: what it had heard of is made everywhere. */
  settled(): void {
    const { settled } = this.#node.schema;
    const isSettled = ({ count }: Pending): boolean => count <= settled;
    if (this.#waiting.some(isSettled)) this.#node.environment.probe('schema.settled');
    this.#end(isSettled, ({ resolve }) => resolve());
  }

  sweep(nowMs: number): void {
    if (this.#waiting.length === 0) return;
    this.dropObstructed();
    // There is nobody left to tell.
    if (this.#isAlone()) {
      this.#end(
        () => true,
        ({ change, resolve }) => {
          change.make();
          resolve();
        },
      );
    }
    const isLate = ({ deadlineMs }: Pending): boolean => deadlineMs <= nowMs;
    const { connectFailure } = this.#node;
    const cause = connectFailure === '' ? 'The node connection transaction was still under way.' : connectFailure;
    this.#giveUp(isLate, ({ change, timeoutMs }) => change.late(timeoutMs, cause));
  }

  /** What cannot be made without nodes that are gone is given up: whoever else is met meanwhile is not told of it. */
  dropObstructed(): void {
    this.#giveUp(
      ({ change }) => change.obstacle() !== undefined,
      ({ change }) => change.obstacle() as StorageError,
    );
  }

  #giveUp(which: (pending: Pending) => boolean, why: (pending: Pending) => StorageError): void {
    const underWay = this.#host.underWay();
    this.#end(
      (pending) => pending.count > underWay && which(pending),
      (pending) => pending.reject(why(pending)),
    );
  }

  close(error: StorageError): void {
    this.#end(
      () => true,
      ({ reject }) => reject(error),
    );
  }

  #end(which: (pending: Pending) => boolean, tell: (pending: Pending) => void): void {
    const ended = this.#waiting.filter(which);
    if (ended.length === 0) return;
    this.#waiting = this.#waiting.filter((pending) => !ended.includes(pending));
    this.#publish();
    for (const pending of ended) tell(pending);
  }
}
