/** Transactions over several nodes: isolation, locks, messages, refusals. */
import { afterEach, expect, test } from 'vitest';
import { Kind, NoReason, Vote } from '../../storage/transactions/messages.ts';
import type { Transaction, Value } from '../../storage/types.ts';
import { createSeededRandom } from './disc/virtual-clock.ts';
import { Cluster } from './support/cluster.ts';

let cluster: Cluster;

async function startWithTable(count: number, options: Parameters<typeof Cluster.start>[1] = {}): Promise<void> {
  cluster = await Cluster.start(count, options);
  await cluster.createTable('t');
}

function values(key: string): Value[] {
  return cluster.nodes.map(({ db }) => db.dirtyRead('t', key));
}

function numberOf(tx: Transaction, key: string): number {
  return (tx.read('t', key) as number | undefined) ?? 0;
}

afterEach(async () => {
  await cluster.advance(1_000);
  for (const { db } of cluster.nodes) {
    const { heldLocks, lockQueue, transactions } = db.systemInfo();
    expect({ heldLocks, lockQueue, transactions }).toEqual({ heldLocks: 0, lockQueue: 0, transactions: 0 });
  }
  const digests = cluster.nodes.map(({ db }) => db.tableInfo('t').digest);
  expect(new Set(digests).size).toBe(1);
});

test('M55 increments from all nodes at once on one key add up', async () => {
  await startWithTable(3);
  const increments = cluster.nodes.flatMap(({ db }) =>
    Array.from({ length: 20 }, () => db.transaction((tx) => tx.write('t', 'n', numberOf(tx, 'n') + 1))),
  );
  await cluster.settle(Promise.all(increments));
  await cluster.advance(100);
  expect(values('n')).toEqual([60, 60, 60]);
});

test('A function is not called again while the row it needs is still being written by those before it', async () => {
  await startWithTable(3);
  let calls = 0;
  const increments = cluster.nodes.flatMap(({ db }) =>
    Array.from({ length: 20 }, () =>
      db.transaction((tx) => {
        calls += 1;
        tx.write('t', 'n', numberOf(tx, 'n') + 1);
      }),
    ),
  );
  await cluster.settle(Promise.all(increments));
  await cluster.advance(100);
  expect(values('n')).toEqual([60, 60, 60]);
  expect(calls).toBeLessThan(3 * 60);
});

test('A transaction that writes more than a message may carry is refused and changes nothing', async () => {
  await startWithTable(2);
  const { db } = cluster.node(1);
  const long = 'x'.repeat(1_000_000);
  const writeKeys =
    (count: number) =>
    (tx: Transaction): void => {
      for (let key = 0; key < count; key++) tx.write('t', `k${key}`, long);
    };
  expect(await cluster.failure(db.transaction(writeKeys(9)))).toMatchObject({ code: 'transaction_too_large' });
  expect(values('k0')).toEqual([undefined, undefined]);
  await cluster.settle(db.transaction(writeKeys(8)));
  await cluster.advance(100);
  expect(values('k7')).toEqual([long, long]);
});

test('M55 increments by async functions, with time passing between read and write, add up too', async () => {
  await startWithTable(2);
  const pause = (ms: number): Promise<void> => new Promise((resolve) => cluster.clock.after(ms, resolve));
  const increments = cluster.nodes.flatMap(({ db }, index) =>
    Array.from({ length: 8 }, (_, n) =>
      db.transaction(async (tx) => {
        const before = numberOf(tx, 'n');
        await pause(1 + ((n * 3 + index) % 5));
        tx.write('t', 'n', before + 1);
      }),
    ),
  );
  await cluster.settle(Promise.all(increments));
  await cluster.advance(100);
  expect(values('n')).toEqual([16, 16]);
});

