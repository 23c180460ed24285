import { expect, test } from 'vitest';
import { HybridClock, wallMsOf } from '../../storage/hybrid-clock.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

test('Ticks of the year 2088 still differ from each other, and say their wall time', () => {
  const wallMs = Date.UTC(2088, 11, 31);
  const clock = new HybridClock(new VirtualClock(wallMs));
  const ticks = Array.from({ length: 1_000 }, () => clock.tick());
  expect(new Set(ticks).size).toBe(1_000);
  expect(ticks.every(Number.isSafeInteger)).toBe(true);
  expect(wallMsOf(ticks[0]!)).toBe(wallMs);
});

test('A machine that believes in a year before 2020 ticks on, above all it has seen', () => {
  const clock = new HybridClock(new VirtualClock(0));
  const first = clock.tick();
  expect([first > 0, clock.tick() > first]).toEqual([true, true]);
  const other = new HybridClock(new VirtualClock(Date.UTC(2026, 0, 1)));
  clock.witness(other.tick());
  expect(clock.tick()).toBeGreaterThan(other.now());
});
