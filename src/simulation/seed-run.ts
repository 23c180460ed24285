/** One seed of the command `simulate`, with the database of the peers, and what is told of it afterwards. */
import { Database } from '../../storage/index.ts';
import { runSeed, type SeedResult } from './simulation.ts';

/** What the seeds of one command have in common. */
export interface SeedSettings {
  readonly nodes?: number;
  readonly profile?: string;
}

/** All but the history, which is too much to keep for thousands of seeds, or to send between processes. */
export interface SeedSummary extends Omit<SeedResult, 'history'> {
  readonly cpuSeconds: number;
}

export async function runOneSeed(
  seed: number,
  { nodes, profile }: SeedSettings,
  trace?: (line: string) => void,
): Promise<SeedSummary> {
  const started = process.cpuUsage();
  const { history: _, ...result } = await runSeed({
    seed,
    nodes,
    profile,
    openDatabase: (options) => Database.open(options),
    ...(trace === undefined ? {} : { trace }),
  });
  const used = process.cpuUsage(started);
  return { ...result, cpuSeconds: (used.user + used.system) / 1_000_000 };
}

/** Of a seed whose process ended before it did. */
export function lostSeed(seed: number, how: string): SeedSummary {
  return {
    seed,
    profile: 'unknown',
    nodes: 0,
    hash: '',
    violations: [{ checker: 'the simulator', text: `The process that ran this seed ended: ${how}.` }],
    checked: {},
    counts: {
      virtualMs: 0,
      events: 0,
      transactions: 0,
      acknowledged: 0,
      failed: 0,
      uncertain: 0,
      reruns: 0,
      messages: 0,
      starts: 0,
      healed: 0,
      conflicts: 0,
      split: false,
      faults: {},
      errors: {},
    },
    cpuSeconds: 0,
  };
}
