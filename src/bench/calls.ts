/** What the driver asks of a node's process, over the channel to a child process: one message a call, one an answer. */
import type { SystemInfo, TableDefinition } from '../../storage/index.ts';
import type { PeerAddress } from '../net/index.ts';
import type { ClientFigures } from './clients.ts';

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
}

export interface OpenedNode {
  readonly port: number;
  readonly openMs: number;
}

export type OperationName =
  | 'dirty_read'
  | 'tx_read'
  | 'tx_write'
  | 'sync_tx_write'
  | 'dirty_write'
  | 'tx_read_modify_write';

export interface Profiles {
  /** Directory for a `.cpuprofile` of the measured time. */
  readonly cpu?: string;
  /** Directory for a `.heapprofile` of the measured time: who allocated what is still alive. */
  readonly heap?: string;
}

export interface RunRequest {
  readonly operation: OperationName;
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

/** Every call takes one argument and answers when it is done. */
export interface NodeCalls {
  open(settings: NodeSettings): Promise<OpenedNode>;
  setPeers(rows: readonly PeerAddress[]): void;
  systemInfo(_: null): SystemInfo;
  createTable(definition: TableDefinition): Promise<void>;
  populate(request: PopulateRequest): Promise<void>;
  run(request: RunRequest): Promise<RunFigures>;
  tableState(table: string): TableState;
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
