/** Tables with `majority`: what was answered holds through partitions and deaths, whoever is cut off from whom. */
import { expect, test } from 'vitest';
import type { Value } from '../../storage/types.ts';
import { Cluster } from './support/cluster.ts';

let cluster: Cluster;

async function startWithTable(count = 3): Promise<void> {
  cluster = await Cluster.start(count);
  await cluster.createTable('t', 'disc_copies', { majority: true });
  await cluster.advance(2_000);
}

async function majorityRead(node: number, key: string): Promise<Value> {
  const answer = cluster.node(node).db.transaction((tx) => tx.read('t', key, 'majority'));
  return await cluster.settle(answer);
}

/** Node 1 decides; its commits to the others are lost in a cut that begins at that moment. */
async function decidedByOneAlone(): Promise<void> {
  cluster.node(1).onProbe = (point) => {
    if (point !== 'commit.decided') return;
    cluster.node(1).onProbe = () => undefined;
    cluster.network.cut('id1', 'id2');
    cluster.network.cut('id1', 'id3');
  };
  await cluster.node(1).write('t', 'k', 'answered');
}

test('A vote outlives the process: who is killed after its yes is no majority without the commit', async () => {
  await startWithTable();
  await decidedByOneAlone();
  expect(cluster.node(1).db.dirtyRead('t', 'k')).toBe('answered');
  cluster.node(2).kill();
  await cluster.node(2).start();
  await cluster.advance(8_000);
  expect(await majorityRead(3, 'k')).toBe('answered');
  expect(await majorityRead(2, 'k')).toBe('answered');
  await cluster.healAndMeet();
  expect(cluster.nodes.map(({ db }) => db.dirtyRead('t', 'k'))).toEqual(['answered', 'answered', 'answered']);
  expect(cluster.nodes.map(({ db }) => db.systemInfo().heldLocks)).toEqual([0, 0, 0]);
});

test('A promise whose coordinator is away keeps its rows locked, and nothing else: its node meets others all the same', async () => {
  await startWithTable();
  await cluster.split([1, 2], [3]);
  cluster.node(1).onProbe = (point) => {
    if (point !== 'commit.decided') return;
    cluster.node(1).onProbe = () => undefined;
    cluster.node(1).kill();
  };
  void cluster.node(1).db.dirtyWrite('t', 'k', 'in doubt');
  await cluster.advance(1_000);
  cluster.network.heal('id2', 'id3');
  await cluster.advance(8_000);
  expect(cluster.node(2).db.systemInfo().runningDbNodes).toHaveLength(2);
  await cluster.node(3).write('t', 'other', 1);
  await cluster.advance(100);
  expect(cluster.node(2).db.dirtyRead('t', 'other')).toBe(1);
  const write = cluster.node(3).db.transaction((tx) => tx.write('t', 'k', 'over it'), { deadlineMs: 500 });
  await expect(cluster.settle(write)).rejects.toMatchObject({ code: 'deadline' });
  cluster.heal();
  await cluster.node(1).start();
  await cluster.together();
  await cluster.advance(8_000);
  expect(cluster.nodes.map(({ db }) => db.systemInfo().heldLocks)).toEqual([0, 0, 0]);
  expect(new Set(cluster.nodes.map(({ db }) => db.dirtyRead('t', 'k'))).size).toBe(1);
});

test('A read that asks for a majority is refused where there is none, and a plain one is answered', async () => {
  await startWithTable();
  await cluster.node(1).write('t', 'k', 'old');
  await cluster.split([1], [2, 3]);
  await cluster.node(2).write('t', 'k', 'new');
  await expect(majorityRead(1, 'k')).rejects.toMatchObject({ code: 'no_majority' });
  expect(await cluster.settle(cluster.node(1).db.transaction((tx) => tx.read('t', 'k')))).toBe('old');
  expect(await majorityRead(3, 'k')).toBe('new');
  await cluster.healAndMeet();
  expect(await majorityRead(1, 'k')).toBe('new');
  await cluster.advance(100);
  expect(cluster.nodes.map(({ db }) => db.systemInfo().heldLocks)).toEqual([0, 0, 0]);
});
