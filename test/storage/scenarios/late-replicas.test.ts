/** A replica made on one side of a partition: what the other side wrote has seen nothing of it, and is owed to it. */
import { expect, test } from 'vitest';
import { Cluster, type ClusterNode } from '../support/cluster.ts';

function cutBetween(cluster: Cluster, left: readonly number[], right: readonly number[]): void {
  for (const a of left) for (const b of right) cluster.network.cut(cluster.node(a).id, cluster.node(b).id);
}

async function untilMet(cluster: Cluster, node: ClusterNode, count: number): Promise<void> {
  await cluster.until(() => node.db.systemInfo().runningDbNodes.length === count);
  await cluster.advance(2_000);
}

function ledgerOf({ db }: ClusterNode): unknown[] {
  return db.ledger().map(({ key, winner, loser }) => [key, winner.value, loser.value]);
}

type Kind = 'ram_copies' | 'disc_copies';
const KINDS: readonly Kind[] = ['ram_copies', 'disc_copies'];

/** Three nodes; peers 1 and 2 hold table t. */
async function two(kind: Kind): Promise<Cluster> {
  const cluster = await Cluster.start(3);
  const { names } = cluster;
  await cluster.settle(cluster.node(1).db.createTable({ name: 't', [kind]: names.slice(0, 2) }));
  await cluster.advance(1_000);
  return cluster;
}

async function addCopy(cluster: Cluster, by: ClusterNode, at: ClusterNode, kind: Kind): Promise<void> {
  await cluster.settle(by.db.addTableCopy('t', at.name, kind));
  await cluster.advance(1_000);
}

test.each(KINDS)(
  'What a replica (%s) made on one side of a partition wrote was not seen by the other side: the loser is in the ledger',
  async (kind) => {
    const cluster = await two(kind);
    const [one, holder, late] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
    await cluster.split([1], [2, 3]);
    await addCopy(cluster, holder, late, kind);
    await late.write('t', 'k', 'of 3');
    await cluster.advance(1_000);
    await one.write('t', 'k', 'of 1');
    await cluster.healAndMeet();
    for (const node of cluster.nodes) {
      expect([node.db.dirtyRead('t', 'k'), ledgerOf(node)]).toEqual(['of 1', [['k', 'of 1', 'of 3']]]);
    }
  },
);

test.each(KINDS)(
  'What a node wrote elsewhere before it got its replica (%s) was not seen by those it got it from',
  async (kind) => {
    const cluster = await two(kind);
    const [one, holder, late] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
    await cluster.split([1, 3], [2]);
    await late.write('t', 'k', 'over 1');
    await cluster.split([1], [3]);
    cluster.heal();
    cutBetween(cluster, [1], [2, 3]);
    await untilMet(cluster, late, 2);
    await addCopy(cluster, holder, late, kind);
    await holder.write('t', 'k', 'of 2');
    expect(one.db.dirtyRead('t', 'k')).toBe('over 1');
    await cluster.healAndMeet();
    for (const node of cluster.nodes) {
      expect([node.db.dirtyRead('t', 'k'), ledgerOf(node)]).toEqual(['of 2', [['k', 'of 2', 'over 1']]]);
    }
  },
);

test.each(KINDS)(
  'What is taken over from a node that never heard of a replica (%s) is owed to that replica, deletes too',
  async (kind) => {
    const cluster = await two(kind);
    const [one, holder, late] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
    for (const key of ['deleted', 'written', 'both', 'later', 'kept']) await one.write('t', key, 'first');
    await cluster.advance(2_000);
    await cluster.split([1], [2, 3]);
    await addCopy(cluster, holder, late, kind);
    await cluster.split([2], [3]);
    await one.delete('t', 'deleted');
    await one.write('t', 'written', 'of 1');
    await one.write('t', 'both', 'of 1');
    await one.write('t', 'new', 'of 1');
    await cluster.advance(1_000);
    await late.write('t', 'both', 'of 3');
    // Peers 1 and 2 meet; peer 3 is away.
    cluster.heal();
    cutBetween(cluster, [3], [1, 2]);
    await untilMet(cluster, one, 2);
    expect([holder.db.dirtyRead('t', 'deleted'), holder.db.dirtyRead('t', 'written')]).toEqual([undefined, 'of 1']);
    await late.write('t', 'later', 'of 3');
    await cluster.healAndMeet();
    for (const node of cluster.nodes) {
      const found = ['deleted', 'written', 'both', 'later', 'kept', 'new'].map((key) => node.db.dirtyRead('t', key));
      expect(found).toEqual([undefined, 'of 1', 'of 3', 'of 3', 'first', 'of 1']);
      expect(ledgerOf(node)).toEqual([['both', 'of 3', 'of 1']]);
    }
  },
);

test.each(KINDS)(
  'A replica (%s) that nobody of the other side has met says by rule owner what is a conflict, and nothing else',
  async (kind) => {
    const cluster = await Cluster.start(3);
    const { names } = cluster;
    const [one, holder, late] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
    const rule = { merge: 'owner', owner_field: 'owner' } as const;
    await cluster.settle(one.db.createTable({ name: 't', [kind]: names.slice(0, 2), ...rule }));
    await one.write('t', 'k', { owner: one.name, by: 'first' });
    await cluster.advance(2_000);
    await cluster.split([1], [2, 3]);
    await addCopy(cluster, holder, late, kind);
    await late.write('t', 'k', { by: 3 });
    await cluster.split([2], [3]);
    await cluster.advance(1_000);
    cluster.heal();
    cutBetween(cluster, [3], [1, 2]);
    await untilMet(cluster, one, 2);
    // Written over the first by peer 3: peer 1 has nothing to say of it.
    expect([one.db.dirtyRead('t', 'k'), ledgerOf(one)]).toEqual([{ by: 3 }, []]);
    await cluster.healAndMeet();
    for (const node of cluster.nodes) expect([node.db.dirtyRead('t', 'k'), ledgerOf(node)]).toEqual([{ by: 3 }, []]);
  },
);

