/** Which version has seen which: no conflict where one was written over the other, and one where none was. */
import { expect, test } from 'vitest';
import { Cluster, type ClusterNode } from './support/cluster.ts';

/** Whether peers of two groups see each other from now on; nobody is waited for. */
function cutBetween(cluster: Cluster, left: readonly number[], right: readonly number[]): void {
  for (const a of left) for (const b of right) cluster.network.cut(cluster.node(a).id, cluster.node(b).id);
}

async function untilMet(cluster: Cluster, node: ClusterNode, count: number): Promise<void> {
  await cluster.until(() => node.db.systemInfo().runningDbNodes.length === count);
  await cluster.advance(1_000);
}

function ledgerOf({ db }: ClusterNode): unknown[] {
  return db.ledger().map(({ key, winner, loser }) => [key, winner.value, loser.value]);
}

test('A delete is no conflict with the write it deleted, when they meet over a node that knew neither at the time', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t', 'disc_copies', { merge: 'owner', owner_field: 'owner' });
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  two.kill();
  await cluster.advance(1_000);
  await three.write('t', 'k', { owner: three.name });
  await cluster.advance(1_000);
  three.kill();
  await cluster.advance(1_000);
  await one.delete('t', 'k');
  await two.start();
  await untilMet(cluster, two, 2);
  one.kill();
  await cluster.advance(1_000);
  await three.start();
  await untilMet(cluster, two, 2);
  // By the rule the row of its owner would stand: but there is nothing to rule.
  expect([two, three].map(({ db }) => db.dirtyAllKeys('t'))).toEqual([[], []]);
  expect([two, three].flatMap(ledgerOf)).toEqual([]);
});

test('complaint 11: a participant that forgot a write with its memory does not make the others have seen it', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t', 'ram_copies');
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await one.write('t', 'k', 'both');
  await cluster.split([1], [2, 3]);
  await three.write('t', 'k', 'of 3');
  two.kill();
  cluster.heal();
  cutBetween(cluster, [3], [1, 2]);
  await two.start();
  await untilMet(cluster, two, 2);
  await one.delete('t', 'k');
  await cluster.healAndMeet();
  for (const node of cluster.nodes) {
    expect([node.db.dirtyRead('t', 'k'), ledgerOf(node)]).toEqual([undefined, [['k', undefined, 'of 3']]]);
  }
});

test.each(['ram_copies', 'disc_copies'] as const)(
  'A writer that lost its own write (%s, power) votes for another: what the third one kept of it is in the ledger',
  async (kind) => {
    // With this seed nothing of the unsynced tail survives.
    const cluster = await Cluster.start(3, { seed: 2 });
    await cluster.createTable('t', kind);
    const [one, two] = cluster.nodes as [ClusterNode, ClusterNode];
    await one.write('t', 'k', 'all');
    await cluster.advance(2_000);
    await cluster.split([1], [2, 3]);
    await cluster.advance(2_000);
    await two.write('t', 'k', 'of 2');
    two.kill('synced');
    cluster.heal();
    cutBetween(cluster, [3], [1, 2]);
    await two.start();
    await untilMet(cluster, two, 2);
    expect(two.db.dirtyRead('t', 'k')).toBe('all');
    await one.write('t', 'k', 'of 1 and 2');
    await cluster.healAndMeet();
    for (const node of cluster.nodes) {
      expect([node.db.dirtyRead('t', 'k'), ledgerOf(node)]).toEqual(['of 1 and 2', [['k', 'of 1 and 2', 'of 2']]]);
    }
  },
);

test('A row written over a merged one has seen all that was merged: meeting a third island again is no conflict', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t', 'disc_copies', { merge: 'owner', owner_field: 'owner' });
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await cluster.split([1], [2, 3]);
  await one.write('t', 'k', { owner: one.name, by: 1 });
  await two.write('t', 'k', { by: 2 });
  await cluster.split([2], [3]);
  // Peers 1 and 2 merge: the owner's earlier row stands. Peer 3 keeps the other, which is in the ledger by now.
  cluster.heal();
  cutBetween(cluster, [3], [1, 2]);
  await untilMet(cluster, two, 2);
  expect(ledgerOf(one)).toEqual([['k', { owner: one.name, by: 1 }, { by: 2 }]]);
  await two.write('t', 'k', { by: 'both' });
  await cluster.healAndMeet();
  for (const node of cluster.nodes) expect(node.db.dirtyRead('t', 'k')).toEqual({ by: 'both' });
  expect(ledgerOf(three)).toEqual([['k', { owner: one.name, by: 1 }, { by: 2 }]]);
});

test.each<[what: string, value: string | undefined]>([
  ['deleted', undefined],
  ['wrote alike', 'same'],
])(
  'What two islands %s is one truth that neither had seen: who wrote over one of them is in conflict with the other',
  async (_, value) => {
    const cluster = await Cluster.start(3);
    await cluster.createTable('t');
    const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
    const change = (node: ClusterNode): Promise<void> =>
      value === undefined ? node.delete('t', 'k') : node.write('t', 'k', value);
    await one.write('t', 'k', 'first');
    await cluster.split([1, 2], [3]);
    await change(three);
    await cluster.advance(1_000);
    await change(one);
    await cluster.split([1], [2]);
    cluster.heal();
    cutBetween(cluster, [1], [2, 3]);
    await untilMet(cluster, three, 2);
    expect([two.db.dirtyRead('t', 'k'), three.db.dirtyRead('t', 'k'), ledgerOf(three)]).toEqual([value, value, []]);
    // Peer 1 has seen its own; what peer 3 did it has not.
    await one.write('t', 'k', 'over');
    await cluster.healAndMeet();
    for (const node of cluster.nodes) {
      expect([node.db.dirtyRead('t', 'k'), ledgerOf(node)]).toEqual(['over', [['k', 'over', value]]]);
    }
  },
);

test('A disc from before a merge is no source against those who made that merge with it: what was deleted stays so', async () => {
  const cluster = await Cluster.start(2);
  await cluster.createTable('t');
  const [one, two] = cluster.nodes as [ClusterNode, ClusterNode];
  await one.write('t', 'k', 'old');
  await cluster.advance(2_000);
  const copy = one.disc.image();
  await two.stop();
  await one.delete('t', 'k');
  await two.start();
  await untilMet(cluster, two, 2);
  one.kill();
  one.putBack(copy);
  await cluster.advance(1_000);
  await one.start();
  await cluster.together();
  await cluster.advance(2_000);
  expect(cluster.nodes.map(({ db }) => db.dirtyAllKeys('t'))).toEqual([[], []]);
});
