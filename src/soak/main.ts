/** The command `soak`: real peers under faults for a long time, checked like a simulation, with memory and files watched. */
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { CliError } from '../cli/errors.ts';
import { exitCodes } from '../cli/exit-codes.ts';
import type { Terminal } from '../cli/terminal.ts';
import { createLab } from '../lab/create.ts';
import { choosePlaces } from '../lab/ports.ts';
import { peerCommand } from '../lab/program-file.ts';
import { SOAK_FAULTS } from './faults.ts';
import { type RoundResult, Soak, type SoakResult } from './soak.ts';

export interface SoakCommandOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly peers: number;
  /** Seconds of work between two rests. */
  readonly round: number;
  /** Seconds from one fault to the next. */
  readonly faultEvery: number;
  readonly firstAddress?: string;
  readonly output: 'table' | 'json';
}

export const SOAK_ADDRESS = '127.15.40.15';
/** What the steady peer's memory may grow by between the first and the last third of the rounds. */
const GROWTH_BYTES_MAX = 48 * 2 ** 20;
const FILES_GROWTH_MAX = 8;
/** Memory says nothing before the code is warm and the caches are full. */
const ROUNDS_TO_JUDGE = 6;

export async function runSoakCommand(options: SoakCommandOptions, terminal: Terminal): Promise<number> {
  if (process.platform !== 'linux') {
    throw new CliError(
      'lab_unsupported',
      'The soak cannot run here',
      'it limits files with prlimit and reads memory from /proc',
      'run it on Linux',
    );
  }
  const parent = mkdtempSync(join(tmpdir(), 'peerage-soak-'));
  const directory = join(parent, 'lab');
  const places = await choosePlaces(options.peers, options.firstAddress ?? SOAK_ADDRESS);
  const { lab } = await createLab(directory, places);
  const say = (text: string): void => terminal.err(`${new Date().toISOString().slice(11, 19)} ${text}`);
  say(`${options.peers} peers, ${options.minutes} minutes, seed ${options.seed}, in ${directory}`);
  const [program, ...first] = peerCommand();
  const soak = new Soak({
    lab,
    seed: options.seed,
    minutes: options.minutes,
    roundMs: options.round * 1000,
    roundKills: 0,
    faultEveryMs: options.faultEvery * 1000,
    faults: SOAK_FAULTS,
    keepOne: true,
    command: [program, ...first, 'soak-peer'],
    say,
  });
  const result = await soak.run();
  const problems = problemsOf(result);
  if (options.output === 'json') terminal.out(JSON.stringify({ ok: problems.length === 0, problems, ...result }));
  else printSummary(result, problems, terminal);
  if (problems.length === 0) rmSync(parent, { recursive: true, force: true });
  else say(`the peers' directories are kept in ${directory}`);
  return problems.length === 0 ? exitCodes.ok : exitCodes.refused;
}

/** What did not hold, in words. */
export function problemsOf({ rounds, steady }: Pick<SoakResult, 'rounds' | 'steady'>): string[] {
  const problems = rounds.flatMap(({ round, violations }) =>
    violations.map(({ checker, text }) => `round ${round}: ${checker}: ${text}`),
  );
  if (rounds.length === 0) problems.push('no round was finished');
  return [...problems, ...growth(rounds, steady)];
}

/** Medians of the first and the last third of the rounds, of the peer that lived through all of them. */
function growth(rounds: readonly RoundResult[], steady: number | undefined): string[] {
  if (steady === undefined || rounds.length < ROUNDS_TO_JUDGE) return [];
  const third = Math.floor(rounds.length / 3);
  const grown = (of: (round: RoundResult) => number): number =>
    median(rounds.slice(-third).map(of)) - median(rounds.slice(0, third).map(of));
  const bytes = grown((round) => round.resources[steady]?.residentBytes ?? 0);
  const files = grown((round) => round.resources[steady]?.files ?? 0);
  const name = `peer${steady + 1}, which lived through all rounds,`;
  return [
    ...(bytes > GROWTH_BYTES_MAX ? [`${name} grew by ${Math.round(bytes / 2 ** 20)} MiB`] : []),
    ...(files > FILES_GROWTH_MAX ? [`${name} holds ${files} more open files`] : []),
  ];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function printSummary(result: SoakResult, problems: readonly string[], terminal: Terminal): void {
  const { rounds, faults, kills, seconds } = result;
  const sum = (of: (round: RoundResult) => number): number => rounds.reduce((total, round) => total + of(round), 0);
  const steady = result.steady ?? 0;
  const memory = rounds.map((round) => Math.round((round.resources[steady]?.residentBytes ?? 0) / 2 ** 20));
  const files = rounds.map((round) => round.resources[steady]?.files ?? 0);
  const kinds = Object.entries(faults).map(([kind, times]) => `${kind} ${times}`);
  const lines = [
    `${rounds.length} rounds in ${seconds} s, load ${loadavg()
      .map((load) => load.toFixed(1))
      .join(' ')}`,
    `operations ${sum((round) => round.operations)}: ${sum((round) => round.acknowledged)} acknowledged, ` +
      `${sum((round) => round.refused)} refused, ${sum((round) => round.unknown)} of unknown outcome`,
    `conflicts in the ledger ${sum((round) => round.conflicts)}, rounds with a split ${rounds.filter((round) => round.split).length}`,
    `faults: ${kinds.join(', ')}; ${kills} processes killed`,
    `at rest after, longest: ${Math.max(0, ...rounds.map((round) => round.restMs))} ms`,
    `peer${steady + 1}, never killed: memory by round ${memory.join(' ')} MiB; open files ${files.join(' ')}`,
    `checked: ${checkedText(rounds)}`,
    problems.length === 0 ? 'Every check held in every round.' : `${problems.length} problems:`,
    ...problems,
  ];
  for (const line of lines) terminal.out(line);
}

function checkedText(rounds: readonly RoundResult[]): string {
  const sums = new Map<string, number>();
  for (const { checked } of rounds) {
    for (const [what, times] of Object.entries(checked)) sums.set(what, (sums.get(what) ?? 0) + times);
  }
  return [...sums].map(([what, times]) => `${what} ${times}`).join(', ');
}
