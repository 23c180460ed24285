/**
 * Histories of lists that only grow, in the manner of Elle: what a list holds says in which order its writers came, so
 * the order of versions needs no help from the database under test.
 */
import type { Key } from '../../storage/types.ts';
import type { Count } from './checker.ts';
import { type History, keyText, listOf, type Operation, type Step } from './history.ts';
import { findCycle, type GraphTransaction } from './transaction-graph.ts';

export interface ListFinding {
  readonly anomaly: string;
  readonly text: string;
}

export interface ListScope {
  /** Tables of lists that are promised to be serializable together. */
  readonly tables: ReadonlySet<string>;
  readonly operations: readonly Operation[];
  /** Lists by place, as they are at the end of the scope, where known: every acknowledged append must be in them. */
  readonly final: ReadonlyMap<string, readonly string[]> | undefined;
  readonly count?: Count;
}

/** A row's name among those of all tables. */
export function placeOf(step: { readonly table: string; readonly key: Key }): string {
  return `${step.table}/${keyText(step.key)}`;
}

export function checkLists(scope: ListScope): ListFinding | undefined {
  const appended = new Map<string, Operation>();
  for (const operation of scope.operations) {
    for (const step of stepsOf(operation, scope.tables)) if (step.type === 'write') appended.set(step.by, operation);
  }
  const orders = longestLists(scope);
  return (
    wrongInside(scope) ??
    lostAppend(scope) ??
    incompatibleOrder(scope, orders) ??
    leaked(scope, orders, appended) ??
    intermediate(scope, appended) ??
    cycle(scope, orders)
  );
}

/** By place, of every table that is loaded somewhere. */
export function finalLists(history: History, tables: ReadonlySet<string>): Map<string, readonly string[]> {
  const lists = new Map<string, readonly string[]>();
  for (const table of tables) {
    const rows = history.final.find((node) => node.tables.get(table)?.loaded)?.tables.get(table)?.rows;
    for (const [key, value] of rows ?? []) lists.set(`${table}/${key}`, listOf(value));
  }
  return lists;
}

function stepsOf(operation: Operation, tables: ReadonlySet<string>): (Step & { type: 'read' | 'write' })[] {
  return operation.steps.filter(
    (step): step is Step & { type: 'read' | 'write' } =>
      tables.has(step.table) && (step.type === 'read' || step.type === 'write'),
  );
}

function* readsOf(
  scope: ListScope,
): Generator<{ operation: Operation | undefined; key: string; list: readonly string[] }> {
  for (const operation of scope.operations) {
    if (operation.outcome !== 'ok') continue;
    const written = new Map<string, readonly string[]>();
    for (const step of stepsOf(operation, scope.tables)) {
      const key = placeOf(step);
      if (step.type === 'write') written.set(key, listOf(step.value));
      else if (!written.has(key)) yield { operation, key, list: listOf(step.value) };
    }
    // What it left there was a version, too, whether anybody read it or not.
    for (const [key, list] of written) yield { operation, key, list };
  }
  for (const [key, list] of scope.final ?? []) yield { operation: undefined, key, list };
}

function longestLists(scope: ListScope): Map<string, readonly string[]> {
  const longest = new Map<string, readonly string[]>();
  for (const { key, list } of readsOf(scope)) {
    if (list.length > (longest.get(key)?.length ?? -1)) longest.set(key, list);
  }
  return longest;
}

/** A transaction sees its own appends, and nothing of it changes under its feet. */
function wrongInside(scope: ListScope): ListFinding | undefined {
  for (const operation of scope.operations) {
    if (operation.outcome !== 'ok') continue;
    const expected = new Map<string, readonly string[]>();
    for (const step of stepsOf(operation, scope.tables)) {
      const key = placeOf(step);
      const list = listOf(step.value);
      const before = expected.get(key);
      const wanted = step.type === 'write' ? before && [...before, step.by] : before;
      if (wanted && !same(wanted, list)) {
        return { anomaly: 'internal', text: `${nameOf(operation)} expected [${wanted}] at ${key} and met [${list}]` };
      }
      expected.set(key, list);
    }
  }
  return undefined;
}

function incompatibleOrder(scope: ListScope, orders: ReadonlyMap<string, readonly string[]>): ListFinding | undefined {
  for (const { operation, key, list } of readsOf(scope)) {
    const order = orders.get(key) ?? [];
    const place = list.findIndex((element, index) => element !== order[index]);
    if (place < 0) continue;
    const who = operation ? nameOf(operation) : 'the final state';
    return {
      anomaly: 'incompatible order',
      text: `${who} read ${key} as [… ${list.slice(Math.max(0, place - 2), place + 3)}] where the longest read has [… ${order.slice(Math.max(0, place - 2), place + 3)}], at place ${place}`,
    };
  }
  return undefined;
}

