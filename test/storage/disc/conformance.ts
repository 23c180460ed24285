/** What every Disc must do, whatever is behind the port. Run against each implementation by its own test file. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compareOctets } from '../../../storage/disc/key-codec.ts';
import type { Disc, DiscFailure, DiscOperation } from '../../../storage/environment.ts';

export interface DiscHarness {
  open(): Promise<Disc>;
  /** Opens again what `open` opened last; that one is closed. */
  reopen(): Promise<Disc>;
  dispose(): Promise<void>;
}

export const octets = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export const put = (key: string, value: string): DiscOperation => ({
  type: 'put',
  key: octets(key),
  value: octets(value),
});
export const del = (key: string): DiscOperation => ({ type: 'del', key: octets(key) });

export const WHOLE = { from: Uint8Array.of(0), to: Uint8Array.of(255) };

/** Resolves to the failure, undefined when the write was good. */
export function write(
  disc: Disc,
  operations: readonly DiscOperation[],
  sync = false,
): Promise<DiscFailure | undefined> {
  return new Promise((resolve) => disc.write(operations, sync, resolve));
}

export async function contents(
  disc: Disc,
  from: Uint8Array = WHOLE.from,
  to: Uint8Array = WHOLE.to,
): Promise<[string, string][]> {
  const entries: [string, string][] = [];
  await disc.scan(from, to, (chunk) => {
    for (const [key, value] of chunk) entries.push([textOf(key), textOf(value)]);
  });
  return entries;
}

export function describeDisc(name: string, createHarness: () => DiscHarness): void {
  describe(`${name} keeps the contract of a Disc`, () => {
    let harness: DiscHarness;
    let disc: Disc;

    beforeEach(async () => {
      harness = createHarness();
      disc = await harness.open();
    });
    afterEach(() => harness.dispose());

    describeWrites(() => disc);
    describeReads(() => disc);

    test('close lets earlier writes finish, refuses later ones in their turn, and may be called twice', async () => {
      const outcomes: string[] = [];
      const note = (id: string) => (failure: DiscFailure | undefined) =>
        outcomes.push(`${id} ${failure?.code ?? 'ok'}`);
      disc.write([put('a', '1')], false, note('first'));
      disc.write([put('b', '2')], true, note('second'));
      const closing = disc.close();
      const lateWrite = new Promise<void>((resolve) =>
        disc.write([put('c', '3')], false, (failure) => {
          note('late')(failure);
          resolve();
        }),
      );
      expect(outcomes).toEqual([]);
      await Promise.all([closing, lateWrite, disc.close()]);
      expect(outcomes).toEqual(['first ok', 'second ok', 'late disc_closed']);
      expect((await write(disc, [put('d', '4')]))?.code).toBe('disc_closed');
      await expect(disc.get(octets('a'))).rejects.toMatchObject({ code: 'closed' });
      await expect(contents(disc)).rejects.toMatchObject({ code: 'closed' });
      expect(await contents(await harness.reopen())).toEqual([
        ['a', '1'],
        ['b', '2'],
      ]);
    });

    test('what was written is there after close and open, again and again', async () => {
      for (let round = 0; round < 3; round++) {
        await write(disc, [put(`round${round}`, 'x'), put('last', String(round))]);
        await disc.close();
        disc = await harness.reopen();
      }
      expect(await contents(disc)).toEqual([
        ['last', '2'],
        ['round0', 'x'],
        ['round1', 'x'],
        ['round2', 'x'],
      ]);
    });
  });
}

function describeWrites(disc: () => Disc): void {
  test('done is never called inside write, not even for no operations', async () => {
    for (const operations of [[], [put('a', '1')]]) {
      let isInside = true;
      const failure = await new Promise((resolve) => {
        disc().write(operations, false, (outcome) => {
          expect(isInside).toBe(false);
          resolve(outcome);
        });
        isInside = false;
      });
      expect(failure).toBeUndefined();
    }
  });

  test('done calls come in the order of the writes, of synced ones among themselves, and each sees its write in effect', async () => {
    const [written, order]: [number[], number[]] = [[], []];
    const seen: Promise<void>[] = [];
    await new Promise<void>((resolve) => {
      const next = (id: number): void => {
        written.push(id);
        disc().write([put(`k${id}`, String(id))], id % 3 === 0, (failure) => {
          expect(failure).toBeUndefined();
          order.push(id);
          seen.push(
            disc()
              .get(octets(`k${id}`))
              .then((value) => expect(value).toEqual(octets(String(id)))),
          );
          // Half of the writes come while others are under way.
          if (id < 40) next(id + 40);
          if (order.length === 80) resolve();
        });
      };
      for (let id = 0; id < 40; id++) next(id);
    });
    await Promise.all(seen);
    for (const synced of [true, false]) {
      const isOfKind = (id: number): boolean => (id % 3 === 0) === synced;
      expect(order.filter(isOfKind)).toEqual(written.filter(isOfKind));
    }
  });

  test('later batches win, and within a batch later operations', async () => {
    const writes = [
      write(disc(), [put('a', '1'), put('a', '2'), put('b', '1')]),
      write(disc(), [del('b'), put('c', '1'), del('c'), put('d', '1')]),
      write(disc(), [put('a', '3'), del('absent')]),
    ];
    expect(await Promise.all(writes)).toEqual([undefined, undefined, undefined]);
    expect(await contents(disc())).toEqual([
      ['a', '3'],
      ['d', '1'],
    ]);
  });

  test('a sync without operations is answered after every write before it', async () => {
    const order: string[] = [];
    await Promise.all([
      write(disc(), [put('a', '1')]).then(() => order.push('write')),
      write(disc(), [], true).then(() => order.push('sync')),
    ]);
    expect(order).toEqual(['write', 'sync']);
    expect(await contents(disc())).toEqual([['a', '1']]);
  });

  test('a batch of many operations is one batch, and an empty value is a value', async () => {
    const operations = Array.from({ length: 20_000 }, (_, i) => put(`k${String(i).padStart(5, '0')}`, ''));
    expect(await write(disc(), operations)).toBeUndefined();
    expect(await disc().get(octets('k19999'))).toEqual(new Uint8Array(0));
    expect(await contents(disc())).toHaveLength(20_000);
  });

  test('a random run of batches leaves what a Map would hold', async () => {
    const operation = fc.record({
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      value: fc.option(fc.constantFrom('1', '2')),
    });
    const batches = fc.sample(fc.array(operation, { maxLength: 5 }), { numRuns: 200, seed: 7 });
    const model = new Map<string, string>();
    let last: Promise<unknown> = Promise.resolve();
    for (const [i, batch] of batches.entries()) {
      for (const { key, value } of batch) {
        if (value === null) model.delete(key);
        else model.set(key, value);
      }
      last = write(
        disc(),
        batch.map(({ key, value }) => (value === null ? del(key) : put(key, value))),
        i % 50 === 0,
      );
      if (i % 20 === 0) await last;
    }
    await last;
    expect(await contents(disc())).toEqual([...model].sort());
  });
}

