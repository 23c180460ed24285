/** The simulator itself, over a database that is right by construction, and over ones that are wrong in one way each. */
import { describe, expect, it } from 'vitest';
import { runSeed } from '../../src/simulation/simulation.ts';
import { FakeStore, type Sabotage } from './fake-database.ts';

async function run(seed: number, profile: string, sabotage: Sabotage = 'none') {
  return await runSeed({ seed, profile, durationMs: 15_000, nodes: 3, openDatabase: new FakeStore(sabotage).open });
}

describe('the simulator over a database that is right by construction', () => {
  it('finds nothing wrong while nothing is', async () => {
    const sums = { acknowledged: 0, lists: 0, writes: 0 };
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const result = await run(seed, 'calm');
      expect(result.violations).toEqual([]);
      sums.acknowledged += result.counts.acknowledged;
      sums.lists += result.checked['lists strictly serializable: transactions'] ?? 0;
      sums.writes += result.checked['nothing acknowledged missing: acknowledged writes'] ?? 0;
    }
    expect(sums.acknowledged).toBeGreaterThan(1000);
    expect(sums.lists).toBeGreaterThan(150);
    expect(sums.writes).toBeGreaterThan(500);
  });

  it('runs one seed the same way twice, and another one another way', async () => {
    const first = await run(7, 'everything');
    const again = await run(7, 'everything');
    const other = await run(8, 'everything');
    expect(again.hash).toBe(first.hash);
    expect(again.history.operations).toEqual(first.history.operations);
    expect(other.hash).not.toBe(first.hash);
  });

  it('has faults of each kind of its profile', async () => {
    const kinds = new Set<string>();
    for (let seed = 20; seed < 30; seed++) {
      for (const kind of Object.keys((await run(seed, 'everything')).counts.faults)) kinds.add(kind);
    }
    expect([...kinds].sort()).toEqual(
      [
        'blip',
        'clock jump',
        'cut',
        'delay',
        'flapping',
        'isolation',
        'kill',
        'kill in protocol',
        'long blip',
        'long pause',
        'one-way cut',
        'orderly stop',
        'overlapping cut',
        'short pause',
        'slow disc',
      ].sort(),
    );
  });
});

describe('the simulator over a database that is broken on purpose', () => {
  const cases: readonly [Sabotage, string][] = [
    ['no validation', 'serializable'],
    ['stale reads', 'serializable'],
    ['forgets a write', 'nothing acknowledged missing'],
    ['half a pair', 'pairs whole'],
    ['leaks a lock', 'liveness'],
    ['replica misses a row', 'replicas equal'],
  ];
  for (const [sabotage, checker] of cases) {
    it(`notices: ${sabotage}`, async () => {
      const noticed = new Set<string>();
      for (const seed of [1, 2, 3, 4, 5, 6]) {
        for (const violation of (await run(seed, 'calm', sabotage)).violations) noticed.add(violation.checker);
      }
      expect([...noticed].join('; ')).toContain(checker);
    });
  }
});
