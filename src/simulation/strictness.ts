/**
 * Are the histories strictly serializable? Lists say in which order their writers came, so they need no help from the
 * database; for the other rows the nodes' own order of versions is taken. Where two islands may have existed, the promise
 * is one for the time in which an island stayed the same, and over the whole run only where a majority must agree.
 */
import type { Checker, Count, Violation } from './checker.ts';
import { byOf, compareVersions, type History, keyText, type Operation, type TablePlan } from './history.ts';
import { checkIslandLists, type IslandEpoch } from './island-epochs.ts';
import { checkLists, finalLists, type ListFinding, nameOf } from './list-append.ts';
import { CREATED_AT_RUN_TIME } from './tables.ts';
import { findCycle, type GraphTransaction } from './transaction-graph.ts';

/** Whether a property over the whole run is promised for this table in this seed. */
export function wholeRun(history: History, plan: TablePlan): boolean {
  // A table kept in memory only, or one that a node did not hear of before it stopped, begins anew on a node that starts
  // alone: an island for as long as that lasts. Where a majority must agree, only one that remembers can.
  const beginsAnew =
    (plan.storage === 'ram' && !plan.majority) || plan.moves || CREATED_AT_RUN_TIME.includes(plan.name);
  if (beginsAnew && history.restarted) return false;
  return !history.mayLose.has(plan.name) && (!history.split || plan.majority);
}

/**
 * All tables of lists for which the promise is the same are one history: a transaction may touch several. Cut off from
 * the majority a node still answers reads, from its own replica, which may be old: where islands existed, the promise
 * over the whole run is for transactions that write such a table and for those that read with a majority. Of a table in
 * memory that holds wherever a node was started again: such nodes may meet each other first, and have forgotten all.
 */
export const listsSerializable: Checker = (history, count) => {
  const lists = history.tables.filter((table) => table.name.startsWith('lists'));
  const whole = new Set(lists.filter((plan) => wholeRun(history, plan)).map((plan) => plan.name));
  const violations = listsOverTheRun(history, whole, count);
  const apart = new Set(lists.filter((plan) => !whole.has(plan.name)).map((plan) => plan.name));
  const found = checkIslandLists(history, apart, count);
  if (found) violations.push(islandViolation(history, found.epoch, found.finding));
  return violations;
};

function listsOverTheRun(history: History, tables: ReadonlySet<string>, count: Count): Violation[] {
  if (tables.size === 0) return [];
  const operations = history.operations.flatMap((operation) => promised(history, operation, tables));
  const found = checkLists({ tables, operations, final: finalLists(history, tables), count });
  if (!found) return [];
  const text = `${[...tables].join(', ')}: ${found.anomaly}\n  ${found.text}`;
  return [{ checker: 'lists strictly serializable', text }];
}

/** The operation, without what it read and may be old; nothing where nothing is left. */
function promised(history: History, operation: Operation, tables: ReadonlySet<string>): Operation[] {
  const steps = operation.steps.filter((step) => tables.has(step.table));
  const asksMost = steps.some((step) => step.type === 'write' || (step.type === 'read' && step.majority === true));
  if (asksMost) return [operation];
  if (history.split) return [];
  const mayBeOld = new Set(
    history.tables.filter(({ storage }) => storage === 'ram' && history.restarted).map(({ name }) => name),
  );
  const sure = steps.filter((step) => !mayBeOld.has(step.table));
  return sure.length === 0 ? [] : [{ ...operation, steps: sure }];
}

function islandViolation(history: History, epoch: IslandEpoch, finding: ListFinding): Violation {
  const island = epoch.nodes.map((node) => history.labels[node]).join('+');
  const from = (epoch.fromUs / 1000).toFixed(3);
  const to = (epoch.toUs / 1000).toFixed(3);
  return {
    checker: 'islands strictly serializable',
    text: `in the island ${island} from ${from} to ${to} ms: ${finding.anomaly}\n  ${finding.text}`,
  };
}

