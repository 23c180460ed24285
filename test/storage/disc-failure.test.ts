/** A disc that fails under a running node. */
import { expect, test } from 'vitest';
import { Cluster, type ClusterNode } from './support/cluster.ts';

async function startWithTable(count: number): Promise<Cluster> {
  const cluster = await Cluster.start(count);
  await cluster.createTable('t');
  await cluster.node(1).write('t', 'before', 1);
  await cluster.advance(1_000);
  return cluster;
}

test('complaint 21: a full disc makes writes fail as disc_full, with one event, and reads go on', async () => {
  const cluster = await startWithTable(1);
  const { db, disc } = cluster.node(1);
  disc.setFull(true);
  const first = await cluster.failure(db.dirtyWrite('t', 'k', 1));
  const second = await cluster.failure(db.dirtyWrite('t', 'l', 1));
  expect([first.code, second.code]).toEqual(['disc_full', 'disc_full']);
  expect(first.fields.node).toBe(cluster.node(1).name);
  expect(db.dirtyRead('t', 'before')).toBe(1);
  expect(await cluster.settle(db.transaction((tx) => tx.read('t', 'before')))).toBe(1);
  await cluster.advance(2_000);
  expect(cluster.node(1).eventsOf('disc_failed')).toMatchObject([{ code: 'disc_full' }]);
  expect(db.systemInfo().heldLocks).toBe(0);
});

test('complaint 21: with room again and a restart the node has all that was answered, and takes writes', async () => {
  const cluster = await startWithTable(1);
  const [node] = cluster.nodes as [ClusterNode];
  node.disc.setFull(true);
  await cluster.failure(node.db.dirtyWrite('t', 'k', 1));
  await node.stop();
  await node.start();
  await node.write('t', 'after', 1);
  expect(node.db.dirtyAllKeys('t').sort()).toEqual(['after', 'before']);
});

test('The others go on without the node whose disc is full, and give it all when it is back', async () => {
  const cluster = await startWithTable(3);
  cluster.node(3).disc.setFull(true);
  await cluster.node(1).write('t', 'k', 1);
  await cluster.until(() => cluster.node(3).eventsOf('disc_failed').length === 1);
  await cluster.advance(100);
  await cluster.node(2).write('t', 'l', 2);
  const names = cluster.names.slice(0, 2);
  expect(cluster.nodes.slice(0, 2).map(({ db }) => db.systemInfo().runningDbNodes)).toEqual([names, names]);
  expect((await cluster.failure(cluster.node(3).db.dirtyWrite('t', 'm', 3))).code).toBe('disc_full');
  expect(cluster.node(3).db.dirtyRead('t', 'before')).toBe(1);
  cluster.node(3).kill();
  await cluster.node(3).start();
  await cluster.together();
  await cluster.advance(2_000);
  for (const { db } of cluster.nodes) expect(db.dirtyAllKeys('t').sort()).toEqual(['before', 'k', 'l']);
});

test.each(['disc_io', 'disc_full'] as const)('A write that fails with %s is not answered as made', async (code) => {
  const cluster = await startWithTable(2);
  cluster.node(1).disc.failNext(code);
  const error = await cluster.failure(cluster.node(1).db.dirtyWrite('t', 'k', 1));
  expect(error.code).toBe(code);
  await cluster.advance(3_000);
  expect(cluster.node(2).db.systemInfo().runningDbNodes).toEqual([cluster.node(2).name]);
  await cluster.node(2).write('t', 'k', 2);
  cluster.node(1).kill();
  await cluster.node(1).start();
  await cluster.together();
  await cluster.advance(1_000);
  expect(cluster.nodes.map(({ db }) => db.dirtyRead('t', 'k'))).toEqual([2, 2]);
});
