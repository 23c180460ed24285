/** From the words of the command line to what is to be measured, or to why it cannot be. */
import { usageError } from '../cli/errors.ts';
import { listText } from '../cli/table.ts';
import type { Profiles } from './calls.ts';
import type { MeasureRequest, System, Workload } from './measure.ts';
import { BESIDE, besideNamed } from './systems.ts';
import { WORKLOADS, workloadNamed } from './workloads.ts';

export interface BenchOptions {
  /** Names of workloads with commas between them, `all` or `overload`. */
  readonly workload: string;
  readonly nodes?: number;
  readonly rows?: number;
  readonly clients?: readonly number[];
  readonly ms: number;
  readonly warmMs: number;
  readonly dir?: string;
  /** A page to put the figures in. */
  readonly out?: string;
  readonly ticktime?: number;
  /** Names of systems that do the same work, turn about. */
  readonly beside: readonly string[];
  /** How often everything is measured. */
  readonly rounds: number;
  /** Of overload. */
  readonly minutes?: number;
  /** Transactions at once on a node; the database's own limit unless given. */
  readonly transactionsMax?: number;
  readonly cpuProf?: string;
  readonly heapProf?: string;
  readonly output: 'table' | 'json';
}

/** One cluster, and what is measured on it. */
export type Measurement = Omit<MeasureRequest, 'system' | 'report' | 'directory'>;

/** Workloads that make no sense with fewer nodes: somebody must be left, or have something to say to. */
const NODES_MIN: Readonly<Record<string, number>> = { W9: 2, W10: 2, W10S: 2, W13: 2, W14: 2 };
const RESUME_WINDOW_MS = 1000;

/** @throws CliError when there is no such workload, or it cannot be done with so few nodes or clients */
export function measurementsFor(options: BenchOptions): Measurement[] {
  const profiles: Profiles = { cpu: options.cpuProf, heap: options.heapProf };
  const { ms: measuredMs, warmMs } = options;
  const measurements: Measurement[] = [];
  for (const workload of workloadsOf(options.workload)) {
    for (const nodes of listOf(options.nodes, workload.nodes)) {
      const clients = options.clients ?? workload.clients(nodes);
      checkCounts(workload, nodes, clients);
      for (const rows of listOf(options.rows, workload.rows)) {
        for (const netTicktimeMs of listOf(options.ticktime, workload.netTicktimesMs)) {
          const resumeWindowMs = resumeWindowFor(netTicktimeMs);
          const lengths = { warmMs, measuredMs, netTicktimeMs, resumeWindowMs };
          measurements.push({ workload, nodes, rows, clients, profiles, ...lengths });
        }
      }
    }
  }
  return measurements;
}

/** @throws CliError for a name that is none */
export function besideFor({ beside }: BenchOptions): System[] {
  return beside.map((name) => {
    const system = besideNamed(name);
    if (system !== undefined) return system;
    const known = listText(BESIDE.map((one) => one.name));
    throw usageError(`there is no system "${name}" to measure beside`, 'it is not known', `use ${known}`);
  });
}

/** What a peer has unless its configuration says otherwise; never longer than the others wait. */
export function resumeWindowFor(netTicktimeMs: number): number {
  return Math.min(RESUME_WINDOW_MS, netTicktimeMs);
}

function listOf(asked: number | undefined, otherwise: readonly number[]): readonly number[] {
  return asked === undefined ? otherwise : [asked];
}

/** One name, several with commas between them, or `all`. */
function workloadsOf(names: string): readonly Workload[] {
  if (names.toLowerCase() === 'all') return WORKLOADS;
  return names.split(',').map((name) => workloadOf(name.trim()));
}

function workloadOf(name: string): Workload {
  const workload = workloadNamed(name);
  if (workload !== undefined) return workload;
  if (name.toUpperCase() === 'W8') {
    throw usageError('W8 cannot be measured', 'it reads by a secondary index, and tables have none', 'leave it out');
  }
  const known = listText(WORKLOADS.map((one) => one.name));
  throw usageError(
    `there is no workload "${name}"`,
    'it is not among those that are measured',
    `use ${known}, all of them with "all", or overload`,
  );
}

function checkCounts(workload: Workload, nodes: number, clients: readonly number[]): void {
  const least = NODES_MIN[workload.name] ?? 1;
  if (nodes < least) {
    throw usageError(
      `${workload.name} cannot be measured on ${nodes} node`,
      'it is about what nodes do for each other',
      `give --nodes ${least} or more`,
    );
  }
  const few = clients.find((count) => workload.isEverywhere && count < nodes);
  if (few === undefined) return;
  throw usageError(
    `${workload.name} cannot be measured with ${few} clients on ${nodes} nodes`,
    'it has clients on every node',
    `give --clients ${nodes} or more`,
  );
}
