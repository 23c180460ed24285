/**
 * What a running peer shows of itself, and what it lets be changed: the only thing the API, the page and the commands
 * depend on. `peer.ts` is the real one; tests use a small fake.
 */
import type { ClusterConfiguration, IpVersion, TlsVerify } from '../../actors/clusterdb/cluster-configuration.ts';
import type { LogRecord, ProcessInfo } from '../../actors/otp/types.ts';
import type { Key, LedgerEntry, TableInfo, Value } from '../../storage/index.ts';

export type { ClusterConfiguration, IpVersion, TlsVerify };

/** State of a row of the Clustering page. */
export type RowState = 'This system' | 'Active' | 'Failed' | 'Unknown';

export interface PeerRowStatus {
  readonly index: number;
  /** The row as it was typed. */
  readonly text: string;
  readonly address: string | undefined;
  readonly state: RowState;
  /** Absent until that peer's certificate was seen. */
  readonly certificate: { readonly valid: boolean; readonly text: string } | undefined;
  /** `ok` is absent while nothing is known: neither a tick nor a cross. */
  readonly clustering: { readonly ok: boolean | undefined; readonly text: string };
  /** Why it is not Active, for people. */
  readonly reason: string | undefined;
  readonly rttMs: number | undefined;
  readonly nodeName: string | undefined;
}

/**
 * `Starting`: tables are being loaded. `Active`: this peer's database runs and replicates with every peer of the list.
 * `Failed`: it does not, or cannot be used here; the detail beside it says which, and whom it misses.
 */
export type DatabaseStatus = 'Starting' | 'Active' | 'Failed';

export interface AlarmStatus {
  readonly id: string;
  readonly uuid: string;
  readonly severity: string;
  readonly title: string;
  readonly description: string;
  /** `<title>: <description>`. */
  readonly detail: string;
  /** ISO 8601 UTC. */
  readonly raisedAt: string;
  readonly node: string;
  readonly remedy: string;
}

export interface AddressMappingStatus {
  readonly enabled: boolean;
  readonly mappings: readonly { readonly fqdn: string; readonly ip: string }[];
}

export interface ClusterStatus {
  readonly name: string;
  readonly configurationPrimary: number;
  readonly ipVersion: IpVersion;
  readonly tlsVerify: TlsVerify;
  readonly tlsVerifyAtStart: TlsVerify;
  readonly databaseStatus: DatabaseStatus;
  /** What the status means just now, for people. */
  readonly databaseDetail: string;
  readonly thisPeer: number;
  readonly peers: readonly PeerRowStatus[];
  /** ISO 8601 UTC; absent before the first run. */
  readonly lastSynchronisation: string | undefined;
  readonly nextSynchronisation: string | undefined;
}

export interface TableStatus
  extends Pick<TableInfo, 'name' | 'size' | 'loaded' | 'storageType' | 'digest' | 'awaiting'> {
  readonly localContent: boolean;
}

export interface DatabaseState {
  readonly runningDbNodes: readonly string[];
  readonly dbNodes: readonly string[];
  readonly tables: readonly TableStatus[];
  readonly heldLocks: number;
  readonly ledgerCount: number;
  readonly mnesiaDown: readonly { readonly node: string; readonly at: string }[];
}

export interface PeerStatus {
  readonly version: string;
  readonly nodeId: string;
  readonly nodeName: string;
  readonly systemName: string;
  readonly pid: number;
  readonly uptimeMs: number;
  /** When this status was taken, ISO 8601 UTC. */
  readonly at: string;
  readonly cluster: ClusterStatus;
  readonly addressMapping: AddressMappingStatus;
  readonly alarms: readonly AlarmStatus[];
  readonly database: DatabaseState;
  readonly restartRequired: boolean;
  readonly lab: boolean;
}

export type ConfigurationChange =
  | { readonly item: 'clusterName'; readonly value: string }
  | { readonly item: 'configurationPrimary'; readonly value: number }
  | { readonly item: 'ipVersion'; readonly value: IpVersion }
  | { readonly item: 'tlsVerify'; readonly value: TlsVerify }
  /** Empty value: the row is cleared. */
  | { readonly item: 'peerAddress'; readonly index: number; readonly value: string }
  | { readonly item: 'addressMappingEnabled'; readonly value: boolean }
  | { readonly item: 'addressMapping'; readonly fqdn: string; readonly ip: string | undefined };

/** Who changes, as L22 names it. */
export interface ChangeSource {
  readonly address: string;
  readonly port: number;
  readonly user: string;
}

export interface TablePage {
  readonly table: TableStatus;
  readonly rows: readonly { readonly key: Key; readonly value: Value }[];
  readonly truncated: boolean;
}

export interface LoadRequest {
  readonly clients: number;
  readonly keys: number;
  readonly durationMs: number;
  readonly prefix?: string;
}

export interface LoadResult {
  readonly acknowledged: number;
  readonly errors: number;
  /** One of the errors met, by code. */
  readonly errorCodes: Readonly<Record<string, number>>;
  readonly longestGapMs: number;
  readonly durationMs: number;
  /** Last acknowledged sequence of each key. */
  readonly byKey: Readonly<Record<string, number>>;
}

export type FaultRequest =
  | { readonly op: 'cut'; readonly address: string; readonly direction: 'both' | 'in' | 'out' }
  | { readonly op: 'heal'; readonly address?: string }
  | { readonly op: 'delay'; readonly address: string; readonly ms: number }
  | { readonly op: 'clock'; readonly offsetMs: number };

/** Exists in lab peers only. */
export interface LabHandle {
  fault(request: FaultRequest): void;
  faults(): { readonly links: unknown; readonly clockOffsetMs: number };
  write(table: string, key: Key, value: Value): Promise<void>;
  read(table: string, key: Key): Value;
  rows(limit: number): readonly { readonly key: Key; readonly value: Value }[];
  load(request: LoadRequest): Promise<LoadResult>;
}

export interface PeerHandle {
  status(): PeerStatus;
  /** The stored values: what will hold after a restart. */
  configuration(): ClusterConfiguration;
  /** Rows of the table of that name, as the alternates manager wrote them. */
  alternatesConfiguration(): readonly { readonly key: Key; readonly value: Value }[];
  /** Stores the change; rejects with a `ChangeRefused` that says why, or the database's error. */
  change(change: ConfigurationChange, source: ChangeSource): Promise<void>;
  /** Takes the primary's configuration now. Absent where the peer cannot. */
  forceConfigUpdate?(): Promise<void>;
  /** Loads tables that wait for other peers from this peer's disc. Absent where the peer cannot. */
  forceLoadTables?(): Promise<void>;
  tree(): readonly ProcessInfo[];
  /** Names of the tables whose rows may be looked at. */
  table(name: string, limit: number): TablePage | undefined;
  ledger(): readonly LedgerEntry[];
  restoreFromLedger(id: string): Promise<void>;
  /** Something in `status()` may be different now. */
  onChange(listener: () => void): () => void;
  recentLog(count: number): readonly string[];
  onLog(listener: (line: string) => void): () => void;
  log(record: LogRecord): void;
  readonly lab: LabHandle | undefined;
}
