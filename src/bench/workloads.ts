/** What can be measured, and with how many nodes and clients unless one says otherwise. */
import type { StorageKind } from '../../storage/index.ts';
import type { OperationName, Profiles } from './calls.ts';
import type { Figure } from './figures.ts';
import { measureThroughput } from './throughput.ts';

export interface MeasureRequest {
  readonly workload: Workload;
  readonly nodes: number;
  /** In all, one measurement each. */
  readonly clients: readonly number[];
  readonly warmMs: number;
  readonly measuredMs: number;
  /** Where the directories of clusters are made. */
  readonly directory: string;
  readonly netTicktimeMs: number;
  readonly resumeWindowMs: number;
  readonly profiles: Profiles;
  /** Called with each figure as soon as there is one. */
  readonly report: (figure: Figure) => void;
}

export interface Workload {
  readonly name: string;
  readonly title: string;
  readonly operation: OperationName;
  readonly storage: StorageKind;
  readonly rows: number;
  /** Whether clients run on every node, instead of the first alone. */
  readonly isEverywhere: boolean;
  readonly nodes: readonly number[];
  /** For a cluster of so many nodes. */
  readonly clients: (nodes: number) => readonly number[];
  readonly measure: (request: MeasureRequest) => Promise<void>;
}

const ROWS = 10_000;
const HOT_ROWS = 100;
const CLIENTS = [1, 8, 64];
const CLIENTS_PER_NODE = [1, 8, 21];

function throughput(
  name: string,
  title: string,
  operation: OperationName,
  storage: StorageKind,
  nodes: readonly number[],
): Workload {
  return {
    name,
    title,
    operation,
    storage,
    nodes,
    rows: ROWS,
    isEverywhere: false,
    clients: () => CLIENTS,
    measure: measureThroughput,
  };
}

function contention(name: string, storage: StorageKind): Workload {
  const title = `read-modify-write of ${HOT_ROWS} hot rows from all nodes`;
  return {
    ...throughput(name, title, 'tx_read_modify_write', storage, [3]),
    rows: HOT_ROWS,
    isEverywhere: true,
    clients: (nodes) => CLIENTS_PER_NODE.map((count) => count * nodes),
  };
}

export const WORKLOADS: readonly Workload[] = [
  throughput('W1', 'dirty read', 'dirty_read', 'ram_copies', [1]),
  throughput('W2', 'read in a transaction', 'tx_read', 'ram_copies', [1, 3]),
  throughput('W3', 'write in a transaction, in memory', 'tx_write', 'ram_copies', [1, 3]),
  throughput('W4', 'write in a transaction, on disc', 'tx_write', 'disc_copies', [1, 3]),
  throughput('W5', 'write in a synced transaction, on the discs of all', 'sync_tx_write', 'disc_copies', [3]),
  throughput('W6', 'dirty write, on disc', 'dirty_write', 'disc_copies', [3]),
  contention('W7', 'disc_copies'),
  contention('W7R', 'ram_copies'),
];

export function workloadNamed(name: string): Workload | undefined {
  return WORKLOADS.find((workload) => workload.name === name.toUpperCase());
}
