/** The command `simulate`: runs seeds, says what was done and what broke, and how to see it again. */
import { availableParallelism } from 'node:os';
import { pathToFileURL } from 'node:url';
import { runSeeds, runSeedWorker } from './seed-pool.ts';
import { runOneSeed, type SeedSummary } from './seed-run.ts';
import { ALL_PROFILES, profileNamed } from './simulation.ts';
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
  /** Processes that run seeds; without it one, or as many as there are processors when there is much to do. */
  readonly jobs?: number;
  /** This process is one of those: see seed-pool.ts. */
  readonly worker?: boolean;
}

interface Failure {
  readonly seed: number;
  readonly profile: string;
  readonly hash: string;
  readonly violations: SeedSummary['violations'];
  readonly replay: string;
}

const SEEDS_PER_PROGRESS_LINE = 10;
/** Fewer are done before more processes have started. */
const SEEDS_FOR_ONE_JOB_MAX = 50;
const JOBS_MOST = 64;
const NODES_MOST = 6;
const FAILURES_SHOWN_MAX = 20;

/** The exit code: 0 when every seed held, 1 when one did not, 2 for a request that makes no sense. */
export async function runSimulateCommand(options: SimulateOptions): Promise<number> {
  if (options.worker) {
    await runSeedWorker();
    return 0;
  }
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
  for await (const result of resultsOf(options)) {
    addSeed(totals, result);
    seeds.push({ seed: result.seed, hash: result.hash, profile: result.profile, ok: result.violations.length === 0 });
    if (result.violations.length > 0) failures.push(reportFailure(result, options));
    else if (options.output === 'table') progress(totals, options);
  }
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
  if (
    options.jobs !== undefined &&
    !(Number.isInteger(options.jobs) && options.jobs >= 1 && options.jobs <= JOBS_MOST)
  ) {
    return `--jobs is a number of processes from 1 to ${JOBS_MOST}; ${options.jobs} is not.`;
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

async function* resultsOf(options: SimulateOptions): AsyncGenerator<SeedSummary> {
  const { seeds, from, nodes, profile } = options;
  const untilSeconds = process.uptime() + (options.minutes ?? Number.POSITIVE_INFINITY) * 60;
  const mayBegin = (): boolean => process.uptime() < untilSeconds;
  if (options.trace) {
    const print = (line: string): void => void process.stdout.write(`${line}\n`);
    for (let seed = from; seed < from + seeds && mayBegin(); seed++) yield await runOneSeed(seed, options, print);
    return;
  }
  const jobs = options.jobs ?? (seeds > SEEDS_FOR_ONE_JOB_MAX ? availableParallelism() : 1);
  yield* runSeeds({ from, seeds, jobs, nodes, profile, mayBegin });
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

function reportFailure(result: SeedSummary, options: SimulateOptions): Failure {
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

// Run by itself this file is the command `peerage simulate`, with its options and its refusals. Nothing here waits for
// that: the command loads this module, which must have been loaded then.
if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  Promise.all([import('../cli/program.ts'), import('../cli/terminal.ts')])
    .then(([{ runProgram }, { processTerminal }]) =>
      runProgram(['simulate', ...process.argv.slice(2)], processTerminal()),
    )
    .then((code) => {
      process.exitCode = code;
    });
}
