/** What a function sees inside a transaction, and what is left when it fails. One node: see commit.test.ts for several. */
import { AsyncResource } from 'node:async_hooks';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Database } from '../../storage/database.ts';
import type { Transaction, Value } from '../../storage/types.ts';
import { Cluster } from './support/cluster.ts';

let cluster: Cluster;
let db: Database;

beforeEach(async () => {
  cluster = await Cluster.start(1, { limits: { transactionsMax: 5 } });
  db = cluster.node(1).db;
  await cluster.settle(db.createTable({ name: 'people', disc_copies: [cluster.node(1).name] }));
  await cluster.node(1).write('people', 'anna', { age: 31, tags: ['x'] });
});

afterEach(() => {
  const { heldLocks, lockQueue } = db.systemInfo();
  expect({ heldLocks, lockQueue }).toEqual({ heldLocks: 0, lockQueue: 0 });
});

function transact<T>(fn: (tx: Transaction) => T | Promise<T>, options = {}): Promise<T> {
  return cluster.settle(db.transaction(fn, options));
}

/** Somebody else's write while an async function waits: begun outside that function, so not nested. */
const writeMeanwhile = AsyncResource.bind(async (key: string, value: Value): Promise<void> => {
  await Promise.resolve();
  await db.dirtyWrite('people', key, value);
});

test('M50 a transaction reads what it wrote, before anybody else does', async () => {
  const seen = await transact((tx) => {
    tx.write('people', 'ben', 1);
    tx.write('people', 'ben', 2);
    tx.delete('people', 'anna');
    return {
      ben: tx.read('people', 'ben'),
      hasBen: tx.has('people', 'ben'),
      anna: tx.read('people', 'anna'),
      hasAnna: tx.has('people', 'anna'),
      outside: [db.dirtyRead('people', 'ben'), db.dirtyAllKeys('people')],
    };
  });
  expect(seen).toEqual({ ben: 2, hasBen: true, anna: undefined, hasAnna: false, outside: [undefined, ['anna']] });
  expect(db.dirtyAllKeys('people')).toEqual(['ben']);
});

test('M50 allKeys and forEach lay the own writes and deletes over the table', async () => {
  await cluster.node(1).write('people', 'carl', 3);
  const [keys, rows] = await transact((tx) => {
    tx.write('people', 'dora', 4);
    tx.write('people', 'carl', 33);
    tx.delete('people', 'anna');
    tx.write('people', 'gone', 5);
    tx.delete('people', 'gone');
    const visited: [unknown, Value][] = [];
    tx.forEach('people', (key, value) => visited.push([key, value]));
    return [tx.allKeys('people').sort(), visited.sort()];
  });
  expect(keys).toEqual(['carl', 'dora']);
  expect(rows).toEqual([
    ['carl', 33],
    ['dora', 4],
  ]);
});

test('M50 a key written after its own delete is there again', async () => {
  await transact((tx) => {
    tx.delete('people', 'anna');
    tx.write('people', 'anna', 'new');
    expect(tx.has('people', 'anna')).toBe(true);
  });
  expect(db.dirtyRead('people', 'anna')).toBe('new');
});

test('A row may hold undefined or null and is still there', async () => {
  await transact((tx) => {
    tx.write('people', 'u', undefined);
    tx.write('people', 'n', null);
  });
  const seen = await transact((tx) => [tx.has('people', 'u'), tx.read('people', 'u'), tx.read('people', 'n')]);
  expect(seen).toEqual([true, undefined, null]);
});

test('Values handed out are frozen copies: neither the writer nor a reader can change the row', async () => {
  const mine = { list: [1, 2] };
  await cluster.node(1).write('people', 'eve', mine);
  mine.list.push(3);
  const read = (await transact((tx) => tx.read('people', 'eve'))) as { list: number[] };
  expect(read).toEqual({ list: [1, 2] });
  expect(() => read.list.push(4)).toThrow(TypeError);
  expect(db.dirtyRead('people', 'eve')).toEqual({ list: [1, 2] });
});

