/**
 * The database under three hundred seeds of trouble, in files of a hundred so that they share the processors. A seed that
 * fails prints the command that replays it with everything that happened; once mended it gets a test in regressions/.
 */
import { describe, expect, it } from 'vitest';
import { tuneCompiler } from '../../src/simulation/engine-flags.ts';
import { replayCommand } from '../../src/simulation/main.ts';
import { runSeed } from '../../src/simulation/simulation.ts';
import { Database } from '../../storage/index.ts';

const SEEDS_PER_TEST = 10;
/** Patience, not a measure: ten seeds take about two seconds of a processor that has nothing else to do. */
const PATIENCE_MS = 180_000;

async function problemsOf(seed: number): Promise<string[]> {
  const result = await runSeed({ seed, openDatabase: (options) => Database.open(options) });
  return result.violations.map(
    (violation) => `seed ${seed}, ${violation.checker}: ${violation.text}\n  ${replayCommand(seed, {})}`,
  );
}

export function testSeeds(from: number, to: number): void {
  tuneCompiler();
  describe('the database in the simulator', () => {
    for (let first = from; first <= to; first += SEEDS_PER_TEST) {
      const last = Math.min(to, first + SEEDS_PER_TEST - 1);
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
  });
}
