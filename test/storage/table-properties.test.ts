/** Properties of tables that are changed while they are in use (M22, M23, M25, M74). */
import { expect, test } from 'vitest';
import type { Database } from '../../storage/database.ts';
import type { TableInfo } from '../../storage/types.ts';
import { Cluster } from './support/cluster.ts';

let cluster: Cluster;

const db = (number: number): Database => cluster.node(number).db;
const infos = (): TableInfo[] => cluster.nodes.map((node) => node.db.tableInfo('t'));

async function start(count: number): Promise<void> {
  cluster = await Cluster.start(count);
  await cluster.createTable('t');
  await cluster.node(1).write('t', 'k', 'before');
}

async function restartAll(): Promise<void> {
  for (const node of cluster.nodes) node.kill();
  for (const node of cluster.nodes) await node.start();
  await cluster.together();
  await cluster.advance(2_000);
}

test('M22 a read_only table takes no write at any node from the moment of the answer, nor after a restart; reads go on', async () => {
  await start(3);
  let atAnswer: string[] = [];
  await cluster.settle(
    db(2)
      .changeTableAccessMode('t', 'read_only')
      .then(() => {
        atAnswer = infos().map(({ accessMode }) => accessMode);
      }),
  );
  expect(atAnswer).toEqual(['read_only', 'read_only', 'read_only']);
  const refused = async (): Promise<void> => {
    for (const node of cluster.nodes) {
      for (const call of [
        () => node.db.dirtyWrite('t', 'k', 'after'),
        () => node.db.dirtyDelete('t', 'k'),
        () => node.db.syncTransaction((tx) => tx.write('t', 'new', 1)),
      ]) {
        const error = await cluster.failure(call());
        expect(error).toMatchObject({ code: 'read_only', fields: { table: 't' } });
        expect(error.message).toContain('changeTableAccessMode');
      }
      expect(node.db.dirtyRead('t', 'k')).toBe('before');
    }
  };
  await refused();
  await restartAll();
  await refused();
  await cluster.settle(db(3).changeTableAccessMode('t', 'read_write'));
  for (const number of [1, 2, 3]) await cluster.node(number).write('t', 'k', number);
});

test('M22 a transaction whose function wrote before the table became read_only is refused at its commit', async () => {
  await start(2);
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  let runs = 0;
  const late = db(1).transaction(async (tx) => {
    runs += 1;
    tx.write('t', 'k', 'late');
    await gate;
  });
  await cluster.settle(db(2).changeTableAccessMode('t', 'read_only'));
  go();
  expect([(await cluster.failure(late)).code, runs, db(2).dirtyRead('t', 'k')]).toEqual(['read_only', 1, 'before']);
});

test('M22 a read_only table is loaded at start without waiting for anybody', async () => {
  await start(2);
  await cluster.settle(db(1).changeTableAccessMode('t', 'read_only'));
  await cluster.node(1).stop();
  await cluster.node(2).stop();
  await cluster.node(1).start();
  await cluster.advance(100);
  expect([db(1).tableInfo('t').loaded, db(1).tableInfo('partition_ledger').loaded]).toEqual([true, false]);
});

test('M23 tables are loaded in the order of their load_order, as it was changed', async () => {
  cluster = await Cluster.start(2);
  for (const name of ['a', 'b', 'c']) {
    await cluster.settle(db(1).createTable({ name, disc_copies: cluster.names, load_order: name === 'b' ? 5 : 0 }));
  }
  await cluster.settle(db(2).changeTableLoadOrder('c', 9));
  await cluster.node(2).stop();
  await cluster.node(2).start();
  await cluster.together();
  const loaded = cluster
    .node(2)
    .eventsOf('table_loaded')
    .map(({ table }) => table);
  expect(loaded.filter((table) => table !== 'partition_ledger')).toEqual(['c', 'b', 'a']);
});

