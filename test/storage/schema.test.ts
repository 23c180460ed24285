/** Tables made, united and deleted while the cluster runs. */
import { expect, test } from 'vitest';
import type { TableDefinition } from '../../storage/types.ts';
import { Cluster, type ClusterNode } from './support/cluster.ts';

function own(node: ClusterNode, rest: Partial<TableDefinition> = {}): TableDefinition {
  return { name: 't', disc_copies: [node.name], ...rest };
}

function settledInfo(cluster: Cluster): unknown[] {
  return cluster.nodes.map(({ db }) => {
    const { cookie, discCopies, size, digest, loaded } = db.tableInfo('t');
    return { cookie, discCopies, size, digest, loaded };
  });
}

test('complaint 13: the same table created on two nodes that had not met is one table when they meet, with the rows of both', async () => {
  const cluster = await Cluster.startApart(2);
  for (const node of cluster.nodes) {
    await cluster.settle(node.db.createTable(own(node)));
    await node.write('t', node.name, 1);
    await node.write('t', 'same', 1);
    await node.write('t', 'both', node.name);
    await cluster.advance(10);
  }
  await cluster.healAndMeet();
  const [one, two] = settledInfo(cluster);
  expect(one).toEqual(two);
  expect(one).toMatchObject({ discCopies: cluster.names, size: 4, loaded: true });
  expect(cluster.nodes.map(({ db }) => db.dirtyRead('t', 'both'))).toEqual([cluster.names[1], cluster.names[1]]);
  expect(cluster.node(1).db.ledger()).toMatchObject([{ key: 'both', loser: { value: cluster.names[0] } }]);
  await cluster.node(1).write('t', 'after', 1);
  await cluster.advance(10);
  expect(cluster.node(2).db.dirtyRead('t', 'after')).toBe(1);
});

test('createTable of a table that is there with the same definition does nothing, with another one it is refused', async () => {
  const cluster = await Cluster.start(1);
  const node = cluster.node(1);
  await cluster.settle(node.db.createTable(own(node)));
  const before = node.db.tableInfo('t').cookie;
  await node.write('t', 'k', 1);
  await cluster.settle(node.db.createTable(own(node)));
  expect(node.db.tableInfo('t')).toMatchObject({ cookie: before, size: 1 });
  const error = await cluster.failure(node.db.createTable(own(node, { majority: true })));
  expect(error).toMatchObject({ code: 'table_exists', fields: { table: 't', property: 'majority' } });
});

test('createTable on a second node adds its replica, which is filled with the rows there are', async () => {
  const cluster = await Cluster.start(2);
  await cluster.settle(cluster.node(1).db.createTable(own(cluster.node(1))));
  for (let n = 0; n < 20; n++) await cluster.node(1).write('t', n, n);
  await cluster.settle(cluster.node(2).db.createTable(own(cluster.node(2))));
  await cluster.settle(cluster.node(2).db.waitForTables(['t'], 5_000));
  const [one, two] = settledInfo(cluster);
  expect(one).toEqual(two);
  expect(two).toMatchObject({ discCopies: cluster.names, size: 20 });
});

test('Definitions that differ keep two nodes apart, with a schema_conflict that names table and property', async () => {
  const cluster = await Cluster.startApart(2);
  await cluster.settle(cluster.node(1).db.createTable(own(cluster.node(1), { majority: true })));
  await cluster.settle(cluster.node(2).db.createTable(own(cluster.node(2))));
  cluster.heal();
  await cluster.advance(3_000);
  const conflicts = cluster.nodes.flatMap((node) => node.eventsOf('schema_conflict'));
  expect(conflicts[0]).toEqual({ type: 'schema_conflict', node: cluster.names[1], table: 't', property: 'majority' });
  expect(cluster.node(1).eventsOf('connect_failed')[0]!.reason).toContain('differs in majority');
  expect(cluster.nodes.map(({ db }) => db.systemInfo().runningDbNodes.length)).toEqual([1, 1]);
  const refused = await cluster.failure(cluster.node(1).db.connectNode(cluster.names[1]!));
  expect(refused).toMatchObject({ code: 'schema_conflict', fields: { table: 't', property: 'majority' } });
  // Both go on serving, hold no lock, and meet once the table is deleted on one side.
  for (const node of cluster.nodes) await node.write('t', 'k', node.name);
  expect(cluster.nodes.map(({ db }) => db.systemInfo().heldLocks)).toEqual([0, 0]);
  await cluster.settle(cluster.node(2).db.deleteTable('t'));
  await cluster.together();
});

test('A table is made while other tables are written: nothing of either is lost', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('busy');
  const writes: Promise<void>[] = [];
  let creating: Promise<void> | undefined;
  for (let n = 0; n < 40; n++) {
    for (const node of cluster.nodes) writes.push(node.db.dirtyWrite('busy', `${node.id}-${n}`, n));
    if (n === 10) creating = cluster.node(2).db.createTable({ name: 't', disc_copies: cluster.names });
    await cluster.advance(1);
  }
  await cluster.settle(Promise.all([...writes, creating]));
  for (const { db } of cluster.nodes) await cluster.settle(db.waitForTables(['t'], 5_000));
  await cluster.node(3).write('t', 'k', 1);
  await cluster.advance(100);
  for (const { db } of cluster.nodes) {
    expect([db.tableInfo('busy').size, db.dirtyRead('t', 'k')]).toEqual([120, 1]);
  }
});