test('Two nodes of one island that make the same table at once, and write to it at once, have seen nothing of each other', async () => {
  const cluster = await Cluster.start(2);
  const [one, two] = cluster.nodes as [ClusterNode, ClusterNode];
  const acts = [one, two].flatMap(({ db, name }) => [
    db.createTable({ name: 't', disc_copies: [name] }),
    db.dirtyWrite('t', 'k', name),
  ]);
  await cluster.settle(Promise.all(acts));
  await cluster.advance(3_000);
  for (const node of cluster.nodes) {
    expect([node.db.dirtyRead('t', 'k'), ledgerOf(node)]).toEqual([two.name, [['k', two.name, one.name]]]);
  }
});

test.each(KINDS)(
  'Who meets a replica (%s) it never heard of tells it what it deleted, owed to others or not',
  async (kind) => {
    const cluster = await two(kind);
    const [one, holder, late] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
    for (const key of ['deleted', 'both']) await one.write('t', key, 'first');
    await cluster.advance(2_000);
    await cluster.split([1], [2, 3]);
    await addCopy(cluster, holder, late, kind);
    await cluster.split([2], [3]);
    await one.delete('t', 'deleted');
    await one.delete('t', 'both');
    await cluster.advance(1_000);
    await late.write('t', 'both', 'of 3');
    cluster.heal();
    cutBetween(cluster, [2], [1, 3]);
    await untilMet(cluster, one, 2);
    await cluster.healAndMeet();
    for (const node of cluster.nodes) {
      expect([node.db.dirtyAllKeys('t'), ledgerOf(node)]).toEqual([['both'], [['both', 'of 3', undefined]]]);
    }
  },
);

test('A node that made the table for itself, apart, does not vouch for what others wait for: nobody reads old rows', async () => {
  const cluster = await Cluster.startApart(3);
  const [one, other, late] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  cluster.network.heal(one.id, other.id);
  await untilMet(cluster, one, 2);
  await cluster.settle(one.db.createTable({ name: 't', disc_copies: [one.name, other.name] }));
  await one.write('t', 'k', 'old');
  await cluster.advance(2_000);
  other.kill();
  await cluster.advance(500);
  await one.write('t', 'k', 'new');
  one.kill();
  await cluster.settle(late.db.createTable({ name: 't', disc_copies: [late.name] }));
  await other.start();
  cluster.network.heal(other.id, late.id);
  await untilMet(cluster, late, 2);
  for (const { db } of [other, late]) {
    expect(db.tableInfo('t').loaded).toBe(false);
    expect(() => db.dirtyRead('t', 'k')).toThrow('not loaded here');
  }
  await one.start();
  cluster.heal();
  await cluster.together();
  await cluster.advance(2_000);
  for (const { db } of cluster.nodes) expect([db.dirtyRead('t', 'k'), db.ledger()]).toEqual(['new', []]);
});

test('A node that made the table for itself waits for the holder that others tell it of: nobody reads an empty table', async () => {
  const cluster = await Cluster.startApart(3);
  const [told, holder, late] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  cluster.network.heal(told.id, holder.id);
  await untilMet(cluster, told, 2);
  await cluster.settle(holder.db.createTable({ name: 't', disc_copies: [holder.name] }));
  await told.write('t', 'k', 'there');
  holder.kill();
  await cluster.settle(late.db.createTable({ name: 't', disc_copies: [late.name] }));
  cluster.network.heal(told.id, late.id);
  await untilMet(cluster, late, 2);
  expect((await cluster.failure(late.db.transaction((tx) => tx.read('t', 'k')))).code).toBe('table_not_loaded');
  const asked = told.db.transaction((tx) => tx.read('t', 'k'), { deadlineMs: 500 });
  expect((await cluster.failure(asked)).code).toBe('deadline');
  await holder.start();
  cluster.heal();
  await cluster.together();
  await cluster.advance(2_000);
  for (const { db } of [holder, late]) expect([db.dirtyRead('t', 'k'), db.ledger()]).toEqual(['there', []]);
});

test('A coordinator that is given a replica while its transaction is voted on does not make it there alone', async () => {
  const cluster = await Cluster.start(2);
  const [late, holder] = cluster.nodes as [ClusterNode, ClusterNode];
  await cluster.settle(holder.db.createTable({ name: 't', disc_copies: [holder.name] }));
  await late.write('t', 'k', 'there');
  await cluster.advance(1_000);
  const told = cluster.failure(late.db.transaction((tx) => tx.write('t', 'k', 'voted on')));
  cutBetween(cluster, [1], [2]);
  late.db.createTable({ name: 't', disc_copies: [late.name] }).catch(() => undefined);
  expect((await told).fields.reason).toBe('outcome_unknown');
  await cluster.healAndMeet();
  for (const { db } of cluster.nodes) expect(db.dirtyRead('t', 'k')).toBe('there');
});
