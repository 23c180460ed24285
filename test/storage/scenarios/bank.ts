/** A bank whose accounts are moved between all the time by every node: whatever happens, the sum is right. */
import { expect } from 'vitest';
import type { Transaction } from '../../../storage/types.ts';
import type { Attempt, Scenario } from '../support/scenario.ts';

const ACCOUNTS = 8;
const BALANCE = 100;
const LOOK_EVERY_MS = 100;

export class Bank {
  readonly #s: Scenario;
  readonly #under: Map<number, { attempt: Attempt; incarnation: number }> = new Map();
  #turn = 0;

  private constructor(s: Scenario) {
    this.#s = s;
  }

  static async open(s: Scenario): Promise<Bank> {
    for (let account = 0; account < ACCOUNTS; account++) await s.node(1).write('t', account, BALANCE);
    await s.cluster.advance(1_000);
    return new Bank(s);
  }

  /** Transfers that were answered with yes. */
  get made(): number {
    return this.#s.attempts.filter(({ isAcknowledged }) => isAcknowledged).length;
  }

  /** Each of these nodes that runs moves money, again as soon as it has its answer; the sum is read everywhere on the way. */
  async work(
    forMs: number,
    nodes: readonly number[] = this.#s.cluster.nodes.map((_, index) => index + 1),
  ): Promise<void> {
    const { clock } = this.#s.cluster;
    const [before, endMs] = [this.made, clock.monotonicMs() + forMs];
    for (let lookMs = clock.monotonicMs(); clock.monotonicMs() < endMs; await this.#s.cluster.advance(3)) {
      for (const node of nodes) this.#move(node);
      if (clock.monotonicMs() < lookMs) continue;
      lookMs += LOOK_EVERY_MS;
      await this.look();
    }
    expect(this.made).toBeGreaterThan(before);
  }

  /** The sum as a transaction of each node sees it; a node that cannot answer now says so, and never a wrong sum. */
  async look(): Promise<void> {
    for (const node of this.#s.cluster.nodes) {
      if (!node.isRunning || !node.db.systemInfo().tables.includes('t') || !node.db.tableInfo('t').loaded) continue;
      const sum = await this.#s.cluster.settle(node.db.transaction(total, { deadlineMs: 500 }).catch(() => undefined));
      if (sum !== undefined) expect({ name: node.name, sum }).toEqual({ name: node.name, sum: ACCOUNTS * BALANCE });
    }
  }

  async close(): Promise<void> {
    await this.#s.cluster.advance(1_000);
    await this.#s.allAgain();
    for (const { name, db } of this.#s.cluster.nodes) {
      if (db.tableInfo('t').storageType === 'unknown') continue;
      const sum = await this.#s.cluster.settle(db.transaction(total));
      expect({ name, sum }).toEqual({ name, sum: ACCOUNTS * BALANCE });
    }
  }

  #move(node: number): void {
    const { isRunning, incarnation } = this.#s.node(node);
    if (!isRunning) return;
    const last = this.#under.get(node);
    if (last !== undefined && last.incarnation === incarnation && last.attempt.answers === 0) return;
    const turn = this.#turn++;
    const [from, to] = [turn % ACCOUNTS, (turn * 3 + 1) % ACCOUNTS];
    const attempt = this.#s.run(node, (tx) => from !== to && transfer(tx, from, to));
    this.#under.set(node, { attempt, incarnation });
  }
}

function transfer(tx: Transaction, from: number, to: number): void {
  tx.write('t', from, (tx.read('t', from) as number) - 1);
  tx.write('t', to, (tx.read('t', to) as number) + 1);
}

function total(tx: Transaction): number {
  return tx.allKeys('t').reduce((sum: number, key) => sum + (tx.read('t', key) as number), 0);
}
