/**
 * Everything that must hold of a history, whatever faults it met. Pure functions; each answers with what is wrong, in
 * words, or with nothing. `limits` says what was not checked in a seed and why: it is counted and reported, so that a
 * check that never applies is noticed.
 */
import type { Checker, Count, Violation } from './checker.ts';
import type { DiscRemains } from './disc-remains.ts';
import { byOf, type History, keyText, type NodeState, numberOf, type Operation } from './history.ts';
import { findMissing } from './lineage.ts';
import { nameOf } from './list-append.ts';
import { findFallen } from './rising-versions.ts';
import { listsSerializable, rowsSerializable, wholeRun } from './strictness.ts';
import { fullText, valueText } from './trace.ts';

export type { Violation } from './checker.ts';

export interface CheckResult {
  readonly violations: readonly Violation[];
  /** How much each checker looked at, by `<checker>: <what>`. */
  readonly checked: Readonly<Record<string, number>>;
}

const PENDING_TIMERS_MAX = 64;
const NOTHING: DiscRemains = { tombstones: [], owed: [], promises: [] };
/** Why nobody answered, as the clients write it down. */
export const DIED = 'the node died';

export function checkHistory(history: History): CheckResult {
  const checked: Record<string, number> = {};
  const violations = Object.entries(CHECKERS).flatMap(([name, checker]) => {
    const count: Count = (what, by = 1) => {
      checked[`${name}: ${what}`] = (checked[`${name}: ${what}`] ?? 0) + by;
    };
    count('histories');
    return checker(history, count);
  });
  return { violations, checked };
}

/** Replicas of a table are equal, row by row and by their digests. */
export const replicasEqual: Checker = (history, count) => {
  const violations: Violation[] = [];
  for (const plan of history.tables) {
    if (plan.localContent) continue;
    const holders = history.final.filter((node) => plan.holders.includes(node.node));
    const [first, ...others] = holders;
    if (!first) continue;
    const notLoaded = holders.filter((node) => !node.tables.get(plan.name)?.loaded);
    if (notLoaded.length > 0) {
      violations.push({
        checker: 'replicas equal',
        text: `${plan.name} is not loaded on ${notLoaded.map((node) => node.label)}`,
      });
      continue;
    }
    for (const other of others) {
      count('replica pairs');
      const text = difference(plan.name, first, other);
      if (text) violations.push({ checker: 'replicas equal', text });
    }
  }
  return violations;
};

function difference(table: string, a: NodeState, b: NodeState): string | undefined {
  const one = a.tables.get(table);
  const other = b.tables.get(table);
  if (!one || !other) return `${table} is unknown on ${one ? b.label : a.label}`;
  const keys = new Set([...one.rows.keys(), ...other.rows.keys()]);
  const unequal = [...keys].filter((key) => fullText(one.rows.get(key)) !== fullText(other.rows.get(key)));
  const key = unequal[0];
  if (key !== undefined) {
    return `${table}: ${unequal.length} rows differ between ${a.label} and ${b.label}; ${key} is ${valueText(one.rows.get(key))} and ${valueText(other.rows.get(key))}`;
  }
  if (one.digest !== other.digest) {
    return `${table}: the rows of ${a.label} and ${b.label} are equal and their digests are not (${one.digest}, ${other.digest}), so versions differ`;
  }
  return undefined;
}

export const nothingAcknowledgedMissing: Checker = (history, count) => {
  if (!history.split) count('conflicts without a split', needlessConflicts(history));
  const { missing, checked, skipped } = findMissing(history);
  count('acknowledged writes', checked);
  if (skipped > 0) count('acknowledged writes not checked: last copy in memory gone', skipped);
  return missing.map(({ operation, text }) => ({
    checker: 'nothing acknowledged missing',
    text: `${nameOf(operation)}: ${text}`,
  }));
};

/** Entries of the ledger that no two islands can have made. */
function needlessConflicts(history: History): number {
  const whole = new Set(history.tables.filter((plan) => wholeRun(history, plan)).map((plan) => plan.name));
  const ledger = history.final[0]?.ledger ?? [];
  return ledger.filter((entry) => whole.has(entry.table)).length;
}