/** An element of a transaction that failed, or of an attempt that was given up. */
function leaked(
  scope: ListScope,
  orders: ReadonlyMap<string, readonly string[]>,
  appended: ReadonlyMap<string, Operation>,
): ListFinding | undefined {
  const attempts = new Map<string, Operation>();
  for (const operation of scope.operations) attempts.set(String(operation.index), operation);
  for (const [key, order] of orders) {
    for (const element of order) {
      const writer = appended.get(element);
      if (writer?.outcome === 'fail') {
        return {
          anomaly: 'G1a, aborted read',
          text: `${element} is in ${key}, and ${nameOf(writer)} had failed with ${writer.error}`,
        };
      }
      const operation = writer ?? attempts.get(element.split('.')[0] ?? '');
      if (operation && !writer && operation.outcome !== 'info') {
        return {
          anomaly: 'G1a, aborted read',
          text: `${element} is in ${key}, and that attempt of ${nameOf(operation)} was given up`,
        };
      }
    }
    const twice = order.find((element, index) => order.indexOf(element) !== index);
    if (twice !== undefined) return { anomaly: 'duplicate', text: `${twice} is in ${key} more than once` };
  }
  return undefined;
}

/** Of several appends of one transaction to one list, others may see all or none. */
function intermediate(scope: ListScope, appended: ReadonlyMap<string, Operation>): ListFinding | undefined {
  for (const { operation, key, list } of readsOf(scope)) {
    const last = list[list.length - 1];
    const writer = last === undefined ? undefined : appended.get(last);
    if (!writer || writer === operation) continue;
    const writes = stepsOf(writer, scope.tables).filter((step) => step.type === 'write' && placeOf(step) === key);
    const lastWrite = writes[writes.length - 1];
    if (lastWrite?.type === 'write' && lastWrite.by !== last) {
      return {
        anomaly: 'G1b, intermediate read',
        text: `${operation ? nameOf(operation) : 'the final state'} saw ${last} of ${nameOf(writer)} and not ${lastWrite.by}`,
      };
    }
  }
  return undefined;
}

function lostAppend(scope: ListScope): ListFinding | undefined {
  if (!scope.final) return undefined;
  for (const operation of scope.operations) {
    if (operation.outcome !== 'ok') continue;
    for (const step of stepsOf(operation, scope.tables)) {
      const final = scope.final.get(placeOf(step));
      if (step.type !== 'write' || final?.includes(step.by)) continue;
      return {
        anomaly: 'lost update',
        text: `${step.by} of ${nameOf(operation)} is not in ${placeOf(step)}: [${final}]`,
      };
    }
  }
  return undefined;
}

function cycle(scope: ListScope, orders: ReadonlyMap<string, readonly string[]>): ListFinding | undefined {
  const transactions = scope.operations
    .filter((operation) => operation.outcome === 'ok' || isSeen(operation, scope, orders))
    .map((operation) => graphTransaction(operation, scope.tables))
    .filter((transaction) => transaction.reads.size + transaction.writes.size > 0);
  scope.count?.('transactions', transactions.length);
  // One that needs no clock to be wrong says more than one that does.
  const found =
    findCycle(transactions, orders, { realTime: false }) ?? findCycle(transactions, orders, { count: scope.count });
  return found && { anomaly: found.anomaly, text: found.text };
}

function isSeen(operation: Operation, scope: ListScope, orders: ReadonlyMap<string, readonly string[]>): boolean {
  return stepsOf(operation, scope.tables).some(
    (step) => step.type === 'write' && orders.get(placeOf(step))?.includes(step.by),
  );
}

function graphTransaction(operation: Operation, tables: ReadonlySet<string>): GraphTransaction {
  const reads = new Map<string, string | undefined>();
  const writes = new Map<string, string>();
  const certain = operation.outcome === 'ok';
  for (const step of stepsOf(operation, tables)) {
    const key = placeOf(step);
    if (step.type === 'write') {
      writes.set(key, step.by);
    } else if (certain && !reads.has(key) && !writes.has(key)) {
      const list = listOf(step.value);
      reads.set(key, list[list.length - 1]);
    }
  }
  return {
    name: nameOf(operation),
    invokedUs: operation.invokedUs,
    completedUs: certain ? operation.completedUs : undefined,
    reads,
    writes,
  };
}

export function nameOf(operation: Operation): string {
  const answered =
    operation.completedUs === undefined ? 'no answer' : `${(operation.completedUs / 1000).toFixed(3)} ms`;
  return `#${operation.index} ${operation.kind} of ${operation.client} (${(operation.invokedUs / 1000).toFixed(3)} ms to ${answered}, ${operation.outcome})`;
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((element, index) => element === b[index]);
}
