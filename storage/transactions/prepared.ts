/** What a participant keeps of a transaction it was asked about, and how it tells a coordinator what it has applied. */
import type { DiscFailure, NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import type { DiscWaiter } from '../outbox.ts';
import type { LockHolder, Waiter } from './locker.ts';
import { Kind, type PrepareMessage, type WriteList } from './messages.ts';

/** Tries a waiting transaction again. */
export interface Considering {
  consider(prepared: Prepared): void;
}

export class Prepared implements LockHolder, Waiter {
  readonly participant: Considering;
  readonly node: NodeId;
  readonly n: number;
  readonly age: number;
  readonly version: number;
  readonly sync: boolean;
  readonly writes: WriteList;
  readonly checks: unknown[];
  readonly sinceMs: number;
  round: number;
  participants: NodeId[];
  state: 'waiting' | 'prepared' | 'orphaned' | 'done' = 'waiting';
  /** While orphaned and this node resolves: who has not said yet what it knows. */
  asked: Set<NodeId> | undefined = undefined;
  hasReserved = false;
  readonly agreed = new Set<NodeId>();
  /** The coordinator is back in another life, without this transaction. */
  isForgotten = false;

  constructor(participant: Considering, node: NodeId, message: PrepareMessage, sinceMs: number) {
    const [, n, round, age, version, sync, participants, writes, checks] = message;
    this.participant = participant;
    this.node = node;
    this.n = n;
    this.round = round;
    this.age = age;
    this.version = version;
    this.sync = sync;
    this.participants = participants;
    this.writes = writes;
    this.checks = checks;
    this.sinceMs = sinceMs;
  }

  retry(): void {
    if (this.state === 'waiting') this.participant.consider(this);
  }
}

/** The commits of one coordinator applied here in one turn: acknowledged together once they are on disc. */
export class AppliedBatch implements DiscWaiter {
  readonly numbers: number[] = [];
  readonly turn: number;
  readonly #node: NodeState;
  readonly #coordinator: NodeId;

  constructor(node: NodeState, coordinator: NodeId) {
    this.#node = node;
    this.#coordinator = coordinator;
    this.turn = node.outbox.turn;
  }

  discDone(failure: DiscFailure | undefined): void {
    if (failure !== undefined) return;
    this.#node.send(this.#coordinator, [Kind.applied, this.numbers]);
    this.#node.environment.probe('participant.acknowledged');
  }
}
