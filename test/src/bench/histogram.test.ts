import { describe, expect, test } from 'vitest';
import { Histogram } from '../../../src/bench/histogram.ts';

function of(durationsMs: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const durationMs of durationsMs) histogram.add(durationMs);
  return histogram;
}

describe('a histogram', () => {
  test.each([0.000_05, 0.001, 0.0123, 1, 7.7, 5000, 3_600_000])(
    'reads %d ms back to one part in a hundred',
    (durationMs) => {
      const shown = of([durationMs]).percentileUs(0.5);
      expect(Math.abs(shown / (durationMs * 1000) - 1)).toBeLessThan(0.01);
    },
  );

  test('gives the share of durations that did not take longer', () => {
    const histogram = of(Array.from({ length: 1000 }, (_, at) => at + 1));
    expect(histogram.percentileUs(0.5) / 1000).toBeCloseTo(500, -1);
    expect(histogram.percentileUs(0.99) / 1000).toBeCloseTo(990, -1);
    expect(histogram.percentileUs(1) / 1000).toBeCloseTo(1000, -1);
    expect(histogram.percentileUs(0) / 1000).toBeCloseTo(1, 1);
  });

  test('longer durations never come before shorter ones', () => {
    let last = 0;
    for (let durationMs = 0.000_01; durationMs < 1e6; durationMs *= 1.05) {
      const shown = of([durationMs]).percentileUs(0.5);
      expect(shown).toBeGreaterThanOrEqual(last);
      last = shown;
    }
  });

  test('takes what has no length or is beyond its end, and counts it', () => {
    const histogram = of([0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e30]);
    expect(histogram.total).toBe(5);
    expect(Number.isFinite(histogram.percentileUs(1))).toBe(true);
    expect(new Histogram().percentileUs(0.5)).toBe(0);
  });

  test('two of them, one carried as buckets, are as one', () => {
    const [left, right] = [of([1, 2, 3]), of([3, 400])];
    const merged = new Histogram();
    merged.merge(left.buckets());
    merged.merge(JSON.parse(JSON.stringify(right.buckets())));
    expect(merged.buckets()).toEqual(of([1, 2, 3, 3, 400]).buckets());
    expect(merged.total).toBe(5);
  });
});
