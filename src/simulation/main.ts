/** The command `simulate`: runs seeds, says what was done and what broke, and how to see it again. */
import { pathToFileURL } from 'node:url';
import { Database } from '../../storage/index.ts';
import { ALL_PROFILES, profileNamed, runSeed, type SeedResult } from './simulation.ts';
import { addSeed, emptyTotals, type Totals, totalsTable } from './totals.ts';

export interface SimulateOptions {
  readonly seeds: number;
  readonly from: number;
  /** Stops beginning new seeds after so many real minutes. */
  readonly minutes?: number;
  readonly nodes?: number;
  readonly profile?: string;
  readonly output: 'table' | 'json';
  readonly trace?: boolean;
  /** Breaks the database in this known way instead, to see that a checker notices. */
  readonly sabotage?: string;
}

interface Failure {
  readonly seed: number;
  readonly profile: string;
  readonly hash: string;
  readonly violations: SeedResult['violations'];
  readonly replay: string;
}

const SEEDS_PER_PROGRESS_LINE = 10;
const NODES_MOST = 6;
const FAILURES_SHOWN_MAX = 20;

/** The exit code: 0 when every seed held, 1 when one did not, 2 for a request that makes no sense. */
export async function runSimulateCommand(options: SimulateOptions): Promise<number> {
  const mistake = mistakeIn(options);
  if (mistake) {
    process.stderr.write(`${mistake}\n`);
    return 2;
  }
  if (options.sabotage !== undefined) {
    const { runSabotageCommand } = await import('./sabotage-command.ts');
    return await runSabotageCommand({ ...options, sabotage: options.sabotage });
  }
  const totals = emptyTotals();
  const failures: Failure[] = [];
  const seeds: { seed: number; hash: string; profile: string; ok: boolean }[] = [];
  const startedCpu = process.cpuUsage();
  const startedSeconds = process.uptime();
  for (let seed = options.from; seed < options.from + options.seeds; seed++) {
    if (options.minutes !== undefined && process.uptime() - startedSeconds > options.minutes * 60) break;
    const result = await runOne(seed, options);
    addSeed(totals, result);
    seeds.push({ seed, hash: result.hash, profile: result.profile, ok: result.violations.length === 0 });
    if (result.violations.length > 0) failures.push(reportFailure(result, options));
    else if (options.output === 'table') progress(totals, options);
  }
  const cpu = process.cpuUsage(startedCpu);
  totals.cpuSeconds = (cpu.user + cpu.system) / 1_000_000;
  if (options.output === 'json')
    process.stdout.write(`${JSON.stringify({ ok: failures.length === 0, totals, seeds, failures })}\n`);
  else printSummary(totals, failures, seeds);
  return failures.length === 0 ? 0 : 1;
}

function mistakeIn(options: SimulateOptions): string | undefined {
  if (!Number.isSafeInteger(options.seeds) || options.seeds < 1) {
    return `--seeds is the number of seeds to run, a whole number from 1; ${options.seeds} is not.`;
  }
  if (!Number.isSafeInteger(options.from)) return `--from is the first seed, a whole number; ${options.from} is not.`;
  if (
    options.nodes !== undefined &&
    !(Number.isInteger(options.nodes) && options.nodes >= 2 && options.nodes <= NODES_MOST)
  ) {
    return `--nodes is a whole number from 2 to ${NODES_MOST}; ${options.nodes} is not.`;
  }
  if (options.minutes !== undefined && !(options.minutes > 0)) {
    return `--minutes is a time to stop after, more than 0; ${options.minutes} is not.`;
  }
  if (options.profile !== undefined && !profileNamed(options.profile)) {
    const names = ALL_PROFILES.map((profile) => profile.name).join(', ');
    return `--profile is one of: ${names}; "${options.profile}" is not.`;
  }
  return undefined;
}

async function runOne(seed: number, options: SimulateOptions): Promise<SeedResult> {
  return await runSeed({
    seed,
    nodes: options.nodes,
    profile: options.profile,
    openDatabase: (databaseOptions) => Database.open(databaseOptions),
    ...(options.trace ? { trace: (line: string) => process.stdout.write(`${line}\n`) } : {}),
  });
}

function progress(totals: Totals, options: SimulateOptions): void {
  if (totals.seeds % SEEDS_PER_PROGRESS_LINE !== 0 && totals.seeds !== options.seeds) return;
  process.stdout.write(
    `${totals.seeds} of ${options.seeds} seeds, ${(totals.virtualMs / 60_000).toFixed(1)} virtual minutes, ` +
      `${totals.acknowledged} acknowledged, ${totals.failed} seeds failed\n`,
  );
}

export function replayCommand(seed: number, options: Pick<SimulateOptions, 'nodes' | 'profile'>): string {
  const nodes = options.nodes === undefined ? '' : ` --nodes ${options.nodes}`;
  const profile = options.profile === undefined ? '' : ` --profile "${options.profile}"`;
  return `npx peerage simulate --seeds 1 --from ${seed}${nodes}${profile} --trace`;
}

function reportFailure(result: SeedResult, options: SimulateOptions): Failure {
  const replay = replayCommand(result.seed, options);
  if (options.output === 'table') {
    process.stdout.write(
      `\nSeed ${result.seed} FAILED (${result.profile}, ${result.nodes} nodes, history ${result.hash})\n`,
    );
    for (const violation of result.violations.slice(0, FAILURES_SHOWN_MAX)) {
      process.stdout.write(`  ${violation.checker}: ${violation.text.replaceAll('\n', '\n  ')}\n`);
    }
    const more = result.violations.length - FAILURES_SHOWN_MAX;
    if (more > 0) process.stdout.write(`  and ${more} more\n`);
    process.stdout.write(`  See it again, with everything that happened: ${replay}\n\n`);
  }
  return { seed: result.seed, profile: result.profile, hash: result.hash, violations: result.violations, replay };
}

function printSummary(totals: Totals, failures: readonly Failure[], seeds: readonly { hash: string }[]): void {
  process.stdout.write(`\n${totalsTable(totals)}\n`);
  if (seeds.length === 1) process.stdout.write(`history ${seeds[0]?.hash}\n`);
  if (failures.length === 0) {
    process.stdout.write('Every check held on every seed.\n');
    return;
  }
  process.stdout.write(`\n${failures.length} of ${totals.seeds} seeds failed:\n`);
  for (const failure of failures.slice(0, FAILURES_SHOWN_MAX)) {
    const checkers = [...new Set(failure.violations.map((violation) => violation.checker))].join(', ');
    process.stdout.write(`  ${failure.seed}  ${checkers}\n    ${failure.replay}\n`);
  }
}

function optionsFrom(words: readonly string[]): SimulateOptions {
  const textOf = (flag: string): string | undefined => {
    const place = words.indexOf(flag);
    return place < 0 ? undefined : words[place + 1];
  };
  const numberOf = (flag: string): number | undefined => {
    const text = textOf(flag);
    return text === undefined ? undefined : Number(text);
  };
  return {
    seeds: numberOf('--seeds') ?? 100,
    from: numberOf('--from') ?? 1,
    minutes: numberOf('--minutes'),
    nodes: numberOf('--nodes'),
    profile: textOf('--profile'),
    output: (textOf('--output') ?? textOf('-o')) === 'json' ? 'json' : 'table',
    trace: words.includes('--trace'),
    sabotage: textOf('--sabotage'),
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await runSimulateCommand(optionsFrom(process.argv.slice(2)));
}
