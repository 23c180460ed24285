/** Calls that cannot be right: a typed error that says what, why and what to do, and nothing half done afterwards. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StorageError } from '../../../storage/errors.ts';
import type { Key, TableDefinition, Transaction, Value } from '../../../storage/types.ts';
import { Cluster } from '../support/cluster.ts';

let cluster: Cluster;

beforeEach(async () => {
  cluster = await Cluster.start(2);
  await cluster.createTable('t');
  await cluster.node(1).write('t', 'k', 'kept');
});

/** Nothing half done: the row as it was on both nodes, nothing locked, and the next write works. */
afterEach(async () => {
  await cluster.advance(100);
  for (const { isRunning, db } of cluster.nodes.filter((node) => node.isRunning)) {
    expect([isRunning, db.dirtyAllKeys('t'), db.dirtyRead('t', 'k')]).toEqual([true, ['k'], 'kept']);
    const { heldLocks, lockQueue, transactions } = db.systemInfo();
    expect({ heldLocks, lockQueue, transactions }).toEqual({ heldLocks: 0, lockQueue: 0, transactions: 0 });
  }
  for (const node of cluster.nodes) if (node.isRunning) await cluster.settle(node.db.dirtyWrite('t', 'k', 'kept'));
});

const db = () => cluster.node(1).db;

async function refusal(call: () => unknown): Promise<StorageError> {
  const error = await cluster.failure((async () => call())());
  expect(error).toBeInstanceOf(StorageError);
  // What, why and what to do are sentences, not a code.
  expect(error.message.length).toBeGreaterThan(20);
  expect(error.message).not.toMatch(/\[object/);
  return error;
}

class Account {
  balance = 1;
}

const cycle: Record<string, unknown> = {};
cycle.self = cycle;

const values: [what: string, value: unknown, path: string | undefined][] = [
  ['a function', () => 1, undefined],
  ['a function inside', { list: [{ f: () => 1 }] }, 'list[0].f'],
  ['an instance of a class', new Account(), undefined],
  ['an instance inside', { account: new Account() }, 'account'],
  ['a cycle', cycle, undefined],
  ['a Date', new Date(0), undefined],
  ['a Map', new Map(), undefined],
  ['a Set', { set: new Set() }, 'set'],
  ['a symbol', Symbol('s'), undefined],
  ['a symbol inside', [[Symbol('s')]], '[0][0]'],
  ['a RegExp', /x/, undefined],
  ['an Error', new Error('x'), undefined],
  ['a promise', Promise.resolve(1), undefined],
  ['a typed array that is no octets', new Float64Array(1), undefined],
  ['a text with half a surrogate pair', 'x\ud800', undefined],
  ['too long', 'x'.repeat((1 << 20) + 1), undefined],
  ['too long in many small parts', Array.from({ length: 300_000 }, () => 'abcd'), undefined],
];

const ways: [string, (tx: Transaction, value: Value) => unknown][] = [
  ['transaction', (tx, value) => tx.write('t', 'k', value)],
  ['transaction that writes a good row first', (tx, value) => [tx.write('t', 'good', 1), tx.write('t', 'k', value)]],
];

for (const [way, write] of ways) {
  test.each(values)(`a value that cannot be stored, in a ${way}: %s`, async (_, value, path) => {
    const error = await refusal(() => db().transaction((tx) => write(tx, value as Value)));
    expect(error).toMatchObject({ code: 'bad_value', fields: { table: 't', key: 'k' } });
    if (path !== undefined) expect(error.fields.path).toBe(path);
    expect((await refusal(() => db().dirtyWrite('t', 'k', value as Value))).code).toBe('bad_value');
    expect((await refusal(() => db().syncTransaction((tx) => write(tx, value as Value)))).code).toBe('bad_value');
  });
}

test('NaN and the infinities are numbers, and come back as they were', async () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    await cluster.settle(db().dirtyWrite('t', 'number', { value }));
    await cluster.advance(20);
    for (const node of cluster.nodes) expect(node.db.dirtyRead('t', 'number')).toEqual({ value });
  }
  await cluster.settle(db().dirtyDelete('t', 'number'));
});

const keys: [string, unknown][] = [
  ['NaN', Number.NaN],
  ['infinity', Number.POSITIVE_INFINITY],
  ['undefined', undefined],
  ['an object', { a: 1 }],
  ['a function', () => 1],
  ['a symbol', Symbol('s')],
  ['a Date', new Date(0)],
  ['an array with NaN', [1, Number.NaN]],
  ['arrays too deep', [[[[[[[[[[1]]]]]]]]]]],
  ['half a surrogate pair', '\udfff'],
  ['too long', 'x'.repeat(1025)],
];

test.each(keys)('a key that cannot be one, in every call that takes a key: %s', async (_, key) => {
  const calls: (() => unknown)[] = [
    () => db().transaction((tx) => tx.read('t', key as Key)),
    () => db().transaction((tx) => tx.has('t', key as Key)),
    () => db().transaction((tx) => tx.write('t', key as Key, 1)),
    () => db().transaction((tx) => tx.delete('t', key as Key)),
    () => db().dirtyRead('t', key as Key),
    () => db().dirtyWrite('t', key as Key, 1),
    () => db().dirtyDelete('t', key as Key),
  ];
  for (const call of calls) {
    const error = await refusal(call);
    expect([String(call), error.code, error.fields.table]).toEqual([String(call), 'bad_key', 't']);
  }
});

