/** What the driver asks of a node's process, over the channel to a child process: one message a call, one an answer. */
import type { TableDefinition } from '../../storage/index.ts';
import type { PeerAddress } from '../net/index.ts';
import type { ClientFigures } from './clients.ts';
import type { HistogramBuckets } from './histogram.ts';

export interface NodeSettings {
  /** From 1. */
  readonly number: number;
  readonly nodeName: string;
  readonly directory: string;
  readonly address: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly certificate: string;
  readonly privateKey: string;
  readonly authority: string;
  /** Hexadecimal. */
  readonly clusterKey: string;
  readonly netTicktimeMs: number;
  readonly resumeWindowMs: number;
  /** Transactions at once; the database's own limit unless given. */
  readonly transactionsMax?: number;
}

export interface OpenedNode {
  readonly port: number;
  readonly openMs: number;
  /** Processor time of the process for it, where it is told. */
  readonly openCpuMs?: number;
}

/** What a client does in a closed loop. */
export type ClientOperationName =
  | 'dirty_read'
  | 'tx_read'
  | 'tx_write'
  | 'sync_tx_write'
  | 'dirty_write'
  | 'tx_read_modify_write';

/** Or what is done to the cluster. */
export type OperationName =
  | ClientOperationName
  | 'catch_up'
  | 'disc_load'
  | 'kill_one'
  | 'hang_one'
  | 'kill_all'
  | 'cut_and_heal';

export interface Profiles {
  /** Directory for a `.cpuprofile` of the measured time. */
  readonly cpu?: string;
  /** Directory for a `.heapprofile` of the measured time: who allocated what is still alive. */
  readonly heap?: string;
}

export interface RunRequest {
  readonly operation: ClientOperationName;
  readonly table: string;
  readonly keys: number;
  /** 0 for a node that is only watched. */
  readonly clients: number;
  readonly warmMs: number;
  readonly measuredMs: number;
  readonly profiles: Profiles;
  /** Distinguishes the files of profiles. */
  readonly label: string;
}

export interface RunFigures extends ClientFigures {
  /** Runs of the functions of transactions that read and write, reruns included. */
  readonly attempts: number;
  /** Processor time of the whole process within the measured time, user and system. */
  readonly cpuUs: number;
  readonly rssBytes: number;
}

export interface PopulateRequest {
  readonly table: string;
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  readonly n: number;
}

export interface TableState {
  readonly rows: number;
  /** Over all rows, of the numbers that read-modify-write counts up. */
  readonly sum: number;
  readonly digest: string;
}

export interface GapRequest {
  readonly table: string;
  readonly keys: number;
  readonly clients: number;
  readonly warmMs: number;
  readonly measuredMs: number;
}

export interface GapFigures {
  /** Between one commit of any client and the next of any client. */
  readonly longestGapMs: number;
  /** When that began, ms since the epoch. */
  readonly gapBeganAt: number;
  readonly longestOperationMs: number;
  readonly commits: number;
  readonly errors: Readonly<Record<string, number>>;
}

export interface AcknowledgeRequest {
  readonly table: string;
  readonly clients: number;
  /** The first key written; each write has its own. */
  readonly firstKey: number;
  /** Keys are appended here, each as soon as its write was answered, before anything else happens. */
  readonly file: string;
}

export interface FaultRequest {
  readonly peers: readonly PeerAddress[];
  readonly isCut: boolean;
  /** Of what this node sends, each way of a round trip. */
  readonly delayMs: number;
}

export interface WaitRequest {
  readonly tables: readonly string[];
  readonly timeoutMs: number;
}

export interface LookForRequest {
  readonly table: string;
  readonly file: string;
}

export interface LoadRequest {
  readonly table: string;
  readonly keys: number;
  readonly ratePerS: number;
}

export interface LoadSample {
  readonly offered: number;
  readonly succeeded: number;
  readonly overloaded: number;
  /** Of those, without a time after which to try again. */
  readonly overloadedWithoutTime: number;
  /** Of the errors, those whose transaction may have been made. */
  readonly unknown: number;
  readonly errors: Readonly<Record<string, number>>;
  /** Of all that were answered, refusals included. */
  readonly latencies: HistogramBuckets;
  readonly longestMs: number;
  readonly inFlight: number;
  readonly rssBytes: number;
  readonly heapUsedBytes: number;
}

export interface MemoryFigures {
  readonly rssBytes: number;
  readonly rssBytesMost: number;
  readonly heapUsedBytes: number;
}

/** Every call takes one argument and answers when it is done. */
export interface NodeCalls {
  open(settings: NodeSettings): Promise<OpenedNode>;
  setPeers(rows: readonly PeerAddress[]): void;
  /** How many nodes this one works with, itself included. */
  runningNodes(_: null): number;
  createTable(definition: TableDefinition): Promise<void>;
  populate(request: PopulateRequest): Promise<void>;
  run(request: RunRequest): Promise<RunFigures>;
  /** Clients as those of `run`, watched for the time in which nothing commits. */
  measureGap(request: GapRequest): Promise<GapFigures>;
  /** Writes until the process is killed. */
  acknowledge(request: AcknowledgeRequest): Promise<never>;
  /** How many of the keys in the file the table has, and how many not. */
  lookFor(request: LookForRequest): { readonly found: number; readonly missing: number };
  setFaults(request: FaultRequest): void;
  waitForTables(request: WaitRequest): Promise<void>;
  memory(_: null): MemoryFigures;
  /** Arrivals at a rate from now on, in place of any other. */
  setLoad(request: LoadRequest): void;
  loadSample(_: null): LoadSample;
  setDiscDelay(delayMs: number): void;
  tableState(table: string): TableState;
  digest(table: string): string;
  close(_: null): Promise<void>;
}

export interface CallMessage {
  readonly id: number;
  readonly call: keyof NodeCalls;
  readonly argument: unknown;
}

export interface AnswerMessage {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}
