import { describe, expect, test } from 'vitest';
import { runClients } from '../../../src/bench/clients.ts';
import { Histogram } from '../../../src/bench/histogram.ts';
import { firstState, nextState } from '../../../src/bench/records.ts';
import { StorageError } from '../../../storage/index.ts';

const plan = { clients: 4, salt: 3, warmMs: 10, measuredMs: 60 };

function totalOf(latencies: Parameters<Histogram['merge']>[0]): number {
  const histogram = new Histogram();
  histogram.merge(latencies);
  return histogram.total;
}

describe('clients', () => {
  test('never have more than one operation each under way, and follow their own sequences', async () => {
    let running = 0;
    let most = 0;
    const seen: number[] = [];
    const figures = await runClients(plan, {
      isSynchronous: false,
      run: async (state) => {
        seen.push(state);
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
      },
    });
    expect(most).toBe(4);
    expect(seen.slice(0, 4)).toEqual([1, 2, 3, 4].map((client) => nextState(firstState(client, 3))));
    expect(figures.succeeded).toBe(seen.length);
    expect(figures.operations).toBeGreaterThan(0);
    expect(figures.operations).toBeLessThan(figures.succeeded);
    expect(totalOf(figures.latencies)).toBe(figures.operations);
  });

  test('let the event loop turn although nothing they do ever waits', async () => {
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    for (const operation of [
      { isSynchronous: false, run: async () => undefined } as const,
      { isSynchronous: true, run: () => undefined } as const,
    ]) {
      turns = 0;
      const figures = await runClients(plan, operation);
      expect(turns).toBeGreaterThan(0);
      expect(totalOf(figures.latencies)).toBe(figures.operations);
    }
    clearInterval(timer);
  });

  test('count failures by their code and go on', async () => {
    let calls = 0;
    const { errors, succeeded } = await runClients(plan, {
      isSynchronous: false,
      run: async () => {
        calls += 1;
        if (calls % 3 === 0) throw new StorageError('overloaded', 'too much');
        if (calls % 3 === 1) throw new Error('else');
      },
    });
    expect(errors.overloaded).toBe(Math.floor(calls / 3));
    expect(errors['Error: else']).toBe(Math.ceil(calls / 3));
    expect(succeeded + errors.overloaded! + errors['Error: else']!).toBe(calls);
  });
});
