/** Islands that part and meet again: what is merged, what is said, what is kept. */
import { expect, test } from 'vitest';
import type { Key, Value } from '../../storage/types.ts';
import { Cluster, type ClusterNode } from './support/cluster.ts';

let cluster: Cluster;

async function startWithTable(options: Parameters<typeof Cluster.start>[1] = {}, rest = {}): Promise<void> {
  cluster = await Cluster.start(3, options);
  await cluster.createTable('t', 'disc_copies', rest);
}

function rowsOf({ db }: ClusterNode, table = 't'): [Key, Value][] {
  return db
    .dirtyAllKeys(table)
    .map((key): [Key, Value] => [key, db.dirtyRead(table, key)])
    .sort();
}

/** All three replicas have these rows and nothing is locked or owed. */
function expectRows(rows: [Key, Value][]): void {
  for (const node of cluster.nodes) expect([node.name, rowsOf(node)]).toEqual([node.name, rows]);
  expect(new Set(cluster.nodes.map(({ db }) => db.tableInfo('t').digest)).size).toBe(1);
  for (const { db } of cluster.nodes) expect(db.systemInfo().heldLocks).toBe(0);
}

function typesOf(node: ClusterNode, from = 0): string[] {
  return node.events.slice(from).map((event) => ('node' in event ? `${event.type} ${event.node}` : event.type));
}

test('b6 different keys changed on both sides of a cut are all there after it, on every node, and none is a conflict', async () => {
  await startWithTable();
  await cluster.node(1).write('t', 'shared', 0);
  await cluster.split([1], [2, 3]);
  await cluster.node(1).write('t', 'from1', 1);
  await cluster.node(2).write('t', 'from2', 2);
  await cluster.node(3).write('t', 'from3', 3);
  expect(rowsOf(cluster.node(3))).toEqual([
    ['from2', 2],
    ['from3', 3],
    ['shared', 0],
  ]);
  await cluster.healAndMeet();
  expectRows([
    ['from1', 1],
    ['from2', 2],
    ['from3', 3],
    ['shared', 0],
  ]);
  for (const { db } of cluster.nodes) expect(db.ledger()).toEqual([]);
});

test('unsplit hole 1: keys that exist only on the other side arrive, in both directions', async () => {
  await startWithTable();
  await cluster.split([1, 2], [3]);
  for (let n = 0; n < 3; n++) await cluster.node(3).write('t', `right${n}`, n);
  for (let n = 0; n < 3; n++) await cluster.node(2).write('t', `left${n}`, n);
  await cluster.healAndMeet();
  expectRows([0, 1, 2].map((n): [Key, Value] => [`left${n}`, n]).concat([0, 1, 2].map((n) => [`right${n}`, n])));
});

test('M61 b6 hole 3: a row deleted on one side does not come back from the other', async () => {
  await startWithTable();
  for (const key of ['a', 'b', 'kept']) await cluster.node(1).write('t', key, key);
  await cluster.advance(2_000);
  await cluster.split([1], [2, 3]);
  await cluster.node(1).delete('t', 'a');
  await cluster.node(3).delete('t', 'b');
  await cluster.healAndMeet();
  expectRows([['kept', 'kept']]);
  // Not even when everybody starts anew from the discs.
  for (const node of cluster.nodes) node.kill();
  for (const node of cluster.nodes) await node.start();
  await cluster.together();
  expectRows([['kept', 'kept']]);
});

test('M61 a delete in the last moment before a power loss does not come back from the disc that lost it', async () => {
  await startWithTable();
  await cluster.node(1).write('t', 'a', 1);
  await cluster.advance(2_000);
  await cluster.node(1).delete('t', 'a');
  await cluster.advance(3);
  cluster.node(3).kill('synced');
  await cluster.advance(2_000);
  await cluster.node(3).start();
  await cluster.together();
  await cluster.advance(2_000);
  expectRows([]);
});

