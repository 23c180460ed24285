/** Dirty operations: outside of every transaction, and replicas are alike all the same (M37, M54, M55). */
import { expect, test } from 'vitest';
import { Kind } from '../../storage/transactions/messages.ts';
import type { Value } from '../../storage/types.ts';
import { Cluster } from './support/cluster.ts';

let cluster: Cluster;

async function startWithTable(count = 3, kind: 'ram_copies' | 'disc_copies' = 'disc_copies'): Promise<void> {
  cluster = await Cluster.start(count);
  await cluster.createTable('t', kind);
  await cluster.advance(1_000);
}

const values = (key: string): Value[] => cluster.nodes.map(({ db }) => db.dirtyRead('t', key));

/** After a rest all replicas are alike and nobody remembers anything for anybody. */
async function allAlike(): Promise<void> {
  await cluster.together();
  await cluster.advance(3_000);
  expect(new Set(cluster.nodes.map(({ db }) => db.tableInfo('t').digest)).size).toBe(1);
  for (const { db } of cluster.nodes) {
    const { recentCommits, changedSince, heldLocks } = db.systemInfo();
    expect({ recentCommits, changedSince, heldLocks }).toEqual({ recentCommits: 0, changedSince: [], heldLocks: 0 });
  }
}

test('M54 A dirty write is seen at once where it is made, and is answered before any other node has heard of it', async () => {
  await startWithTable();
  for (const to of ['id2', 'id3']) cluster.network.delay('id1', to, 50);
  const written = cluster.node(1).db.dirtyWrite('t', 'k', 1);
  expect(values('k')).toEqual([1, undefined, undefined]);
  await cluster.settle(written);
  expect(values('k')).toEqual([1, undefined, undefined]);
  await cluster.advance(100);
  expect(values('k')).toEqual([1, 1, 1]);
  await allAlike();
});

test('M37 Dirty writes of one turn share a message to each replica', async () => {
  await startWithTable();
  const { mark } = cluster;
  await cluster.settle(Promise.all([1, 2, 3].map((n) => cluster.node(1).db.dirtyWrite('t', n, n))));
  await cluster.advance(20);
  expect(
    cluster
      .messages(Kind.dirty, mark)
      .map(({ to }) => to)
      .sort(),
  ).toEqual(['id2', 'id3']);
  await allAlike();
});

test('M54 Of dirty writes of the same row on all nodes at once one stands everywhere', async () => {
  await startWithTable();
  await cluster.settle(Promise.all(cluster.nodes.map(({ db, id }) => db.dirtyWrite('t', 'k', id))));
  await allAlike();
  expect(new Set(values('k')).size).toBe(1);
});

test('M54 An older dirty write that comes after a newer delete does not bring the row back', async () => {
  await startWithTable();
  cluster.network.delay('id1', 'id3', 40);
  await cluster.settle(cluster.node(1).db.dirtyWrite('t', 'k', 'old'));
  await cluster.advance(20);
  expect(values('k')).toEqual(['old', 'old', undefined]);
  await cluster.settle(cluster.node(2).db.dirtyDelete('t', 'k'));
  await cluster.advance(200);
  expect(values('k')).toEqual([undefined, undefined, undefined]);
  await allAlike();
});

test('A commit that comes after a dirty write of a greater version does not take its place', async () => {
  await startWithTable();
  cluster.network.delay('id1', 'id3', 40);
  const committed = cluster.node(2).db.transaction((tx) => tx.write('t', 'k', 'committed'));
  // Peer 1 has not heard of it yet.
  const dirty = cluster.node(1).db.dirtyWrite('t', 'k', 'dirty');
  await cluster.settle(Promise.all([committed, dirty]));
  await allAlike();
  expect(new Set(values('k')).size).toBe(1);
});

test('A dirty write overtakes a transaction that another replica holds prepared', async () => {
  await startWithTable();
  // Its proposal comes to peer 3 late, and so do peer 3's votes: peer 1 does not hold the row when it writes.
  cluster.network.delay('id2', 'id1', 30);
  const committed = cluster.node(2).db.transaction((tx) => tx.write('t', 'k', 'committed'));
  await cluster.advance(10);
  expect(cluster.node(3).db.systemInfo().heldLocks).toBe(1);
  await cluster.settle(cluster.node(1).db.dirtyWrite('t', 'k', 'dirty'));
  await cluster.advance(10);
  expect(cluster.node(3).db.dirtyRead('t', 'k')).toBe('dirty');
  await cluster.settle(committed);
  await allAlike();
  expect(new Set(values('k')).size).toBe(1);
});

