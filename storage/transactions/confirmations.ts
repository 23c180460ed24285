/**
 * What a caller is told when a transaction is refused after some of its attempts were proposed: "nothing was changed"
 * only once every participant of each attempt has refused it or is known to have heard that it was taken back. One that
 * has not, and loses this node, makes what it promised (orphans.ts). So whoever may not have heard is asked once more;
 * the refusal waits for the answers, until one is lost or the time for it is over, and says so then. Where a majority
 * must agree no attempt is left like that: withdrawals.ts.
 */
import type { NodeId } from '../environment.ts';
import type { StorageError } from '../errors.ts';
import { CONFIRMATION_MS_MAX } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import { Kind, Outcome } from './messages.ts';
import { nodeLostDoubt, unconfirmedDoubt } from './refusals.ts';
import type { TransactionRun } from './run.ts';

interface Awaited {
  readonly run: TransactionRun;
  readonly error: StorageError;
  readonly untilMs: number;
  /** Its attempts that somebody was asked about. */
  readonly numbers: ReadonlySet<number>;
}

export class Confirmations {
  readonly #node: NodeState;
  readonly #awaited = new Map<TransactionRun, Awaited>();
  readonly #asked = new Map<number, Awaited>();
  readonly #answer: (run: TransactionRun, error: StorageError) => void;

  /** `answer` ends the run with what its caller is told. */
  constructor(node: NodeState, answer: (run: TransactionRun, error: StorageError) => void) {
    this.#node = node;
    this.#answer = answer;
  }

  /** Answers at once where it is known what became of every attempt, or cannot be known. */
  refuse(run: TransactionRun, error: StorageError): void {
    if (run.doubtful) return this.#answer(run, nodeLostDoubt(error));
    const { promising } = run;
    if (promising === undefined || promising.size === 0) return this.#answer(run, error);
    const untilMs = this.#node.environment.clock.monotonicMs() + CONFIRMATION_MS_MAX;
    const awaited = { run, error, untilMs, numbers: new Set(promising.values()) };
    if (this.#node.closed) return this.#giveUp(awaited);
    run.state = 'refusing';
    this.#awaited.set(run, awaited);
    for (const n of awaited.numbers) this.#asked.set(n, awaited);
    for (const [participant, n] of promising) this.#node.send(participant, [Kind.abort, n, true]);
    this.#node.environment.probe('commit.confirmation_asked');
  }

  onAborted(from: NodeId, n: number, outcome: number): void {
    const awaited = this.#asked.get(n);
    if (awaited === undefined) return;
    const promising = awaited.run.promising as Map<NodeId, number>;
    if (promising.get(from) !== n) return;
    // Made without this node: not yet heard of as lost, but it will be.
    if (outcome !== Outcome.unknown) return this.#end(awaited, nodeLostDoubt(awaited.error));
    promising.delete(from);
    if (promising.size === 0) this.#end(awaited, awaited.error);
  }

  participantLost(lost: NodeId): void {
    for (const awaited of [...this.#awaited.values()]) {
      if (awaited.run.promising?.has(lost)) this.#end(awaited, nodeLostDoubt(awaited.error));
    }
  }

  sweep(nowMs: number): void {
    for (const awaited of this.#awaited.values()) {
      if (awaited.untilMs > nowMs) return;
      this.#giveUp(awaited);
    }
  }

  close(): void {
    for (const awaited of [...this.#awaited.values()]) this.#giveUp(awaited);
  }

  #giveUp(awaited: Awaited): void {
    const { run, error } = awaited;
    const silent = this.#node.namesOf((run.promising as Map<NodeId, number>).keys());
    this.#end(awaited, unconfirmedDoubt(error, silent));
  }

  #end(awaited: Awaited, error: StorageError): void {
    this.#awaited.delete(awaited.run);
    for (const n of awaited.numbers) this.#asked.delete(n);
    this.#answer(awaited.run, error);
  }
}
