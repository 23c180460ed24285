import { describe, expect, it } from 'vitest';
import { BurstLog, OTHER_SOURCES } from '../../../src/net/burst-log.ts';

const LIMITS = { quietMs: 100, lengthMsMax: 1000, sourcesMax: 3 };

describe('burst log', () => {
  it('shows the first of a burst at once and the rest as one count when it is quiet again', () => {
    const log = new BurstLog(LIMITS);
    expect(log.note('10.0.0.1', 'no_tls', 0)).toBe('10.0.0.1');
    for (let ms = 1; ms <= 50; ms++) expect(log.note('10.0.0.1', 'no_tls', ms)).toBeUndefined();
    expect(log.expire(149)).toEqual([]);
    expect(log.expire(150)).toEqual([{ source: '10.0.0.1', kind: 'no_tls', count: 50, durationMs: 50 }]);
    expect(log.isIdle).toBe(true);
    expect(log.note('10.0.0.1', 'no_tls', 200)).toBe('10.0.0.1');
  });

  it('says nothing more of a burst of one', () => {
    const log = new BurstLog(LIMITS);
    log.note('10.0.0.1', 'no_tls', 0);
    expect(log.expire(500)).toEqual([]);
    expect(log.isIdle).toBe(true);
  });

  it('sums up a burst that never ends once per length, without showing a first one again', () => {
    const log = new BurstLog(LIMITS);
    for (let ms = 0; ms < 1000; ms += 10) log.note('10.0.0.1', 'no_tls', ms);
    expect(log.expire(1000)).toEqual([{ source: '10.0.0.1', kind: 'no_tls', count: 99, durationMs: 990 }]);
    expect(log.note('10.0.0.1', 'no_tls', 1001)).toBeUndefined();
    expect(log.expire(1200)).toEqual([{ source: '10.0.0.1', kind: 'no_tls', count: 1, durationMs: 1 }]);
  });

  it('keeps kinds of one source apart', () => {
    const log = new BurstLog(LIMITS);
    expect(log.note('10.0.0.1', 'no_tls', 0)).toBe('10.0.0.1');
    expect(log.note('10.0.0.1', 'wrong_key', 0)).toBe('10.0.0.1');
  });

  it('remembers no more sources than its limit and counts the others together', () => {
    const log = new BurstLog(LIMITS);
    const shown = Array.from({ length: 1000 }, (_, i) => log.note(`10.0.${i >> 8}.${i & 255}`, 'no_tls', i / 100));
    expect(shown.filter((source) => source !== undefined)).toEqual(['10.0.0.0', '10.0.0.1', '10.0.0.2', OTHER_SOURCES]);
    expect(log.size).toBe(4);
    expect(log.total).toBe(1000);
    expect(log.expire(500)).toEqual([{ source: OTHER_SOURCES, kind: 'no_tls', count: 996, durationMs: 10 }]);
  });
});
