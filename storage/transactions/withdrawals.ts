/**
 * Proposals over tables with `majority` that a coordinator takes back because one refused. Those who voted yes could still
 * make such a proposal if they are more than half and hear of nothing; so it counts as taken back only when so many are
 * known to hold it no more, and never will again, that no majority is left of which none does. Of three replicas the
 * coordinator and who refused are enough: nothing is asked then.
 */
import type { DiscFailure, NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { isNoneWithout, needsMajority } from '../schema/majorities.ts';
import type { Table } from '../tables/table.ts';
import { Kind, Outcome } from './messages.ts';
import type { TransactionRun } from './run.ts';

interface Withdrawal {
  readonly run: TransactionRun;
  /** Who does not hold it. */
  readonly without: Set<NodeId>;
  readonly then: () => void;
}

export class Withdrawals {
  readonly #node: NodeState;
  readonly #underWay = new Map<number, Withdrawal>();
  /** It was made all the same. */
  readonly #made: (run: TransactionRun) => void;

  constructor(node: NodeState, made: (run: TransactionRun) => void) {
    this.#node = node;
    this.#made = made;
  }

  /** `then` is called when nobody can make it any more; until then the run waits, at most to its deadline. */
  begin(run: TransactionRun, refusing: NodeId, then: () => void): void {
    const withdrawal = { run, without: new Set([refusing]), then };
    run.state = 'withdrawing';
    this.#underWay.set(run.n, withdrawal);
    if (!this.#node.promises.isNeeded(run.writes, false)) return this.#gone(withdrawal, this.#node.self);
    const discDone = (failure: DiscFailure | undefined): void => {
      if (failure === undefined) this.#gone(withdrawal, this.#node.self);
      this.#node.wake.drain();
    };
    this.#node.outbox.whenWritten({ discDone }, run.sync);
  }

  onAborted(from: NodeId, n: number, outcome: number): void {
    const withdrawal = this.#underWay.get(n);
    if (withdrawal === undefined) return;
    if (outcome === Outcome.unknown) return this.#gone(withdrawal, from);
    if (outcome !== Outcome.committed) return;
    this.#underWay.delete(n);
    this.#made(withdrawal.run);
  }

  /** Asks again whoever can be reached; called now and then. */
  sweep(): void {
    for (const [n, withdrawal] of this.#underWay) {
      if (withdrawal.run.state === 'withdrawing') this.#ask(withdrawal);
      else this.#underWay.delete(n);
    }
  }

  #gone(withdrawal: Withdrawal, node: NodeId): void {
    const { run, without, then } = withdrawal;
    if (run.state !== 'withdrawing' || this.#underWay.get(run.n) !== withdrawal) return;
    without.add(node);
    if (!run.writes.some(({ table }) => isWithoutMajority(table, without))) {
      if (node === this.#node.self) this.#ask(withdrawal);
      return;
    }
    this.#underWay.delete(run.n);
    run.state = 'waiting';
    then();
  }

  #ask({ run, without }: Withdrawal): void {
    for (const node of run.participants) {
      if (node !== this.#node.self && !without.has(node)) this.#node.send(node, [Kind.abort, run.n, true]);
    }
  }
}

/** Whether those who may hold it are no majority of the table. */
function isWithoutMajority({ definition }: Table, without: ReadonlySet<NodeId>): boolean {
  return needsMajority(definition) && isNoneWithout(definition, without);
}
