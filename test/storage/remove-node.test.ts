/** M8: nodes that are down for good leave the cluster, and do not come back with what they once held. */
import { expect, test } from 'vitest';
import type { Database } from '../../storage/database.ts';
import { Cluster } from './support/cluster.ts';

let cluster: Cluster;

const db = (number: number): Database => cluster.node(number).db;
const name = (number: number): string => cluster.node(number).name;

async function start(count: number): Promise<void> {
  cluster = await Cluster.start(count);
  await cluster.createTable('t');
  await cluster.node(1).write('t', 'k', 'before');
  await cluster.node(1).write('t', 'gone', 'before');
  await cluster.advance(2_000);
}

async function togetherWithout(gone: number): Promise<void> {
  const left = cluster.nodes.filter((node) => node.name !== name(gone) && node.isRunning);
  await cluster.until(() => left.every((node) => node.db.runningDbNodes().length === left.length));
}

/** Of those who removed it: nothing is kept for the node, and nobody lists it. */
function expectForgotten(gone: number, left: readonly number[]): void {
  for (const number of left) {
    const { discCopies } = db(number).tableInfo('t');
    const { dbNodes, removedNodes, changedSince, mnesiaDown } = db(number).systemInfo();
    expect({ number, discCopies, dbNodes, removedNodes, changedSince, mnesiaDown }).toEqual({
      number,
      discCopies: left.map(name),
      dbNodes: left.map(name),
      removedNodes: [name(gone)],
      changedSince: [],
      mnesiaDown: [],
    });
  }
}

test('M8 a node that is down leaves every table at every running node in the moment of the answer, and nothing is kept for it', async () => {
  await start(3);
  cluster.node(3).kill();
  await cluster.advance(500);
  await cluster.node(1).write('t', 'k', 'after');
  await cluster.node(2).delete('t', 'gone');
  await cluster.settle(
    db(2)
      .removeNode(name(3))
      .then(() => expectForgotten(3, [1, 2])),
  );
  await cluster.advance(3_000);
  expectForgotten(3, [1, 2]);
  for (const number of [1, 2]) expect(db(number).systemInfo().recentCommits).toBe(0);
  expect(cluster.node(1).eventsOf('node_removed')).toEqual([{ type: 'node_removed', node: name(3) }]);
  await cluster.settle(db(1).removeNode(name(3)));
});

test('M8 a removed node that comes back with its old disc is refused, and brings nothing back; empty it joins under its name', async () => {
  await start(3);
  cluster.node(3).kill();
  await cluster.advance(500);
  await cluster.node(1).delete('t', 'gone');
  await cluster.settle(db(1).removeNode(name(3)));
  for (const restarted of [1, 2]) cluster.node(restarted).kill();
  for (const restarted of [1, 2]) await cluster.node(restarted).start();
  await cluster.node(3).start();
  await togetherWithout(3);
  await cluster.advance(10_000);
  for (const number of [1, 2]) {
    expect(db(number).dirtyAllKeys('t')).toEqual(['k']);
    expect(cluster.node(number).eventsOf('removed_node_refused')[0]).toMatchObject({
      node: name(3),
      message: expect.stringContaining('empty data directory'),
    });
  }
  expectForgotten(3, [1, 2]);
  expect(cluster.node(3).eventsOf('removed_from_cluster')).toEqual([
    expect.objectContaining({ message: expect.stringContaining('empty data directory') }),
  ]);
  expect(db(3).runningDbNodes()).toEqual([name(3)]);
  // It knows so by itself when it is started again.
  await cluster.node(3).stop();
  await cluster.split([1, 2], [3]);
  await cluster.node(3).start();
  expect(await cluster.failure(db(3).dirtyWrite('partition_ledger', 'k', 1))).toMatchObject({ code: 'node_removed' });
  await cluster.node(3).stop();
  cluster.node(3).replaceDisc();
  await cluster.node(3).start();
  cluster.heal();
  await cluster.together();
  await cluster.settle(db(1).addTableCopy('t', name(3), 'disc_copies'));
  await cluster.node(3).write('t', 'k', 'new');
  await cluster.advance(20);
  expect(db(1).dirtyRead('t', 'k')).toBe('new');
  expect(db(1).tableInfo('t').discCopies).toEqual(cluster.names);
});

test('M8 a node that was only cut off when it was removed takes no writes once it is met, and what it wrote apart stays away', async () => {
  await start(3);
  await cluster.split([1, 2], [3]);
  await cluster.settle(db(1).removeNode(name(3)));
  await cluster.node(3).write('t', 'apart', 1);
  cluster.heal();
  await cluster.advance(10_000);
  for (const number of [1, 2]) expect(db(number).dirtyAllKeys('t').sort()).toEqual(['gone', 'k']);
  expectForgotten(3, [1, 2]);
  const error = await cluster.failure(db(3).dirtyWrite('t', 'apart', 2));
  expect(error).toMatchObject({ code: 'node_removed', message: expect.stringContaining('empty data directory') });
  expect(db(3).dirtyRead('t', 'apart')).toBe(1);
});

