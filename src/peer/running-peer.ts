/** The real `PeerHandle`: what is true of this peer now, read from its database, links and actors. */
import {
  type ActorSystem,
  alarmById,
  alarmRows,
  cdbtableName,
  type DatabaseManagerStatus,
  type LogRecord,
  managementLines,
  type OwnIdentity,
  ownRowIndex,
  PROCESS,
  type ProcessInfo,
  readClusterConfiguration,
  type SynchroniseAnswer,
  type SynchroniserStatus,
  TABLE,
  type TableAnswer,
} from '../../actors/index.ts';
import { StorageError } from '../../storage/errors.ts';
import type { Database, Key, LedgerEntry, RealClock, TableInfo, Value } from '../../storage/index.ts';
import type { EventLog } from '../log/index.ts';
import { changeRequest } from './change-requests.ts';
import { ChangeRefused, checkChange } from './changes.ts';
import type { PeerConfiguration } from './configuration.ts';
import type {
  AlarmStatus,
  ChangeSource,
  ClusterConfiguration,
  ClusterStatus,
  ConfigurationChange,
  LabHandle,
  PeerHandle,
  PeerStatus,
  TablePage,
  TableStatus,
  TlsVerify,
} from './peer-handle.ts';
import type { PeerLinks } from './peer-links.ts';
import { databaseStatus, rowStatuses } from './peer-status.ts';
import { SOFTWARE_VERSION } from './version.ts';

const CALL_TIMEOUT_MS = 10_000;
const FORCE_TIMEOUT_MS = 60_000;
const CHANGES_AT_ONCE_MAX = 64;

export interface RunningPeerParts {
  readonly configuration: PeerConfiguration;
  readonly clock: RealClock;
  readonly database: Database;
  readonly links: PeerLinks;
  readonly log: EventLog;
  readonly own: OwnIdentity;
  readonly system: ActorSystem;
  /** The mode the links were opened with. */
  readonly activeTlsVerify: TlsVerify;
  /** What holds until the tables can be read. */
  readonly snapshot: ClusterConfiguration;
  readonly lab: LabHandle | undefined;
  /** Verdict over this system's own certificate for the text of its row. */
  ownCertificate(rowText: string): { readonly valid: boolean; readonly text: string };
}

export class RunningPeer implements PeerHandle {
  readonly #parts: RunningPeerParts;
  readonly #startedMs: number;
  readonly #listeners = new Set<() => void>();
  #phase: 'starting' | 'running' | 'stopping' = 'starting';
  #failure: string | undefined;
  #synchroniser: SynchroniserStatus | undefined;
  #manager: DatabaseManagerStatus | undefined;
  #changes = 0;

  constructor(parts: RunningPeerParts) {
    this.#parts = parts;
    this.#startedMs = parts.clock.monotonicMs();
    parts.database.subscribeSystem((event) => {
      if (event.type === 'disc_failed')
        this.#failure = `the disc of this peer failed (${event.code}): ${event.message}`;
      this.changed();
    });
  }

  // -- what the composition root tells ---------------------------------------------------------------------------------

  /** Tables are loaded and the actors run: from here on changes are taken. */
  running(): void {
    this.#phase = 'running';
    this.changed();
  }