test('The writer is lost when one replica has heard of it: that one tells the other', async () => {
  await startWithTable();
  cluster.network.delay('id1', 'id3', 200);
  void cluster.node(1).db.dirtyWrite('t', 'k', 'heard');
  await cluster.until(() => cluster.node(2).db.dirtyRead('t', 'k') === 'heard');
  cluster.node(1).kill({ sent: 'lost' });
  await cluster.advance(1_000);
  expect([2, 3].map((n) => cluster.node(n).db.dirtyRead('t', 'k'))).toEqual(['heard', 'heard']);
  await cluster.node(1).start();
  await allAlike();
  expect(values('k')).toEqual(['heard', 'heard', 'heard']);
});

test('What a lost node wrote without having heard a dirty write is a conflict with it, not overwritten in silence', async () => {
  await startWithTable(2);
  await cluster.node(2).write('t', 'k', 'before');
  await cluster.advance(2_000);
  // Peer 2 is on its own and knows it; peer 1 does not know it yet.
  cluster.network.cut('id1', 'id2', { id1: 200, id2: 0 });
  await cluster.advance(50);
  await cluster.settle(cluster.node(2).db.transaction((tx) => tx.write('t', 'k', 'of 2')));
  await cluster.advance(10);
  await cluster.settle(cluster.node(1).db.dirtyWrite('t', 'k', 'of 1'));
  await cluster.advance(1_000);
  await cluster.healAndMeet();
  await allAlike();
  expect(values('k')).toEqual(['of 1', 'of 1']);
  expect(
    cluster
      .node(1)
      .db.ledger()
      .map(({ loser }) => loser.value),
  ).toEqual(['of 2']);
});

test('What was written over a dirty write that had come is no conflict with it', async () => {
  await startWithTable(2);
  await cluster.settle(cluster.node(1).db.dirtyWrite('t', 'k', 'of 1'));
  await cluster.advance(20);
  await cluster.split([1], [2]);
  await cluster.node(2).write('t', 'k', 'over it');
  await cluster.healAndMeet();
  await allAlike();
  expect(values('k')).toEqual(['over it', 'over it']);
  expect(cluster.node(1).db.ledger()).toEqual([]);
});

test('Dirty writers go on while islands are merged, and all they were told yes to is there', async () => {
  await startWithTable();
  await cluster.split([1, 2], [3]);
  cluster.heal();
  const writes: Promise<void>[] = [];
  for (let n = 0; n < 200; n++) {
    for (const { db, id } of cluster.nodes) writes.push(db.dirtyWrite('t', `${id} ${n}`, n));
    await cluster.advance(1);
  }
  await cluster.settle(Promise.all(writes));
  await allAlike();
  expect(cluster.node(1).db.tableInfo('t').size).toBe(600);
});

test('M74 Of a table with majority a dirty write is a transaction, and is refused where there is none', async () => {
  cluster = await Cluster.start(3);
  await cluster.createTable('m', 'disc_copies', { majority: true });
  await cluster.split([1], [2, 3]);
  expect((await cluster.failure(cluster.node(1).db.dirtyWrite('m', 'k', 1))).code).toBe('no_majority');
});

test('M55 What all nodes add to a counter at once adds up, a negative sum is 0, and what is no number is refused', async () => {
  await startWithTable();
  const added = cluster.nodes.flatMap(({ db }) => [1, 2, 3].map((n) => db.dirtyUpdateCounter('t', 'c', n)));
  expect(Math.max(...(await cluster.settle(Promise.all(added))))).toBe(18);
  await cluster.advance(100);
  expect(values('c')).toEqual([18, 18, 18]);
  const { db } = cluster.node(1);
  expect(await cluster.settle(db.dirtyUpdateCounter('t', 'c', -20))).toBe(0);
  expect((await cluster.failure(db.dirtyUpdateCounter('t', 'c', 0.5))).code).toBe('bad_value');
  await cluster.node(1).write('t', 'text', 'x');
  expect((await cluster.failure(db.dirtyUpdateCounter('t', 'text', 1))).code).toBe('bad_value');
});

