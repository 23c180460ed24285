/** Goal: the simulated disc is a Disc, fails as it is told, and loses exactly what a real one could lose. */
import { describe, expect, test } from 'vitest';
import {
  createMemoryDisc,
  type DiscImage,
  type MemoryDisc,
  UNSYNCED_BATCHES_MAX,
} from '../../../storage/disc/memory-store.ts';
import type { Clock, Random } from '../../../storage/environment.ts';
import { contents, describeDisc, octets, put, write } from './conformance.ts';
import { createSeededRandom, createVirtualClock } from './virtual-clock.ts';

describeDisc('the memory store', () => {
  const clock = createVirtualClock();
  const random = createSeededRandom(1);
  let disc: MemoryDisc;
  return {
    open: async () => {
      disc = createMemoryDisc({ clock, random, latencyMs: 3 });
      return disc;
    },
    reopen: async () => {
      disc = createMemoryDisc({ clock, random, image: disc.image() });
      return disc;
    },
    dispose: () => disc.close(),
  };
});

interface Bench {
  readonly clock: Clock;
  readonly random: Random;
  readonly disc: MemoryDisc;
}

function bench(seed = 1, latencyMs = 1): Bench {
  const clock = createVirtualClock();
  const random = createSeededRandom(seed);
  return { clock, random, disc: createMemoryDisc({ clock, random, latencyMs }) };
}

const keysOf = async ({ clock, random }: Bench, image: DiscImage): Promise<string> =>
  (await contents(createMemoryDisc({ clock, random, image }))).map(([key]) => key).join('');

describe('a crash of the simulated disc', () => {
  test('a killed process loses nothing that was finished, synced or not', async () => {
    const at = bench();
    await write(at.disc, [put('a', '1')], true);
    await write(at.disc, [put('b', '1')]);
    expect(await keysOf(at, at.disc.crash('process'))).toBe('ab');
  });

  test('without power everything up to the last sync is there, then a seeded number of the batches that followed', async () => {
    const found = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const at = bench(seed);
      await write(at.disc, [put('a', '1')]);
      await write(at.disc, [put('b', '1')], true);
      await write(at.disc, [put('c', '1')]);
      await write(at.disc, [put('d', '1'), put('e', '1')]);
      found.add(await keysOf(at, at.disc.crash('synced')));
    }
    expect([...found].sort()).toEqual(['ab', 'abc', 'abcde']);
  });

  test('a batch under way is there wholly or not at all, and what waited behind it is not', async () => {
    for (const survive of ['process', 'synced'] as const) {
      const found = new Set<string>();
      for (let seed = 0; seed < 40; seed++) {
        const at = bench(seed, 5);
        at.disc.write([put('a', '1'), put('b', '1')], true, () => expect.unreachable());
        await new Promise((resolve) => at.clock.after(1, () => resolve(undefined)));
        at.disc.write([put('c', '1')], true, () => expect.unreachable());
        found.add(await keysOf(at, at.disc.crash(survive)));
      }
      expect([...found].sort()).toEqual(['', 'ab']);
    }
  });

  test('after a crash nothing is heard of the disc again', async () => {
    const at = bench();
    await write(at.disc, [put('a', '1')]);
    const heard: string[] = [];
    const note = (what: string) => () => heard.push(what);
    at.disc.write([put('b', '1')], false, note('write before'));
    void at.disc.get(octets('a')).then(note('get before'));
    at.disc.crash('process');
    at.disc.write([put('c', '1')], false, note('write after'));
    void at.disc.get(octets('a')).then(note('get after'));
    void at.disc.close().then(note('close'));
    await new Promise((resolve) => at.clock.after(1000, () => resolve(undefined)));
    expect(heard).toEqual([]);
  });

  test('one seed gives one history', async () => {
    const history = async (): Promise<string> => {
      const at = bench(9);
      at.disc.setLatencyMs(2, 10);
      let text = '';
      for (let i = 0; i < 20; i++) {
        await write(at.disc, [put(String.fromCharCode(97 + i), '1')], i === 5);
        text += `${at.clock.monotonicMs()} `;
      }
      return text + (await keysOf(at, at.disc.crash('synced')));
    };
    expect(await history()).toBe(await history());
  });

  test('old unsynced batches are written back by themselves', async () => {
    // Chance that always loses as much as it may.
    const random: Random = { next: () => 0, hex: () => '00' };
    const disc = createMemoryDisc({ clock: createVirtualClock(), random });
    for (let i = 0; i < UNSYNCED_BATCHES_MAX + 50; i++) await write(disc, [put(`k${i}`, '1')]);
    expect(disc.crash('synced').entries.size).toBe(50);
  });
});

describe('a failure of the simulated disc', () => {
  test.each(['disc_full', 'disc_io', 'disc_corrupt'] as const)(
    '%s: the batch is not there, every later write fails alike, reads go on, and opening again heals',
    async (code) => {
      const at = bench();
      await write(at.disc, [put('a', '1')]);
      at.disc.failNext(code);
      const outcomes = await Promise.all([write(at.disc, [put('b', '1')]), write(at.disc, [put('c', '1')], true)]);
      expect(outcomes.map((failure) => failure?.code)).toEqual([code, code]);
      expect((await write(at.disc, [put('d', '1')]))?.code).toBe(code);
      expect(await contents(at.disc)).toEqual([['a', '1']]);
      await at.disc.close();
      const again = createMemoryDisc({ clock: at.clock, random: at.random, image: at.disc.image() });
      expect(await write(again, [put('e', '1')])).toBeUndefined();
      expect((await contents(again)).map(([key]) => key)).toEqual(['a', 'e']);
    },
  );

  test('a doubtful batch is wholly there or wholly not once the disc is opened again', async () => {
    const found = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const at = bench(seed);
      await write(at.disc, [put('a', '1')]);
      at.disc.failNext('disc_io', 'doubtful');
      await write(at.disc, [put('b', '1'), put('c', '1')]);
      expect(await contents(at.disc)).toEqual([['a', '1']]);
      await at.disc.close();
      found.add(await keysOf(at, at.disc.image()));
    }
    expect([...found].sort()).toEqual(['a', 'abc']);
  });

  test('a full disc refuses writes until there is room and it is opened again', async () => {
    const at = bench();
    at.disc.setFull(true);
    expect((await write(at.disc, [put('a', '1')]))?.code).toBe('disc_full');
    at.disc.setFull(false);
    expect((await write(at.disc, [put('a', '1')]))?.code).toBe('disc_full');
    const again = createMemoryDisc({ clock: at.clock, random: at.random, image: at.disc.image() });
    expect(await write(again, [put('a', '1')])).toBeUndefined();
  });

  test('writes of one turn share one batch', async () => {
    const at = bench();
    await Promise.all([write(at.disc, [put('a', '1')]), write(at.disc, [put('b', '1')], true), write(at.disc, [])]);
    expect([at.disc.batches, at.disc.syncs]).toEqual([1, 1]);
  });

  test('a slow disc takes its time, and writes that came meanwhile share the next batch', async () => {
    const at = bench();
    at.disc.setLatencyMs(500);
    const first = write(at.disc, [put('a', '1')]);
    await new Promise((resolve) => at.clock.after(100, () => resolve(undefined)));
    const others = Array.from({ length: 50 }, (_, i) => write(at.disc, [put(`k${i}`, '1')], i === 20));
    await first;
    expect(at.clock.monotonicMs()).toBe(500);
    await Promise.all(others);
    expect(at.clock.monotonicMs()).toBe(1000);
    expect([at.disc.batches, at.disc.syncs]).toEqual([2, 1]);
  });
});
