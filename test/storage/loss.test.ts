/** Nodes that die in the middle of something, and what they find when they come back. */
import { expect, test } from 'vitest';
import type { ProbePoint } from '../../storage/environment.ts';
import type { Value } from '../../storage/types.ts';
import { Cluster, type ClusterNode } from './support/cluster.ts';

let cluster: Cluster;

async function startWithTable(kind: 'ram_copies' | 'disc_copies' = 'disc_copies'): Promise<void> {
  cluster = await Cluster.start(3);
  await cluster.createTable('t', kind);
}

function values(key: string, nodes: readonly ClusterNode[] = cluster.nodes): Value[] {
  return nodes.map(({ db }) => db.dirtyRead('t', key));
}

/** Kills the node the first time it reaches this step. */
function killAt(node: ClusterNode, point: ProbePoint): void {
  node.onProbe = (reached) => {
    if (reached !== point) return;
    node.onProbe = () => undefined;
    node.kill();
  };
}

async function allAgain(): Promise<void> {
  await cluster.together();
  await cluster.advance(3_000);
  for (const { db } of cluster.nodes) {
    const { heldLocks, transactions } = db.systemInfo();
    expect({ heldLocks, transactions }).toEqual({ heldLocks: 0, transactions: 0 });
  }
  expect(new Set(cluster.nodes.map(({ db }) => db.tableInfo('t').digest)).size).toBe(1);
}

test('The coordinator is lost after the votes: the survivors commit, and it takes the row when it is back', async () => {
  await startWithTable();
  killAt(cluster.node(1), 'commit.decided');
  void cluster.node(1).db.transaction((tx) => tx.write('t', 'k', 'decided'));
  await cluster.advance(1_000);
  expect(values('k', [cluster.node(2), cluster.node(3)])).toEqual(['decided', 'decided']);
  expect(cluster.node(2).db.systemInfo().heldLocks).toBe(0);
  await cluster.node(1).start();
  await allAgain();
  expect(values('k')).toEqual(['decided', 'decided', 'decided']);
});

test('The coordinator is lost and one survivor never saw the prepare: all abort', async () => {
  await startWithTable();
  cluster.network.delay('id1', 'id3', 50);
  cluster.node(2).onProbe = (point) => {
    if (point === 'participant.after_vote') cluster.node(1).kill();
  };
  void cluster.node(1).db.transaction((tx) => tx.write('t', 'k', 'half'));
  await cluster.advance(1_000);
  expect(values('k', [cluster.node(2), cluster.node(3)])).toEqual([undefined, undefined]);
  expect(cluster.node(2).db.systemInfo().heldLocks).toBe(0);
  await cluster.node(2).write('t', 'k', 'next');
  cluster.node(2).onProbe = () => undefined;
  await cluster.node(1).start();
  await allAgain();
  expect(values('k')).toEqual(['next', 'next', 'next']);
});

test('The coordinator is lost when only one participant has heard the commit: the other learns it from that one', async () => {
  await startWithTable();
  cluster.node(2).onProbe = (point) => {
    if (point === 'participant.after_apply') cluster.node(1).kill();
  };
  cluster.network.delay('id1', 'id3', 50);
  void cluster.node(1).db.transaction((tx) => tx.write('t', 'k', 'known'));
  await cluster.advance(1_000);
  expect(values('k', [cluster.node(2), cluster.node(3)])).toEqual(['known', 'known']);
  cluster.node(2).onProbe = () => undefined;
  await cluster.node(1).start();
  await allAgain();
  expect(values('k')).toEqual(['known', 'known', 'known']);
});

test.each<ProbePoint>([
  'participant.before_vote',
  'participant.after_vote',
  'participant.before_apply',
  'participant.after_apply',
])(
  'A participant is lost at %s: the transaction is made without it, and it takes the row when it is back',
  async (point) => {
    await startWithTable();
    killAt(cluster.node(3), point);
    await cluster.node(1).write('t', 'k', 1);
    await cluster.until(() => cluster.node(1).eventsOf('mnesia_down').length === 1);
    await cluster.advance(5);
    expect(values('k', [cluster.node(1), cluster.node(2)])).toEqual([1, 1]);
    await cluster.node(3).start();
    await allAgain();
    expect(values('k')).toEqual([1, 1, 1]);
  },
);

