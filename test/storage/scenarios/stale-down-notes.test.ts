/** Notes of who went down that were overtaken: nobody loads a table by itself on their strength. */
import { expect, test } from 'vitest';
import { Cluster, type ClusterNode } from '../support/cluster.ts';

async function awaited({ cluster, db }: ClusterNode): Promise<unknown> {
  return (await cluster.failure(db.waitForTables(['t'], 10_000))).fields.nodes;
}

function dieBeforeApplying(node: ClusterNode): void {
  node.onProbe = (point) => {
    if (point !== 'connect.before_apply') return;
    node.onProbe = () => undefined;
    node.kill();
  };
}

test('Who is killed between staging and applying waits, when it is back, for those it was to be joined with', async () => {
  const cluster = await Cluster.start(2);
  await cluster.createTable('t');
  const [leader, killed] = cluster.nodes as [ClusterNode, ClusterNode];
  leader.kill();
  await cluster.advance(1_000);
  await killed.write('t', 'k', 'alone');
  dieBeforeApplying(killed);
  await leader.start();
  await cluster.until(() => !killed.isRunning);
  await cluster.settle(leader.db.waitForTables(['t'], 10_000));
  await cluster.advance(1_000);
  await leader.write('t', 'k', 'taken over');
  leader.kill();
  await killed.start();
  expect(await awaited(killed)).toEqual([leader.name]);
  await leader.start();
  await cluster.together();
  await cluster.advance(2_000);
  for (const { db } of cluster.nodes) {
    expect([db.dirtyRead('t', 'k'), db.ledger(), db.systemInfo().mnesiaDown]).toEqual(['taken over', [], []]);
  }
});

test('A node connection transaction that comes to nothing leaves the notes of who went down as they were', async () => {
  const cluster = await Cluster.start(2);
  await cluster.createTable('t');
  const [leader, alone] = cluster.nodes as [ClusterNode, ClusterNode];
  leader.kill();
  await cluster.advance(1_000);
  dieBeforeApplying(leader);
  await leader.start();
  await cluster.until(() => !leader.isRunning);
  await cluster.advance(2_000);
  await alone.write('t', 'k', 'alone');
  alone.kill();
  await alone.start();
  await cluster.settle(alone.db.waitForTables(['t'], 10_000));
  expect(alone.db.dirtyRead('t', 'k')).toBe('alone');
});

test('A node without a replica that saw a holder run on after another had gone makes that other one wait for it', async () => {
  const cluster = await Cluster.start(3);
  const [early, late, witness] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await cluster.settle(early.db.createTable({ name: 't', disc_copies: [early.name, late.name] }));
  await cluster.advance(1_000);
  await cluster.split([1, 3], [2]);
  early.kill();
  await cluster.advance(1_000);
  cluster.heal();
  await cluster.until(() => late.db.systemInfo().runningDbNodes.length === 2);
  await cluster.advance(2_000);
  await witness.write('t', 'k', 'late');
  late.kill();
  await cluster.advance(1_000);
  await early.start();
  expect(await awaited(early)).toEqual([late.name]);
  // It remembers what it was told, when nobody is there to tell it again.
  witness.kill();
  early.kill();
  await early.start();
  expect(await awaited(early)).toEqual([late.name]);
  await late.start();
  await witness.start();
  await cluster.together();
  await cluster.advance(2_000);
  expect([early, late].map(({ db }) => db.dirtyRead('t', 'k'))).toEqual(['late', 'late']);
  // Both run with all there is: the next start of one alone is decided by its own notes again.
  late.kill();
  await cluster.advance(1_000);
  early.kill();
  await early.start();
  await cluster.settle(early.db.waitForTables(['t'], 10_000));
});

test('A replica that saw another go, and a third one run on, makes that other one wait for it, also when it has gone itself', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t');
  const [late, early, witness] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  late.kill();
  await cluster.advance(1_000);
  early.kill();
  await cluster.advance(1_000);
  await late.start();
  await cluster.until(() => late.db.systemInfo().runningDbNodes.length === 2);
  await cluster.advance(2_000);
  witness.kill();
  await cluster.advance(1_000);
  await late.write('t', 'k', 'late');
  late.kill();
  await early.start();
  await witness.start();
  await cluster.until(() => early.db.systemInfo().runningDbNodes.length === 2);
  await cluster.advance(2_000);
  witness.kill();
  await cluster.advance(1_000);
  expect(await awaited(early)).toEqual([late.name]);
  await late.start();
  await witness.start();
  await cluster.together();
  await cluster.advance(2_000);
  for (const { db } of cluster.nodes) {
    expect([db.dirtyRead('t', 'k'), db.ledger(), db.systemInfo().mnesiaDown]).toEqual(['late', [], []]);
  }
});
