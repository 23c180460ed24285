/** Makes of what real peers told the history that the simulator's checkers read. */
import type { LedgerEntry, TableEvent, Value } from '../../storage/types.ts';
import { emptyHistory, type History, type NodeState, type Operation, type TablePlan } from '../simulation/history.ts';
import { RowWatch } from '../simulation/row-watch.ts';
import type { PeerRecord, PeerTables } from './records.ts';

/** A process ended, by a fault of ours. */
export interface PeerDeath {
  readonly type: 'death';
  readonly atUs: number;
}

export type Told = PeerRecord | PeerDeath;

export interface PeerEnd {
  readonly state: PeerTables;
  readonly rows: Readonly<Record<string, readonly [string, Value][]>>;
  readonly ledger: readonly LedgerEntry[];
}

export interface RealHistoryOptions {
  readonly number: number;
  readonly tables: readonly TablePlan[];
  /** By peer, from its first record of this history to its last. */
  readonly told: readonly (readonly Told[])[];
  readonly ends: readonly PeerEnd[];
  /** Tables kept in memory whose last copy may have gone with a process. */
  readonly mayLose: ReadonlySet<string>;
}

export function historyOf(options: RealHistoryOptions): History {
  const labels = options.told.map((_, index) => `peer${index + 1}`);
  const history = {
    ...emptyHistory(options.number, labels, options.tables),
    mayLose: new Set(options.mayLose),
    final: options.ends.map((end, index) => nodeState(end, index, labels[index] as string)),
  };
  new Builder(history).addAll(options.told);
  return history;
}

function nodeState({ state, rows, ledger }: PeerEnd, node: number, label: string): NodeState {
  const tables = new Map(
    Object.entries(state.tables).map(([name, { loaded, digest }]) => [
      name,
      { loaded, digest, rows: new Map(rows[name] ?? []) },
    ]),
  );
  const { view, heldLocks, lockQueue, transactions } = state;
  // Timers and what is kept for others are not reported by real processes.
  const untold = { pendingTimers: 0, recentCommits: 0, owedRows: 0 };
  return { node, label, running: true, view, heldLocks, lockQueue, transactions, ...untold, tables, ledger };
}

class Builder {
  readonly #history: History;
  readonly #watch: RowWatch;
  readonly #operations = new Map<number, Operation>();
  readonly #alive: boolean[];

  constructor(history: History) {
    this.#history = history;
    this.#watch = new RowWatch(history.tables);
    this.#alive = history.labels.map(() => true);
    for (const node of history.labels.keys()) this.#watch.restart(node);
  }

  /** All processes read one clock, so their records have one order. */
  addAll(told: readonly (readonly Told[])[]): void {
    const all = told.flatMap((records, node) => records.map((record) => ({ node, record })));
    all.sort((a, b) => a.record.atUs - b.record.atUs);
    for (const { node, record } of all) this.#add(node, record);
    for (const operation of this.#operations.values()) {
      if (operation.outcome !== 'pending') continue;
      operation.outcome = 'info';
      operation.error = 'the node died';
    }
    this.#history.operations.push(...this.#operations.values());
  }

  #add(node: number, record: Told): void {
    switch (record.type) {
      case 'invoke': {
        const { index, client, kind, sync, atUs } = record;
        const base = { index, client, node, kind, sync, invokedUs: atUs, completedUs: undefined };
        const operation: Operation = { ...base, outcome: 'pending', error: undefined, attempts: 0, steps: [] };
        this.#operations.set(index, operation);
        return;
      }
      case 'attempt': {
        const operation = this.#operations.get(record.index);
        if (operation === undefined) return;
        operation.attempts = record.attempt;
        operation.steps = record.steps;
        return;
      }
      case 'done': {
        const operation = this.#operations.get(record.index);
        if (operation === undefined) return;
        operation.outcome = record.outcome;
        operation.error = record.error;
        operation.completedUs = record.atUs;
        return;
      }
      case 'row':
        return this.#addRow(node, record);
      case 'event':
        return this.#addEvent(node, record);
      case 'death':
        this.#alive[node] = false;
        this.#history.membership.push({ atUs: record.atUs, node, type: 'died', other: '', view: [] });
        return;
      default:
        return;
    }
  }

  #addRow(node: number, record: Extract<PeerRecord, { type: 'row' }>): void {
    const { atUs, table, key, change, version, origin, oldBy } = record;
    const oldValue: Value = oldBy === undefined ? undefined : { by: oldBy };
    const base = { table, key, oldValue, version, origin };
    const event: TableEvent =
      change === 'write' ? { ...base, type: 'write', value: { by: record.by ?? '' } } : { ...base, type: 'delete' };
    const { by, before } = this.#watch.saw(node, event);
    this.#history.rows.push({ atUs, node, table, key, type: change, by, before, version, origin });
  }

  #addEvent(node: number, { atUs, event, others, view }: Extract<PeerRecord, { type: 'event' }>): void {
    const { names, membership } = this.#history;
    if (event === 'open') {
      this.#alive[node] = true;
      this.#history.restarted = true;
      this.#watch.restart(node);
    }
    if (event === 'disc_failed') this.#history.split = true;
    // Lost sight of somebody who lives: two islands may exist.
    if (event === 'mnesia_down' && others.some((name) => this.#alive[names.indexOf(name)])) this.#history.split = true;
    if (event === 'connected') {
      this.#watch.joined(
        node,
        others.map((name) => names.indexOf(name)),
      );
    }
    membership.push({ atUs, node, type: event, other: others.join(' '), view });
  }
}
