/**
 * A row that others have promised is guarded at who joined them. One that is given the promise by a member which itself was
 * given it since waited for that guard, which nobody would have lifted.
 */
import { expect, it } from 'vitest';
import { runSeed } from '../../../src/simulation/simulation.ts';
import { Database } from '../../../storage/index.ts';

/** Patience, not a measure. */
const PATIENCE_MS = 120_000;

it(
  'a guarded row does not keep out the promise that it is guarded for: seed 172410',
  async () => {
    const openDatabase = (options: Parameters<typeof Database.open>[0]) => Database.open(options);
    const { violations } = await runSeed({ seed: 172_410, openDatabase });
    expect(violations).toEqual([]);
  },
  PATIENCE_MS,
);
