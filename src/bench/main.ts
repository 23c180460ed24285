/** The command `bench`: measures, and prints each figure as soon as there is one. */
import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { CliError, messageOf } from '../cli/errors.ts';
import { exitCodes } from '../cli/exit-codes.ts';
import { listText } from '../cli/table.ts';
import type { Terminal } from '../cli/terminal.ts';
import { peerage } from './cluster.ts';
import { type Comparison, comparisonOf, comparisonsTable } from './compare.ts';
import { type Figure, figuresTable } from './figures.ts';
import type { System } from './measure.ts';
import { runOverload } from './overload-command.ts';
import { writeFigures } from './report.ts';
import { type BenchOptions, besideFor, type Measurement, measurementsFor, resumeWindowFor } from './request.ts';
import { NET_TICKTIME_MS } from './workloads.ts';

const OVERLOAD_MINUTES = 1;
const OVERLOAD_NODES = 3;
/** Kinds of file systems, as Linux numbers them. */
const TMPFS = 0x01021994;
const RAMFS = 0x858458f6;

/** @returns exit code: 0 when everything was measured and held, 1 when something answered was lost, or replicas differ */
export async function runBenchCommand(options: BenchOptions, terminal: Terminal): Promise<number> {
  if (options.workload.toLowerCase() === 'overload') return await overload(options, terminal);
  const measurements = measurementsFor(options);
  const beside = besideFor(options);
  const directory = options.dir ?? tmpdir();
  await checkDirectories(directory, options.out, terminal);
  for (const system of beside) await system.check();
  const bench = new Bench(beside, directory, options, terminal);
  for (const measurement of measurements) await bench.measure(measurement);
  return await bench.end();
}

async function overload(options: BenchOptions, terminal: Terminal): Promise<number> {
  const { minutes = OVERLOAD_MINUTES, ticktime: netTicktimeMs = NET_TICKTIME_MS, transactionsMax } = options;
  const directory = options.dir ?? tmpdir();
  await checkDirectories(directory, undefined, terminal);
  const resumeWindowMs = resumeWindowFor(netTicktimeMs);
  const timings = { netTicktimeMs, resumeWindowMs, overloadMs: minutes * 60_000 };
  return await runOverload(
    { nodes: OVERLOAD_NODES, directory, transactionsMax, ...timings },
    options.output === 'json',
    terminal,
  );
}

class Bench {
  readonly #beside: readonly System[];
  readonly #directory: string;
  readonly #options: BenchOptions;
  readonly #terminal: Terminal;
  readonly #figures: Figure[] = [];
  readonly #comparisons: Comparison[] = [];
  readonly #failures: string[] = [];

  constructor(beside: readonly System[], directory: string, options: BenchOptions, terminal: Terminal) {
    this.#beside = beside;
    this.#directory = directory;
    this.#options = options;
    this.#terminal = terminal;
  }

  async measure(measurement: Measurement): Promise<void> {
    this.#announce(measurement);
    const [figures, comparisons] = [this.#figures.length, this.#comparisons.length];
    const beside = this.#beside.filter((system) => system.measures(measurement.workload));
    for (let round = 0; round < this.#options.rounds; round++) {
      if (beside.length === 0) await this.#measureOn(peerage, measurement, measurement.clients);
      else await this.#alternate(measurement, beside, round);
    }
    if (this.#options.output === 'json') return;
    for (const lines of [
      figuresTable(this.#figures.slice(figures)),
      comparisonsTable(this.#comparisons.slice(comparisons)),
    ]) {
      if (lines.length > 1) this.#terminal.out(`${lines.join('\n')}\n`);
    }
  }

  async end(): Promise<number> {
    const { out } = this.#options;
    if (out !== undefined && this.#figures.length > 0) {
      await writeFigures(out, this.#figures, this.#comparisons);
      this.#terminal.err(`${this.#figures.length} figures are in ${out}`);
    }
    const [failure] = this.#failures;
    if (failure !== undefined) {
      const what = `${this.#failures.length} of the measurements did not come to their end`;
      throw new CliError('bench_failed', what, failure, 'try again on a machine with less load');
    }
    const broken = this.#figures.filter((figure) => figure.system === peerage.name && isBroken(figure));
    if (broken.length === 0) return exitCodes.ok;
    this.#terminal.err(`${broken.length} figures are worth nothing: something answered was lost, or replicas differ.`);
    return exitCodes.refused;
  }

  /** One after the other at the same number of clients, so that both meet the same machine; turn about who begins. */
  async #alternate(measurement: Measurement, beside: readonly System[], round: number): Promise<void> {
    const systems = round % 2 === 0 ? [peerage, ...beside] : [...beside, peerage];
    const each = measurement.clients.length === 0 ? [[]] : measurement.clients.map((count) => [count]);
    for (const clients of each) {
      const found = new Map<System, Figure[]>();
      for (const system of systems) found.set(system, await this.#measureOn(system, measurement, clients));
      for (const system of beside) this.#compare(measurement, found.get(peerage)!, found.get(system)!);
    }
  }

  #compare({ workload }: Measurement, ours: readonly Figure[], theirs: readonly Figure[]): void {
    ours.forEach((figure, at) => {
      const other = theirs[at];
      const comparison = other && comparisonOf(figure, other, workload.comparedBy);
      if (comparison === undefined) return;
      this.#comparisons.push(comparison);
      if (this.#options.output === 'json') this.#terminal.out(JSON.stringify(comparison));
    });
  }

  async #measureOn(system: System, measurement: Measurement, clients: readonly number[]): Promise<Figure[]> {
    const figures: Figure[] = [];
    const report = (figure: Figure): void => {
      figures.push(figure);
      if (this.#options.output === 'json') this.#terminal.out(JSON.stringify(figure));
    };
    try {
      await measurement.workload.measure({ ...measurement, clients, system, directory: this.#directory, report });
    } catch (error) {
      // The others can be measured all the same.
      const { workload, nodes } = measurement;
      const text = `${workload.name} of ${system.name} on ${nodes} nodes: ${messageOf(error)}`;
      this.#failures.push(text);
      this.#terminal.err(text);
    }
    this.#figures.push(...figures);
    return figures;
  }

  #announce({ workload, nodes, clients }: Measurement): void {
    if (this.#options.output === 'json') return;
    const machines = nodes === 1 ? '1 node' : `${nodes} nodes`;
    const loops = clients.length === 0 ? '' : `, ${listText(clients)} clients`;
    this.#terminal.err(`${workload.name}: ${workload.title}; ${machines}${loops}`);
  }
}

function isBroken({ replicas_equal, lost_updates = 0, lost_acknowledged = 0 }: Figure): boolean {
  return replicas_equal === false || lost_updates !== 0 || lost_acknowledged !== 0;
}

/** Before an hour is spent on figures that have no place, or on a disc that is none. */
async function checkDirectories(directory: string, out: string | undefined, terminal: Terminal): Promise<void> {
  for (const [path, option] of [[directory, '--dir'] as const, ...(out ? [[dirname(out), '--out'] as const] : [])]) {
    try {
      await access(path, constants.W_OK);
    } catch (error) {
      const remedy = `make the directory, or give another place with ${option}`;
      throw new CliError('bad_file', `nothing can be written in ${path}`, messageOf(error), remedy);
    }
  }
  const { type } = await statfs(directory);
  if (type !== TMPFS && type !== RAMFS) return;
  terminal.err(
    `${directory} is in memory: figures of tables on disc say nothing of a disc. Give another place with --dir.`,
  );
}
