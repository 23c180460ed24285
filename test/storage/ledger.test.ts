/** The ledger as people use it: putting back, accepting, clearing, and its bound. */
import { expect, test } from 'vitest';
import type { DatabaseLimits } from '../../storage/types.ts';
import { Cluster } from './support/cluster.ts';

/** Three nodes and one conflict per key: `left <key>` lost to `right <key>`. */
async function withConflicts(keys: readonly string[], limits: Partial<DatabaseLimits> = {}): Promise<Cluster> {
  const cluster = await Cluster.start(3, { limits });
  await cluster.createTable('t');
  await addConflicts(cluster, keys);
  return cluster;
}

async function addConflicts(cluster: Cluster, keys: readonly string[]): Promise<void> {
  await cluster.split([1, 2], [3]);
  for (const key of keys) await cluster.node(1).write('t', key, `left ${key}`);
  for (const key of keys) await cluster.node(3).write('t', key, `right ${key}`);
  cluster.heal();
}

function idOf(cluster: Cluster, key: string): string {
  return cluster
    .node(1)
    .db.ledger()
    .find((entry) => entry.key === key)!.id;
}

async function met(cluster: Cluster): Promise<Cluster> {
  await cluster.together();
  await cluster.advance(2_000);
  return cluster;
}

test('An entry is put back once: the second time says that it is settled', async () => {
  const cluster = await met(await withConflicts(['k']));
  const { db } = cluster.node(2);
  const id = idOf(cluster, 'k');
  await cluster.settle(db.restoreFromLedger(id));
  expect(await cluster.failure(db.restoreFromLedger(id))).toMatchObject({ code: 'ledger_entry_settled' });
  expect([db.dirtyRead('t', 'k'), db.ledger().length]).toEqual(['left k', 1]);
  expect((await cluster.failure(db.acceptLedgerEntry('nobody'))).code).toBe('no_such_ledger_entry');
});

test('A value written since the merge is kept in an entry of its own when the loser is put back over it', async () => {
  const cluster = await met(await withConflicts(['k']));
  const { db } = cluster.node(2);
  await cluster.node(3).write('t', 'k', 'newer');
  await cluster.settle(db.restoreFromLedger(idOf(cluster, 'k')));
  await cluster.advance(100);
  for (const node of cluster.nodes) {
    expect(node.db.dirtyRead('t', 'k')).toBe('left k');
    expect(node.db.ledger().map(({ rule, loser, restored }) => [rule, loser.value, restored])).toEqual(
      [
        ['last_write', 'left k', true],
        ['restored', 'newer', false],
      ].sort(
        (a, b) =>
          (node.db.ledger()[0]?.rule === 'restored' ? 1 : -1) *
          (a[0] === 'restored' ? -1 : b[0] === 'restored' ? 1 : 0),
      ),
    );
  }
  const again = db.ledger().find(({ rule }) => rule === 'restored')!;
  await cluster.settle(db.restoreFromLedger(again.id));
  expect(db.dirtyRead('t', 'k')).toBe('newer');
});

test('A row deleted since the merge is put back, and that it was deleted is kept', async () => {
  const cluster = await met(await withConflicts(['k']));
  const { db } = cluster.node(2);
  await cluster.node(3).delete('t', 'k');
  await cluster.settle(db.restoreFromLedger(idOf(cluster, 'k')));
  expect(db.dirtyRead('t', 'k')).toBe('left k');
  expect(db.ledger().find(({ rule }) => rule === 'restored')?.loser.deleted).toBe(true);
});

test('Nothing can be put back into a table that was deleted, and the entry stays', async () => {
  const cluster = await met(await withConflicts(['k']));
  const { db } = cluster.node(2);
  const id = idOf(cluster, 'k');
  await cluster.settle(db.deleteTable('t'));
  expect(await cluster.failure(db.restoreFromLedger(id))).toMatchObject({
    code: 'no_such_table',
    fields: { table: 't' },
  });
  expect(db.ledger()).toMatchObject([{ restored: false }]);
});

test('pruneLedger takes settled entries, oldest first, and no others', async () => {
  const cluster = await met(await withConflicts(['a', 'b', 'c', 'd']));
  const { db } = cluster.node(2);
  for (const key of ['a', 'b']) await cluster.settle(db.acceptLedgerEntry(idOf(cluster, key)));
  await cluster.settle(db.restoreFromLedger(idOf(cluster, 'c')));
  expect(await cluster.settle(db.pruneLedger(1))).toBe(2);
  expect(await cluster.settle(db.pruneLedger())).toBe(1);
  await cluster.advance(100);
  for (const node of cluster.nodes) expect(node.db.ledger().map(({ key }) => key)).toEqual(['d']);
  expect((await cluster.failure(db.pruneLedger(0.5))).code).toBe('bad_value');
});

test('Past its limit the ledger gives up settled entries for new ones, on nodes that are away too', async () => {
  const cluster = await met(await withConflicts(['a', 'b', 'c'], { ledgerEntriesMax: 3 }));
  const { db } = cluster.node(1);
  for (const key of ['b', 'a']) await cluster.settle(db.acceptLedgerEntry(idOf(cluster, key)));
  await cluster.advance(2_000);
  cluster.node(2).kill();
  await cluster.split([1], [3]);
  await cluster.node(1).write('t', 'x', 1);
  await cluster.node(3).write('t', 'x', 3);
  cluster.heal();
  await cluster.until(() => db.systemInfo().runningDbNodes.length === 2);
  await cluster.node(2).start();
  await met(cluster);
  for (const node of cluster.nodes) {
    const keys = node.db
      .ledger()
      .map(({ key }) => key)
      .sort();
    expect(keys).toEqual(['a', 'c', 'x']);
  }
});

test('A ledger full of what nobody has settled refuses the merge: both sides go on, and join when there is room', async () => {
  const cluster = await met(await withConflicts(['a', 'b'], { ledgerEntriesMax: 2 }));
  await addConflicts(cluster, ['c']);
  await cluster.advance(5_000);
  expect(cluster.node(1).eventsOf('ledger_full')[0]).toEqual({ type: 'ledger_full', entries: 2, limit: 2 });
  expect(cluster.node(1).eventsOf('connect_failed').at(-1)?.reason).toContain('acceptLedgerEntry');
  expect(cluster.nodes.map(({ db }) => db.dirtyRead('t', 'c'))).toEqual(['left c', 'left c', 'right c']);
  await cluster.node(3).write('t', 'goes on', 1);
  await cluster.settle(cluster.node(1).db.acceptLedgerEntry(idOf(cluster, 'a')));
  await met(cluster);
  for (const { db } of cluster.nodes) {
    expect([db.dirtyRead('t', 'c'), db.dirtyRead('t', 'goes on')]).toEqual(['right c', 1]);
    expect(
      db
        .ledger()
        .map(({ key }) => key)
        .sort(),
    ).toEqual(['b', 'c']);
  }
});