test('Two transactions that each read both keys and clear one cannot both find the other still set', async () => {
  await startWithTable(2);
  for (let round = 0; round < 10; round++) {
    await cluster.node(1).write('t', 'x', 1);
    await cluster.node(2).write('t', 'y', 1);
    await cluster.advance(5);
    const clear = (node: number, own: string, other: string): Promise<void> =>
      cluster.node(node).db.transaction((tx) => {
        if (numberOf(tx, own) + numberOf(tx, other) === 2) tx.write('t', own, 0);
      });
    await cluster.settle(Promise.all([clear(1, 'x', 'y'), clear(2, 'y', 'x')]));
    await cluster.advance(5);
    expect((values('x')[0] as number) + (values('y')[0] as number)).toBe(1);
  }
});

test('A whole-table read and an insert elsewhere cannot pass each other', async () => {
  await startWithTable(2);
  const insertIfEmpty = (node: number): Promise<void> =>
    cluster.node(node).db.transaction((tx) => {
      if (tx.allKeys('t').length === 0) tx.write('t', `from${node}`, 1);
    });
  await cluster.settle(Promise.all([insertIfEmpty(1), insertIfEmpty(2)]));
  await cluster.advance(5);
  expect(cluster.nodes.map(({ db }) => db.dirtyAllKeys('t').length)).toEqual([1, 1]);
});

test('A read-only transaction sees a transfer whole or not at all, on every node and at every moment', async () => {
  await startWithTable(3);
  await cluster.node(1).write('t', 'a', 50);
  await cluster.node(1).write('t', 'b', 50);
  const transfers = Array.from({ length: 15 }, (_, n) =>
    cluster.nodes[n % 2]!.db.transaction((tx) => {
      tx.write('t', 'a', numberOf(tx, 'a') - n);
      tx.write('t', 'b', numberOf(tx, 'b') + n);
    }),
  );
  const sums: Promise<number>[] = [];
  for (let ms = 0; ms < 60; ms++) {
    for (const { db } of cluster.nodes) sums.push(db.transaction((tx) => numberOf(tx, 'a') + numberOf(tx, 'b')));
    await cluster.advance(1);
  }
  await cluster.settle(Promise.all(transfers));
  expect(new Set(await cluster.settle(Promise.all(sums)))).toEqual(new Set([100]));
  expect(values('a')).toEqual([-55, -55, -55]);
});

test('A read-only transaction on any node sees what was answered before it began', async () => {
  await startWithTable(3);
  cluster.network.delay('id1', 'id3', 40);
  for (let n = 1; n <= 5; n++) {
    await cluster.node(1).write('t', 'n', n);
    const read = cluster.node(3).db.transaction((tx) => tx.read('t', 'n'));
    expect(await cluster.settle(read)).toBe(n);
  }
});

test('A read-only transaction sends no message', async () => {
  await startWithTable(2);
  await cluster.node(1).write('t', 'a', 1);
  await cluster.advance(1_000);
  const { mark } = cluster;
  const { clock } = cluster;
  const before = clock.monotonicMs();
  const read = cluster.node(2).db.transaction((tx) => [tx.read('t', 'a'), tx.allKeys('t')]);
  expect(await cluster.settle(read)).toEqual([1, ['a']]);
  expect(clock.monotonicMs() - before).toBeLessThanOrEqual(1);
  expect(cluster.messages(Kind.prepare, mark)).toEqual([]);
});

test('M34 syncTransaction is visible on every replica, and on every disc, when it answers', async () => {
  await startWithTable(3);
  cluster.node(3).disc.setLatencyMs(30);
  await cluster.settle(cluster.node(1).db.syncTransaction((tx) => tx.write('t', 'a', 'kept')));
  expect(values('a')).toEqual(['kept', 'kept', 'kept']);
  // The power goes everywhere at this very moment; whichever node comes back alone has it.
  for (const node of cluster.nodes) node.kill('synced');
  for (const node of cluster.nodes) await node.start();
  await cluster.together();
  expect(values('a')).toEqual(['kept', 'kept', 'kept']);
  await cluster.advance(2_000);
});