test('M25 user properties are on all nodes, survive a restart, and can be deleted', async () => {
  await start(2);
  const value = { colour: 'red', list: [1, 2n, new Uint8Array([7])] };
  await cluster.settle(db(1).writeTableProperty('t', 'paint', value));
  expect([1, 2].map((number) => db(number).readTableProperty('t', 'paint'))).toEqual([value, value]);
  await restartAll();
  expect(infos().map(({ userProperties }) => userProperties)).toEqual([{ paint: value }, { paint: value }]);
  await cluster.settle(db(2).deleteTableProperty('t', 'paint'));
  await restartAll();
  expect(infos().map(({ userProperties }) => userProperties)).toEqual([{}, {}]);
});

test('M74 a table with majority lets only a majority take that back', async () => {
  await start(3);
  await cluster.settle(db(1).changeTableMajority('t', true));
  await cluster.split([1], [2, 3]);
  const error = await cluster.failure(db(1).changeTableMajority('t', false));
  expect(error).toMatchObject({ code: 'no_majority', fields: { table: 't' } });
  await cluster.settle(db(2).changeTableMajority('t', false));
  await cluster.healAndMeet();
  expect(infos().map(({ majority }) => majority)).toEqual([false, false, false]);
});

test('M74 the majority is lost while it is being asked to give itself up: refused, nothing changed', async () => {
  await start(3);
  await cluster.settle(db(1).changeTableMajority('t', true));
  const change = db(1).changeTableMajority('t', false);
  for (const number of [2, 3]) cluster.node(number).kill();
  expect((await cluster.failure(change)).code).toBe('no_majority');
  expect(db(1).tableInfo('t').majority).toBe(true);
});

test('The merge rule is changed everywhere, and the next merge obeys it', async () => {
  await start(2);
  await cluster.settle(db(1).changeTableMergeRule('t', 'manual'));
  expect(infos().map(({ merge }) => merge)).toEqual(['manual', 'manual']);
  await cluster.split([1], [2]);
  for (const number of [1, 2]) await cluster.node(number).write('t', 'k', number);
  await cluster.healAndMeet();
  expect(db(1).ledger()).toEqual([expect.objectContaining({ rule: 'manual' })]);
  const missing = { function: 'nobody knows' };
  expect(await cluster.failure(db(1).changeTableMergeRule('t', missing))).toMatchObject({ code: 'bad_definition' });
});

test('A table whose properties were changed is still the one a program declares as it was, or as it is', async () => {
  await start(2);
  await cluster.settle(db(1).changeTableLoadOrder('t', 7));
  for (const load_order of [0, 7]) {
    await cluster.settle(db(2).createTable({ name: 't', disc_copies: cluster.names, load_order }));
  }
  const other = db(2).createTable({ name: 't', disc_copies: cluster.names, load_order: 3 });
  expect(await cluster.failure(other)).toMatchObject({ code: 'table_exists', fields: { property: 'load_order' } });
});

test('Of two islands the one that changed a property decides, deleted user properties among them', async () => {
  await start(3);
  await cluster.settle(db(1).writeTableProperty('t', 'gone', 1));
  await cluster.split([1], [2, 3]);
  await cluster.settle(db(1).changeTableLoadOrder('t', 5));
  await cluster.settle(db(3).deleteTableProperty('t', 'gone'));
  await cluster.settle(db(3).changeTableAccessMode('t', 'read_only'));
  await cluster.healAndMeet();
  const { loadOrder, accessMode, userProperties } = infos()[0]!;
  expect({ loadOrder, accessMode, userProperties }).toEqual({
    loadOrder: 5,
    accessMode: 'read_only',
    userProperties: {},
  });
  for (const info of infos()) expect(info).toMatchObject({ loadOrder: 5, accessMode: 'read_only', userProperties: {} });
});

test('A node that lost its disc and declares the table as it was made takes what it became', async () => {
  await start(3);
  await cluster.node(3).stop();
  await cluster.settle(db(1).changeTableAccessMode('t', 'read_only'));
  cluster.node(3).replaceDisc();
  await cluster.node(3).start();
  await cluster.settle(db(3).createTable({ name: 't', disc_copies: [cluster.node(3).name] }));
  await cluster.together();
  await cluster.advance(2_000);
  expect(infos().map(({ accessMode }) => accessMode)).toEqual(['read_only', 'read_only', 'read_only']);
});