test('a table that does not exist, in every call that takes a table', async () => {
  const calls: (() => unknown)[] = [
    () => db().transaction((tx) => tx.read('absent', 1)),
    () => db().transaction((tx) => tx.has('absent', 1)),
    () => db().transaction((tx) => tx.write('absent', 1, 1)),
    () => db().transaction((tx) => tx.delete('absent', 1)),
    () => db().transaction((tx) => tx.allKeys('absent')),
    () => db().transaction((tx) => tx.forEach('absent', () => undefined)),
    () => db().dirtyRead('absent', 1),
    () => db().dirtyAllKeys('absent'),
    () => db().dirtyForEach('absent', () => undefined),
    () => db().dirtyWrite('absent', 1, 1),
    () => db().dirtyDelete('absent', 1),
    () => db().deleteTable('absent'),
    () => db().forceLoadTable('absent'),
    () => db().tableInfo('absent'),
    () => db().subscribeTable('absent', () => undefined),
  ];
  for (const call of calls) {
    const error = await refusal(call);
    expect([String(call), error.code, error.fields.table]).toEqual([String(call), 'no_such_table', 'absent']);
    expect(error.message).toContain('createTable');
  }
});

test.each<[string, Partial<TableDefinition>, string]>([
  ['no name', { name: '' }, 'name'],
  ['a name that is no text', { name: 7 as never }, 'name'],
  ['one node with two kinds', { ram_copies: ['clusterdb@peer1'], disc_copies: ['clusterdb@peer1'] }, 'disc_copies'],
  ['a merge rule nobody knows', { merge: 'newest' as never }, 'merge'],
  ['the rule owner without a field', { merge: 'owner' }, 'owner_field'],
  ['the name of the ledger', { name: 'partition_ledger' }, 'name'],
])('a definition that cannot be: %s', async (_, definition, property) => {
  const error = await refusal(() => db().createTable({ name: 'bad', ...definition }));
  expect(error).toMatchObject({ code: 'bad_definition', fields: { property } });
  expect(db().systemInfo().tables).toEqual(['partition_ledger', 't']);
});

test('a function that never ends is given up at its deadline, sync or async work before it or not', async () => {
  const error = await refusal(() =>
    db().transaction(
      async (tx) => {
        tx.write('t', 'k', 'never');
        await new Promise(() => undefined);
      },
      { deadlineMs: 300 },
    ),
  );
  expect(error).toMatchObject({ code: 'deadline', fields: { reason: 'running' } });
});

test('a transaction used after its function has returned does nothing but say so', async () => {
  let kept: Transaction | undefined;
  await cluster.settle(
    db().transaction((tx) => {
      kept = tx;
    }),
  );
  const late = kept as Transaction;
  for (const use of [
    () => late.write('t', 'k', 'late'),
    () => late.read('t', 'k'),
    () => late.delete('t', 'k'),
    () => late.abort('late'),
  ]) {
    expect((await refusal(use)).code).toBe('aborted');
  }
});

test('a function that is none is refused, and no transaction is left over', async () => {
  for (const bad of [undefined, null, 'text', {}, 7]) {
    const error = await refusal(() => db().transaction(bad as never));
    expect(error.code).toBe('aborted');
  }
});

test('closing while transactions run, wait and are voted on: each caller is told once, and whoever comes later too', async () => {
  cluster.node(2).pause();
  const calls = [
    db().transaction(async () => new Promise(() => undefined)),
    db().transaction((tx) => tx.write('t', 'k', 'kept')),
    db().waitForTables(['absent'], 60_000),
  ];
  const outcomes = Promise.allSettled(calls);
  await cluster.advance(20);
  await cluster.settle(db().close());
  cluster.node(2).resume();
  for (const one of await cluster.settle(outcomes)) {
    expect(one).toMatchObject({ status: 'rejected', reason: { code: 'closed' } });
  }
  await cluster.settle(db().close());
  for (const call of [
    () => db().transaction(() => 1),
    () => db().createTable({ name: 'late' }),
    () => db().dirtyWrite('t', 'k', 1),
  ]) {
    expect((await refusal(call)).code).toBe('closed');
  }
  await cluster.node(1).stop();
});

test('restoring from the ledger what is not there is refused', async () => {
  expect((await refusal(() => db().restoreFromLedger('no such entry'))).code).toBe('no_such_ledger_entry');
  expect((await refusal(() => db().restoreFromLedger(undefined as never))).code).toMatch(
    /no_such_ledger_entry|bad_key/,
  );
});

test('connecting to a node nobody ever met says what to do', async () => {
  const error = await refusal(() => db().connectNode('clusterdb@nowhere'));
  expect(error).toMatchObject({ code: 'node_not_running', fields: { node: 'clusterdb@nowhere' } });
});

test.each([0, -1])('waitForTables with a time of %s ends at once and says who is awaited', async (timeoutMs) => {
  const error = await refusal(() => db().waitForTables(['absent'], timeoutMs));
  expect(error).toMatchObject({ code: 'table_not_loaded', fields: { table: 'absent' } });
});

test('a listener that throws: the commit is made everywhere, the other listeners hear it, and the fault comes up by itself', async () => {
  const heard: string[] = [];
  const stop = db().subscribeTable('t', () => {
    throw new RangeError('of the listener');
  });
  db().subscribeTable('t', ({ type }) => heard.push(type));
  const written = db().dirtyWrite('t', 'k', 'kept');
  await expect(cluster.advance(20)).rejects.toThrow('of the listener');
  stop();
  await cluster.settle(written);
  expect(heard).toEqual(['write']);
});
