/** One seed is one history, with the database of the peers. Between processes: command.test.ts. */
import { describe, expect, it } from 'vitest';
import { runSeed } from '../../src/simulation/simulation.ts';
import { Database } from '../../storage/index.ts';

/** Patience, not a measure. */
const PATIENCE_MS = 120_000;

describe('the history of a seed', () => {
  it(
    'is the same when it is run again',
    async () => {
      const open = (options: Parameters<typeof Database.open>[0]) => Database.open(options);
      const once = await runSeed({ seed: 3, profile: 'everything', openDatabase: open });
      const again = await runSeed({ seed: 3, profile: 'everything', openDatabase: open });
      expect(again.hash).toBe(once.hash);
      expect(again.counts).toEqual(once.counts);
      expect(again.history.rows).toEqual(once.history.rows);
    },
    PATIENCE_MS,
  );
});
