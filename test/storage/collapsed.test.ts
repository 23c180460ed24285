/** Changed-since sets past their limit, and full comparisons by the digests of buckets. */
import { expect, test } from 'vitest';
import type { DeltaRow } from '../../storage/replication/connection-messages.ts';
import { Kind } from '../../storage/transactions/messages.ts';
import type { Key, Value } from '../../storage/types.ts';
import { Cluster, type ClusterNode, type NodeOptions } from './support/cluster.ts';

const LIMIT = 20;
const limits: NodeOptions['limits'] = { changedKeysMax: LIMIT, changedDeletesMax: LIMIT, lastKeysMax: 5 };

let cluster: Cluster;

function rowsOf({ db }: ClusterNode): Map<Key, Value> {
  return new Map(db.dirtyAllKeys('t').map((key) => [key, db.dirtyRead('t', key)]));
}

async function change(number: number, changes: Iterable<readonly [Key, Value | null]>): Promise<void> {
  await cluster.settle(
    cluster.node(number).db.transaction((tx) => {
      for (const [key, value] of changes) {
        if (value === null) tx.delete('t', key);
        else tx.write('t', key, value);
      }
    }),
  );
}

function keys(from: number, to: number, value: Value | null): [Key, Value | null][] {
  return Array.from({ length: to - from }, (_, n) => [from + n, value]);
}

/** Three replicas of a hundred rows; then peer 1 is alone. */
async function parted(quietMs = 3_000): Promise<void> {
  cluster = await Cluster.start(3, { limits });
  await cluster.createTable('t');
  await change(1, keys(0, 50, 'old'));
  await change(2, keys(50, 100, 'old'));
  await cluster.advance(quietMs);
  await cluster.split([1], [2, 3]);
}

async function healed(): Promise<void> {
  await cluster.healAndMeet();
  await cluster.advance(3_000);
  expect(new Set(cluster.nodes.map(({ db }) => db.tableInfo('t').digest)).size).toBe(1);
  for (const { db } of cluster.nodes) expect(db.systemInfo().changedSince).toEqual([]);
}

function collapsedAt(number: number): unknown {
  return cluster.node(number).db.systemInfo().changedSince;
}

const loserKeys = (number: number): unknown[] =>
  cluster
    .node(number)
    .db.ledger()
    .map(({ key }) => key)
    .sort((a, b) => Number(a) - Number(b));

test('Past the limit a changed-since set is given up row by row but for its deletes, and says so', async () => {
  await parted();
  await change(2, keys(0, 2 * LIMIT, 'new'));
  await change(3, keys(90, 93, null));
  await cluster.advance(1_000);
  const node = cluster.node(1).name;
  expect(collapsedAt(2)).toEqual([{ node, rows: 3, collapsed: ['t'] }]);
  expect(collapsedAt(3)).toEqual([{ node, rows: 3, collapsed: ['t'] }]);
  await healed();
  const rows = rowsOf(cluster.node(1));
  expect([rows.size, rows.get(0), rows.get(39), rows.get(40), rows.has(91)]).toEqual([97, 'new', 'new', 'old', false]);
  expect(cluster.node(1).db.ledger()).toEqual([]);
});

test('Of a set that has collapsed, rows that the other side changed too are conflicts, and no others', async () => {
  await parted();
  await change(2, keys(0, 2 * LIMIT, 'right'));
  await cluster.advance(1_000);
  await change(1, [...keys(35, 45, 'left'), ['mine', 1]]);
  await healed();
  for (const number of [1, 2, 3]) {
    expect(loserKeys(number)).toEqual([35, 36, 37, 38, 39]);
    const rows = rowsOf(cluster.node(number));
    expect([rows.get(0), rows.get(36), rows.get(41), rows.get('mine')]).toEqual(['right', 'left', 'left', 1]);
  }
});

test('Where both sides have collapsed, what both changed is a conflict and what one changed is not', async () => {
  await parted();
  await change(2, keys(0, 2 * LIMIT, 'right'));
  await change(1, keys(30, 30 + 2 * LIMIT, 'left'));
  await cluster.advance(1_000);
  expect([collapsedAt(1), collapsedAt(2)].map((sets) => JSON.stringify(sets).includes('"collapsed":["t"]'))).toEqual([
    true,
    true,
  ]);
  await healed();
  expect(loserKeys(3)).toEqual(keys(30, 40, null).map(([key]) => key));
  const rows = rowsOf(cluster.node(2));
  expect([rows.get(29), rows.get(35), rows.get(60), rows.get(80)]).toEqual(['right', 'left', 'left', 'old']);
});

