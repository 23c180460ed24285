/** Merge rules that ask somebody: a person (manual), or a function of the program. */
import { expect, test } from 'vitest';
import { DELETE } from '../../storage/index.ts';
import type { MergeContext, MergeFunction, Value } from '../../storage/types.ts';
import { Cluster } from './support/cluster.ts';

/** A cluster of three whose table `t` is merged by a function; each call is written down. */
async function startWith(
  run: MergeFunction,
): Promise<{ cluster: Cluster; calls: [Value, Value, Value, MergeContext][] }> {
  const calls: [Value, Value, Value, MergeContext][] = [];
  const noting: MergeFunction = (base, ours, theirs, context) => {
    calls.push([base, ours, theirs, context]);
    return run(base, ours, theirs, context);
  };
  const cluster = await Cluster.start(3, { mergeFunctions: { f: noting } });
  await cluster.createTable('t', 'disc_copies', { merge: { function: 'f' } });
  return { cluster, calls };
}

/** Both sides of a cut write key k, peer 3 later; and meet again. */
async function conflict(cluster: Cluster, left: Value, right: Value): Promise<void> {
  await cluster.split([1, 2], [3]);
  await cluster.node(2).write('t', 'k', left);
  await cluster.node(3).write('t', 'k', right);
  await cluster.healAndMeet();
}

const sum: MergeFunction = (base, ours, theirs) => (ours as number) + (theirs as number) - ((base as number) ?? 0);

test('A merge function is given what both sides had and what each has now, and its value is on every node', async () => {
  const { cluster, calls } = await startWith(sum);
  await cluster.node(1).write('t', 'k', 10);
  await cluster.advance(2_000);
  await conflict(cluster, 13, 17);
  const [peer1, peer2, peer3] = cluster.names;
  expect(peer1).toBe('clusterdb@peer1');
  for (const { db } of cluster.nodes) {
    expect(db.dirtyRead('t', 'k')).toBe(20);
    const entries = db.ledger().map(({ rule, accepted, winner, loser }) => [rule, accepted, winner.value, loser.value]);
    expect(entries.sort()).toEqual([
      ['function:f', true, 20, 13],
      ['function:f', true, 20, 17],
    ]);
  }
  expect(calls.map(([base, ours, theirs]) => [base, ours, theirs])).toEqual([[10, 13, 17]]);
  expect(calls[0]?.[3]).toMatchObject({ table: 't', key: 'k', isBaseKnown: true, oursNode: peer2, theirsNode: peer3 });
  expect(cluster.nodes.flatMap((node) => node.eventsOf('merge_function_failed'))).toEqual([]);
});

test('The base is known after a restart too, and after each further cut it is what the last merge made', async () => {
  const { cluster, calls } = await startWith(sum);
  await cluster.node(1).write('t', 'k', 10);
  await cluster.advance(2_000);
  await cluster.split([1, 2], [3]);
  await cluster.node(3).write('t', 'k', 11);
  cluster.node(3).kill();
  await cluster.node(1).write('t', 'k', 12);
  await cluster.node(3).start();
  await cluster.healAndMeet();
  await conflict(cluster, 14, 15);
  expect(calls.map(([base, ours, theirs]) => [base, ours, theirs])).toEqual([
    [10, 12, 11],
    [13, 14, 15],
  ]);
  expect(cluster.nodes.map(({ db }) => db.dirtyRead('t', 'k'))).toEqual([16, 16, 16]);
});

