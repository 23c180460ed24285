/**
 * What the actors ask of the rest of a peer: narrow functions, passed in by the composition root, and the shapes of the
 * messages actors send each other. Nothing here waits inside an actor; a port that returns a promise is only called in
 * a worker.
 */
import type { Key, TableEvent, Transaction, Value } from '../../storage/index.ts';
import type { ClusterConfiguration } from './cluster-configuration.ts';

/** Names the processes are registered under on every peer. */
export const PROCESS = {
  cdb: 'cdb',
  peerNameResolver: 'peernameresolver',
  alternatesManager: 'alternatesmanager',
  databaseManager: 'databasemanager',
  alarmManager: 'alarmmanager',
  synchroniser: 'clusterconfigurationsynchroniser',
} as const;

/** Name of the process that owns a table's writes. */
export function cdbtableName(table: string): string {
  return `cdbtable.${table}`;
}

/** Writes of a table's process. Storage's `Database` fits as it is. */
export interface TransactionPort {
  transaction<T>(run: (tx: Transaction) => T | Promise<T>): Promise<T>;
}

/** Plain reads of this node's replica. Storage's `Database` fits as it is. */
export interface ReadPort {
  dirtyRead(table: string, key: Key): Value;
  dirtyForEach(table: string, visit: (key: Key, value: Value) => void): void;
}

/** The node connection transaction: storage's `Database.connectNode` and `systemInfo().runningDbNodes`. */
export interface ConnectPort {
  connectNode(nodeName: string): Promise<void>;
  /** Names of the nodes whose database is one with this one's now, this node included. */
  runningDbNodes(): readonly string[];
}

/** Reads the cluster's configuration as it is now, peer-specific and shared parts together. */
export type ConfigurationPort = () => ClusterConfiguration;

/** One configured row other than this system's own, as the link layer sees it now. */
export interface PeerLink {
  readonly index: number;
  readonly text: string;
  readonly up: boolean;
  /** `clusterdb@<fqdn>` once the other end said so; kept by the sender while the link is down, if it can. */
  readonly nodeName: string | undefined;
}

/** Info message to `cdb`, sent by the composition root at every change of the links' status. */
export interface LinksMessage {
  readonly type: 'links';
  readonly peers: readonly PeerLink[];
}

export type AddressSource = 'mapping' | 'dns' | 'literal' | 'none';

/** A configured row with what its text resolved to. */
export interface ResolvedPeer {
  /** 1-based, as on the page. */
  readonly index: number;
  readonly text: string;
  readonly address: string | undefined;
  readonly source: AddressSource;
  readonly own: boolean;
}

/** Info message of the resolver to databasemanager (L26) and alternatesmanager (L27). */
export interface PeersMessage {
  readonly type: 'peers';
  readonly peers: readonly ResolvedPeer[];
}

/** Info message of alternatesmanager to the resolver: what it was told is in its table. */
export interface PeersTakenMessage {
  readonly type: 'peers_taken';
}

/** Info message of a table's process to its subscribers. */
export interface TableMessage {
  readonly type: 'table';
  readonly event: TableEvent;
}

/** What a table's process is asked to do: by call (answered after the commit) or by cast. All of it in one transaction. */
export type TableRequest =
  | { readonly type: 'insert'; readonly rows: readonly TableRow[] }
  | { readonly type: 'delete'; readonly keys: readonly Key[] }
  /** The table holds exactly these rows afterwards; rows that are equal already are left alone. */
  | { readonly type: 'replace'; readonly rows: readonly TableRow[] };

export interface TableRow {
  readonly key: Key;
  readonly value: Value;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
}

export type TableAnswer = { readonly ok: true } | { readonly ok: false; readonly error: Failure };

/** Casts and calls to alarmmanager. Parameters fill `<name>` in the alarm's description. */
export type AlarmRequest =
  | { readonly type: 'raise'; readonly id: number; readonly parameters?: Readonly<Record<string, string>> }
  | { readonly type: 'lower'; readonly id: number };

/** Code and text of whatever was thrown, without its stack: it goes into a line and an answer. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof Error) {
    const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : thrown.name;
    return { code, message: thrown.message };
  }
  if (typeof thrown === 'string') return { code: thrown, message: thrown };
  if (typeof thrown === 'object' && thrown !== null && 'error' in thrown) return failureOf(thrown.error);
  return { code: 'unknown', message: JSON.stringify(thrown) ?? 'no reason given' };
}
