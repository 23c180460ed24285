/** Goal: whenever a process or a machine dies, its disc is what it was after some write, and after all it acknowledged. */
import { describe, expect, it } from 'vitest';
import type { NodeProcess } from '../../src/simulation/network.ts';
import { SeededRandom } from '../../src/simulation/seeded-random.ts';
import { SimulatedDisc } from '../../src/simulation/simulated-disc.ts';
import { type EventOwner, NodeClock, VirtualTime } from '../../src/simulation/virtual-time.ts';
import type { Disc, DiscFailure, DiscOperation } from '../../storage/environment.ts';
import { contents, del, octets, put, textOf } from '../storage/disc/conformance.ts';

const LIVES = 12;
const KEYS = 40;

const fail = (_: EventOwner, error: unknown): void => {
  throw error;
};

function newProcess(): NodeProcess {
  return { state: 'running', parked: [], index: 0, id: 'a', name: 'a', label: 'a', incarnation: 1 };
}

/** One machine, its processes, and what each write was to do. */
class Story {
  readonly time = new VirtualTime();
  readonly random: SeededRandom;
  readonly disc: SimulatedDisc;
  readonly writes: (readonly DiscOperation[])[] = [];
  acknowledged = 0;
  synced = 0;
  failures: DiscFailure[] = [];

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.disc = new SimulatedDisc(this.time, this.random.fork('disc'));
  }

  open(process: NodeProcess): Disc {
    return this.disc.open(process, new NodeClock(this.time, process, () => 0));
  }

  /** Each write tells its number, and changes a few keys. */
  write(port: Disc): void {
    const number = this.writes.length + 1;
    const sync = this.random.next() < 0.1;
    const operations: DiscOperation[] = [put('number', String(number))];
    for (let n = this.random.integer(0, 6); n > 0; n--) {
      const key = `k${this.random.integer(0, KEYS)}`;
      operations.push(this.random.next() < 0.3 ? del(key) : put(key, 'v'.repeat(this.random.integer(0, 400))));
    }
    this.writes.push(operations);
    port.write(operations, sync, (failure) => {
      if (failure !== undefined) return void this.failures.push(failure);
      this.acknowledged = Math.max(this.acknowledged, number);
      if (sync) this.synced = Math.max(this.synced, number);
    });
  }

  /** What a disc holds on which exactly the first `count` writes took effect. */
  stateAfter(count: number): [string, string][] {
    const state = new Map<string, string>();
    for (const operation of this.writes.slice(0, count).flat()) {
      if (operation.type === 'put') state.set(textOf(operation.key), textOf(operation.value));
      else state.delete(textOf(operation.key));
    }
    return [...state].sort();
  }

  /** Reads the disc, which must be a state it had, no older than `least`; the story goes on from there. */
  async check(port: Disc, least: number): Promise<void> {
    const number = await port.get(octets('number'));
    const count = number === undefined ? 0 : Number(textOf(number));
    expect(port.loss).toBeUndefined();
    expect(count).toBeGreaterThanOrEqual(least);
    expect(await contents(port)).toEqual(this.stateAfter(count));
    this.writes.length = count;
    this.acknowledged = count;
    this.synced = Math.min(this.synced, count);
  }

  die(process: NodeProcess, how: 'killed' | 'power'): void {
    process.state = 'dead';
    if (how === 'power') this.disc.powerLost();
    else this.disc.processDied();
  }
}

async function tell(seed: number, script: (story: Story) => Promise<void>): Promise<void> {
  const story = new Story(seed);
  await story.time.run(() => script(story), fail);
}

describe('the disc of a simulated machine', () => {
  it.each(Array.from({ length: 40 }, (_, seed) => seed))(
    'is a state it had, with all that was acknowledged, after each of many deaths (seed %i)',
    async (seed) => {
      let folds = 0;
      await tell(seed, async (story) => {
        let least = 0;
        for (let life = 0; life < LIVES; life++) {
          const process = newProcess();
          const port = story.open(process);
          await story.check(port, least);
          story.disc.slowness = story.random.next() < 0.2 ? 30 : 1;
          for (let n = story.random.integer(0, 150); n > 0; n--) {
            story.write(port);
            if (story.random.next() < 0.5) await story.time.sleep(story.random.between(0, 2));
          }
          const how = story.random.next() < 0.5 ? 'killed' : 'power';
          least = how === 'killed' ? story.acknowledged : story.synced;
          folds += story.disc.snapshot().entries.size > 0 ? 1 : 0;
          story.die(process, how);
        }
        expect(story.failures).toEqual([]);
      });
      expect(folds).toBeGreaterThan(0);
    },
  );

  it.each(['disc_io', 'disc_full'] as const)(
    'that fails with %s, in a fold or a write, refuses every write from then on and loses none before',
    async (code) => {
      for (let seed = 0; seed < 20; seed++) {
        await tell(seed, async (story) => {
          const process = newProcess();
          const port = story.open(process);
          const failAt = story.random.integer(20, 200);
          for (let n = 0; n < 300; n++) {
            if (n === failAt) story.disc.failure = code;
            story.write(port);
            await story.time.sleep(story.random.between(0, 2));
          }
          await story.time.sleep(100);
          expect(story.failures.length).toBeGreaterThan(90);
          expect(new Set(story.failures.map((failure) => failure.code))).toEqual(new Set([code]));
          story.disc.failure = undefined;
          const { acknowledged } = story;
          story.die(process, 'killed');
          await story.check(story.open(newProcess()), acknowledged);
        });
      }
    },
  );

  it('lets writers wait for a store that does not keep up, and holds no more than a bounded debt', async () => {
    await tell(1, async (story) => {
      const port = story.open(newProcess());
      story.disc.slowness = 2000;
      await story.check(port, 0);
      let most = 0;
      for (let n = 0; n < 2_000; n++) {
        story.write(port);
        const { files } = story.disc.log.image();
        most = Math.max(
          most,
          [...files.values()].reduce((sum, file) => sum + file.length, 0),
        ); // prettier-ignore
      }
      await new Promise<void>((resolve) => port.write([], true, () => resolve()));
      expect(story.acknowledged).toBe(2_000);
      expect(most).toBeLessThan(200_000);
      expect(story.failures).toEqual([]);
      await story.check(port, 2_000);
    });
  });

  it('that was put back to an older state is that state', async () => {
    await tell(3, async (story) => {
      const process = newProcess();
      const port = story.open(process);
      for (let n = 0; n < 200; n++) {
        story.write(port);
        await story.time.sleep(1);
      }
      const { acknowledged } = story;
      const image = story.disc.snapshot();
      for (let n = 0; n < 200; n++) {
        story.write(port);
        await story.time.sleep(1);
      }
      story.die(process, 'killed');
      story.disc.restore(image);
      const again = story.open(newProcess());
      const number = await again.get(octets('number'));
      expect(Number(textOf(number as Uint8Array))).toBe(acknowledged);
      await story.check(again, acknowledged);
    });
  });

  it('says so when its log lost what was synced', async () => {
    await tell(4, async (story) => {
      const process = newProcess();
      const port = story.open(process);
      for (let n = 0; n < 20; n++) {
        port.write([put(`k${n}`, 'x')], true, () => undefined);
        await story.time.sleep(300);
      }
      story.die(process, 'killed');
      story.disc.log.damage(1, 100, true);
      const again = story.open(newProcess());
      expect((await contents(again)).length).toBeLessThan(20);
      expect(again.loss).toMatchObject({ last: 20, setAside: ['1.damaged'] });
    });
  });
});
