import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  civilMs,
  civilTime,
  fixedZone,
  localTimestamp,
  timeZone,
  utcTimestamp,
  utcTimestampSeconds,
} from '../../../src/log/time.ts';

const moment = Date.UTC(2020, 6, 21, 20, 16, 50, 321);

test('E133 the two clocks of a line have their exact forms', () => {
  expect(localTimestamp(moment, fixedZone(-300))).toBe('2020-07-21T15:16:50.321-05:00');
  expect(utcTimestamp(moment)).toBe('2020-07-21 20:16:50,321');
  expect(utcTimestampSeconds(moment)).toBe('2020-07-21 20:16:50');
  expect(localTimestamp(moment, fixedZone(330))).toBe('2020-07-22T01:46:50.321+05:30');
});

test('E133 a named zone follows its summer time', () => {
  const chicago = timeZone('America/Chicago');
  expect(chicago(Date.UTC(2020, 6, 21))).toBe(-300);
  expect(chicago(Date.UTC(2020, 0, 21))).toBe(-360);
  expect(chicago(Date.UTC(2020, 10, 1, 6, 59, 59))).toBe(-300);
  expect(chicago(Date.UTC(2020, 10, 1, 7, 0, 0))).toBe(-360);
});

test('the calendar agrees with the language’s own for any moment in ten thousand years', () => {
  const moments = fc.integer({ min: Date.UTC(1600, 0, 1), max: Date.UTC(9999, 11, 31) });
  fc.assert(
    fc.property(moments, (ms) => {
      const iso = new Date(ms).toISOString();
      expect(localTimestamp(ms, fixedZone(0))).toBe(iso.replace('Z', '+00:00'));
      expect(civilMs(civilTime(ms))).toBe(ms);
    }),
    { seed: 20_261_122, numRuns: 500 },
  );
});

test.each(['Mars/Olympus', '+15:00'])('a zone that does not exist is refused by name: %s', (name) => {
  expect(() => timeZone(name)).toThrow(name);
});