test('A deleted row is undefined to a merge function, which may delete by returning DELETE', async () => {
  const { cluster, calls } = await startWith((_, ours) => (ours === undefined ? DELETE : ours));
  await cluster.node(1).write('t', 'k', 10);
  await cluster.advance(2_000);
  await cluster.split([1, 2], [3]);
  await cluster.node(1).delete('t', 'k');
  await cluster.node(3).write('t', 'k', 'kept?');
  await cluster.healAndMeet();
  expect(calls.map(([base, ours, theirs, { oursDeleted }]) => [base, ours, theirs, oursDeleted])).toEqual([
    [10, undefined, 'kept?', true],
  ]);
  for (const { db } of cluster.nodes) {
    expect(db.dirtyAllKeys('t')).toEqual([]);
    expect(db.ledger().map(({ loser, accepted }) => [loser.value, accepted])).toEqual([['kept?', false]]);
  }
});

test.each<[string, MergeFunction, string]>([
  [
    'throws',
    () => {
      throw new Error('cannot add apples');
    },
    'cannot add apples',
  ],
  ['returns nothing', () => undefined, 'returned nothing'],
  ['returns a promise', () => Promise.resolve(1) as never, 'Promise'],
])(
  'A merge function that %s leaves it to last_write: the loser is in the ledger, and an event says why',
  async (_, run, why) => {
    const { cluster } = await startWith(run);
    await conflict(cluster, 'left', 'right');
    for (const { db } of cluster.nodes) {
      expect(db.dirtyRead('t', 'k')).toBe('right');
      expect(db.ledger().map(({ rule, loser, accepted }) => [rule, loser.value, accepted])).toEqual([
        ['last_write', 'left', false],
      ]);
    }
    const events = cluster.nodes.flatMap((node) => node.eventsOf('merge_function_failed'));
    expect(events).toMatchObject([{ table: 't', key: 'k', function: 'f', reason: expect.stringContaining(why) }]);
  },
);

test('A node without the function neither joins nor guesses: it says what it lacks, and joins once it is registered', async () => {
  const cluster = await Cluster.startApart(2);
  const [one, two] = cluster.nodes as [(typeof cluster.nodes)[0], (typeof cluster.nodes)[0]];
  const definition = { name: 't', disc_copies: [one!.name], merge: { function: 'f' } };
  expect(await cluster.failure(one!.db.createTable(definition))).toMatchObject({
    code: 'bad_definition',
    fields: { table: 't', property: 'merge' },
  });
  one!.db.registerMergeFunction('f', sum);
  await cluster.settle(one!.db.createTable(definition));
  cluster.heal();
  await cluster.advance(5_000);
  expect(two!.eventsOf('merge_function_missing')).toEqual([
    { type: 'merge_function_missing', table: 't', function: 'f' },
  ]);
  expect(one!.eventsOf('connect_failed')[0]?.reason).toContain('registerMergeFunction');
  await one!.write('t', 'k', 1);
  two!.db.registerMergeFunction('f', sum);
  await cluster.together();
  expect(two!.db.systemInfo().runningDbNodes).toHaveLength(2);
});

test('manual: the later version stands for now, every node says that somebody must look, until one accepts', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t', 'disc_copies', { merge: 'manual' });
  await conflict(cluster, 'left', 'right');
  const [entry] = cluster.node(1).db.ledger();
  for (const node of cluster.nodes) {
    expect(node.db.dirtyRead('t', 'k')).toBe('right');
    expect(node.eventsOf('merge_manual')).toEqual([{ type: 'merge_manual', table: 't', key: 'k', entry: entry?.id }]);
    expect(node.db.ledger()).toMatchObject([
      { rule: 'manual', winner: { value: 'right' }, loser: { value: 'left' }, restored: false, accepted: false },
    ]);
  }
  await cluster.settle(cluster.node(2).db.acceptLedgerEntry(entry!.id));
  await cluster.advance(100);
  expect(cluster.nodes.map(({ db }) => db.ledger()[0]?.accepted)).toEqual([true, true, true]);
  expect(await cluster.failure(cluster.node(1).db.restoreFromLedger(entry!.id))).toMatchObject({
    code: 'ledger_entry_settled',
    fields: { table: 't', key: 'k' },
  });
  expect(cluster.node(3).db.dirtyRead('t', 'k')).toBe('right');
});