test('M36 abort gives its reason to the caller and leaves nothing behind', async () => {
  const reason = { why: 'changed my mind' };
  const error = await cluster.failure(
    db.transaction((tx) => {
      tx.write('people', 'ben', 1);
      tx.delete('people', 'anna');
      tx.abort(reason);
    }),
  );
  expect(error).toMatchObject({ name: 'StorageError', code: 'aborted', fields: { reason } });
  expect(db.dirtyAllKeys('people')).toEqual(['anna']);
});

test.each([
  [
    'throws',
    (): never => {
      throw new RangeError('boom');
    },
  ],
  [
    'is rejected later',
    async (): Promise<never> => {
      await Promise.resolve();
      throw new RangeError('boom');
    },
  ],
])('M36 a function that %s aborts with its error as the cause, and leaves nothing behind', async (_, fail) => {
  const error = await cluster.failure(
    db.transaction((tx) => {
      tx.write('people', 'ben', 1);
      return fail();
    }),
  );
  expect(error).toMatchObject({ code: 'aborted', fields: { reason: 'function_failed' } });
  expect(error.cause).toBeInstanceOf(RangeError);
  expect(error.message).toContain('boom');
  expect(db.dirtyAllKeys('people')).toEqual(['anna']);
});

test('A transaction begun inside the function of another is refused with nested_await', async () => {
  const error = await cluster.failure(
    db.transaction((tx) => {
      tx.write('people', 'ben', 1);
      return db.transaction((inner) => inner.write('people', 'ben', 2));
    }),
  );
  expect(error.code).toBe('nested_await');
  expect(db.dirtyRead('people', 'ben')).toBeUndefined();
});

test('A transaction begun in an async function after it has awaited something is refused too, whichever way it is begun', async () => {
  const ways: (() => Promise<unknown>)[] = [
    () => db.transaction((inner) => inner.write('people', 'ben', 2)),
    () => db.transaction(async (inner) => inner.write('people', 'ben', 2)),
    () => db.syncTransaction((inner) => inner.write('people', 'ben', 2)),
    () => db.dirtyWrite('people', 'ben', 2),
    () => db.dirtyDelete('people', 'anna'),
    () => Promise.all([Promise.resolve().then(() => db.dirtyWrite('people', 'ben', 2))]),
  ];
  for (const begin of ways) {
    let runs = 0;
    const error = await cluster.failure(
      db.transaction(async (tx) => {
        runs += 1;
        tx.read('people', 'ben');
        await new Promise((resolve) => setImmediate(resolve));
        await begin();
      }),
    );
    expect([error.code, runs, String(begin)]).toEqual(['nested_await', 1, String(begin)]);
  }
  expect(db.dirtyAllKeys('people')).toEqual(['anna']);
});

test('What an async function leaves behind may begin transactions once it has ended', async () => {
  let after: Promise<void> | undefined;
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  await transact(async (tx) => {
    after = ended.then(() => db.dirtyWrite('people', 'ben', 'after'));
    tx.write('people', 'carl', 'inside');
  });
  end();
  await cluster.settle(after as Promise<void>);
  expect(db.dirtyRead('people', 'ben')).toBe('after');
});

test('A transaction on another database may be begun inside', async () => {
  const other = (await Cluster.start(1, { seed: 2 })) as Cluster;
  await other.createTable('people');
  await transact(async (tx) => {
    await other.settle(other.node(1).db.dirtyWrite('people', 'there', 1));
    tx.write('people', 'here', 1);
  });
  expect(other.node(1).db.dirtyRead('people', 'there')).toBe(1);
});