  stopping(): void {
    this.#phase = 'stopping';
    this.changed();
  }

  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Asks the actors for what they alone know. One that is being restarted keeps its last answer. */
  async refresh(): Promise<void> {
    if (this.#phase !== 'running') return;
    const { system } = this.#parts;
    const ask = (name: string) => system.call(name, { type: 'status' }, CALL_TIMEOUT_MS);
    const [synchroniser, manager] = await Promise.allSettled([ask(PROCESS.synchroniser), ask(PROCESS.databaseManager)]);
    if (synchroniser.status === 'fulfilled') this.#synchroniser = synchroniser.value as SynchroniserStatus;
    if (manager.status === 'fulfilled') this.#manager = manager.value as DatabaseManagerStatus;
    this.changed();
  }

  // -- PeerHandle: looking -----------------------------------------------------------------------------------------------

  get lab(): LabHandle | undefined {
    return this.#parts.lab;
  }

  configuration(): ClusterConfiguration {
    const { database, snapshot } = this.#parts;
    return this.#phase === 'starting' ? snapshot : readClusterConfiguration(database);
  }

  status(): PeerStatus {
    const { configuration, clock, database, lab } = this.#parts;
    const info = database.systemInfo();
    const cluster = this.configuration();
    const tables = info.tables.map((name) => tableStatus(database.tableInfo(name)));
    const alarms = this.#alarms();
    const ledger = tables.find((table) => table.name === 'partition_ledger');
    return {
      version: SOFTWARE_VERSION,
      nodeId: info.nodeId,
      nodeName: info.nodeName,
      systemName: configuration.systemName,
      pid: process.pid,
      uptimeMs: Math.round(clock.monotonicMs() - this.#startedMs),
      at: isoTime(clock.wallMs()),
      cluster: this.#cluster(cluster, tables, info.runningDbNodes, info.isRunning),
      addressMapping: cluster.addressMapping,
      alarms,
      database: {
        runningDbNodes: info.runningDbNodes,
        dbNodes: info.dbNodes,
        tables,
        heldLocks: info.heldLocks,
        ledgerCount: ledger?.size ?? 0,
        mnesiaDown: info.mnesiaDown.map(({ node, at }) => ({ node, at: isoTime(at) })),
      },
      restartRequired: (this.#manager?.restartRequired ?? false) || alarms.some((alarm) => alarm.id === '20007'),
      lab: lab !== undefined,
    };
  }

  #cluster(
    cluster: ClusterConfiguration,
    tables: readonly TableStatus[],
    runningDbNodes: readonly string[],
    isRunning: 'starting' | 'yes' | 'stopping' | 'no',
  ): ClusterStatus {
    const { links, own, database, activeTlsVerify } = this.#parts;
    const thisPeer = ownRowIndex(cluster, own) ?? 0;
    const rows = rowStatuses({
      rows: cluster.peers,
      thisPeer,
      ownAddress: links.addressOf(thisPeer),
      ownNodeName: database.nodeName,
      ownCertificate: thisPeer === 0 ? undefined : this.#parts.ownCertificate(cluster.peers[thisPeer - 1]!),
      links: links.status(),
      runningDbNodes,
    });
    const awaiting = tables.filter((table) => !table.loaded && table.storageType !== 'unknown');
    const verdict = databaseStatus({
      isRunning: this.#phase === 'starting' ? 'starting' : this.#phase === 'stopping' ? 'stopping' : isRunning,
      failure: this.#failure,
      awaiting: awaiting.map((table) => ({ table: table.name, nodes: table.awaiting })),
      rows,
    });
    return {
      name: cluster.name,
      configurationPrimary: cluster.configurationPrimary,
      ipVersion: cluster.ipVersion,
      tlsVerify: cluster.tlsVerify,
      tlsVerifyAtStart: activeTlsVerify,
      databaseStatus: verdict.status,
      databaseDetail: verdict.detail,
      thisPeer,
      peers: rows,
      lastSynchronisation: isoTimeOf(this.#synchroniser?.previous?.at),
      nextSynchronisation: isoTimeOf(this.#synchroniser?.nextAt),
    };
  }

  /** E118: each peer shows its own, though every peer has the rows of all. */
  #alarms(): readonly AlarmStatus[] {
    const { database } = this.#parts;
    if (this.#phase === 'starting') return [];
    const own = alarmRows(database).filter((row) => row.owner === database.nodeName);
    return own
      .sort((a, b) => a.id - b.id)
      .map(({ id, uuid, severity, title, description, detail, raisedAt, owner }) => ({
        id: String(id),
        uuid,
        severity,
        title,
        description,
        detail,
        raisedAt: isoTime(raisedAt),
        node: owner,
        remedy: alarmById(id)?.remedy ?? '',
      }));
  }

  alternatesConfiguration(): readonly { readonly key: Key; readonly value: Value }[] {
    return this.table(TABLE.alternatesConfiguration, CHANGES_AT_ONCE_MAX)?.rows ?? [];
  }

  tree(): readonly ProcessInfo[] {
    return this.#parts.system.tree();
  }

  table(name: string, limit: number): TablePage | undefined {
    const { database } = this.#parts;
    if (!database.systemInfo().tables.includes(name)) return undefined;
    const table = tableStatus(database.tableInfo(name));
    if (!table.loaded) return { table, rows: [], truncated: false };
    const keys = database.dirtyAllKeys(name);
    const rows = keys.slice(0, limit).map((key) => ({ key, value: database.dirtyRead(name, key) }));
    return { table, rows, truncated: keys.length > limit };
  }

  ledger(): readonly LedgerEntry[] {
    return this.#parts.database.ledger();
  }

  recentLog(count: number): readonly string[] {
    return this.#parts.log.recent(count);
  }

  onLog(listener: (line: string) => void): () => void {
    return this.#parts.log.subscribe((line) => listener(line));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  log(record: LogRecord): void {
    this.#parts.log.write(record);
  }

  // -- PeerHandle: changing ------------------------------------------------------------------------------------------------

  restoreFromLedger(id: string): Promise<void> {
    return this.#parts.database.restoreFromLedger(id);
  }

  async change(change: ConfigurationChange, source: ChangeSource): Promise<void> {
    this.#refuseUnlessRunning();
    const { own, system } = this.#parts;
    const now = this.configuration();
    const isOwn = (text: string) => ownRowIndex({ ...now, peers: [text] }, own) === 1;
    checkChange(change, now, { row: ownRowIndex(now, own) ?? 0, isOwn });
    const request = changeRequest(change, now);
    if (request === undefined) return;
    if (this.#changes >= CHANGES_AT_ONCE_MAX) {
      throw new ChangeRefused('Nothing was changed', 'too many changes are under way', 'Try again in a moment.');
    }
    this.#changes += 1;
    try {
      const answer = (await system.call(cdbtableName(request.table), request.request, CALL_TIMEOUT_MS)) as TableAnswer;
      if (!answer.ok) throw new ChangeRefused('Nothing was changed', answer.error.message, 'Try again in a moment.');
    } finally {
      this.#changes -= 1;
    }
    const { item, from, to } = request;
    const { address, port, user } = source;
    this.log(
      managementLines.webConfigurationChanged({
        processId: process.pid,
        item,
        from,
        to,
        sourceAddress: address,
        sourcePort: port,
        user,
      }),
    );
  }

  async forceConfigUpdate(): Promise<void> {
    this.#refuseUnlessRunning();
    const request = { type: 'synchronise', force: true };
    const answer = await this.#parts.system.call(PROCESS.synchroniser, request, FORCE_TIMEOUT_MS);
    const result = answer as SynchroniseAnswer;
    if (result.ok) return;
    throw new ChangeRefused(
      'The configuration was not taken',
      result.reason.replace(/\.$/, ''),
      'See xStatus Alternates, and System > Clustering.',
    );
  }

  /** Loads what waits for other peers from this peer's disc. Their newer rows come back by merging. */
  async forceLoadTables(): Promise<void> {
    const { database } = this.#parts;
    for (const name of database.systemInfo().tables) {
      const info = database.tableInfo(name);
      if (!info.loaded && info.storageType !== 'unknown') await database.forceLoadTable(name);
    }
  }

  #refuseUnlessRunning(): void {
    if (this.#phase === 'running') return;
    const text =
      this.#phase === 'starting'
        ? 'The peer is starting: its tables are not loaded yet. See /api/v1/status for whom it waits.'
        : 'The peer is stopping.';
    throw new StorageError('table_not_loaded', text);
  }
}

function tableStatus(info: TableInfo): TableStatus {
  const { name, size, loaded, storageType, digest, awaiting, localContent } = info;
  return { name, size, loaded, storageType, digest, awaiting, localContent };
}

function isoTimeOf(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : isoTime(ms);
}

/** ISO 8601 UTC of a moment in ms since the epoch. */
function isoTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
