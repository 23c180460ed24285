/** The checkers, checked: each way to break the database is noticed within two hundred seeds, by who should notice. */
import { describe, expect, it } from 'vitest';
import { editSource, SABOTAGE_SEEDS_MAX, SABOTAGES, sabotageNamed } from '../../src/simulation/sabotage.ts';
import { firstCatch } from '../../src/simulation/sabotaged-bundle.ts';

/** Patience, not a measure. */
const PATIENCE_MS = 300_000;

describe('a database broken on purpose', () => {
  it('has a switch for each thing a checker is there to find', () => {
    expect(SABOTAGE_SEEDS_MAX).toBe(200);
    const names = SABOTAGES.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(
      expect.arrayContaining([
        ...['lost-ack', 'dirty-read', 'lost-update', 'write-skew', 'long-fork'],
        ...['resurrected-delete', 'half-applied', 'leaked-lock', 'double-apply', 'stale-replica'],
      ]),
    );
  });

  for (const sabotage of SABOTAGES) {
    it(
      `${sabotage.name}: ${sabotage.breaks}; caught by ${sabotage.caughtBy.join(' or ')}`,
      async () => {
        const caught = await firstCatch(sabotage);
        expect(sabotage.caughtBy).toContain(caught?.checker);
        expect(caught?.seed).toBeLessThanOrEqual(SABOTAGE_SEEDS_MAX);
      },
      PATIENCE_MS,
    );
  }

  it('refuses a switch whose text the source no longer has exactly once', () => {
    const edit = { file: 'storage/a.ts', text: 'lock()', replacement: '' };
    expect(editSource('storage/a.ts', 'lock();', [edit])).toBe(';');
    expect(() => editSource('storage/a.ts', 'lock(); lock();', [edit])).toThrow('storage/a.ts 2 times, not once');
    expect(() => editSource('storage/a.ts', 'unlocked', [edit])).toThrow('storage/a.ts 0 times, not once');
  });

  it('names the switches there are when one is asked for that is not', () => {
    expect(() => sabotageNamed('coffee')).toThrow('lost-ack, dirty-read');
  });
});