test('M33 with a limit of retries a transaction that keeps losing ends as nomore', async () => {
  let runs = 0;
  const error = await cluster.failure(
    db.transaction(
      async (tx) => {
        runs += 1;
        tx.read('people', 'anna');
        await writeMeanwhile('anna', runs);
        tx.write('people', 'ben', runs);
      },
      { retries: 2 },
    ),
  );
  expect(error).toMatchObject({ code: 'aborted', fields: { reason: 'nomore' } });
  expect(runs).toBe(3);
  expect(db.dirtyRead('people', 'ben')).toBeUndefined();
});

test('M33 a function is run again on what changed under it, and sees the new value', async () => {
  const seen: Value[] = [];
  const result = await transact(async (tx) => {
    const value = tx.read('people', 'count');
    seen.push(value);
    if (seen.length === 1) await writeMeanwhile('count', 7);
    tx.write('people', 'count', ((value as number | undefined) ?? 0) + 1);
    return seen.length;
  });
  expect([result, seen, db.dirtyRead('people', 'count')]).toEqual([2, [undefined, 7], 8]);
  expect(db.systemInfo().restarts).toBe(1);
});

test('A row that appears under a transaction that read the whole table makes it run again', async () => {
  let runs = 0;
  const keys = await transact(async (tx) => {
    runs += 1;
    const found = tx.allKeys('people').sort();
    if (runs === 1) await writeMeanwhile('phantom', 1);
    return found;
  });
  expect([runs, keys]).toEqual([2, ['anna', 'phantom']]);
});

test('A function that never ends is given up at its deadline', async () => {
  const error = await cluster.failure(db.transaction(() => new Promise(() => undefined), { deadlineMs: 400 }));
  expect(error).toMatchObject({ code: 'deadline', fields: { reason: 'running' } });
  expect(db.systemInfo().transactions).toBe(0);
});

test('A function that ends after its deadline changes nothing any more', async () => {
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const late: unknown[] = [];
  const error = await cluster.failure(
    db.transaction(
      async (tx) => {
        await gate;
        try {
          tx.write('people', 'late', 1);
        } catch (ended) {
          late.push(ended);
        }
      },
      { deadlineMs: 200 },
    ),
  );
  release();
  await cluster.advance(100);
  expect(error.code).toBe('deadline');
  expect(late).toMatchObject([{ code: 'aborted', fields: { reason: 'ended' } }]);
  expect(db.dirtyRead('people', 'late')).toBeUndefined();
});

test('A transaction used after its end says so', async () => {
  let kept: Transaction | undefined;
  await transact((tx) => {
    kept = tx;
  });
  const uses = [
    () => kept!.read('people', 'anna'),
    () => kept!.write('people', 'anna', 1),
    () => kept!.delete('people', 'anna'),
    () => kept!.allKeys('people'),
    () => kept!.abort('late'),
  ];
  for (const use of uses)
    expect(use).toThrow(expect.objectContaining({ code: 'aborted', fields: { reason: 'ended' } }));
  expect(db.dirtyRead('people', 'anna')).toEqual({ age: 31, tags: ['x'] });
});

test('Past transactionsMax a transaction is refused as overloaded, and let in again when one has ended', async () => {
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const running = Array.from({ length: 5 }, () => db.transaction(() => gate));
  const error = await cluster.failure(db.transaction((tx) => tx.write('people', 'ben', 1)));
  expect(error).toMatchObject({ code: 'overloaded', fields: { retryAfterMs: 50 } });
  expect(db.dirtyRead('people', 'anna')).toEqual({ age: 31, tags: ['x'] });
  release();
  await cluster.settle(Promise.all(running));
  await cluster.node(1).write('people', 'ben', 1);
  expect(db.dirtyRead('people', 'ben')).toBe(1);
});

