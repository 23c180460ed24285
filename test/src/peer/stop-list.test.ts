import { describe, expect, test } from 'vitest';
import { StopList } from '../../../src/peer/stop-list.ts';
import { ManualClock } from '../api/fake-peer.ts';

/** Lets what was promised happen before the clock is moved on. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

describe('stopping', () => {
  test('goes the other way round than starting, and once', async () => {
    const stops = new StopList(new ManualClock());
    const order: string[] = [];
    for (const name of ['log', 'disc', 'links']) stops.add(name, () => order.push(name));
    const [first, second] = await Promise.all([stops.stop(1_000), stops.stop(1_000)]);
    expect(order).toEqual(['links', 'disc', 'log']);
    expect(first).toEqual([]);
    expect(second).toBe(first);
  });

  test('a part that fails is named and does not keep the others running', async () => {
    const stops = new StopList(new ManualClock());
    const order: string[] = [];
    stops.add('log', () => order.push('log'));
    stops.add('disc', () => {
      throw new Error('no space');
    });
    expect(await stops.stop(1_000)).toEqual([{ part: 'disc', reason: 'no space' }]);
    expect(order).toEqual(['log']);
  });

  test('a part that hangs is left behind in time for those below it', async () => {
    const clock = new ManualClock();
    const stops = new StopList(clock);
    const order: string[] = [];
    stops.add('log', () => order.push('log'));
    stops.add('database', () => new Promise(() => undefined));
    const stopped = stops.stop(4_000);
    await settle();
    expect(order).toEqual([]);
    clock.advance(2_000);
    expect(await stopped).toEqual([{ part: 'database', reason: 'did not end within 2000 ms' }]);
    expect(order).toEqual(['log']);
  });
});
