/** Goal: the log in front of a store keeps the contract of a disc, loses nothing acknowledged, and says when a disc did. */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLevelStore } from '../../../storage/disc/level-store.ts';
import { openLogFiles } from '../../../storage/disc/log-files.ts';
import { LoggedDisc } from '../../../storage/disc/logged-disc.ts';
import type { Disc } from '../../../storage/environment.ts';
import { StorageError } from '../../../storage/errors.ts';
import { createClock } from '../../../storage/local-environment.ts';
import { contents, del, describeDisc, octets, put, textOf, write } from './conformance.ts';
import { openLogged } from './open-logged.ts';

const FOLD_BYTES = 2_000;

const openAt = (directory: string, foldBytes = FOLD_BYTES, recordOperationsMax?: number): Promise<LoggedDisc> =>
  openLogged(directory, foldBytes, recordOperationsMax);

for (const [foldBytes, recordOperationsMax] of [
  [FOLD_BYTES, undefined],
  [1 << 20, undefined],
  [FOLD_BYTES, 100],
] as const) {
  describeDisc(
    `a log over LevelDB that folds every ${foldBytes} octets, ${recordOperationsMax ?? 'any'} a record`,
    () => {
      let directory: string;
      let disc: Disc;
      return {
        open: async () => {
          directory = await mkdtemp(join(tmpdir(), 'peerage-logged-'));
          disc = await openAt(directory, foldBytes, recordOperationsMax);
          return disc;
        },
        reopen: async () => {
          disc = await openAt(directory, foldBytes, recordOperationsMax);
          return disc;
        },
        dispose: async () => {
          await disc.close();
          await rm(directory, { recursive: true });
        },
      };
    },
  );
}