test('A bad value is refused with table, key and the path inside it, and the transaction with it', async () => {
  const error = await cluster.failure(
    db.transaction((tx) => {
      tx.write('people', 'ben', 1);
      tx.write('people', 'carl', { a: { b: [1, () => 1] } } as unknown as Value);
    }),
  );
  expect(error).toMatchObject({ code: 'bad_value', fields: { table: 'people', key: 'carl', path: 'a.b[1]' } });
  expect(db.dirtyAllKeys('people')).toEqual(['anna']);
});

test.each([
  ['an object', {}],
  ['undefined', undefined],
  ['an array with an object in it', ['a', {}]],
  ['not a number', Number.NaN],
  ['infinity', Number.POSITIVE_INFINITY],
])('A bad key is refused with its table: %s', async (_, key) => {
  const uses = [
    (tx: Transaction) => tx.read('people', key as never),
    (tx: Transaction) => tx.has('people', key as never),
    (tx: Transaction) => tx.write('people', key as never, 1),
    (tx: Transaction) => tx.delete('people', key as never),
  ];
  for (const use of uses) {
    const error = await cluster.failure(db.transaction((tx) => void use(tx)));
    expect([String(use), error.code, error.fields.table]).toEqual([String(use), 'bad_key', 'people']);
  }
  expect(() => db.dirtyRead('people', key as never)).toThrow(expect.objectContaining({ code: 'bad_key' }));
});

test('A key longer than keyBytesMax and a value longer than valueBytesMax are refused', async () => {
  const key = await cluster.failure(db.dirtyWrite('people', 'k'.repeat(1025), 1));
  const value = await cluster.failure(db.dirtyWrite('people', 'big', 'v'.repeat((1 << 20) + 1)));
  expect([key.code, value.code]).toEqual(['bad_key', 'bad_value']);
});

test('An unknown table is refused by name, in reads as in writes', async () => {
  for (const use of [
    (tx: Transaction) => tx.read('nobody', 1),
    (tx: Transaction) => tx.write('nobody', 1, 1),
    (tx: Transaction) => tx.allKeys('nobody'),
  ]) {
    const error = await cluster.failure(db.transaction((tx) => void use(tx)));
    expect(error).toMatchObject({ code: 'no_such_table', fields: { table: 'nobody' } });
  }
  expect(() => db.dirtyRead('nobody', 1)).toThrow(expect.objectContaining({ code: 'no_such_table' }));
});

test('A closed database ends what runs and refuses what comes, with closed', async () => {
  const running = db.transaction(() => new Promise(() => undefined));
  const ended = cluster.failure(running);
  await cluster.settle(db.close());
  expect((await ended).code).toBe('closed');
  expect((await cluster.failure(db.dirtyWrite('people', 'a', 1))).code).toBe('closed');
  expect(db.systemInfo().isRunning).toBe('no');
});

test('M63 M64 a subscriber hears each change after its commit, in commit order, with the old value', async () => {
  const heard: unknown[] = [];
  const unsubscribe = db.subscribeTable('people', (event) => {
    const value = event.type === 'write' ? event.value : undefined;
    heard.push([event.type, event.key, value, event.oldValue, event.origin, db.dirtyRead('people', event.key)]);
  });
  await transact((tx) => {
    tx.write('people', 'n', 1);
    tx.delete('people', 'anna');
  });
  await cluster.node(1).write('people', 'n', 2);
  unsubscribe();
  await cluster.node(1).write('people', 'n', 3);
  expect(heard).toEqual([
    ['write', 'n', 1, undefined, 'local', 1],
    ['delete', 'anna', undefined, { age: 31, tags: ['x'] }, 'local', undefined],
    ['write', 'n', 2, 1, 'local', 2],
  ]);
});

test('A transaction that read nothing that changed is not run again by others writing elsewhere', async () => {
  let runs = 0;
  await transact(async (tx) => {
    runs += 1;
    tx.read('people', 'anna');
    await writeMeanwhile('other', 1);
    tx.write('people', 'mine', 1);
  });
  expect([runs, db.systemInfo().restarts]).toEqual([1, 0]);
});
