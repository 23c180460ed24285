/**
 * A peer's supervision tree on one page. Start order is top to bottom, shutdown the other way round:
 *
 *   peer                       one_for_one: no actor's fall takes another one's pid away (E150)
 *   ├─ cdbtables               one_for_one: the owner of each table's writes, first because all others write through them
 *   │  └─ cdbtable.<table>     …
 *   ├─ diagnostics             one_for_one
 *   │  └─ alarmmanager
 *   ├─ management              one_for_one
 *   │  └─ databasemanager
 *   ├─ clusterdb               one_for_one
 *   │  ├─ cdb
 *   │  ├─ alternatesmanager    before the resolver, whose first notification it takes
 *   │  └─ peernameresolver
 *   └─ replication             one_for_one
 *      └─ clusterconfigurationsynchroniser
 *
 * Every process can be started again by itself: what it needs to know it reads from the database when it starts.
 */
import type { SystemEvent, SystemInfo, TableEvent } from '../storage/index.ts';
import { alternatesmanager } from './clusterdb/alternatesmanager.ts';
import { type CdbArgs, cdb } from './clusterdb/cdb.ts';
import { type CdbtableArgs, cdbtable } from './clusterdb/cdbtable.ts';
import {
  CLUSTER_ITEM,
  type ClusterConfiguration,
  type IpVersion,
  type OwnIdentity,
  readClusterConfiguration,
  TABLE,
  type TlsVerify,
} from './clusterdb/cluster-configuration.ts';
import { type PeerNameResolverArgs, peernameresolver } from './clusterdb/peernameresolver.ts';
import {
  cdbtableName,
  type PeerLink,
  PROCESS,
  type ReadPort,
  type ResolvedPeer,
  type TransactionPort,
} from './clusterdb/ports.ts';
import { type AlarmManagerArgs, alarmmanager, alarmRows } from './diagnostics/alarmmanager.ts';
import { type DatabaseManagerArgs, databasemanager } from './management/databasemanager.ts';
import {
  type ActorSystem,
  type ChildSpec,
  type GenServer,
  type SupervisorSpec,
  type WorkerSpec,
  worker,
} from './otp/index.ts';
import {
  clusterconfigurationsynchroniser,
  type SynchroniserArgs,
} from './replication/clusterconfigurationsynchroniser.ts';
import { configurationRowsOf } from './replication/clusterconfigurationutils.ts';
import type { AlternateAddress } from './replication/log-lines.ts';

/** What the actors use of storage's `Database`, which fits as it is. */
export interface PeerDatabase extends TransactionPort, ReadPort {
  connectNode(nodeName: string): Promise<void>;
  systemInfo(): Pick<SystemInfo, 'runningDbNodes'>;
  subscribeSystem(listener: (event: SystemEvent) => void): () => void;
  subscribeTable(table: string, listener: (event: TableEvent) => void): () => void;
}

/** Everything the composition root supplies. Tables exist and are loaded before the tree is started. */
export interface PeerPorts {
  readonly database: PeerDatabase;
  /** Boot counter of this node. */
  readonly incarnation: number;
  readonly own: OwnIdentity;
  readonly softwareVersion: string;
  /** The configuration this peer started with: `readClusterConfiguration(database)` before the start of the links. */
  readonly startup: ClusterConfiguration;
  /** The mode the links were opened with. */
  readonly activeTlsVerify: TlsVerify;
  /** Configured rows but this system's own, as the link layer sees them now. */
  links(): readonly PeerLink[];
  /** New addresses for the link layer; this system's own row is marked, and is not to be dialled. */
  setPeers(peers: readonly ResolvedPeer[]): void;
  /** DNS. */
  lookup(name: string, ipVersion: IpVersion): Promise<string>;
  /** All rows in order, for L2. */
  alternates(): readonly AlternateAddress[];
  nodeNameOfPeer(index: number): string | undefined;
  readonly timings?: PeerTimings;
}

/** All in ms; each has the default of its actor. */
export interface PeerTimings {
  readonly synchroniseIntervalMs?: number;
  readonly firstSynchronisationMs?: number;
  readonly forcedUpdateMs?: number;
  readonly startupGraceMs?: number;
  readonly compareMs?: number;
}

/** A permanent process under its own name: id, registration and log are the same word. */
function named<State, Args, Call, Cast, Info>(
  name: string,
  module: GenServer<State, Args, Call, Cast, Info>,
  args: Args,
): WorkerSpec {
  return worker({ id: name, register: name, module, args, restart: 'permanent' });
}

function room(id: string, children: readonly ChildSpec[]): SupervisorSpec {
  return {
    id,
    type: 'supervisor',
    strategy: 'one_for_one',
    intensity: 5,
    periodMs: 10_000,
    children,
    shutdown: 'infinity',
  };
}