test.each<ProbePoint>([
  'connect.locked',
  'connect.before_prepare',
  'connect.prepared',
  'connect.before_apply',
  'connect.after_apply',
])('The leader of a heal is lost at %s: nothing stays locked, and the heal is made in the end', async (point) => {
  await startWithTable();
  await cluster.split([1], [2, 3]);
  await cluster.node(1).write('t', 'a', 1);
  await cluster.node(2).write('t', 'b', 2);
  await cluster.advance(1_000);
  killAt(cluster.node(1), point);
  cluster.heal();
  await cluster.advance(3_000);
  await cluster.node(2).write('t', 'c', 3);
  await cluster.node(1).start();
  await allAgain();
  for (const { db } of cluster.nodes) expect(db.dirtyAllKeys('t').sort()).toEqual(['a', 'b', 'c']);
  expect(cluster.node(1).db.ledger()).toEqual([]);
});

test.each<ProbePoint>(['connect.locked', 'connect.prepared', 'connect.before_apply', 'connect.after_apply'])(
  'A member of a heal is lost at %s: the others serve on, and it is healed in the end',
  async (point) => {
    await startWithTable();
    await cluster.split([1, 2], [3]);
    await cluster.node(1).write('t', 'a', 1);
    await cluster.node(3).write('t', 'b', 2);
    await cluster.advance(1_000);
    killAt(cluster.node(3), point);
    cluster.heal();
    await cluster.advance(3_000);
    await cluster.node(2).write('t', 'c', 3);
    await cluster.node(3).start();
    await allAgain();
    for (const { db } of cluster.nodes) expect(db.dirtyAllKeys('t').sort()).toEqual(['a', 'b', 'c']);
  },
);

test('All nodes are killed right after an answer: the row is there when they are back', async () => {
  await startWithTable();
  for (let n = 0; n < 20; n++) await cluster.node(1 + (n % 3)).write('t', n, n);
  for (const node of cluster.nodes) node.kill();
  for (const node of cluster.nodes) await node.start();
  await allAgain();
  expect(cluster.node(1).db.dirtyAllKeys('t')).toHaveLength(20);
});

test('All nodes are killed right after an answer, and one comes back much later: nothing answered is lost', async () => {
  await startWithTable();
  cluster.node(3).disc.setLatencyMs(20);
  for (let n = 0; n < 10; n++) await cluster.node(1).write('t', n, n);
  for (const node of cluster.nodes) node.kill();
  await cluster.node(3).start();
  await cluster.node(2).start();
  await cluster.advance(3_000);
  await cluster.node(1).start();
  await allAgain();
  expect(cluster.node(2).db.dirtyAllKeys('t')).toHaveLength(10);
});

test('A node that restarts takes only the rows that changed while it was away', async () => {
  await startWithTable();
  for (let n = 0; n < 50; n++) void cluster.node(1).db.transaction((tx) => tx.write('t', n, n));
  await cluster.advance(2_000);
  await cluster.node(3).stop();
  await cluster.node(1).write('t', 7, 'changed');
  await cluster.node(2).delete('t', 8);
  await cluster.node(2).write('t', 'new', 1);
  await cluster.advance(1_000);
  await cluster.node(3).start();
  await allAgain();
  expect(cluster.node(3).eventsOf('connected').at(-1)).toMatchObject({ rowsTaken: 3, conflicts: 0 });
  expect(cluster.node(1).eventsOf('connected').at(-1)).toMatchObject({ rowsTaken: 0 });
  expect(
    cluster
      .node(3)
      .eventsOf('table_loaded')
      .map(({ table }) => table)
      .sort(),
  ).toEqual(['partition_ledger', 't']);
  expect(values('new')).toEqual([1, 1, 1]);
});

test('An orderly stop is a mnesia_down closed, a death a mnesia_down refused', async () => {
  await startWithTable();
  await cluster.node(3).stop();
  await cluster.advance(100);
  cluster.node(2).kill();
  await cluster.advance(100);
  expect(
    cluster
      .node(1)
      .eventsOf('mnesia_down')
      .map(({ node, reason }) => [node, reason]),
  ).toEqual([
    [cluster.node(3).name, 'closed'],
    [cluster.node(2).name, 'refused'],
  ]);
  expect(
    cluster
      .node(1)
      .db.systemInfo()
      .mnesiaDown.map(({ node }) => node)
      .sort(),
  ).toEqual(cluster.names.slice(1));
});