/** A transaction that failed, or an attempt that was given up, left nothing anywhere. */
export const nothingOfFailures: Checker = (history, count) => {
  const operations = new Map(history.operations.map((operation) => [String(operation.index), operation]));
  const violations: Violation[] = [];
  const reported = new Set<string>();
  const majority = new Set(history.tables.filter((table) => table.majority).map((table) => table.name));
  /** The database said itself that it does not know; or whoever knew better died, and the last copy in memory with them. */
  const isAnyones = ({ outcome, error }: Operation, table: string): boolean => {
    if (outcome === 'ok') return false;
    const isTold = outcome === 'info' && error !== DIED;
    return majority.has(table) ? isTold || history.mayLose.has(table) : isTold && !history.split;
  };
  /** Of operations whose outcome nobody was told: the attempt that stands. */
  const standing = new Map<Operation, string | undefined>();
  const look = (table: string, by: string | undefined, where: () => string): void => {
    const [index, attempt] = (by ?? '').split('.');
    const operation = operations.get(index ?? '');
    if (!operation || by === undefined || reported.has(by)) return;
    if (isAnyones(operation, table)) {
      // Whichever attempt met the fault may stand, and no other with it.
      const other = standing.get(operation);
      standing.set(operation, attempt);
      if (other === undefined || other === attempt) return;
      reported.add(by);
      const text = `${where()} shows ${by}, and attempt ${other} of ${nameOf(operation)} stands too`;
      violations.push({ checker: 'nothing of failures', text });
      return;
    }
    const givenUp = Number(attempt) !== operation.attempts && !operation.kind.startsWith('dirty');
    if (operation.outcome !== 'fail' && !givenUp) return;
    reported.add(by);
    // Cut off from its coordinator a participant must presume; the merge settles it, and the attempt after it stands.
    if (operation.outcome !== 'fail' && history.split && !majority.has(table)) {
      count('attempts given up on one side of a split and kept on the other');
      return;
    }
    const why = operation.outcome === 'fail' ? `had failed with ${operation.error}` : `had given up attempt ${attempt}`;
    violations.push({
      checker: 'nothing of failures',
      text: `${where()} shows ${by}, and ${nameOf(operation)} ${why}`,
    });
  };
  for (const row of history.rows) {
    count('row changes');
    if (row.type === 'write')
      look(row.table, row.by, () => `${history.labels[row.node]} at ${row.atUs} µs, ${row.table}/${row.key},`);
  }
  for (const operation of history.operations) {
    if (operation.outcome !== 'ok') continue;
    for (const step of operation.steps)
      if (step.type === 'read') look(step.table, byOf(step.value), () => nameOf(operation));
  }
  return violations;
};

/** Two rows always written by the same transaction are always seen with the same content. */
export const pairsWhole: Checker = (history, count) => {
  const violations: Violation[] = [];
  for (const operation of history.operations) {
    if (operation.kind !== 'pair-read' || operation.outcome !== 'ok') continue;
    count('pair reads');
    const [one, other] = operation.steps.filter((step) => step.type === 'read').map((step) => byOf(step.value));
    if (one !== other)
      violations.push({
        checker: 'pairs whole',
        text: `${nameOf(operation)} read ${one} in one half and ${other} in the other`,
      });
  }
  for (const plan of history.tables.filter((table) => table.name.startsWith('pairs'))) {
    for (const node of history.final) {
      const rows = node.tables.get(plan.name)?.rows ?? new Map();
      for (const [key, value] of rows) {
        const half = key.endsWith('/left') ? key.replace(/left$/, 'right') : key.replace(/right$/, 'left');
        count('pairs at the end');
        if (byOf(value) === byOf(rows.get(half))) continue;
        violations.push({
          checker: 'pairs whole',
          text: `${node.label} ends with ${plan.name}/${key} by ${byOf(value)} and ${half} by ${byOf(rows.get(half))}`,
        });
      }
    }
  }
  return violations;
};

