/** A machine that comes back under its name with an empty disc is somebody else: nothing is kept for who it was. */
import { expect, test } from 'vitest';
import type { DiscImage } from '../../storage/disc/memory-store.ts';
import { Cluster, type ClusterNode } from './support/cluster.ts';

/** Peer 3 is killed right after commits of its own, and comes back with an empty disc. Returns the old one. */
async function replaced(): Promise<{ cluster: Cluster; image: DiscImage }> {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t');
  const third = cluster.node(3);
  await third.write('t', 'k', 'of the old one');
  await third.write('t', 'gone', 1);
  await cluster.advance(2_000);
  const image = third.disc.image();
  await third.delete('t', 'gone');
  await third.write('t', 'late', 1);
  third.kill({ sent: 'arrives' });
  await cluster.advance(1_000);
  await cluster.node(1).write('t', 'k', 'without it');
  await cluster.node(2).delete('t', 'late');
  third.replaceDisc();
  await third.start();
  await cluster.together();
  return { cluster, image };
}

test('Once a node has come back under its name with an empty disc, nothing is remembered for who it was', async () => {
  const { cluster } = await replaced();
  await cluster.settle(cluster.node(1).db.addTableCopy('t', cluster.node(3).name, 'disc_copies'));
  await cluster.node(1).write('t', 'k', 'with the new one');
  await cluster.advance(5_000);
  for (const { db } of cluster.nodes) {
    const { recentCommits, changedSince, mnesiaDown, dbNodes } = db.systemInfo();
    expect({ recentCommits, changedSince, mnesiaDown, dbNodes }).toEqual({
      recentCommits: 0,
      changedSince: [],
      mnesiaDown: [],
      dbNodes: cluster.names,
    });
    expect(db.dirtyAllKeys('t')).toEqual(['k']);
  }
});

test('An identity that another one has replaced under its name is refused when it shows up again', async () => {
  const { cluster, image } = await replaced();
  const third = cluster.node(3);
  await third.stop();
  third.id = 'id3';
  third.putBack(image);
  for (const number of [1, 2]) {
    cluster.node(number).kill();
    await cluster.node(number).start();
  }
  await third.start();
  await cluster.advance(10_000);
  for (const number of [1, 2]) {
    const { db } = cluster.node(number);
    expect(db.runningDbNodes()).toEqual([cluster.node(1).name, cluster.node(2).name]);
    expect(db.dirtyAllKeys('t')).toEqual(['k']);
    expect(cluster.node(number).eventsOf('removed_node_refused')[0]).toMatchObject({
      node: third.name,
      message: expect.stringContaining('empty data directory'),
    });
  }
  expect(third.db.runningDbNodes()).toEqual([third.name]);
  const error = await cluster.failure(third.db.dirtyWrite('partition_ledger', 'k', 1));
  expect(error).toMatchObject({ code: 'node_removed', message: expect.stringContaining('empty data directory') });
});

test('A node killed once it knows that another was replaced, and before its schema does, keeps nothing for who that was', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t');
  const [first, second, third] = [1, 2, 3].map((number) => cluster.node(number)) as [
    ClusterNode,
    ClusterNode,
    ClusterNode,
  ];
  await first.write('t', 'k', 1);
  // On peer 2's disc, and not known yet to be on all: the row alone tells who may lack it.
  await cluster.advance(50);
  second.kill();
  third.kill();
  third.replaceDisc();
  await third.start();
  await cluster.until(() => first.db.runningDbNodes().includes(third.name));
  second.onProbe = (point) => {
    if (point === 'connect.before_apply' && second.incarnation === 2) second.kill();
  };
  await second.start();
  await cluster.until(() => !second.isRunning);
  await second.start();
  await cluster.together();
  await cluster.advance(5_000);
  for (const { db } of cluster.nodes) expect(db.systemInfo().changedSince).toEqual([]);
});
