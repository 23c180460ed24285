import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/simulation/seeded-random.ts';
import { type EventOwner, NodeClock, VirtualTime } from '../../src/simulation/virtual-time.ts';

const fail = (_: EventOwner, error: unknown): void => {
  throw error;
};

async function within(script: (time: VirtualTime, log: string[]) => Promise<void>): Promise<string[]> {
  const time = new VirtualTime();
  const log: string[] = [];
  await time.run(() => script(time, log), fail);
  return log;
}

describe('virtual time', () => {
  it('runs events by time, and those of one moment in the order in which they were asked for', async () => {
    const log = await within(async (time, lines) => {
      time.schedule(2000, time.world, () => lines.push('late'));
      time.schedule(1000, time.world, () => lines.push('first'));
      time.schedule(1000, time.world, () => lines.push('second'));
      await time.sleep(5);
      lines.push(`${time.nowMs} ms`);
    });
    expect(log).toEqual(['first', 'second', 'late', '5 ms']);
  });

  it('lets every chain of promises end before the next event', async () => {
    const log = await within(async (time, lines) => {
      time.schedule(1000, time.world, () => {
        let chain = Promise.resolve();
        for (let link = 0; link < 500; link++) chain = chain.then(() => undefined);
        chain.then(() => lines.push('end of the chain'));
      });
      time.schedule(1000, time.world, () => lines.push('next event'));
      await time.sleep(2);
    });
    expect(log).toEqual(['end of the chain', 'next event']);
  });

  it('runs the end of a turn after its microtasks and before anything else of that moment', async () => {
    const log = await within(async (time, lines) => {
      time.schedule(1000, time.world, () => {
        time.endOfTurn(time.world, () => lines.push('end of turn'));
        Promise.resolve().then(() => lines.push('microtask'));
      });
      time.schedule(1000, time.world, () => lines.push('other event'));
      await time.sleep(2);
    });
    expect(log).toEqual(['microtask', 'end of turn', 'other event']);
  });

  it('keeps what comes due for a paused owner until it goes on, and drops it for a dead one', async () => {
    const log = await within(async (time, lines) => {
      const owner: EventOwner = { state: 'running', parked: [] };
      const other: EventOwner = { state: 'running', parked: [] };
      time.schedule(1000, owner, () => lines.push(`one at ${time.nowMs}`));
      time.schedule(2000, owner, () => lines.push(`two at ${time.nowMs}`));
      time.schedule(1000, other, () => lines.push('never'));
      time.pause(owner);
      other.state = 'dead';
      await time.sleep(7);
      time.resume(owner);
      await time.sleep(1);
    });
    expect(log).toEqual(['one at 7', 'two at 7']);
  });

  it('cancels a timer, also one that came due during a pause', async () => {
    const log = await within(async (time, lines) => {
      const owner: EventOwner = { state: 'running', parked: [] };
      const clock = new NodeClock(time, owner, () => 0);
      const early = clock.after(1, () => lines.push('early'));
      const late = clock.after(50, () => lines.push('late'));
      time.pause(owner);
      await time.sleep(5);
      clock.cancel(early);
      clock.cancel(late);
      time.resume(owner);
      await time.sleep(100);
      lines.push(`${clock.pendingTimers} left`);
    });
    expect(log).toEqual(['0 left']);
  });

  it('says when nothing is left to happen while the script still waits', async () => {
    const time = new VirtualTime();
    const stuck = time.run(() => new Promise<void>(() => undefined), fail);
    await expect(stuck).rejects.toThrow('Nothing is left to happen');
  });

  it('says when time stands still', async () => {
    const time = new VirtualTime();
    const circle = (): void => void time.schedule(0, time.world, circle);
    const stuck = time.run(async () => {
      circle();
      await time.sleep(1);
    }, fail);
    await expect(stuck).rejects.toThrow('time stands still');
  });

  it('hands errors of events and rejections nobody handles to its caller', async () => {
    const time = new VirtualTime();
    const errors: string[] = [];
    await time.run(
      async () => {
        time.schedule(1000, time.world, () => {
          throw new Error('thrown');
        });
        time.schedule(2000, time.world, () => {
          Promise.reject(new Error('rejected'));
        });
        await time.sleep(3);
      },
      (_, error) => errors.push((error as Error).message),
    );
    expect(errors).toEqual(['thrown', 'rejected']);
  });

  it('gives each node a wall clock that jumps and a monotonic one that does not', async () => {
    await within(async (time) => {
      const clock = new NodeClock(time, time.world, () => 0);
      const [wall, monotonic] = [clock.wallMs(), clock.monotonicMs()];
      clock.wallOffsetMs = -5000;
      await time.sleep(1000);
      expect(clock.wallMs() - wall).toBe(-4000);
      expect(clock.monotonicMs() - monotonic).toBe(1000);
    });
  });
});

describe('seeded random', () => {
  it('draws the same from the same seed, and forks that do not depend on what was drawn', () => {
    const [one, other] = [new SeededRandom(5), new SeededRandom(5)];
    const draws = Array.from({ length: 5 }, () => one.next());
    expect(Array.from({ length: 5 }, () => other.next())).toEqual(draws);
    expect(one.fork('a').next()).toBe(new SeededRandom(5).fork('a').next());
    expect(new SeededRandom(6).next()).not.toBe(draws[0]);
  });

  it('spreads evenly enough', () => {
    const random = new SeededRandom(1);
    const counts = [0, 0, 0, 0];
    for (let draw = 0; draw < 4000; draw++) counts[random.integer(0, 3)]!++;
    for (const count of counts) expect(count).toBeGreaterThan(850);
    expect(random.hex(4)).toMatch(/^[0-9a-f]{8}$/);
    expect([...random.shuffle([1, 2, 3, 4])].sort()).toEqual([1, 2, 3, 4]);
  });
});