test('A commit that a dirty write of a lost node has overtaken changes nothing, at its coordinator and elsewhere', async () => {
  await startWithTable();
  cluster.network.delay('id2', 'id1', 100);
  cluster.network.delay('id1', 'id2', 100);
  const committed = cluster.node(2).db.transaction((tx) => tx.write('t', 'k', 'committed'));
  await cluster.advance(10);
  void cluster.node(1).db.dirtyWrite('t', 'k', 'dirty');
  await cluster.until(() => cluster.node(3).db.dirtyRead('t', 'k') === 'dirty');
  // Nobody but peer 3 has heard of it, and peer 1 nothing of the transaction, which is made without it.
  cluster.node(1).kill({ sent: 'lost' });
  await cluster.settle(committed);
  await cluster.advance(500);
  expect([2, 3].map((n) => cluster.node(n).db.dirtyRead('t', 'k'))).toEqual(['dirty', 'dirty']);
  await cluster.node(1).start();
  await allAlike();
});

test('A merge waits for dirty writes that are under way: its digests fit at the first try', async () => {
  await startWithTable();
  cluster.network.delay('id3', 'id2', 80);
  const { mark } = cluster;
  const made = cluster.node(1).db.createTable({ name: 'made', disc_copies: cluster.names });
  const writes: Promise<void>[] = [];
  for (let n = 0; n < 300; n++) {
    writes.push(cluster.node(3).db.dirtyWrite('t', n, n));
    await cluster.advance(1);
  }
  await cluster.settle(made);
  await cluster.settle(Promise.all(writes));
  expect(cluster.messages(Kind.mergeAbort, mark)).toEqual([]);
  await allAlike();
});

test('A dirty write of a member that has made a merge waits at one that has not heard of it yet', async () => {
  await startWithTable();
  await cluster.split([1, 2], [3]);
  cluster.network.delay('id1', 'id3', 60);
  const { mark } = cluster;
  cluster.heal();
  const runsWithAll = (n: number): boolean => cluster.node(n).db.runningDbNodes().length === 3;
  await cluster.until(() => runsWithAll(2));
  expect(runsWithAll(3)).toBe(false);
  await cluster.settle(cluster.node(2).db.dirtyWrite('t', 'k', 'after the merge'));
  await cluster.advance(20);
  expect(runsWithAll(3)).toBe(false);
  await cluster.advance(200);
  expect(values('k')).toEqual(['after the merge', 'after the merge', 'after the merge']);
  // Nobody was let go because of it.
  expect(cluster.messages(Kind.exclude, mark)).toEqual([]);
  await allAlike();
});

test('A dirty write to a replica that is just being made comes to it, though it has not heard yet that it has it', async () => {
  cluster = await Cluster.start(3);
  const [one, two, three] = cluster.names as [string, string, string];
  await cluster.settle(cluster.node(1).db.createTable({ name: 't', disc_copies: [one] }));
  await cluster.settle(cluster.node(1).db.addTableCopy('t', two, 'disc_copies'));
  await cluster.advance(1_000);
  cluster.network.delay('id1', 'id3', 60);
  const added = cluster.node(1).db.addTableCopy('t', three, 'disc_copies');
  const knows = (n: number): boolean => cluster.node(n).db.tableInfo('t').discCopies.includes(three);
  await cluster.until(() => knows(2));
  expect(knows(3)).toBe(false);
  await cluster.settle(cluster.node(2).db.dirtyWrite('t', 'k', 'early'));
  await cluster.advance(20);
  expect(knows(3)).toBe(false);
  await cluster.settle(added);
  expect(cluster.node(3).db.dirtyRead('t', 'k')).toBe('early');
  await allAlike();
});

test('A delete that is known to be everywhere is forgotten without a later one of the same key', async () => {
  await startWithTable(2);
  const { db } = cluster.node(1);
  await cluster.settle(db.transaction((tx) => tx.write('t', 'k', 'first')));
  await cluster.advance(2_000);
  await cluster.settle(db.transaction((tx) => tx.delete('t', 'k')));
  await cluster.advance(20);
  await cluster.settle(db.dirtyWrite('t', 'k', 'again'));
  await cluster.advance(20);
  cluster.network.delay('id1', 'id2', 3_000);
  await cluster.settle(db.dirtyDelete('t', 'k'));
  // Peer 2 says by its tick that it has the first delete.
  await cluster.advance(1_200);
  cluster.node(1).kill({ sent: 'lost' });
  cluster.network.delay('id1', 'id2', 0);
  await cluster.node(1).start();
  await allAlike();
  expect(values('k')).toEqual([undefined, undefined]);
});