/** Money moves and is neither made nor lost; for tables that two islands may both write, in seeds without a split. */
export const bankSum: Checker = (history, count) => {
  const violations: Violation[] = [];
  const expected = history.accounts * history.accountOpening;
  const look = (values: readonly number[], where: string): void => {
    count('bank sums');
    const sum = values.reduce((total, value) => total + value, 0);
    const opening = (history.accounts - values.length) * history.accountOpening;
    if (sum + opening !== expected)
      violations.push({ checker: 'bank sum', text: `${where}: the sum is ${sum + opening}, not ${expected}` });
  };
  for (const plan of history.tables.filter((table) => table.name.startsWith('bank'))) {
    if (!wholeRun(history, plan)) {
      count(`tables not checked: ${plan.name}, split`);
      continue;
    }
    for (const operation of history.operations) {
      if (operation.kind !== 'bank-read' || operation.outcome !== 'ok') continue;
      const scans = operation.steps.filter((step) => step.type === 'scan' && step.table === plan.name);
      for (const scan of scans)
        if (scan.type === 'scan')
          look(
            scan.rows.map(([, value]) => numberOf(value, 'balance') ?? 0),
            nameOf(operation),
          );
    }
    const rows = history.final[0]?.tables.get(plan.name)?.rows;
    if (rows)
      look(
        [...rows.values()].map((value) => numberOf(value, 'balance') ?? 0),
        'at the end',
      );
  }
  return violations;
};

/** Each acknowledged step of a counter counts once, an uncertain one at most once, a failed one never. */
export const countersExact: Checker = (history, count) => {
  const violations: Violation[] = [];
  for (const plan of history.tables.filter((table) => table.name.startsWith('counters'))) {
    if (!wholeRun(history, plan)) continue;
    const least = new Map<string, number>();
    const most = new Map<string, number>();
    for (const operation of history.operations) {
      if (operation.kind !== 'counter' || operation.outcome === 'fail') continue;
      for (const step of operation.steps) {
        if (step.type !== 'write' || step.table !== plan.name) continue;
        const key = keyText(step.key);
        most.set(key, (most.get(key) ?? 0) + 1);
        if (operation.outcome === 'ok') least.set(key, (least.get(key) ?? 0) + 1);
      }
    }
    for (const [key, limit] of most) {
      count('counters');
      const value = numberOf(history.final[0]?.tables.get(plan.name)?.rows.get(key), 'count') ?? 0;
      if (value >= (least.get(key) ?? 0) && value <= limit) continue;
      violations.push({
        checker: 'counters exact',
        text: `${plan.name}/${key} is ${value}; ${least.get(key) ?? 0} steps were acknowledged and ${limit} may have happened`,
      });
    }
  }
  return violations;
};

/** Whoever finds a place free in a scan and takes it is the only one who did: no phantoms. */
export const claimsUnique: Checker = (history, count) => {
  const violations: Violation[] = [];
  for (const plan of history.tables.filter((table) => table.name.startsWith('claims'))) {
    if (!wholeRun(history, plan)) continue;
    const owners = new Map<string, string[]>();
    for (const key of history.final[0]?.tables.get(plan.name)?.rows.keys() ?? []) {
      const slot = key.slice(0, key.indexOf(':'));
      owners.set(slot, [...(owners.get(slot) ?? []), key]);
    }
    for (const [slot, keys] of owners) {
      count('claims');
      if (keys.length > 1)
        violations.push({ checker: 'claims unique', text: `place ${slot} was taken more than once: ${keys}` });
    }
  }
  return violations;
};

/** When nobody works, nothing is locked, prepared, waiting, remembered for others or ticking without end. */
export const nothingLeftBehind: Checker = (history, count) => {
  const violations: Violation[] = [];
  for (const node of history.final) {
    count('nodes at rest');
    const { tombstones, owed, promises } = node.remains ?? NOTHING;
    const left = [
      node.heldLocks > 0 ? `${node.heldLocks} locks held` : '',
      node.lockQueue > 0 ? `${node.lockQueue} waiting for locks` : '',
      node.transactions > 0 ? `${node.transactions} transactions` : '',
      node.recentCommits > 0 ? `${node.recentCommits} commits remembered that are everywhere` : '',
      node.owedRows > 0 ? `${node.owedRows} rows remembered for nodes that have them` : '',
      owed.length > 0 ? `${owed.length} keys on its disc for nodes that have them (${valueText(owed)})` : '',
      tombstones.length > 0 ? `${tombstones.length} deletes on its disc that all know (${valueText(tombstones)})` : '',
      promises.length > 0 ? `${promises.length} votes on its disc for what has ended (${valueText(promises)})` : '',
      node.pendingTimers > PENDING_TIMERS_MAX ? `${node.pendingTimers} timers (at most ${PENDING_TIMERS_MAX})` : '',
    ].filter((text) => text !== '');
    if (left.length > 0)
      violations.push({ checker: 'nothing left behind', text: `${node.label} at rest still has ${left.join(', ')}` });
  }
  for (const operation of history.operations) {
    if (operation.outcome === 'pending')
      violations.push({ checker: 'nothing left behind', text: `${nameOf(operation)} was never answered` });
  }
  return violations;
};

