import { describe, expect, test } from 'vitest';
import type { OverloadPhase, OverloadSecond } from '../../../src/bench/overload.ts';
import { SlowDisc } from '../../../src/bench/slow-disc.ts';
import { type OverloadCounts, overloadVerdicts } from '../../../src/bench/verdicts.ts';
import type { Disc } from '../../../storage/index.ts';

function seconds(phase: OverloadPhase, ...rssMb: readonly number[]): OverloadSecond[] {
  return rssMb.map((rss, at) => ({
    phase,
    second: at,
    offered_per_s: 1000,
    answered_per_s: 500,
    overloaded_per_s: 500,
    errors: {},
    p50_ms: 1,
    p99_ms: 2,
    in_flight: [10],
    rss_mb: [100, rss],
    loadavg1: 1,
  }));
}

const counts: OverloadCounts = {
  succeeded: 900,
  overloaded: 50,
  overloadedWithoutTime: 0,
  unknown: 3,
  longestMs: 1234,
  made: 901,
  areEqual: true,
  recoveredMs: 2000,
};

function failing(overload: readonly OverloadSecond[], changed: Partial<OverloadCounts> = {}): string[] {
  const verdicts = overloadVerdicts(overload, { ...counts, ...changed });
  expect(verdicts).toHaveLength(6);
  return verdicts.filter(({ holds }) => !holds).map(({ name }) => name);
}

describe('the verdicts of an overload', () => {
  const flat = seconds('plain', 120, 200, 210, 205, 220, 215);

  test('all hold when memory stays, refusals say when, and every answer is found again', () => {
    expect(failing(flat)).toEqual([]);
  });

  test('memory that grows all the time does not hold; what was before and after does not count', () => {
    expect(failing(seconds('plain', 100, 200, 300, 400, 500, 600))).toEqual(['memory']);
    expect(failing([...seconds('before', 10, 10), ...flat, ...seconds('after', 900, 900, 900)])).toEqual([]);
    expect(failing([])).toEqual(['memory']);
  });

  test.each<[string, Partial<OverloadCounts>]>([
    ['refusals', { overloaded: 0 }],
    ['refusals', { overloadedWithoutTime: 1 }],
    ['latency', { longestMs: 60_000 }],
    ['recovery', { recoveredMs: undefined }],
    ['recovery', { recoveredMs: 20_000 }],
    ['nothing lost', { made: 899 }],
    ['nothing lost', { made: 904 }],
    ['replicas equal', { areEqual: false }],
  ])('%s does not hold with %j', (name, changed) => expect(failing(flat, changed)).toEqual([name]));
});

describe('a slow disc', () => {
  function discOf(): { disc: SlowDisc; write: (name: string) => void; done: string[]; finish: () => void } {
    const waiting: (() => void)[] = [];
    const below: Disc = {
      write: (_operations, _sync, done) => void waiting.push(() => done(undefined)),
      get: async () => undefined,
      scan: async () => undefined,
      close: async () => undefined,
    };
    const disc = new SlowDisc(below);
    const done: string[] = [];
    const write = (name: string): void => disc.write([], false, () => void done.push(name));
    const finish = (): void => {
      for (const run of waiting.splice(0)) run();
    };
    return { disc, write, done, finish };
  }

  test('that has no delay is the disc itself', () => {
    const { write, done, finish } = discOf();
    write('a');
    finish();
    expect(done).toEqual(['a']);
  });

  test('keeps the order of writes when its delay ends', async () => {
    const { disc, write, done, finish } = discOf();
    write('before');
    disc.delayMs = 20;
    write('slow');
    disc.delayMs = 0;
    write('after');
    finish();
    expect(done).toEqual(['before']);
    await disc.close();
    expect(done).toEqual(['before', 'slow', 'after']);
  });
});