test('M47 M48 a seeded storm of transactions on few keys ends without deadlock, keeps its sum and leaves no lock', async () => {
  await startWithTable(3, { seed: 7 });
  const random = createSeededRandom(47);
  const pick = (): string => `k${Math.floor(random.next() * 6)}`;
  const running: Promise<unknown>[] = [];
  for (let n = 0; n < 240; n++) {
    const keys = [pick(), pick(), pick()];
    const { db } = cluster.nodes[n % 3]!;
    const transfer = (tx: Transaction): void => {
      for (const key of keys) tx.write('t', key, numberOf(tx, key) + 1);
      tx.write('t', keys[1]!, numberOf(tx, keys[1]!) - 3);
    };
    running.push(n % 5 === 0 ? db.syncTransaction(transfer) : db.transaction(transfer));
    if (n % 12 === 0) await cluster.advance(1);
  }
  await cluster.settle(Promise.all(running));
  await cluster.advance(500);
  for (const { db } of cluster.nodes) {
    const sum = db.dirtyAllKeys('t').reduce<number>((total, key) => total + (db.dirtyRead('t', key) as number), 0);
    expect(sum).toBe(0);
  }
  expect(cluster.nodes.reduce((sum, { db }) => sum + db.systemInfo().commits, 0)).toBe(240);
});

test('M47 the transaction that was begun first is not starved by younger ones', async () => {
  await startWithTable(3);
  let ended = false;
  const old = cluster
    .node(3)
    .db.transaction((tx) => {
      for (const key of ['a', 'b', 'c', 'd']) tx.write('t', key, numberOf(tx, key) + 1);
    })
    .then(() => {
      ended = true;
    });
  let younger = 0;
  while (!ended && younger < 400) {
    for (const node of [1, 2]) {
      const key = ['a', 'b', 'c', 'd'][younger % 4]!;
      void cluster.node(node).db.transaction((tx) => tx.write('t', key, numberOf(tx, key) + 1));
      younger += 1;
    }
    await cluster.advance(6);
  }
  await cluster.settle(old);
  expect(younger).toBeLessThan(400);
  await cluster.advance(500);
});

test('A table only this node holds commits with no message to anybody', async () => {
  await startWithTable(2);
  await cluster.settle(cluster.node(1).db.createTable({ name: 'mine', disc_copies: [cluster.node(1).name] }));
  await cluster.advance(2_000);
  const { mark } = cluster;
  for (let n = 0; n < 5; n++) await cluster.settle(cluster.node(1).db.transaction((tx) => tx.write('mine', n, n)));
  const other = [Kind.prepare, Kind.commit, Kind.yes, Kind.vote, Kind.applied].flatMap((kind) =>
    cluster.messages(kind, mark),
  );
  expect(other).toEqual([]);
  expect(cluster.node(1).db.dirtyAllKeys('mine')).toHaveLength(5);
});

test('All proposals of a turn share a message, and so do all its votes and all its commits', async () => {
  await startWithTable(2);
  const { mark } = cluster;
  const batchesBefore = cluster.node(1).disc.batches;
  const writes = Array.from({ length: 25 }, (_, n) => cluster.node(1).db.transaction((tx) => tx.write('t', n, n)));
  await cluster.settle(Promise.all(writes));
  await cluster.advance(20);
  const [prepares, yes, commits] = [Kind.prepare, Kind.yes, Kind.commit].map((kind) => cluster.messages(kind, mark));
  expect([prepares, yes, commits].map((messages) => messages?.length)).toEqual([1, 1, 1]);
  // Twenty-five numbers in a row are said as the first and how many.
  expect([yes, commits].map((messages) => messages?.[0]?.message[3])).toEqual([25, 25]);
  expect(cluster.node(1).disc.batches - batchesBefore).toBe(1);
});