test('Deletes too many to be remembered still are deletes; what the other side wrote over them stands, and is in the ledger', async () => {
  await parted();
  await change(2, keys(0, 2 * LIMIT, null));
  await cluster.advance(1_000);
  expect(collapsedAt(2)).toEqual([{ node: cluster.node(1).name, rows: 0, collapsed: ['t'] }]);
  await change(1, [
    [5, 'left'],
    [50, 'left'],
    ['mine', 1],
  ]);
  await change(2, [[60, null]]);
  await healed();
  for (const number of [1, 2, 3]) {
    const rows = rowsOf(cluster.node(number));
    expect([...rows.keys()].filter((key) => typeof key === 'number' && key < 2 * LIMIT)).toEqual([5]);
    expect([rows.get(5), rows.get(50), rows.get('mine'), rows.has(60)]).toEqual(['left', 'left', 1, false]);
    // Whether it once had `mine` and deleted it, it does not know.
    const entries = cluster.node(number).db.ledger();
    expect(new Set(entries.map(({ key }) => key))).toEqual(new Set([5, 'mine']));
    expect(entries.every(({ loser }) => loser.deleted)).toBe(true);
  }
});

test('A collapsed set outlives a restart of the nodes that keep it', async () => {
  await parted();
  await change(2, [...keys(0, 2 * LIMIT, 'right'), ...keys(90, 93, null)]);
  await cluster.advance(1_000);
  for (const number of [2, 3]) cluster.node(number).kill();
  for (const number of [2, 3]) await cluster.node(number).start();
  await cluster.advance(3_000);
  expect(collapsedAt(2)).toEqual([{ node: cluster.node(1).name, rows: 3, collapsed: ['t'] }]);
  await change(1, [[3, 'left']]);
  await healed();
  const rows = rowsOf(cluster.node(1));
  expect([rows.size, rows.get(3), rows.get(4), rows.has(91)]).toEqual([97, 'left', 'right', false]);
  expect(loserKeys(1)).toEqual([3]);
});

test('What was just written when the keeper of a collapsed set died has not seen the other side: it is in conflict', async () => {
  // So long that nothing written before they parted is noted row by row.
  await parted(15_000);
  await change(1, [[3, 'left']]);
  await change(2, keys(0, 2 * LIMIT, 'right'));
  await cluster.advance(1_000);
  cluster.node(3).kill();
  await change(2, [[3, 'right again']]);
  cluster.node(2).kill();
  await cluster.node(2).start();
  cluster.heal();
  await cluster.advance(3_000);
  await cluster.node(3).start();
  await healed();
  expect(rowsOf(cluster.node(1)).get(3)).toBe('right again');
  for (const number of [1, 2, 3]) expect(loserKeys(number)).toEqual([3]);
});

test('What an island has collapsed for a node that stays away is collapsed for those who join it', async () => {
  await parted();
  await cluster.split([2], [3]);
  await change(2, [...keys(0, 2 * LIMIT, 'right'), ...keys(90, 93, null)]);
  await cluster.advance(1_000);
  cluster.network.heal(cluster.node(2).id, cluster.node(3).id);
  await cluster.advance(3_000);
  const { changedSince } = cluster.node(3).db.systemInfo();
  expect(changedSince).toEqual([{ node: cluster.node(1).name, rows: 3, collapsed: ['t'] }]);
  cluster.node(2).kill();
  cluster.network.heal(cluster.node(1).id, cluster.node(3).id);
  await cluster.advance(5_000);
  const rows = rowsOf(cluster.node(1));
  expect([rows.size, rows.get(0), rows.get(91)]).toEqual([97, 'right', undefined]);
});

test('Of rows that two islands may lack of each other none travels when their replicas are equal', async () => {
  cluster = await Cluster.start(3, { limits });
  await cluster.createTable('t');
  await change(1, keys(0, 50, 'new'));
  const mark = cluster.mark;
  // Before anybody has said that it has them on its medium.
  cluster.node(3).kill('process');
  await cluster.node(3).start();
  await cluster.together();
  await cluster.advance(3_000);
  expect(cluster.node(3).db.dirtyAllKeys('t')).toHaveLength(50);
  const offered = cluster.messages(Kind.deltaRows, mark).flatMap(({ message }) => message[3] as DeltaRow[]);
  expect(offered).toEqual([]);
});

