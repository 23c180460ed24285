/** Makes histories by hand, a line each, for the tests of the checkers. */

import {
  deleteName,
  emptyHistory,
  type History,
  type NodeState,
  type Operation,
  type OperationKind,
  type Step,
  type TablePlan,
} from '../../src/simulation/history.ts';
import type { LedgerEntry, Value, Version } from '../../storage/types.ts';

type Outcome = Operation['outcome'];

export interface Asked {
  readonly kind?: OperationKind;
  readonly node?: number;
  readonly from: number;
  readonly to?: number;
  readonly outcome?: Outcome;
  readonly error?: string;
  readonly attempts?: number;
  readonly steps: readonly Step[];
}

export const read = (table: string, key: string, value: Value): Step => ({ type: 'read', table, key, value });
export const write = (table: string, key: string, by: string, more: Record<string, Value> = {}): Step => ({
  type: 'write',
  table,
  key,
  value: { by, ...more },
  by,
});
export const remove = (table: string, key: string): Step => ({ type: 'delete', table, key });
/** A list as a row: its last element names its writer. */
export const list = (...elements: string[]): Value => ({ by: elements[elements.length - 1] ?? '', list: elements });
export const append = (key: string, ...elements: string[]): Step => {
  const by = elements[elements.length - 1] as string;
  return { type: 'write', table: 'lists', key, value: list(...elements), by };
};

export class HistoryBuilder {
  readonly history: History;

  constructor(tables: readonly string[] = ['registers'], nodes = 2) {
    const labels = Array.from({ length: nodes }, (_, index) => `peer${index + 1}`);
    const plans = tables.map((name) => planOf(name, nodes));
    this.history = {
      ...emptyHistory(1, labels, plans),
      names: Array.from({ length: nodes }, (_, index) => `node${index + 1}`),
      accounts: 2,
      final: Array.from({ length: nodes }, (_, index) => nodeState(index, tables)),
    };
  }

  /** One operation of a client. Times are milliseconds. */
  ask(asked: Asked): this {
    const { operations } = this.history;
    operations.push({
      index: operations.length,
      client: `client${(asked.node ?? 0) + 1}`,
      node: asked.node ?? 0,
      kind: asked.kind ?? 'register-write',
      invokedUs: asked.from * 1000,
      completedUs: asked.to === undefined ? undefined : asked.to * 1000,
      outcome: asked.outcome ?? 'ok',
      error: asked.error ?? (asked.outcome === 'fail' ? 'aborted' : undefined),
      attempts: asked.attempts ?? 1,
      sync: false,
      steps: [...asked.steps],
    });
    return this;
  }

  /** From now on the node counts these as running. */
  sees(node: number, at: number, ...others: number[]): this {
    const view = others.map((other) => this.history.names[other] as string);
    this.history.membership.push({ atUs: at * 1000, node, type: 'mnesia_up', other: '', view });
    return this;
  }

  /** The row changed on a node: at, hlc, what was there before. */
  changed(
    table: string,
    key: string,
    by: string,
    {
      at,
      hlc,
      before,
      node = 0,
      origin = 'local',
    }: { at: number; hlc: number; before?: string; node?: number; origin?: 'local' | 'remote' | 'merge' },
  ): this {
    const version: Version = { hlc, node: `n${node}` };
    const isDelete = by === 'delete';
    this.history.rows.push({
      atUs: at * 1000,
      node,
      table,
      key,
      type: isDelete ? 'delete' : 'write',
      by: isDelete ? deleteName(version) : by,
      before,
      version,
      origin,
    });
    return this;
  }

  /** What all nodes end with, or one of them. */
  ends(table: string, rows: Record<string, Value>, node?: number): this {
    for (const state of this.history.final) {
      if (node !== undefined && state.node !== node) continue;
      const digest = JSON.stringify(rows);
      (state.tables as Map<string, unknown>).set(table, { loaded: true, digest, rows: new Map(Object.entries(rows)) });
    }
    return this;
  }

  edit(node: number, change: Partial<NodeState>): this {
    this.history.final[node] = { ...(this.history.final[node] as NodeState), ...change };
    return this;
  }

  ledger(entry: Pick<LedgerEntry, 'table' | 'key' | 'winner' | 'loser'>): this {
    const whole: LedgerEntry = {
      id: '1-1',
      rule: 'last_write',
      at: '2026-01-01T00:00:00.000Z',
      islands: [[], []],
      restored: false,
      accepted: false,
      ...entry,
    };
    this.history.final = this.history.final.map((state) => ({ ...state, ledger: [...state.ledger, whole] }));
    return this;
  }
}

export function planOf(name: string, nodes: number): TablePlan {
  return {
    name,
    storage: name.endsWith('_ram') ? 'ram' : 'disc',
    holders: Array.from({ length: nodes }, (_, index) => index),
    majority: name.includes('_majority'),
    merge: 'last_write',
    localContent: false,
  };
}

function nodeState(index: number, tables: readonly string[]): NodeState {
  return {
    node: index,
    label: `peer${index + 1}`,
    running: true,
    view: [],
    heldLocks: 0,
    lockQueue: 0,
    transactions: 0,
    pendingTimers: 0,
    recentCommits: 0,
    owedRows: 0,
    tables: new Map(tables.map((name) => [name, { loaded: true, digest: '{}', rows: new Map() }])),
    ledger: [],
  };
}
