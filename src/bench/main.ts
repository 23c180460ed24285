/** The command `bench`: measures, and prints each figure as soon as there is one. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { CliError, messageOf } from '../cli/errors.ts';
import { exitCodes } from '../cli/exit-codes.ts';
import { listText } from '../cli/table.ts';
import type { Terminal } from '../cli/terminal.ts';
import { type Figure, figuresTable } from './figures.ts';
import { writeFigures } from './report.ts';
import { type BenchOptions, type Measurement, measurementsFor } from './request.ts';

/** @returns exit code: 0 when everything was measured and held, 1 when something answered was lost, or replicas differ */
export async function runBenchCommand(options: BenchOptions, terminal: Terminal): Promise<number> {
  const measurements = measurementsFor(options);
  const directory = options.dir ?? tmpdir();
  await checkDirectories(directory, options.out);
  const figures: Figure[] = [];
  const failures: string[] = [];
  for (const measurement of measurements) {
    announce(measurement, options, terminal);
    const own: Figure[] = [];
    const report = (figure: Figure): void => {
      own.push(figure);
      if (options.output === 'json') terminal.out(JSON.stringify(figure));
    };
    try {
      await measurement.workload.measure({ ...measurement, directory, report });
    } catch (error) {
      // The others can be measured all the same.
      failures.push(`${measurement.workload.name} on ${measurement.nodes} nodes: ${messageOf(error)}`);
      terminal.err(failures.at(-1)!);
    }
    figures.push(...own);
    if (options.output === 'table' && own.length > 0) terminal.out(`${figuresTable(own).join('\n')}\n`);
  }
  if (options.out !== undefined && figures.length > 0) {
    await writeFigures(options.out, figures);
    terminal.err(`${figures.length} figures are in ${options.out}`);
  }
  return outcomeOf(figures, failures, terminal);
}

function outcomeOf(figures: readonly Figure[], failures: readonly string[], terminal: Terminal): number {
  if (failures.length > 0) {
    const what = `${failures.length} of the measurements did not come to their end`;
    throw new CliError('bench_failed', what, failures[0]!, 'try again on a machine with less load');
  }
  const broken = figures.filter(isBroken);
  if (broken.length === 0) return exitCodes.ok;
  terminal.err(`${broken.length} figures are worth nothing: something answered was lost, or replicas differ.`);
  return exitCodes.refused;
}

function isBroken({ replicas_equal, lost_updates = 0, lost_acknowledged = 0 }: Figure): boolean {
  return replicas_equal === false || lost_updates !== 0 || lost_acknowledged !== 0;
}

/** Before an hour is spent on figures that have no place. */
async function checkDirectories(directory: string, out: string | undefined): Promise<void> {
  for (const [path, option] of [[directory, '--dir'] as const, ...(out ? [[dirname(out), '--out'] as const] : [])]) {
    try {
      await access(path, constants.W_OK);
    } catch (error) {
      const remedy = `make the directory, or give another place with ${option}`;
      throw new CliError('bad_file', `nothing can be written in ${path}`, messageOf(error), remedy);
    }
  }
}

function announce({ workload, nodes, clients }: Measurement, { output }: BenchOptions, terminal: Terminal): void {
  if (output === 'json') return;
  const machines = nodes === 1 ? '1 node' : `${nodes} nodes`;
  const loops = clients.length === 0 ? '' : `, ${listText(clients)} clients`;
  terminal.err(`${workload.name}: ${workload.title}; ${machines}${loops}`);
}