test('M42 a table without a local replica is read from a node that has one, and written there', async () => {
  await startWithTable(3);
  const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  await cluster.settle(two.db.createTable({ name: 'far', ram_copies: [two.name] }));
  await two.write('t', 'unrelated', 1);
  await cluster.settle(two.db.transaction((tx) => tx.write('far', 'n', 10)));
  const increment = (tx: Transaction): void => tx.write('far', 'n', (tx.read('far', 'n') as number) + 1);
  const all = [one, two, three].flatMap(({ db }) => Array.from({ length: 5 }, () => db.transaction(increment)));
  await cluster.settle(Promise.all(all));
  const read = one.db.transaction((tx) => [tx.read('far', 'n'), tx.has('far', 'n'), tx.has('far', 'nothing')]);
  expect(await cluster.settle(read)).toEqual([25, true, false]);
  expect(two.db.dirtyRead('far', 'n')).toBe(25);
  expect(() => one.db.dirtyRead('far', 'n')).toThrow(expect.objectContaining({ code: 'table_not_loaded' }));
});

test('M42 a row read from another node and changed before the commit is read again', async () => {
  await startWithTable(2);
  const [one, two] = [cluster.node(1), cluster.node(2)];
  await cluster.settle(two.db.createTable({ name: 'far', ram_copies: [two.name] }));
  await cluster.settle(two.db.transaction((tx) => tx.write('far', 'n', 1)));
  const seen: Value[] = [];
  const copy = one.db.transaction(async (tx) => {
    const value = tx.read('far', 'n');
    seen.push(value);
    if (seen.length === 1) {
      await Promise.resolve();
      await two.db.transaction((tx) => tx.write('far', 'n', 2));
    }
    tx.write('t', 'copy', value);
  });
  await cluster.settle(copy);
  expect([seen, values('copy')[0]]).toEqual([[1, 2], 2]);
});

test('A write whose coordinator does not count a replica that a participant counts is refused until they agree', async () => {
  await startWithTable(3);
  // Peers 2 and 3 lose each other; both still reach peer 1.
  cluster.network.cut('id2', 'id3');
  await cluster.advance(2);
  expect(cluster.node(2).db.systemInfo().runningDbNodes).toEqual([cluster.node(1).name, cluster.node(2).name]);
  const { mark } = cluster;
  const write = cluster.node(2).db.transaction((tx) => tx.write('t', 'a', 1));
  await cluster.settle(write);
  await cluster.advance(5);
  const refusals = cluster.messages(Kind.vote, mark).filter(({ message }) => message[3] === Vote.no);
  expect(refusals[0]).toMatchObject({ from: 'id1', to: 'id2' });
  expect(refusals[0]!.message[4]).toBe(NoReason.view);
  // By then the three had been divided alike on all: nobody counts on a replica that lacks the row.
  const islands = cluster.nodes.map(({ db }) => db.systemInfo().runningDbNodes.length);
  expect(islands).toEqual([2, 2, 1]);
  expect(values('a')).toEqual([1, 1, undefined]);
  await cluster.healAndMeet();
  expect(values('a')).toEqual([1, 1, 1]);
});

test('M74 with majority a node cut off refuses writes with no_majority, and the others go on', async () => {
  await startWithTable(3);
  await cluster.createTable('m', 'disc_copies', { majority: true });
  await cluster.split([1], [2, 3]);
  const error = await cluster.failure(cluster.node(1).db.transaction((tx) => tx.write('m', 'a', 1)));
  expect(error).toMatchObject({
    code: 'no_majority',
    fields: { table: 'm', nodes: [cluster.node(2).name, cluster.node(3).name] },
  });
  await cluster.node(2).write('m', 'a', 2);
  expect(cluster.node(1).db.dirtyRead('m', 'a')).toBeUndefined();
  await cluster.healAndMeet();
  expect(cluster.nodes.map(({ db }) => db.dirtyRead('m', 'a'))).toEqual([2, 2, 2]);
});

test('Same seed, same history: two runs send the same frames', async () => {
  const run = async (): Promise<string> => {
    await startWithTable(3, { seed: 3 });
    const { mark } = cluster;
    const all = cluster.nodes.flatMap(({ db }) =>
      Array.from({ length: 5 }, () => db.transaction((tx) => tx.write('t', 'n', numberOf(tx, 'n') + 1))),
    );
    await cluster.settle(Promise.all(all));
    await cluster.advance(1_000);
    return JSON.stringify(cluster.network.sent.slice(mark));
  };
  expect(await run()).toBe(await run());
});