test('M17 deleteTable reaches the others, and a node that was away does not bring the table back', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t');
  await cluster.node(1).write('t', 'k', 1);
  await cluster.advance(1_000);
  await cluster.node(3).stop();
  await cluster.settle(cluster.node(1).db.deleteTable('t'));
  await cluster.advance(100);
  expect(() => cluster.node(2).db.dirtyRead('t', 'k')).toThrow(expect.objectContaining({ code: 'no_such_table' }));
  await cluster.node(3).start();
  await cluster.together();
  await cluster.advance(2_000);
  for (const { db } of cluster.nodes) {
    expect(db.systemInfo().tables).toEqual(['partition_ledger']);
    expect((await cluster.failure(db.dirtyWrite('t', 'k', 2))).code).toBe('no_such_table');
  }
});

test('M17 a table made anew after its deletion is empty, on nodes that were away too', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t');
  await cluster.node(1).write('t', 'old', 1);
  await cluster.advance(1_000);
  await cluster.node(3).stop();
  const { db } = cluster.node(1);
  await cluster.settle(db.deleteTable('t'));
  await cluster.settle(db.createTable({ name: 't', disc_copies: cluster.names }));
  await cluster.node(1).write('t', 'new', 1);
  await cluster.node(3).start();
  await cluster.together();
  await cluster.advance(2_000);
  expect(cluster.nodes.map((node) => node.db.dirtyAllKeys('t'))).toEqual([['new'], ['new'], ['new']]);
  expect(cluster.nodes.flatMap((node) => node.db.ledger())).toEqual([]);
  // Not from the disc either.
  for (const node of cluster.nodes) node.kill();
  for (const node of cluster.nodes) await node.start();
  await cluster.together();
  await cluster.advance(2_000);
  expect(cluster.nodes.map((node) => node.db.dirtyAllKeys('t'))).toEqual([['new'], ['new'], ['new']]);
});

test.each<[string, boolean]>([
  ['deleted', false],
  ['deleted and made anew with another definition', true],
])('M17 rows written while away to a table that was %s meanwhile go to the ledger', async (_, anew) => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t');
  await cluster.node(1).write('t', 'old', 1);
  await cluster.node(1).write('t', 'gone', 1);
  await cluster.advance(2_000);
  await cluster.split([1, 2], [3]);
  await cluster.node(3).write('t', 'apart', 3);
  await cluster.node(3).delete('t', 'gone');
  const { db } = cluster.node(1);
  await cluster.settle(db.deleteTable('t'));
  if (anew) await cluster.settle(db.createTable({ name: 't', disc_copies: cluster.names, merge: 'primary' }));
  await cluster.healAndMeet();
  for (const node of cluster.nodes) {
    if (anew) expect(node.db.dirtyAllKeys('t')).toEqual([]);
    else expect(() => node.db.dirtyAllKeys('t')).toThrow(expect.objectContaining({ code: 'no_such_table' }));
    const entries = node.db
      .ledger()
      .map(({ table, key, rule, winner, loser }) => [table, key, rule, winner.deleted, loser.value]);
    expect(entries).toEqual([['t', 'apart', 'table_deleted', true, 3]]);
  }
});

test('M17 a table deleted and made anew on both sides of a cut is one table, with the rows made since', async () => {
  const cluster = await Cluster.start(2);
  await cluster.createTable('t');
  await cluster.node(1).write('t', 'old', 1);
  await cluster.split([1], [2]);
  for (const { db, name } of cluster.nodes) {
    await cluster.settle(db.deleteTable('t'));
    await cluster.settle(db.createTable({ name: 't', disc_copies: cluster.names }));
    await cluster.settle(db.dirtyWrite('t', name, 'new'));
    await cluster.settle(db.dirtyWrite('t', 'same key', name));
  }
  await cluster.healAndMeet();
  for (const { db } of cluster.nodes) {
    expect(db.dirtyAllKeys('t').sort()).toEqual([...cluster.names, 'same key'].sort());
    expect(db.ledger().map(({ key, loser }) => [key, loser.value])).toEqual([['same key', cluster.names[0]]]);
  }
});

test('M24 local_content: the same definition, other rows on each node, and none of them travels', async () => {
  const cluster = await Cluster.start(2);
  for (const node of cluster.nodes) {
    await cluster.settle(node.db.createTable({ name: 't', local_content: true, disc_copies: [node.name] }));
    await node.write('t', 'mine', node.name);
  }
  await cluster.split([1], [2]);
  await cluster.node(1).write('t', 'apart', 1);
  await cluster.healAndMeet();
  expect(cluster.nodes.map(({ db }) => db.dirtyRead('t', 'mine'))).toEqual(cluster.names);
  expect(cluster.nodes.map(({ db }) => db.dirtyAllKeys('t').length)).toEqual([2, 1]);
  expect(cluster.node(1).db.ledger()).toEqual([]);
  for (const node of cluster.nodes) node.kill();
  for (const node of cluster.nodes) await node.start();
  expect(cluster.nodes.map(({ db }) => db.dirtyRead('t', 'mine'))).toEqual(cluster.names);
});

test('A replica at a node never met is refused by its name', async () => {
  const cluster = await Cluster.start(1);
  const error = await cluster.failure(cluster.node(1).db.createTable({ name: 't', disc_copies: ['clusterdb@nobody'] }));
  expect(error).toMatchObject({ code: 'node_not_running', fields: { table: 't', node: 'clusterdb@nobody' } });
});