/** Tables with a process of their own, and what each says of its changes. */
function tables(database: TransactionPort): readonly CdbtableArgs[] {
  const managed = { database, announceInserts: true, changes: 'items' } as const;
  return [
    {
      ...managed,
      table: TABLE.clusterConfiguration,
      isItem: (key) => key !== CLUSTER_ITEM.pendingChange,
      subscribers: [PROCESS.databaseManager, PROCESS.alternatesManager, PROCESS.peerNameResolver],
    },
    // Peer rows are set under the same name as the shared items: an operator sees one clusterConfiguration.
    {
      ...managed,
      table: TABLE.peerConfiguration,
      shownAs: TABLE.clusterConfiguration,
      subscribers: [PROCESS.databaseManager, PROCESS.peerNameResolver],
    },
    { ...managed, table: TABLE.clusterAddressMapping, subscribers: [PROCESS.peerNameResolver] },
    { database, table: TABLE.alternatesConfiguration, announceInserts: false, changes: 'table', subscribers: [] },
    { ...managed, table: TABLE.systemConfiguration, subscribers: [] },
    { database, table: TABLE.alarms, announceInserts: false, changes: 'none', subscribers: [] },
  ];
}

export function peerChildren(ports: PeerPorts): SupervisorSpec {
  const { database, own, timings = {} } = ports;
  const configuration = () => readClusterConfiguration(database);
  const cdbArgs: CdbArgs = {
    database: {
      connectNode: (node) => database.connectNode(node),
      runningDbNodes: () => database.systemInfo().runningDbNodes,
    },
    links: () => ports.links(),
    startupGraceMs: timings.startupGraceMs,
    compareMs: timings.compareMs,
  };
  const resolverArgs: PeerNameResolverArgs = {
    configuration,
    own,
    lookup: (name, ipVersion) => ports.lookup(name, ipVersion),
    setPeers: (peers) => ports.setPeers(peers),
    forcedUpdateMs: timings.forcedUpdateMs,
  };
  const synchroniserArgs: SynchroniserArgs = {
    configuration,
    own,
    softwareVersion: ports.softwareVersion,
    alternates: () => ports.alternates(),
    nodeNameOfPeer: (index) => ports.nodeNameOfPeer(index),
    rows: () => configurationRowsOf(database),
    intervalMs: timings.synchroniseIntervalMs,
    firstRunMs: timings.firstSynchronisationMs,
  };
  const alarmArgs: AlarmManagerArgs = { rows: () => alarmRows(database), incarnation: ports.incarnation };
  const { startup, activeTlsVerify } = ports;
  const managerArgs: DatabaseManagerArgs = { configuration, startup, activeTlsVerify };
  const alternatesArgs = { configuration, alternateIndexes: () => alternateIndexes(database) };
  return room('peer', [
    room(
      'cdbtables',
      tables(database).map((args) => named(cdbtableName(args.table), cdbtable, args)),
    ),
    room('diagnostics', [named(PROCESS.alarmManager, alarmmanager, alarmArgs)]),
    room('management', [named(PROCESS.databaseManager, databasemanager, managerArgs)]),
    room('clusterdb', [
      named(PROCESS.cdb, cdb, cdbArgs),
      named(PROCESS.alternatesManager, alternatesmanager, alternatesArgs),
      named(PROCESS.peerNameResolver, peernameresolver, resolverArgs),
    ]),
    room('replication', [named(PROCESS.synchroniser, clusterconfigurationsynchroniser, synchroniserArgs)]),
  ]);
}

/** Numbers of the rows `alternatesConfiguration` holds. */
function alternateIndexes(database: ReadPort): readonly number[] {
  const indexes: number[] = [];
  database.dirtyForEach(TABLE.alternatesConfiguration, (key) => {
    if (typeof key === 'number') indexes.push(key);
  });
  return indexes.sort((a, b) => a - b);
}

/**
 * Hands the tables' events to the actors, as messages by name: a process that was started again under its name goes on
 * hearing them. To be called once, before the tree is started, so that no event falls between the two.
 */
export function forwardTableEvents(
  database: Pick<PeerDatabase, 'subscribeTable'>,
  system: Pick<ActorSystem, 'send'>,
): () => void {
  const subscriptions = Object.values(TABLE).map((table) =>
    database.subscribeTable(table, (event) => system.send(cdbtableName(table), event)),
  );
  return () => {
    for (const unsubscribe of subscriptions) unsubscribe();
  };
}

/** More than a start brings, unless nodes come and go for hours while its tables are awaited. */
export const EARLY_EVENTS_MAX = 1_000;

export interface EarlyEvents {
  /** The tree runs: `cdb` is told what was kept, and from now on each event as it comes. */
  release(): void;
  stop(): void;
}

/**
 * System events of a peer that has no actors yet. A database joins, merges, or loses its disc while its tables are still
 * being loaded; without this nobody would say what it took or raise the alarm. Past the limit the oldest are dropped.
 */
export function keepEarlyEvents(
  database: Pick<PeerDatabase, 'subscribeSystem'>,
  system: Pick<ActorSystem, 'send'>,
): EarlyEvents {
  let early: SystemEvent[] | undefined = [];
  const stop = database.subscribeSystem((event) => {
    if (early === undefined) system.send(PROCESS.cdb, event);
    else if (early.push(event) > EARLY_EVENTS_MAX) early.shift();
  });
  return {
    release() {
      const kept = early ?? [];
      early = undefined;
      for (const event of kept) system.send(PROCESS.cdb, event);
    },
    stop,
  };
}