test('One key changed on both sides: the later write stands everywhere, the other is in the ledger with both versions', async () => {
  await startWithTable();
  await cluster.node(1).write('t', 'k', 'before');
  await cluster.split([1], [2, 3]);
  await cluster.node(1).write('t', 'k', 'earlier');
  await cluster.advance(50);
  await cluster.node(2).write('t', 'k', 'later');
  await cluster.healAndMeet();
  expectRows([['k', 'later']]);
  for (const { db } of cluster.nodes) {
    expect(db.ledger()).toEqual([
      {
        id: expect.any(String),
        table: 't',
        key: 'k',
        rule: 'last_write',
        at: expect.stringMatching(/^2026-01-01T00:00:0\d\.\d{3}Z$/),
        winner: { version: { hlc: expect.any(Number), node: 'id2' }, value: 'later', deleted: false },
        loser: { version: { hlc: expect.any(Number), node: 'id1' }, value: 'earlier', deleted: false },
        islands: [[cluster.node(2).name, cluster.node(3).name], [cluster.node(1).name]],
        restored: false,
        accepted: false,
      },
    ]);
  }
});

test('restoreFromLedger puts the losing version back on every node, and marks the entry', async () => {
  await startWithTable();
  await cluster.split([1], [2, 3]);
  await cluster.node(1).write('t', 'k', 'loser');
  await cluster.advance(50);
  await cluster.node(2).write('t', 'k', 'winner');
  await cluster.healAndMeet();
  const { db } = cluster.node(3);
  await cluster.settle(db.restoreFromLedger(db.ledger()[0]!.id));
  await cluster.advance(100);
  expectRows([['k', 'loser']]);
  expect(cluster.nodes.map((node) => node.db.ledger().map(({ restored }) => restored))).toEqual([
    [true],
    [true],
    [true],
  ]);
  expect((await cluster.failure(db.restoreFromLedger('nobody'))).code).toBe('no_such_ledger_entry');
});

test('A delete that lost to a write is in the ledger as a delete, and restoring it deletes', async () => {
  await startWithTable();
  await cluster.node(1).write('t', 'k', 0);
  await cluster.advance(2_000);
  await cluster.split([1], [2, 3]);
  await cluster.node(1).delete('t', 'k');
  await cluster.advance(50);
  await cluster.node(2).write('t', 'k', 1);
  await cluster.healAndMeet();
  expectRows([['k', 1]]);
  const { db } = cluster.node(1);
  expect(db.ledger()).toMatchObject([{ loser: { deleted: true, value: undefined }, winner: { value: 1 } }]);
  await cluster.settle(db.restoreFromLedger(db.ledger()[0]!.id));
  await cluster.advance(100);
  expectRows([]);
});

test('The same content written on both sides is no conflict', async () => {
  await startWithTable();
  await cluster.split([1], [2, 3]);
  await cluster.node(1).write('t', 'k', { a: 1 });
  await cluster.node(2).write('t', 'k', { a: 1 });
  await cluster.healAndMeet();
  expectRows([['k', { a: 1 }]]);
  expect(cluster.node(1).db.ledger()).toEqual([]);
});

test('merge owner: the row of the node named in its owner field stands, although it is the earlier write', async () => {
  await startWithTable({}, { merge: 'owner', owner_field: 'at' });
  await cluster.split([1], [2, 3]);
  await cluster.node(1).write('t', 'k', { at: cluster.node(1).name, n: 1 });
  await cluster.advance(50);
  await cluster.node(2).write('t', 'k', { at: 'elsewhere', n: 2 });
  await cluster.healAndMeet();
  expectRows([['k', { at: cluster.node(1).name, n: 1 }]]);
  expect(cluster.node(2).db.ledger()).toMatchObject([{ rule: 'owner', loser: { value: { n: 2 } } }]);
});

test('merge primary: the side of the configuration primary stands, although it wrote earlier', async () => {
  await startWithTable({ primaryNodeName: () => 'clusterdb@peer1' }, { merge: 'primary' });
  await cluster.split([1], [2, 3]);
  await cluster.node(1).write('t', 'k', 'primary');
  await cluster.advance(50);
  await cluster.node(2).write('t', 'k', 'others');
  await cluster.healAndMeet();
  expectRows([['k', 'primary']]);
});