/** A loser put back is there on every replica, and its entry says so. */
export const ledgerRestores: Checker = (history, count) => {
  const entry = history.restored;
  if (!entry) return [];
  count('ledger entries restored');
  const violations: Violation[] = [];
  for (const node of history.final) {
    const mark = node.ledger.find((other) => other.id === entry.id);
    if (mark && !mark.restored) {
      violations.push({ checker: 'ledger restores', text: `${node.label} does not show ${entry.id} as restored` });
    }
    const state = node.tables.get(entry.table);
    if (!state?.loaded) continue;
    const value = state.rows.get(keyText(entry.key));
    if (fullText(value) === fullText(entry.loser.deleted ? undefined : entry.loser.value)) continue;
    const text = `${entry.id}: ${entry.table}/${keyText(entry.key)} on ${node.label} is ${valueText(value)}, not ${valueText(entry.loser.value)}`;
    violations.push({ checker: 'ledger restores', text });
  }
  return violations;
};

/** What a node keeps for itself alone: its last acknowledged write, or one nobody can tell from it in time. */
export const localContentKept: Checker = (history, count) => {
  const violations: Violation[] = [];
  for (const plan of history.tables.filter((table) => table.localContent && !history.mayLose.has(table.name))) {
    for (const node of history.final) {
      for (const [key, value] of node.tables.get(plan.name)?.rows ?? []) {
        count('rows of local content');
        const text = wrongLocalRow(history, plan.name, node, key, byOf(value));
        if (text) violations.push({ checker: 'local content kept', text });
      }
    }
  }
  return violations;
};

function wrongLocalRow(
  history: History,
  table: string,
  node: NodeState,
  key: string,
  by: string | undefined,
): string | undefined {
  const writes = history.operations.filter(
    (operation) =>
      operation.node === node.node &&
      operation.steps.some((step) => step.type === 'write' && step.table === table && keyText(step.key) === key),
  );
  const writer = writes.find((operation) => operation.steps.some((step) => step.type === 'write' && step.by === by));
  if (!writer) return `${node.label} holds ${table}/${key} by ${by}, which none of its own clients wrote`;
  const later = writes.find(
    (operation) => operation.outcome === 'ok' && operation.invokedUs > (writer.completedUs ?? Number.POSITIVE_INFINITY),
  );
  return later && `${node.label} holds ${table}/${key} by ${by}; ${nameOf(later)} was acknowledged after it`;
}

/** Disc tables come back from the discs as they were. */
export const sameAfterRestart: Checker = (history, count) => {
  const violations: Violation[] = [];
  for (const after of history.afterRestart ?? []) {
    const before = history.final.find((node) => node.node === after.node);
    if (!before) continue;
    for (const plan of history.tables) {
      if (plan.storage !== 'disc' || plan.moves || !plan.holders.includes(after.node)) continue;
      count('tables after a restart');
      const relabelled: NodeState = { ...after, label: `${after.label} after the restart` };
      const text = difference(plan.name, before, relabelled);
      if (text) violations.push({ checker: 'same after restart', text });
    }
  }
  return violations;
};

/** Where many write a row without asking, each replica keeps the greatest version. */
export const versionsRise: Checker = (history, count) => {
  const { fallen, checked } = findFallen(history);
  count('changes', checked);
  return fallen.map((text) => ({ checker: 'versions rise', text }));
};

export const CHECKERS: Readonly<Record<string, Checker>> = {
  'replicas equal': replicasEqual,
  'nothing acknowledged missing': nothingAcknowledgedMissing,
  'versions rise': versionsRise,
  'nothing of failures': nothingOfFailures,
  'pairs whole': pairsWhole,
  'bank sum': bankSum,
  'counters exact': countersExact,
  'claims unique': claimsUnique,
  'lists strictly serializable': listsSerializable,
  'rows strictly serializable': rowsSerializable,
  'ledger restores': ledgerRestores,
  'local content kept': localContentKept,
  'nothing left behind': nothingLeftBehind,
  'same after restart': sameAfterRestart,
};