test.each([
  ['the same change on the one side', [1]],
  ['the same change on the other side', [2]],
])('Two islands that changed one property apart say so on all nodes, and are one after %s', async (_, [settler]) => {
  await start(3);
  await cluster.split([1], [2, 3]);
  await cluster.settle(db(1).changeTableLoadOrder('t', 1));
  await cluster.settle(db(2).changeTableLoadOrder('t', 2));
  cluster.heal();
  await cluster.advance(5_000);
  for (const [index, node] of cluster.nodes.entries()) {
    const others = index === 0 ? cluster.names.slice(1) : cluster.names.slice(0, 1);
    const told = node.eventsOf('schema_conflict');
    expect(told.length).toBeGreaterThan(0);
    for (const event of told) {
      expect(event).toMatchObject({ table: 't', property: 'load_order' });
      expect(others).toContain(event.node);
    }
    await node.write('t', node.name, 'goes on');
  }
  const wanted = settler === 1 ? 2 : 1;
  await cluster.settle(db(settler!).changeTableLoadOrder('t', wanted));
  await cluster.together();
  await cluster.advance(2_000);
  expect(infos().map(({ loadOrder }) => loadOrder)).toEqual([wanted, wanted, wanted]);
  expect(db(1).dirtyAllKeys('t')).toHaveLength(4);
});

test('Two changes of one property at the same moment in one island: one of them holds, everywhere', async () => {
  await start(3);
  const changes = [1, 2, 3].map((number) => db(number).changeTableLoadOrder('t', number));
  for (const change of changes) await cluster.settle(change);
  await cluster.advance(1_000);
  const orders = infos().map(({ loadOrder }) => loadOrder);
  expect(new Set(orders).size).toBe(1);
  await restartAll();
  expect(infos().map(({ loadOrder }) => loadOrder)).toEqual(orders);
});

test.each<[string, (database: Database) => Promise<void>, string]>([
  ['half a load order', (one) => one.changeTableLoadOrder('t', 0.5), 'load_order'],
  ['an unknown access mode', (one) => one.changeTableAccessMode('t', 'write_only' as never), 'access_mode'],
  ['a majority that is no flag', (one) => one.changeTableMajority('t', 1 as never), 'majority'],
  ['a merge rule nobody knows', (one) => one.changeTableMergeRule('t', 'newest' as never), 'merge'],
  ['the rule owner without a field', (one) => one.changeTableMergeRule('t', 'owner'), 'merge'],
  ['a property without a name', (one) => one.writeTableProperty('t', '', 1), 'user_properties.'],
  ['the ledger', (one) => one.changeTableAccessMode('partition_ledger', 'read_only'), 'access_mode'],
])('A change that cannot be is refused with the property and changes nothing: %s', async (_, change, property) => {
  await start(2);
  const before = infos();
  expect(await cluster.failure(change(db(1)))).toMatchObject({ code: 'bad_definition', fields: { property } });
  expect(infos()).toEqual(before);
});

test('A user property that cannot be stored is refused as bad_value', async () => {
  await start(1);
  const error = await cluster.failure(db(1).writeTableProperty('t', 'f', (() => 1) as never));
  expect(error.code).toBe('bad_value');
});

test('M74 a majority and a merge rule that could overrule it are not set together', async () => {
  await start(2);
  await cluster.settle(db(1).changeTableMergeRule('t', 'manual'));
  expect(await cluster.failure(db(1).changeTableMajority('t', true))).toMatchObject({ code: 'bad_definition' });
  await cluster.settle(db(1).changeTableMergeRule('t', 'last_write'));
  await cluster.settle(db(1).changeTableMajority('t', true));
  expect(await cluster.failure(db(1).changeTableMergeRule('t', 'manual'))).toMatchObject({ code: 'bad_definition' });
});
