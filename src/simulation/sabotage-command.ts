/** The command `simulate --sabotage`: breaks the database in a known way and says which seed and checker notice. */
import { SABOTAGE_SEEDS_MAX, SABOTAGES, sabotageNamed } from './sabotage.ts';
import { loadSabotaged } from './sabotaged-bundle.ts';

export interface SabotageOptions {
  /** A switch, or `all`. */
  readonly sabotage: string;
  readonly seeds: number;
  readonly from: number;
  readonly trace?: boolean;
}

/** The exit code: 0 when every switch was caught, 1 when one was not, 2 for one that does not exist. */
export async function runSabotageCommand(options: SabotageOptions): Promise<number> {
  let missed = 0;
  try {
    const chosen = options.sabotage === 'all' ? SABOTAGES : [sabotageNamed(options.sabotage)];
    for (const { name } of chosen) if (!(await wasCaught(name, options))) missed++;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 2;
  }
  return missed === 0 ? 0 : 1;
}

async function wasCaught(name: string, { seeds, from, trace }: SabotageOptions): Promise<boolean> {
  const sabotage = sabotageNamed(name);
  const simulator = await loadSabotaged(sabotage);
  process.stdout.write(`${name}: ${sabotage.breaks}\n`);
  const most = Math.min(seeds, SABOTAGE_SEEDS_MAX);
  for (let seed = from; seed < from + most; seed++) {
    const result = await simulator.run(seed, trace ? (line) => process.stdout.write(`${line}\n`) : undefined);
    const found = result.violations.find(({ checker }) => sabotage.caughtBy.includes(checker));
    if (!found) continue;
    const others = new Set(result.violations.map(({ checker }) => checker));
    process.stdout.write(`  caught at seed ${seed} (${result.profile}) by "${found.checker}": ${found.text}\n`);
    others.delete(found.checker);
    if (others.size > 0) process.stdout.write(`  seen too by: ${[...others].join(', ')}\n`);
    process.stdout.write(`  See it again: npx peerage simulate --sabotage ${name} --seeds 1 --from ${seed} --trace\n`);
    return true;
  }
  process.stdout.write(`  NOT CAUGHT in ${most} seeds from ${from}: the checkers or the workload are too weak\n`);
  return false;
}