/** The same question over all other tables, with the order of versions that the nodes themselves reported. */
export const rowsSerializable: Checker = (history, count) => {
  if (history.split) return [];
  const covered = new Set(
    history.tables
      .filter(
        (plan) =>
          !plan.localContent &&
          !plan.name.startsWith('dirty') &&
          !plan.name.startsWith('lists') &&
          wholeRun(history, plan),
      )
      .map((plan) => plan.name),
  );
  const orders = versionOrders(history, covered);
  const known = new Map([...orders].map(([place, order]) => [place, new Set(order)]));
  const transactions: GraphTransaction[] = [];
  for (const operation of history.operations) {
    const transaction = rowTransaction(operation, covered, known);
    if (transaction) transactions.push(transaction);
  }
  count('transactions', transactions.length);
  const found = findCycle(transactions, orders, { count });
  return found ? [{ checker: 'rows strictly serializable', text: `${found.anomaly}\n  ${found.text}` }] : [];
};

function versionOrders(history: History, covered: ReadonlySet<string>): Map<string, string[]> {
  const vanished = vanishedWrites(history);
  const versions = new Map<string, Map<string, { readonly hlc: number; readonly node: string }>>();
  for (const row of history.rows) {
    if (!covered.has(row.table) || row.type !== 'write' || vanished.has(row.by)) continue;
    const place = `${row.table}/${row.key}`;
    const known = versions.get(place) ?? new Map();
    versions.set(place, known.set(row.by, row.version));
  }
  const sorted = (known: ReadonlyMap<string, { hlc: number; node: string }>): string[] =>
    [...known].sort(([, a], [, b]) => compareVersions(a, b)).map(([name]) => name);
  return new Map([...versions].map(([place, known]) => [place, sorted(known)]));
}

/** Writes that a dying coordinator made in its memory only: answered to nobody, read and overwritten by nobody. */
function vanishedWrites(history: History): Set<string> {
  const vanished = new Set<string>();
  for (const operation of history.operations) {
    if (operation.outcome !== 'info') continue;
    for (const step of operation.steps) if (step.type === 'write') vanished.add(step.by);
  }
  for (const row of history.rows) if (row.before !== undefined) vanished.delete(row.before);
  for (const operation of history.operations) {
    if (operation.outcome !== 'ok') continue;
    for (const step of operation.steps) if (step.type === 'read') vanished.delete(byOf(step.value) ?? '');
  }
  for (const { tables } of history.final) {
    for (const { rows } of tables.values()) for (const value of rows.values()) vanished.delete(byOf(value) ?? '');
  }
  return vanished;
}

function rowTransaction(
  operation: Operation,
  covered: ReadonlySet<string>,
  known: ReadonlyMap<string, ReadonlySet<string>>,
): GraphTransaction | undefined {
  if (operation.outcome !== 'ok' && operation.outcome !== 'info') return undefined;
  if (operation.kind.startsWith('dirty')) return undefined;
  const reads = new Map<string, string | undefined>();
  const writes = new Map<string, string>();
  for (const step of operation.steps) {
    if (step.type === 'scan' || !covered.has(step.table)) continue;
    const place = `${step.table}/${keyText(step.key)}`;
    if (step.type === 'write') {
      if (known.get(place)?.has(step.by)) writes.set(place, step.by);
    } else if (step.type === 'read' && operation.outcome === 'ok' && !reads.has(place) && !writes.has(place)) {
      // An absent row may be any of several deletes; only what was read can be placed.
      const by = byOf(step.value);
      if (by !== undefined) reads.set(place, by);
    }
  }
  if (reads.size + writes.size === 0) return undefined;
  const completedUs = operation.outcome === 'ok' ? operation.completedUs : undefined;
  return { name: nameOf(operation), invokedUs: operation.invokedUs, completedUs, reads, writes };
}