describe('a log over LevelDB', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'peerage-logged-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const log = (): string => join(directory, 'log');
  const logFiles = async (): Promise<string[]> =>
    (await readdir(log())).filter((name) => name.endsWith('.turns')).sort();
  const storeContents = async (): Promise<[string, string][]> => {
    const store = await openLevelStore(join(directory, 'store'), { create: false });
    const found = await contents(store);
    await store.close();
    return found;
  };

  /** Writes keys 0 to `count`, each synced, and closes. All of it stays in the log. */
  async function writeSynced(count: number): Promise<void> {
    const disc = await openAt(directory, 1 << 20);
    for (let i = 0; i < count; i++) await write(disc, [put(`k${i}`, String(i))], true);
    // Notes of how far the log is synced are taken now and then only.
    await new Promise((resolve) => setTimeout(resolve, 250));
    await write(disc, [put('last', 'x')], true);
    await disc.close();
  }

  test('a key written a thousand times is folded once, and the file goes that held it', async () => {
    const disc = await openAt(directory, 1 << 20);
    for (let i = 0; i < 1_000; i++)
      await write(disc, [put('counter', String(i)), put(`only${i % 3}`, 'x'), del('gone')]);
    expect(await logFiles()).toEqual(['0000000000000001.turns']);
    await disc.close();
    expect(await storeContents()).toEqual([]);
    const small = await openAt(directory, 1_000);
    await write(small, [put('b', '1')]);
    await small.close();
    expect(await storeContents()).toEqual([
      ['counter', '999'],
      ['only0', 'x'],
      ['only1', 'x'],
      ['only2', 'x'],
    ]);
    expect(await logFiles()).toEqual(['0000000000001001.turns']);
  });

  test('reads see the log over the store, deletes too, while it is folded and after', async () => {
    const disc = await openAt(directory);
    await write(disc, [put('a', 'old'), put('b', 'old'), put('c', 'old')]);
    const model = new Map([
      ['a', 'old'],
      ['b', 'old'],
      ['c', 'old'],
    ]);
    for (let i = 0; i < 200; i++) {
      const key = 'abcdefgh'[(i * 7) % 8] as string;
      const isDelete = i % 5 === 0;
      if (isDelete) model.delete(key);
      else model.set(key, 'v'.repeat(i));
      await write(disc, [isDelete ? del(key) : put(key, 'v'.repeat(i))]);
      expect(await contents(disc)).toEqual([...model].sort());
      const value = await disc.get(octets(key));
      expect(value === undefined ? undefined : textOf(value)).toBe(model.get(key));
    }
    await disc.close();
  });

  test('a torn last record, never acknowledged, is left out without a word', async () => {
    await writeSynced(3);
    const [file] = (await logFiles()) as [string];
    const whole = await readFile(join(log(), file));
    await writeFile(join(log(), file), Buffer.concat([whole, whole.subarray(0, 25)]));
    const disc = await openAt(directory);
    expect(disc.loss).toBeUndefined();
    expect((await contents(disc)).map(([key]) => key)).toEqual(['k0', 'k1', 'k2', 'last']);
    await write(disc, [put('more', 'x')]);
    await disc.close();
    const again = await openAt(directory);
    expect((await contents(again)).map(([key]) => key)).toEqual(['k0', 'k1', 'k2', 'last', 'more']);
    await again.close();
  });

  test('a log that lost its synced end is found out, and numbers are not given twice', async () => {
    await writeSynced(5);
    const [file] = (await logFiles()) as [string];
    const whole = await readFile(join(log(), file));
    await truncate(join(log(), file), Math.floor(whole.length / 2) - 5);
    const disc = await openAt(directory);
    expect(disc.loss).toMatchObject({ first: 3, last: 6, setAside: [join(log(), `${file}.damaged`)] });
    expect((await contents(disc)).map(([key]) => key)).toEqual(['k0', 'k1']);
    await write(disc, [put('more', 'x')], true);
    await disc.close();
    const again = await openAt(directory);
    expect(again.loss).toBeUndefined();
    expect((await contents(again)).map(([key]) => key)).toEqual(['k0', 'k1', 'more']);
    await again.close();
  });

  test('an octet that changed in the middle of the log ends it there; what follows is kept in a file set aside', async () => {
    await writeSynced(5);
    const [file] = (await logFiles()) as [string];
    const path = join(log(), file);
    const whole = await readFile(path);
    whole[Math.floor(whole.length / 2)]! ^= 0x10;
    await writeFile(path, whole);
    const disc = await openAt(directory);
    expect(disc.loss).toMatchObject({ last: 6, setAside: [`${path}.damaged`] });
    expect(disc.loss?.first).toBeGreaterThan(1);
    expect((await contents(disc)).map(([key]) => key)).toEqual(
      Array.from({ length: (disc.loss?.first as number) - 1 }, (_, i) => `k${i}`),
    );
    await disc.close();
    expect(await readFile(`${path}.damaged`)).toEqual(whole);
  });

  test('a log whose files are gone is found out', async () => {
    await writeSynced(3);
    for (const file of await logFiles()) await rm(join(log(), file));
    const disc = await openAt(directory);
    expect(disc.loss).toEqual({ first: 1, last: 4, setAside: [] });
    expect(await contents(disc)).toEqual([]);
    await disc.close();
  });

  test('a batch of several records is there whole or not at all, wherever the log ends', async () => {
    const before = await openAt(directory, 1 << 20);
    await write(before, [put('a', 'old'), put('k3', 'old')]);
    await before.close();
    const batch = [del('a'), ...Array.from({ length: 10 }, (_, i) => put(`k${i}`, '\x02'))];
    const disc = await openAt(directory, 1 << 20, 3);
    await write(disc, batch);
    const whole = await contents(disc);
    expect(whole).toHaveLength(10);
    await disc.close();
    const file = join(log(), (await logFiles()).at(-1) as string);
    const octetsOfFile = await readFile(file);
    for (let length = octetsOfFile.length; length >= 0; length -= 7) {
      await writeFile(file, octetsOfFile.subarray(0, length));
      const again = await openAt(directory, 1 << 20, 3);
      expect(again.loss).toBeUndefined();
      const isWhole = length === octetsOfFile.length;
      expect(await contents(again)).toEqual(
        isWhole
          ? whole
          : [
              ['a', 'old'],
              ['k3', 'old'],
            ],
      );
      await write(again, [put('more', 'x')]);
      await write(again, [del('more')]);
      await again.close();
      for (const other of await logFiles()) if (join(log(), other) > file) await rm(join(log(), other));
    }
  });

  test('a disc that is full between two records of a batch leaves nothing of it', async () => {
    const before = await openAt(directory, 1 << 20);
    await write(before, [put('k1', 'old')]);
    await before.close();
    let room = 2;
    const files = await openLogFiles(log());
    const create = files.create.bind(files);
    files.create = async (number) => {
      const file = await create(number);
      const append = async (record: Uint8Array): Promise<void> => {
        if (room-- === 0) throw new StorageError('disc_full', 'No space is left on the disc.');
        await file.append(record);
      };
      return { number, append, sync: () => file.sync(), close: () => file.close() };
    };
    const store = await openLevelStore(join(directory, 'store'));
    const disc = new LoggedDisc({ store, files, clock: createClock(), recordOperationsMax: 3 });
    const batch = Array.from({ length: 10 }, (_, i) => put(`k${i}`, 'new'));
    expect(await write(disc, batch, true)).toMatchObject({ code: 'disc_full' });
    expect(await contents(disc)).toEqual([['k1', 'old']]);
    await disc.close();
    const again = await openAt(directory);
    expect(again.loss).toBeUndefined();
    expect(await contents(again)).toEqual([['k1', 'old']]);
    await again.close();
  });

  test('other work has its turn between the records of a batch, and no other write gets in between', async () => {
    const disc = await openAt(directory, 1 << 20, 3);
    await write(disc, [put('first', 'x')]);
    let isDone = false;
    let turns = 0;
    const count = (): void => {
      if (isDone) return;
      turns += 1;
      setImmediate(count);
    };
    const large = write(
      disc,
      Array.from({ length: 30 }, (_, i) => put(`k${i}`, 'large')),
    ).then(() => {
      isDone = true;
    });
    setImmediate(count);
    const small = write(disc, [put('k29', 'small')]);
    await Promise.all([large, small]);
    expect(turns).toBeGreaterThanOrEqual(10);
    expect(textOf((await disc.get(octets('k29'))) as Uint8Array)).toBe('small');
    await disc.close();
  });
});