test('Of replicas that are compared as a whole only the rows of buckets that differ travel', async () => {
  await parted();
  const mark = cluster.mark;
  await change(2, keys(0, LIMIT + 1, 'right'));
  await cluster.advance(1_000);
  await change(2, keys(0, LIMIT + 1, 'again'));
  await healed();
  const offered = cluster
    .messages(Kind.deltaRows, mark)
    .filter(({ message }) => message[2] === 't')
    .flatMap(({ message }) => message[3] as DeltaRow[]);
  // All 21, and few of the other 79 that share a bucket with one of them by chance.
  expect(offered.length).toBeGreaterThanOrEqual(LIMIT + 1);
  expect(offered.length).toBeLessThan(2 * (LIMIT + 1));
  expect(cluster.messages(Kind.bucketDigests, mark).length).toBeGreaterThan(0);
});

test('Where the others have collapsed what they keep for it, a node that owes nothing offers nothing', async () => {
  cluster = await Cluster.start(3, { limits });
  await cluster.createTable('t');
  await change(1, keys(0, 100, 'old'));
  await cluster.advance(3_000);
  await cluster.split([1, 2], [3]);
  const mark = cluster.mark;
  await change(2, keys(0, 100, 'new'));
  await change(1, keys(95, 100, null));
  await cluster.advance(1_000);
  await change(1, keys(60, 62, 'again'));
  await healed();
  // To the leader, peer 1, which is one of the others.
  const offered = cluster.messages(Kind.deltaRows, mark).filter(({ message }) => message[2] === 't');
  expect(offered.length).toBeGreaterThan(0);
  expect(offered.flatMap(({ message }) => message[3] as DeltaRow[])).toEqual([]);
  const rows = rowsOf(cluster.node(3));
  expect([rows.size, rows.get(0), rows.get(60), rows.has(95)]).toEqual([95, 'new', 'again', false]);
});

test('Once all replicas run again and it is quiet nobody remembers anything for anybody, in memory or on disc', async () => {
  await parted();
  await change(2, [...keys(0, 2 * LIMIT, 'right'), ...keys(90, 93, null)]);
  await change(1, [...keys(45, 50, 'left'), ...keys(80, 82, null)]);
  await cluster.split([2], [3]);
  await change(2, keys(60, 65, 'second'));
  await change(3, keys(70, 75, null));
  await cluster.advance(1_000);
  cluster.node(3).kill();
  await cluster.node(3).start();
  await healed();
  for (const { db } of cluster.nodes) expect(db.systemInfo().recentCommits).toBe(0);
  // What is on disc is read by whoever starts again.
  for (const node of cluster.nodes) await node.stop();
  await cluster.split([1], [2, 3]);
  await cluster.split([2], [3]);
  for (const node of cluster.nodes) {
    await node.start();
    await cluster.advance(100);
    const owed = node.db.systemInfo().changedSince.map(({ rows, collapsed }) => [rows, collapsed.length]);
    expect(owed).toEqual([]);
  }
});

test('What a node wrote just before it was killed was seen by those who voted for it, whatever they wrote since', async () => {
  cluster = await Cluster.start(3, { limits });
  await cluster.createTable('t');
  await change(1, keys(0, 50, 'old'));
  await cluster.advance(3_000);
  // Nobody has said yet that all have it on their media.
  await change(1, [[3, 'last']]);
  await cluster.advance(10);
  cluster.node(1).kill();
  await cluster.advance(1_000);
  await change(2, keys(0, 2 * LIMIT, 'right'));
  await change(2, [[3, null]]);
  await cluster.advance(3_000);
  expect(collapsedAt(2)).toEqual([{ node: cluster.node(1).name, rows: 1, collapsed: ['t'] }]);
  await cluster.node(1).start();
  await cluster.together();
  await cluster.advance(3_000);
  for (const node of cluster.nodes) {
    expect(rowsOf(node).has(3)).toBe(false);
    expect(node.db.ledger()).toEqual([]);
  }
});