function describeReads(disc: () => Disc): void {
  test('a missing key is undefined; what is read belongs to the reader, and is a plain Uint8Array', async () => {
    expect(await disc().get(octets('absent'))).toBeUndefined();
    await write(disc(), [put('a', 'one')]);
    const value = (await disc().get(octets('a'))) as Uint8Array;
    expect(Object.getPrototypeOf(value)).toBe(Uint8Array.prototype);
    value.fill(0);
    await disc().scan(WHOLE.from, WHOLE.to, (entries) => {
      for (const [key, octetsOfEntry] of entries) {
        expect(Object.getPrototypeOf(key)).toBe(Uint8Array.prototype);
        expect(Object.getPrototypeOf(octetsOfEntry)).toBe(Uint8Array.prototype);
        key.fill(0);
        octetsOfEntry.fill(0);
      }
    });
    expect(await contents(disc())).toEqual([['a', 'one']]);
  });

  test('a scan takes from its first key on and ends before its last', async () => {
    await write(
      disc(),
      ['a', 'b', 'ba', 'c', 'd'].map((key) => put(key, key)),
    );
    const keys = async (from: string, to: string): Promise<string[]> =>
      (await contents(disc(), octets(from), octets(to))).map(([key]) => key);
    expect(await keys('b', 'd')).toEqual(['b', 'ba', 'c']);
    expect(await keys('aa', 'bb')).toEqual(['b', 'ba']);
    expect(await keys('c', 'c')).toEqual([]);
    expect(await keys('d', 'a')).toEqual([]);
    expect(await keys('x', 'z')).toEqual([]);
  });

  test('any octets are good as keys and values, and keys come in bytewise order', async () => {
    const pairs = fc.sample(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 6 }), fc.uint8Array({ maxLength: 6 })), {
      numRuns: 300,
      seed: 5,
    });
    const operations = pairs.map(
      ([key, value]): DiscOperation => ({ type: 'put', key: key.slice(), value: value.slice() }),
    );
    await write(disc(), operations);
    const expected = new Map<string, readonly [Uint8Array, Uint8Array]>(
      pairs.map(([key, value]) => [String(key), [key, value]]),
    );
    const found: (readonly [Uint8Array, Uint8Array])[] = [];
    await disc().scan(Uint8Array.of(0), new Uint8Array(8).fill(255), (chunk) => {
      found.push(...chunk);
    });
    for (let i = 1; i < found.length; i++) expect(compareOctets(found[i - 1]![0], found[i]![0])).toBeLessThan(0);
    expect(found).toEqual([...expected.values()].sort((a, b) => compareOctets(a[0], b[0])));
  });

  test('a scan of much comes in chunks of 500 and more, not entry by entry nor all at once', async () => {
    const count = 5_000;
    await write(
      disc(),
      Array.from({ length: count }, (_, i) => put(`k${String(i).padStart(5, '0')}`, 'v'.repeat(100))),
    );
    const sizes: number[] = [];
    let last = '';
    await disc().scan(WHOLE.from, WHOLE.to, (chunk) => {
      sizes.push(chunk.length);
      for (const [key] of chunk) {
        expect(textOf(key) > last).toBe(true);
        last = textOf(key);
      }
    });
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(count);
    expect(sizes.length).toBeGreaterThan(1);
    expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThanOrEqual(500);
  });

  test('a scan sees the moment it began, whatever is written meanwhile', async () => {
    await write(
      disc(),
      Array.from({ length: 3_000 }, (_, i) => put(`k${String(i).padStart(4, '0')}`, 'old')),
    );
    const values = new Set<string>();
    let meanwhile: Promise<unknown> | undefined;
    await disc().scan(WHOLE.from, WHOLE.to, (chunk) => {
      meanwhile ??= write(disc(), [put('k2999', 'new'), put('k3000', 'new')]);
      for (const [, value] of chunk) values.add(textOf(value));
    });
    await meanwhile;
    expect([...values]).toEqual(['old']);
    expect(await disc().get(octets('k2999'))).toEqual(octets('new'));
  });

  test('an error thrown by the reader of a scan ends the scan, and the disc goes on', async () => {
    await write(disc(), [put('a', '1')]);
    const scan = disc().scan(WHOLE.from, WHOLE.to, () => {
      throw new RangeError('enough');
    });
    await expect(scan).rejects.toThrow('enough');
    expect(await contents(disc())).toEqual([['a', '1']]);
  });
}
