/**
 * A node that comes back with nothing on its disc has another identity. When it led the transaction that took it in, it
 * did not know the one it had before, and that one stayed a replica: awaited after a stop of all, counted for majorities.
 */
import { describe, expect, it } from 'vitest';
import { runSeed } from '../../../src/simulation/simulation.ts';
import { Database } from '../../../storage/index.ts';

/** Patience, not a measure. */
const PATIENCE_MS = 120_000;

describe('nodes whose discs are lost', () => {
  it.each([6, 7, 14, 17, 21])(
    'come back under their names, and who they were is awaited by nobody: seed %i',
    async (seed) => {
      const openDatabase = (options: Parameters<typeof Database.open>[0]) => Database.open(options);
      const { violations, counts } = await runSeed({ seed, profile: 'lost discs', openDatabase });
      expect(violations).toEqual([]);
      expect(counts.faults['empty disc']).toBeGreaterThan(0);
    },
    PATIENCE_MS,
  );
});
