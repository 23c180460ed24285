/** The shapes of a measurement: what is measured, on which system, and what a cluster of any system must be able to do. */
import type { StorageKind } from '../../storage/index.ts';
import type { NodeCalls, OpenedNode, OperationName, Profiles } from './calls.ts';
import { type Figure, loadNow } from './figures.ts';

export interface Workload {
  readonly name: string;
  readonly title: string;
  readonly operation: OperationName;
  readonly storage: StorageKind;
  readonly nodes: readonly number[];
  readonly rows: readonly number[];
  /** For a cluster of so many nodes. */
  readonly clients: (nodes: number) => readonly number[];
  readonly netTicktimesMs: readonly number[];
  /** Whether clients run on every node, instead of the first alone. */
  readonly isEverywhere: boolean;
  /** Of every link, made by holding messages back. */
  readonly roundTripMs: number;
  /** What systems are compared by: the name of a measure. */
  readonly comparedBy: string;
  readonly measure: (request: MeasureRequest) => Promise<void>;
}

export interface MeasureRequest {
  readonly system: System;
  readonly workload: Workload;
  readonly nodes: number;
  readonly rows: number;
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

/** A database that can be measured: ours, or one beside it. */
export interface System {
  readonly name: string;
  /** Whether it does what the workload is about. */
  readonly measures: (workload: Workload) => boolean;
  /** @throws CliError `bench_program_missing` */
  readonly check: () => Promise<void>;
  /** Starts a cluster and gives it to `use`; whatever happens, nothing of it is left afterwards. */
  readonly withCluster: <T>(options: ClusterOptions, use: (cluster: MeasuredCluster) => Promise<T>) => Promise<T>;
}

export interface ClusterOptions
  extends Pick<MeasureRequest, 'nodes' | 'directory' | 'netTicktimeMs' | 'resumeWindowMs'> {
  /** Transactions at once on a node, of systems that have such a limit. */
  readonly transactionsMax?: number;
}

export interface MeasuredNode {
  /** From 1. */
  readonly number: number;
  /** Rejects with the node's own words when it fails, and when its process ends first. */
  call<C extends keyof NodeCalls>(
    call: C,
    argument: Parameters<NodeCalls[C]>[0],
  ): Promise<Awaited<ReturnType<NodeCalls[C]>>>;
  signal(signal: NodeJS.Signals): void;
  /** Kills the process and waits until it is gone. */
  kill(): Promise<void>;
}

export interface MeasuredCluster {
  readonly nodes: readonly MeasuredNode[];
  /** The node in which single clients live. */
  readonly first: MeasuredNode;
  node(number: number): MeasuredNode;
  /** A table with a replica of this kind on every node. */
  createTable(name: string, storage: StorageKind): Promise<void>;
  /** Ends the node as an operator would; its directory stays. */
  close(number: number): Promise<void>;
  /** Starts a process for the node on the directory it had. */
  open(number: number): Promise<OpenedNode>;
  /** Lets an opened node find the others. */
  connect(number: number): Promise<void>;
  /** Until every node that runs sees `count` nodes. */
  connected(count: number): Promise<void>;
  /** Until all nodes that run hold the same rows of a table. */
  equal(table: string, timeoutMs: number): Promise<void>;
  /** A file beside the directories of the nodes. */
  file(name: string): string;
  setRoundTrip(roundTripMs: number): Promise<void>;
  /** As a cable that is pulled between two groups, both ways; nothing is closed or refused. */
  cut(side: readonly number[]): Promise<void>;
  /** Ends cuts and delays. */
  heal(): Promise<void>;
}

export function headOf({ system, workload, nodes, rows }: MeasureRequest, clients: number): Figure {
  const { name, operation, storage } = workload;
  return { system: system.name, nodes, workload: name, op: operation, storage, rows, clients, loadavg1: loadNow() };
}

/** @throws RangeError for a node that the cluster does not have */
export function nodeOf<N>(nodes: readonly N[], number: number): N {
  const node = nodes[number - 1];
  if (node === undefined) throw new RangeError(`the cluster has no node ${number}`);
  return node;
}
