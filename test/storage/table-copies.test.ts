/** Replicas that are added, removed, moved and changed while the cluster serves. */
import { expect, test } from 'vitest';
import type { ProbePoint } from '../../storage/environment.ts';
import type { StorageKind } from '../../storage/types.ts';
import { Cluster, type ClusterNode } from './support/cluster.ts';

let cluster: Cluster;

const name = (number: number): string => cluster.node(number).name;

/** Three nodes, and a table at some of them. */
async function start(holders: readonly number[], kind: StorageKind = 'disc_copies', rows = 50): Promise<void> {
  cluster = await Cluster.start(3);
  const { db } = cluster.node(holders[0] as number);
  await cluster.settle(db.createTable({ name: 't', [kind]: holders.map(name) }));
  await cluster.advance(500);
  for (let n = 0; n < rows; n++) void db.dirtyWrite('t', n, n);
  await cluster.advance(1_000);
}

function holdersAt({ db }: ClusterNode): Record<string, readonly string[]> {
  const { ramCopies, discCopies } = db.tableInfo('t');
  return { ramCopies, discCopies };
}

async function expectHolders(ram: readonly number[], disc: readonly number[]): Promise<void> {
  await cluster.advance(1_000);
  const expected = { ramCopies: ram.map(name), discCopies: disc.map(name) };
  for (const node of cluster.nodes) expect([node.name, holdersAt(node)]).toEqual([node.name, expected]);
  const holders = [...ram, ...disc].map((number) => cluster.node(number).db.tableInfo('t'));
  expect(new Set(holders.map(({ digest }) => digest)).size).toBe(1);
  expect(holders.every(({ loaded }) => loaded)).toBe(true);
  for (const { db } of cluster.nodes) expect(db.systemInfo().heldLocks).toBe(0);
}

/** Each of three nodes increments its counter again and again until told to stop. */
function increments(): { stop(): Promise<number[]> } {
  let isOn = true;
  const made = [0, 0, 0];
  const loops = cluster.nodes.map(async ({ db }, index) => {
    while (isOn) {
      await db.transaction((tx) => {
        tx.write('t', `count ${index}`, ((tx.read('t', `count ${index}`) as number | undefined) ?? 0) + 1);
      });
      made[index]! += 1;
      await new Promise<void>((resolve) => void cluster.clock.after(1, resolve));
    }
  });
  return {
    stop: async () => {
      isOn = false;
      await cluster.settle(Promise.all(loops));
      return made;
    },
  };
}

async function restart(number: number): Promise<void> {
  cluster.node(number).kill('process');
  await cluster.advance(500);
  await cluster.node(number).start();
  await cluster.together();
  await cluster.advance(2_000);
}

test('M18 addTableCopy: the new replica has all rows, those written meanwhile by each node among them', async () => {
  await start([1]);
  const load = increments();
  await cluster.advance(20);
  await cluster.settle(cluster.node(3).db.addTableCopy('t', name(2), 'disc_copies'));
  await cluster.advance(10);
  expect(cluster.node(2).db.dirtyRead('t', 7)).toBe(7);
  await cluster.advance(100);
  const made = await load.stop();
  await expectHolders([], [1, 2]);
  for (const [index, count] of made.entries()) {
    expect(count).toBeGreaterThan(10);
    expect(cluster.node(2).db.dirtyRead('t', `count ${index}`)).toBe(count);
  }
  await restart(2);
  await expectHolders([], [1, 2]);
});

test('M19 moveTableCopy under writes: the rows are at the other node, and nothing of them is left at the first', async () => {
  await start([1]);
  const load = increments();
  await cluster.advance(20);
  await cluster.settle(cluster.node(2).db.moveTableCopy('t', name(1), name(3)));
  await cluster.advance(100);
  const made = await load.stop();
  await expectHolders([], [3]);
  expect(cluster.node(1).db.tableInfo('t')).toMatchObject({ storageType: 'unknown', size: 0, loaded: false });
  for (const [index, count] of made.entries()) {
    expect(cluster.node(3).db.dirtyRead('t', `count ${index}`)).toBe(count);
  }
  await restart(1);
  await expectHolders([], [3]);
  expect(await cluster.settle(cluster.node(1).db.transaction((tx) => tx.read('t', 7)))).toBe(7);
});

