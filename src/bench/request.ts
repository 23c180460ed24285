/** From the words of the command line to what is to be measured, or to why it cannot be. */
import { usageError } from '../cli/errors.ts';
import type { Profiles } from './calls.ts';
import { WORKLOADS, type Workload, workloadNamed } from './workloads.ts';

export interface BenchOptions {
  /** Name of a workload, or `all`. */
  readonly workload: string;
  readonly nodes?: number;
  readonly clients?: readonly number[];
  readonly ms: number;
  readonly warmMs: number;
  readonly dir?: string;
  readonly ticktime: number;
  readonly cpuProf?: string;
  readonly heapProf?: string;
  readonly output: 'table' | 'json';
}

/** One cluster, and what is measured on it. */
export interface Measurement {
  readonly workload: Workload;
  readonly nodes: number;
  readonly clients: readonly number[];
  readonly profiles: Profiles;
}

/** @throws CliError when there is no such workload, or it cannot be done with so few nodes or clients */
export function measurementsFor(options: BenchOptions): Measurement[] {
  const profiles: Profiles = { cpu: options.cpuProf, heap: options.heapProf };
  return workloadsOf(options.workload).flatMap((workload) => {
    const counts = options.nodes === undefined ? workload.nodes : [options.nodes];
    return counts.map((nodes) => {
      const clients = options.clients ?? workload.clients(nodes);
      checkClients(workload, nodes, clients);
      return { workload, nodes, clients, profiles };
    });
  });
}

function workloadsOf(name: string): readonly Workload[] {
  if (name.toLowerCase() === 'all') return WORKLOADS;
  const workload = workloadNamed(name);
  if (workload !== undefined) return [workload];
  const known = WORKLOADS.map((one) => one.name).join(', ');
  throw usageError(`there is no workload "${name}"`, 'it is not among those that are measured', `use ${known} or all`);
}

function checkClients(workload: Workload, nodes: number, clients: readonly number[]): void {
  const few = clients.find((count) => workload.isEverywhere && count < nodes);
  if (few === undefined) return;
  throw usageError(
    `${workload.name} cannot be measured with ${few} clients on ${nodes} nodes`,
    'it has clients on every node',
    `give --clients ${nodes} or more`,
  );
}