test('M8 a node that was cut off together with the removed one learns of it, and lets go of it', async () => {
  cluster = await Cluster.start(4);
  await cluster.createTable('t');
  await cluster.split([1, 2], [3, 4]);
  await cluster.settle(db(1).removeNode(name(4)));
  await cluster.node(3).write('t', 'k', 'of both');
  cluster.heal();
  await togetherWithout(4);
  await cluster.advance(5_000);
  for (const number of [1, 2, 3]) expect(db(number).dirtyRead('t', 'k')).toBe('of both');
  expectForgotten(4, [1, 2, 3]);
  expect(db(4).runningDbNodes()).toEqual([name(4)]);
});

test('M8 a node that was away while another one was removed does not bring it back', async () => {
  await start(3);
  await cluster.node(2).stop();
  cluster.node(3).kill();
  await cluster.advance(500);
  await cluster.settle(db(1).removeNode(name(3)));
  await cluster.node(2).start();
  await togetherWithout(3);
  await cluster.advance(3_000);
  expectForgotten(3, [1, 2]);
});

test('M8 who waited for the removed node loads its tables', async () => {
  await start(2);
  await cluster.node(1).stop();
  await cluster.node(2).write('t', 'k', 'only there');
  cluster.node(2).kill();
  await cluster.node(1).start();
  await cluster.advance(8_000);
  expect(db(1).tableInfo('t')).toMatchObject({ loaded: false, awaiting: [name(2)] });
  const loaded = db(1).waitForTables(['t'], 5_000);
  await cluster.settle(db(1).removeNode(name(2)));
  await cluster.settle(loaded);
  expect(db(1).dirtyRead('t', 'k')).toBe('before');
});

test('M8 a table that only the removed node held is deleted, and stays so', async () => {
  await start(3);
  await cluster.settle(db(1).createTable({ name: 'sole', disc_copies: [name(3)] }));
  cluster.node(3).kill();
  await cluster.advance(500);
  await cluster.settle(db(1).removeNode(name(3)));
  for (const number of [1, 2]) expect(db(number).systemInfo().tables).toEqual(['partition_ledger', 't']);
});

test('M8 a node that runs is not removed, nor one nobody met, nor oneself', async () => {
  await start(3);
  for (const number of [1, 2]) {
    const error = await cluster.failure(db(1).removeNode(name(number)));
    expect(error).toMatchObject({ code: 'node_running', fields: { node: name(number) } });
  }
  expect(await cluster.failure(db(1).removeNode('clusterdb@nowhere'))).toMatchObject({ code: 'node_not_running' });
  // Seen by another member only.
  cluster.network.cut('id1', 'id3');
  const error = await cluster.failure(db(1).removeNode(name(3), { timeoutMs: 300 }));
  expect(['deadline', 'node_running']).toContain(error.code);
  cluster.heal();
  await cluster.together();
  await cluster.advance(2_000);
  expect(db(1).tableInfo('t').discCopies).toEqual(cluster.names);
});

test('M8 a minority removes nobody from a majority table, unless it is told that the others are gone for good', async () => {
  cluster = await Cluster.start(3);
  await cluster.createTable('t', 'disc_copies', { majority: true });
  await cluster.node(1).write('t', 'k', 1);
  await cluster.advance(2_000);
  for (const number of [2, 3]) cluster.node(number).kill();
  await cluster.advance(500);
  const error = await cluster.failure(db(1).removeNode(name(2)));
  expect(error).toMatchObject({ code: 'no_majority', message: expect.stringContaining('withoutMajority') });
  for (const number of [2, 3]) await cluster.settle(db(1).removeNode(name(number), { withoutMajority: true }));
  await cluster.node(1).write('t', 'k', 2);
  expect(db(1).tableInfo('t').discCopies).toEqual([name(1)]);
});

test.each(['connect.before_lock', 'connect.prepared', 'connect.before_apply', 'connect.after_apply'] as const)(
  'M8 a member dies at %s of a removal: afterwards the node is gone from all, or from none',
  async (point) => {
    await start(3);
    cluster.node(3).kill();
    await cluster.advance(500);
    cluster.node(2).onProbe = (reached) => {
      if (reached === point) cluster.node(2).kill();
    };
    db(1)
      .removeNode(name(3))
      .catch(() => undefined);
    await cluster.until(() => !cluster.node(2).isRunning);
    await cluster.advance(2_000);
    cluster.node(2).onProbe = () => undefined;
    await cluster.node(2).start();
    await togetherWithout(3);
    await cluster.advance(3_000);
    expect(db(2).systemInfo().removedNodes).toEqual(db(1).systemInfo().removedNodes);
    expect(db(2).tableInfo('t').discCopies).toEqual(db(1).tableInfo('t').discCopies);
  },
);

test('M8 two of five that are told that the others are gone for good go on by themselves', async () => {
  cluster = await Cluster.start(5);
  await cluster.createTable('t', 'disc_copies', { majority: true });
  await cluster.node(1).write('t', 'k', 1);
  await cluster.advance(2_000);
  for (const number of [3, 4, 5]) cluster.node(number).kill();
  await cluster.advance(500);
  for (const number of [3, 4, 5]) await cluster.settle(db(1).removeNode(name(number), { withoutMajority: true }));
  await cluster.node(2).write('t', 'k', 2);
  expect(db(1).tableInfo('t').discCopies).toEqual(cluster.names.slice(0, 2));
});