test('M19 delTableCopy: reads go to another replica, the rows are gone from the disc, and declaring the table does not bring it back', async () => {
  await start([1, 2]);
  await cluster.settle(cluster.node(1).db.delTableCopy('t', name(2)));
  await expectHolders([], [1]);
  expect(await cluster.settle(cluster.node(2).db.transaction((tx) => tx.read('t', 7)))).toBe(7);
  await cluster.node(1).write('t', 7, 'later');
  await restart(2);
  await cluster.settle(cluster.node(2).db.createTable({ name: 't', disc_copies: [name(2)] }));
  await expectHolders([], [1]);
  // Added anew it has what there is now, not what its disc once held.
  await cluster.node(1).delete('t', 8);
  await cluster.settle(cluster.node(1).db.addTableCopy('t', name(2), 'disc_copies'));
  await restart(2);
  await expectHolders([], [1, 2]);
  expect([7, 8].map((key) => cluster.node(2).db.dirtyRead('t', key))).toEqual(['later', undefined]);
});

test('M19 delTableCopy of the last replica deletes the table', async () => {
  await start([1]);
  await cluster.settle(cluster.node(2).db.delTableCopy('t', name(1)));
  await cluster.advance(1_000);
  for (const { db } of cluster.nodes) expect(() => db.tableInfo('t')).toThrow('does not exist');
});

test('M20 changeTableCopyType to disc and back: content stays, and the next start shows where it was kept', async () => {
  await start([1, 2], 'ram_copies');
  await cluster.settle(cluster.node(3).db.changeTableCopyType('t', name(2), 'disc_copies'));
  await expectHolders([1], [2]);
  await cluster.node(1).write('t', 7, 'later');
  await cluster.advance(1_000);
  for (const node of cluster.nodes) node.kill();
  for (const node of cluster.nodes) await node.start();
  await cluster.together();
  await cluster.advance(2_000);
  await expectHolders([1], [2]);
  expect([7, 8].map((key) => cluster.node(1).db.dirtyRead('t', key))).toEqual(['later', 8]);
  await cluster.settle(cluster.node(2).db.changeTableCopyType('t', name(2), 'ram_copies'));
  await expectHolders([1, 2], []);
  expect(cluster.node(2).db.dirtyRead('t', 8)).toBe(8);
  for (const node of cluster.nodes) node.kill();
  for (const node of cluster.nodes) await node.start();
  await cluster.together();
  await cluster.advance(8_000);
  expect(cluster.node(2).db.tableInfo('t')).toMatchObject({ size: 0, loaded: true });
});

const COPYING: ProbePoint[] = ['connect.surveyed', 'connect.copied', 'connect.before_lock', 'connect.locked'];

test.each(COPYING)('M18 c18 the target is lost at %s: typed error, and nothing was changed', async (point) => {
  await start([1]);
  const target = cluster.node(3);
  target.onProbe = (reached) => {
    if (reached === point) target.kill();
  };
  const error = await cluster.failure(cluster.node(2).db.addTableCopy('t', name(3), 'disc_copies'));
  expect([error.code, error.fields.nodes]).toEqual(['node_not_running', [name(3)]]);
  await cluster.node(1).write('t', 'after', 1);
  target.onProbe = () => undefined;
  await target.start();
  await cluster.together();
  await expectHolders([], [1]);
});

test.each(COPYING)('M18 c18 the only source is lost at %s: typed error, and nothing was changed', async (point) => {
  await start([1]);
  const source = cluster.node(1);
  source.onProbe = (reached) => {
    if (reached === point) source.kill();
  };
  const error = await cluster.failure(cluster.node(2).db.addTableCopy('t', name(3), 'disc_copies'));
  expect([error.code, error.fields.nodes]).toEqual(['node_not_running', [name(1)]]);
  source.onProbe = () => undefined;
  await source.start();
  await cluster.together();
  await expectHolders([], [1]);
});

