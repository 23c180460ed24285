/**
 * The database under one hundred seeds of trouble. A seed that fails prints the command that replays it with everything
 * that happened; once mended it is pinned in regressions.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { replayCommand } from '../../src/simulation/main.ts';
import { runSeed } from '../../src/simulation/simulation.ts';
import { Database } from '../../storage/index.ts';

const SEEDS = 100;
const SEEDS_PER_TEST = 10;
/** Patience, not a measure: ten seeds take about three seconds of a processor that has nothing else to do. */
const PATIENCE_MS = 180_000;

async function problemsOf(seed: number): Promise<string[]> {
  const result = await runSeed({ seed, openDatabase: (options) => Database.open(options) });
  return result.violations.map(
    (violation) => `seed ${seed}, ${violation.checker}: ${violation.text}\n  ${replayCommand(seed, {})}`,
  );
}

describe('the database in the simulator', () => {
  for (let first = 1; first <= SEEDS; first += SEEDS_PER_TEST) {
    const last = first + SEEDS_PER_TEST - 1;
    it(
      `keeps every promise under the faults of seeds ${first} to ${last}`,
      async () => {
        const problems: string[] = [];
        for (let seed = first; seed <= last; seed++) problems.push(...(await problemsOf(seed)));
        expect(problems).toEqual([]);
      },
      PATIENCE_MS,
    );
  }

  it('goes through one seed in the same way twice', async () => {
    const open = (options: Parameters<typeof Database.open>[0]) => Database.open(options);
    const once = await runSeed({ seed: 3, profile: 'everything', openDatabase: open });
    const again = await runSeed({ seed: 3, profile: 'everything', openDatabase: open });
    expect(again.hash).toBe(once.hash);
    expect(again.counts).toEqual(once.counts);
    expect(again.history.rows).toEqual(once.history.rows);
  });
});
