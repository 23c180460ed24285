/** Goal: the log in front of a store keeps the contract of a disc, loses nothing acknowledged, and says when a disc did. */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLevelStore } from '../../../storage/disc/level-store.ts';
import type { LoggedDisc } from '../../../storage/disc/logged-disc.ts';
import type { Disc } from '../../../storage/environment.ts';
import { contents, del, describeDisc, octets, put, textOf, write } from './conformance.ts';
import { openLogged } from './open-logged.ts';

const FOLD_BYTES = 2_000;

const openAt = (directory: string, foldBytes = FOLD_BYTES): Promise<LoggedDisc> => openLogged(directory, foldBytes);

for (const foldBytes of [FOLD_BYTES, 1 << 20]) {
  describeDisc(`a log over LevelDB that folds every ${foldBytes} octets`, () => {
    let directory: string;
    let disc: Disc;
    return {
      open: async () => {
        directory = await mkdtemp(join(tmpdir(), 'peerage-logged-'));
        disc = await openAt(directory, foldBytes);
        return disc;
      },
      reopen: async () => {
        disc = await openAt(directory, foldBytes);
        return disc;
      },
      dispose: async () => {
        await disc.close();
        await rm(directory, { recursive: true });
      },
    };
  });
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
    ]); // prettier-ignore
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
});