test.each(COPYING)('M18 one source of two is lost at %s: the copy is made from the other', async (point) => {
  await start([1, 2]);
  const source = cluster.node(1);
  let isDead = false;
  source.onProbe = (reached) => {
    if (reached !== point || isDead) return;
    isDead = true;
    source.kill();
  };
  await cluster.settle(cluster.node(2).db.addTableCopy('t', name(3), 'ram_copies'));
  expect(isDead).toBe(true);
  await cluster.advance(10);
  expect(cluster.node(3).db.dirtyRead('t', 7)).toBe(7);
  await source.start();
  await cluster.together();
  await expectHolders([3], [1, 2]);
});

test('M18 c20 a transaction that takes long does not hold up a copy, nor does the copy abort it', async () => {
  await start([1]);
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  const long = cluster.node(1).db.transaction(async (tx) => {
    const before = tx.read('t', 1);
    await gate;
    tx.write('t', 'long', before);
  });
  await cluster.settle(cluster.node(1).db.addTableCopy('t', name(2), 'disc_copies'));
  go();
  await cluster.settle(long);
  await expectHolders([], [1, 2]);
  expect(cluster.node(2).db.dirtyRead('t', 'long')).toBe(1);
});

test('M18 a copy that is not done in time is given up, with what stood in the way', async () => {
  await start([1]);
  cluster.network.delay('id3', 'id1', 300);
  const error = await cluster.failure(cluster.node(1).db.addTableCopy('t', name(3), 'disc_copies', { timeoutMs: 50 }));
  expect([error.code, error.message]).toEqual(['deadline', expect.stringContaining('within 50 ms')]);
  cluster.network.delay('id3', 'id1', 1);
  await expectHolders([], [1]);
});

test.each<[string, () => Promise<unknown>, string]>([
  ['a table that is none', () => cluster.node(1).db.addTableCopy('none', name(2), 'ram_copies'), 'no_such_table'],
  ['a node never met', () => cluster.node(1).db.addTableCopy('t', 'clusterdb@x', 'ram_copies'), 'node_not_running'],
  ['a replica there is', () => cluster.node(2).db.addTableCopy('t', name(1), 'ram_copies'), 'table_exists'],
  ['a kind that is none', () => cluster.node(1).db.addTableCopy('t', name(2), 'paper' as never), 'bad_definition'],
  ['no replica to remove', () => cluster.node(1).db.delTableCopy('t', name(3)), 'bad_definition'],
  ['no replica to move', () => cluster.node(1).db.moveTableCopy('t', name(3), name(2)), 'bad_definition'],
  ['a move onto another', () => cluster.node(1).db.moveTableCopy('t', name(1), name(1)), 'table_exists'],
  ['no replica to change', () => cluster.node(1).db.changeTableCopyType('t', name(3), 'ram_copies'), 'bad_definition'],
  ['the ledger', () => cluster.node(1).db.delTableCopy('partition_ledger', name(2)), 'bad_definition'],
])('M18 M19 M20 refused with a code and nothing changed: %s', async (_, act, code) => {
  await start([1], 'disc_copies', 0);
  const error = await cluster.failure(Promise.resolve().then(act));
  expect([error.code, error.message.length > 40]).toEqual([code, true]);
  await expectHolders([], [1]);
});

test('M19 a replica is not removed while another is away, which may have rows of its own', async () => {
  await start([1, 2]);
  await cluster.split([1, 3], [2]);
  const error = await cluster.failure(cluster.node(1).db.delTableCopy('t', name(2)));
  expect([error.code, error.fields.nodes]).toEqual(['node_not_running', [name(2)]]);
  await cluster.node(2).write('t', 'apart', 1);
  await cluster.healAndMeet();
  await expectHolders([], [1, 2]);
  expect(cluster.node(1).db.dirtyRead('t', 'apart')).toBe(1);
});