test('M57 M60 events come in order on both sides: mnesia_down, inconsistent_database, mnesia_up, connected', async () => {
  await startWithTable();
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  const marks = cluster.nodes.map(({ events }) => events.length);
  await cluster.split([1], [2, 3]);
  expect(typesOf(one, marks[0])).toEqual([`mnesia_down ${two.name}`, `mnesia_down ${three.name}`]);
  expect(typesOf(two, marks[1])).toEqual([`mnesia_down ${one.name}`]);
  expect(one.eventsOf('mnesia_down')).toMatchObject([{ wasAccessible: true, reason: 'silent' }, { reason: 'silent' }]);
  expect(one.db.systemInfo()).toMatchObject({ runningDbNodes: [one.name], dbNodes: cluster.names });
  await cluster.healAndMeet();
  expect(typesOf(one, marks[0]).slice(2)).toEqual([
    `inconsistent_database ${two.name}`,
    `inconsistent_database ${three.name}`,
    `mnesia_up ${two.name}`,
    `mnesia_up ${three.name}`,
    'connected',
  ]);
  for (const other of [two, three]) {
    expect(typesOf(other, other === two ? marks[1] : marks[2]).slice(1)).toEqual([
      `inconsistent_database ${one.name}`,
      `mnesia_up ${one.name}`,
      'connected',
    ]);
    expect(other.eventsOf('inconsistent_database')).toMatchObject([{ context: 'running_partitioned_network' }]);
  }
  expect(one.eventsOf('connected').at(-1)).toMatchObject({ nodes: cluster.names, conflicts: 0 });
  expect(one.db.systemInfo().mnesiaDown).toEqual([]);
});

test('Healing by itself: connect is tried without anybody asking, and with autoConnect off only connectNode joins', async () => {
  cluster = await Cluster.startApart(2, { autoConnect: false });
  cluster.heal();
  await cluster.advance(5_000);
  expect(cluster.nodes.map(({ db }) => db.systemInfo().runningDbNodes.length)).toEqual([1, 1]);
  await cluster.settle(cluster.node(1).db.connectNode(cluster.node(2).name));
  await cluster.together();
  const stranger = await cluster.failure(cluster.node(1).db.connectNode('clusterdb@nobody'));
  expect(stranger).toMatchObject({ code: 'node_not_running', fields: { node: 'clusterdb@nobody' } });
});

test('Healing twice, and splitting differently in between, loses nothing and invents no conflict', async () => {
  await startWithTable();
  await cluster.node(1).write('t', 'n', 0);
  await cluster.split([1], [2, 3]);
  await cluster.node(2).write('t', 'n', 1);
  await cluster.healAndMeet();
  expectRows([['n', 1]]);
  await cluster.split([1, 2], [3]);
  await cluster.node(1).write('t', 'n', 2);
  await cluster.healAndMeet();
  expectRows([['n', 2]]);
  await cluster.split([2], [1, 3]);
  await cluster.node(2).delete('t', 'n');
  await cluster.healAndMeet();
  expectRows([]);
  expect(cluster.node(1).db.ledger()).toEqual([]);
});

test('Three islands of one become one again', async () => {
  await startWithTable();
  await cluster.split([1], [2, 3]);
  await cluster.split([2], [3]);
  for (const node of cluster.nodes) await node.write('t', node.name, 1);
  await cluster.healAndMeet();
  expectRows(cluster.names.map((name): [Key, Value] => [name, 1]));
});

test('Writes go on through a heal, and every one that was answered is there afterwards', async () => {
  await startWithTable();
  await cluster.split([1], [2, 3]);
  const answered: Key[] = [];
  const write = (node: ClusterNode, key: string): Promise<void> =>
    node.db.dirtyWrite('t', key, 1).then(() => {
      answered.push(key);
    });
  cluster.heal();
  const writes: Promise<void>[] = [];
  for (let n = 0; n < 60; n++) {
    for (const node of cluster.nodes) writes.push(write(node, `${node.id}-${n}`));
    await cluster.advance(1);
  }
  await cluster.settle(Promise.all(writes));
  await cluster.together();
  await cluster.advance(1_000);
  expect(answered).toHaveLength(180);
  expectRows(answered.map((key): [Key, Value] => [key, 1]).sort());
});
