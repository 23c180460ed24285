/** The command `bench`: measures, and prints each figure as soon as there is one. */
import { tmpdir } from 'node:os';
import { exitCodes } from '../cli/exit-codes.ts';
import type { Terminal } from '../cli/terminal.ts';
import { type Figure, figuresTable } from './figures.ts';
import { type BenchOptions, type Measurement, measurementsFor } from './request.ts';

/** @returns exit code: 0 when everything was measured and held, 1 when an update was lost or replicas differ */
export async function runBenchCommand(options: BenchOptions, terminal: Terminal): Promise<number> {
  const measurements = measurementsFor(options);
  const figures: Figure[] = [];
  const report = (figure: Figure): void => {
    figures.push(figure);
    if (options.output === 'json') terminal.out(JSON.stringify(figure));
  };
  for (const measurement of measurements) {
    const before = figures.length;
    announce(measurement, options, terminal);
    await measurement.workload.measure({
      ...measurement,
      warmMs: options.warmMs,
      measuredMs: options.ms,
      directory: options.dir ?? tmpdir(),
      netTicktimeMs: options.ticktime,
      resumeWindowMs: Math.min(RESUME_WINDOW_MS, options.ticktime),
      report,
    });
    if (options.output === 'table') terminal.out(`${figuresTable(figures.slice(before)).join('\n')}\n`);
  }
  const broken = figures.filter((figure) => figure.replicas_equal === false || Number(figure.lost_updates ?? 0) !== 0);
  if (broken.length === 0) return exitCodes.ok;
  terminal.err(`${broken.length} figures are worth nothing: an update was lost, or replicas differ.`);
  return 1;
}

const RESUME_WINDOW_MS = 1000;

function announce({ workload, nodes, clients }: Measurement, { output }: BenchOptions, terminal: Terminal): void {
  if (output === 'json') return;
  const machines = nodes === 1 ? '1 node' : `${nodes} nodes`;
  terminal.err(`${workload.name}: ${workload.title}; ${machines}, ${clients.join(', ')} clients`);
}