test('M71 b4 E9 the node that was not down last waits, says for whom, and gets the newest rows when that one comes', async () => {
  await startWithTable();
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await three.stop();
  await cluster.advance(500);
  await one.stop();
  await cluster.advance(500);
  await two.write('t', 'k', 'newest');
  await two.stop();
  await one.start();
  const error = await cluster.failure(one.db.waitForTables(['t'], 2_000));
  expect(error).toMatchObject({ code: 'table_not_loaded', fields: { table: 't', nodes: [two.name] } });
  expect(one.db.tableInfo('t')).toMatchObject({ loaded: false, awaiting: [two.name] });
  expect((await cluster.failure(one.db.transaction((tx) => tx.write('t', 'k', 'old')))).code).toBe('table_not_loaded');
  expect(() => one.db.dirtyRead('t', 'k')).toThrow(expect.objectContaining({ code: 'table_not_loaded' }));
  expect(one.db.systemInfo().isRunning).toBe('starting');
  const waiting = one.db.waitForTables(['t'], 60_000);
  await two.start();
  await cluster.settle(waiting);
  expect(values('k', [one, two])).toEqual(['newest', 'newest']);
  await three.start();
  await allAgain();
  expect(values('k')).toEqual(['newest', 'newest', 'newest']);
});

test('b4 the node that went down last loads alone, without waiting for anybody', async () => {
  await startWithTable();
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await two.stop();
  await cluster.advance(500);
  await three.stop();
  await cluster.advance(500);
  await one.write('t', 'k', 1);
  await one.stop();
  await one.start();
  await cluster.settle(one.db.waitForTables(['t'], 1_000));
  expect(one.db.dirtyRead('t', 'k')).toBe(1);
  expect(one.db.systemInfo().isRunning).toBe('yes');
});

test('M73 a node set as master begins at once and after each restart; what the other wrote meanwhile is merged', async () => {
  await startWithTable();
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  expect(await cluster.failure(one.db.setMasterNodes(['t'], ['clusterdb@nobody']))).toMatchObject({
    code: 'bad_definition',
    fields: { table: 't', node: 'clusterdb@nobody' },
  });
  await three.stop();
  await cluster.advance(500);
  await one.stop();
  await cluster.advance(500);
  await two.write('t', 'newest', 2);
  await two.stop();
  await one.start();
  expect((await cluster.failure(one.db.waitForTables(['t'], 2_000))).fields.nodes).toEqual([two.name]);
  await cluster.settle(one.db.setMasterNodes('all', [one.name]));
  await cluster.settle(one.db.waitForTables(['t'], 100));
  await one.write('t', 'alone', 1);
  one.kill();
  await one.start();
  await cluster.settle(one.db.waitForTables(['t'], 100));
  await cluster.settle(one.db.setMasterNodes(['t'], []));
  one.kill();
  await one.start();
  expect((await cluster.failure(one.db.waitForTables(['t'], 2_000))).fields.nodes).toEqual([two.name]);
  await cluster.settle(one.db.setMasterNodes(['t'], [three.name]));
  expect((await cluster.failure(one.db.waitForTables(['t'], 2_000))).fields.nodes).toEqual([three.name]);
  await three.start();
  await cluster.settle(one.db.waitForTables(['t'], 10_000));
  await two.start();
  await allAgain();
  expect([values('newest'), values('alone')]).toEqual([
    [2, 2, 2],
    [1, 1, 1],
  ]);
});

test('M72 E9F a forced load serves at once, and what the other wrote meanwhile is merged when it comes, not lost', async () => {
  await startWithTable();
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await three.stop();
  await one.stop();
  await cluster.advance(500);
  await two.write('t', 'newer', 1);
  await two.stop();
  await one.start();
  await cluster.settle(one.db.forceLoadTable('t'));
  await cluster.settle(one.db.waitForTables(['t'], 10));
  await one.write('t', 'forced', 2);
  await two.start();
  await three.start();
  await allAgain();
  expect([values('newer'), values('forced')]).toEqual([
    [1, 1, 1],
    [2, 2, 2],
  ]);
});

test('complaint 11: a node that comes back with empty ram copies takes the rows of the others before it serves', async () => {
  await startWithTable('ram_copies');
  await cluster.node(1).write('t', 'k', 1);
  await cluster.advance(1_000);
  cluster.node(1).kill();
  await cluster.advance(500);
  await cluster.node(1).start();
  expect(() => cluster.node(1).db.dirtyRead('t', 'k')).toThrow(expect.objectContaining({ code: 'table_not_loaded' }));
  await allAgain();
  expect(values('k')).toEqual([1, 1, 1]);
});

test('A table nobody made is waited for by name', async () => {
  await startWithTable();
  const error = await cluster.failure(cluster.node(1).db.waitForTables(['t', 'absent'], 300));
  expect(error).toMatchObject({ code: 'table_not_loaded', fields: { table: 'absent', nodes: [] } });
});
