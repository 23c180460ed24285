/**
 * The composition root of one peer. Parts are started in this order and stopped in the other:
 *
 *   event log · data directory · links (cluster, recovery and RAS ports) · database · actor system · API and page ·
 *   tables declared and loaded · supervision tree
 *
 * The API is there before the tables are, so that a peer that waits for another one can say for whom.
 */
import { X509Certificate } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import {
  type ActorSystem,
  type ClusterConfiguration,
  describeReason,
  type EarlyEvents,
  forwardTableEvents,
  keepEarlyEvents,
  type LogRecord,
  moduleLine,
  type OwnIdentity,
  PROCESS,
  peerChildren,
  readClusterConfiguration,
  startActorSystem,
  TABLE,
} from '../../actors/index.ts';
import { openDataDirectory } from '../../storage/disc/data-directory.ts';
import {
  createClock,
  createRandom,
  Database,
  endOfTurn,
  probe,
  type Random,
  type RealClock,
} from '../../storage/index.ts';
import { createApi } from '../api/app.ts';
import { startApiServer } from '../api/server.ts';
import { loadStaticFiles } from '../api/static-files.ts';
import { createEventLog, type EventLog } from '../log/index.ts';
import {
  ClusterLinks,
  createFaultLayer,
  type FaultLayer,
  openRasSocket,
  openRecoveryListener,
  verifyPeerCertificate,
} from '../net/index.ts';
import { parseCertificates } from './certificate-files.ts';
import type { PeerConfiguration } from './configuration.ts';
import { createLabHandle } from './lab-handle.ts';
import type { LabHandle } from './peer-handle.ts';
import { firstRows, lookupAddress, PeerLinks } from './peer-links.ts';
import {
  awaitTables,
  declareTables,
  isFirstBoot,
  peerTables,
  seedTables,
  sleep,
  type TableSteps,
} from './peer-tables.ts';
import { RunningPeer } from './running-peer.ts';
import { StartupSnapshot } from './startup-snapshot.ts';
import { type StopFailure, StopList } from './stop-list.ts';
import { SOFTWARE_VERSION } from './version.ts';

const SOURCE_PORTS = [30_000, 35_999] as const;
const REFRESH_MS = 1_000;
/** A peer that starts for the first time looks for a cluster that has what it would otherwise seed. */
const FIRST_CONTACT_MS = 5_000;
const FIRST_CONTACT_LOOK_MS = 50;
const FIRST_LOOKUP_MS = 2_000;
export const STOP_LIMIT_MS = 4_500;

export interface PeerHooks {
  /** The API answers. */
  ready(url: string): void;
  /** The peer cannot go on: whoever runs it ends it, in order. */
  fatal(reason: string): void;
  /** The database is open; its tables are yet to be declared. For programs that use it in the same process. */
  opened?(database: Database): void;
}

export class Peer {
  readonly #configuration: PeerConfiguration;
  readonly #hooks: PeerHooks;
  readonly #clock: RealClock = createClock();
  readonly #random: Random = createRandom();
  readonly #stops: StopList;
  #log: EventLog | undefined;
  #running: RunningPeer | undefined;
  #isStopping = false;

  constructor(configuration: PeerConfiguration, hooks: PeerHooks) {
    this.#configuration = configuration;
    this.#hooks = hooks;
    this.#stops = new StopList(this.#clock);
  }

  /** Resolves when all of it runs. Rejects with the first part that cannot be started, the others stopped again. */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      if (this.#isStopping) return;
      this.say('ERROR', `The peer cannot be started: ${error instanceof Error ? error.message : String(error)}`);
      await this.stop();
      throw error;
    }
  }

  /** Ends everything in order; what did not end in time is named. */
  stop(): Promise<readonly StopFailure[]> {
    if (!this.#isStopping) {
      this.#isStopping = true;
      this.#running?.stopping();
      this.say('INFO', 'Stopping');
    }
    return this.#stops.stop(STOP_LIMIT_MS);
  }

  /** A line of the peer itself in its event log. */
  say(level: LogRecord['level'], detail: string): void {
    this.#log?.write(moduleLine('management', 'developer.management.peer', level, [['Detail', detail]]));
  }

  // -- start, in order ---------------------------------------------------------------------------------------------------

  async #start(): Promise<void> {
    const { dataDirectory, lab } = this.#configuration;
    const log = this.#openLog();
    const record = (entry: LogRecord) => void log.write(entry);
    const data = await openDataDirectory(dataDirectory, this.#random, this.#clock);
    this.#stops.add('data directory', () => data.close());
    const snapshot = new StartupSnapshot(dataDirectory);
    const stored = await snapshot.read((reason) => this.say('WARN', reason));
    const known = stored ?? fileConfiguration(this.#configuration);
    this.say('INFO', `Starting, version ${SOFTWARE_VERSION}, start ${data.incarnation} of node ${data.nodeId}`);

    const faults = lab?.enabled === true ? createFaultLayer(this.#clock) : undefined;
    const clusterLinks = await this.#openLinks(data, known, record, faults);
    const links = new PeerLinks(clusterLinks, this.#configuration);
    const database = await this.#openDatabase(data, links, clusterLinks);
    const system = this.#createActors(clusterLinks, data.incarnation, record);
    const events = keepEarlyEvents(database, system);
    this.#stops.add('events of the database', () => events.stop());
    const own = ownIdentity(this.#configuration);
    const labHandle = this.#labHandle(database, faults);
    const peer = this.#runningPeer({ database, links, log, own, system, known, lab: labHandle });
    clusterLinks.onStatusChange(() => {
      peer.changed();
      system.send(PROCESS.cdb, { type: 'links', peers: links.peerLinks() });
    });
    await this.#startApi(peer);

    links.setPeers(await firstRows(known, own, lookupAddress, sleep(this.#clock, FIRST_LOOKUP_MS)));
    await this.#loadTables(database, links, own, known);
    if (this.#isStopping) return;
    await this.#startTree({
      database,
      events,
      links,
      own,
      system,
      activeTlsVerify: known.tlsVerify,
      incarnation: data.incarnation,
    });
    this.#followConfiguration(database, snapshot);
    peer.running();
    this.#refreshRegularly(peer);
    this.say('INFO', 'Started');
  }

  #openLog(): EventLog {
    const { systemName, log } = this.#configuration;
    this.#log = createEventLog({ host: systemName, clock: this.#clock, file: log.file, console: log.console });
    const eventLog = this.#log;
    this.#stops.add('event log', () => {
      this.say('INFO', 'Stopped');
      eventLog.close();
    });
    return eventLog;
  }

  async #openLinks(
    data: { readonly nodeId: string; readonly incarnation: number },
    known: ClusterConfiguration,
    log: (record: LogRecord) => void,
    faults: FaultLayer | undefined,
  ): Promise<ClusterLinks> {
    const { nodeName, bindAddress, ports, secrets, timings } = this.#configuration;
    const clock = this.#clock;
    const links = await ClusterLinks.open({
      nodeId: data.nodeId,
      nodeName,
      incarnation: data.incarnation,
      bindAddress,
      port: ports.cluster,
      sourcePorts: SOURCE_PORTS,
      certificate: secrets.certificate,
      privateKey: secrets.privateKey,
      trustedAuthorities: secrets.authorities,
      // E74: the mode of this start; a change waits for the next one.
      tlsVerify: known.tlsVerify,
      clusterKey: secrets.clusterKey,
      netTicktimeMs: timings.netTicktimeMs,
      resumeWindowMs: timings.resumeWindowMs,
      clock,
      random: this.#random,
      log,
      faults,
    });
    this.#stops.add('cluster links', () => links.close());
    const recovery = await openRecoveryListener({ nodeName, bindAddress, port: ports.recovery, clock, log });
    this.#stops.add('recovery listener', () => recovery.close());
    const ras = await openRasSocket({ bindAddress, port: ports.ras, clock, log });
    this.#stops.add('RAS socket', () => ras.close());
    return links;
  }

  async #openDatabase(
    data: Awaited<ReturnType<typeof openDataDirectory>>,
    links: PeerLinks,
    clusterLinks: ClusterLinks,
  ): Promise<Database> {
    const environment = {
      clock: this.#clock,
      random: this.#random,
      links: clusterLinks.channel('db'),
      disc: data.disc,
      endOfTurn,
      probe,
    };
    const database = await Database.open({
      environment,
      nodeId: data.nodeId,
      incarnation: data.incarnation,
      nodeName: this.#configuration.nodeName,
      extraDbNodes: () => links.otherNodeNames(),
      primaryNodeName: () => links.nodeNameOfPeer(this.#running?.configuration().configurationPrimary ?? 1),
    });
    this.#stops.add('database', () => database.close());
    this.#hooks.opened?.(database);
    return database;
  }

  /** Made before anybody is dialled: messages of a link that is up before its handlers are set would be lost. */
  #createActors(clusterLinks: ClusterLinks, incarnation: number, log: (record: LogRecord) => void): ActorSystem {
    const system = startActorSystem({
      node: this.#configuration.nodeName,
      incarnation,
      clock: this.#clock,
      remote: clusterLinks.remote(),
      log,
      onFatal: (reason) => this.#hooks.fatal(`the actors ended: ${describeReason(reason)}`),
    });
    this.#stops.add('actors', async () => {
      const { leftovers } = await system.stop();
      if (leftovers.length > 0) this.say('WARN', `Actors that had to be killed: ${leftovers.join(', ')}`);
    });
    return system;
  }

  #labHandle(database: Database, faults: FaultLayer | undefined): LabHandle | undefined {
    if (faults === undefined) return undefined;
    const { systemName } = this.#configuration;
    return createLabHandle({
      database,
      faults,
      clock: this.#clock,
      systemName,
      changed: () => this.#running?.changed(),
    });
  }

  #runningPeer(parts: {
    database: Database;
    links: PeerLinks;
    log: EventLog;
    own: OwnIdentity;
    system: ActorSystem;
    known: ClusterConfiguration;
    lab: LabHandle | undefined;
  }): RunningPeer {
    const { known, ...rest } = parts;
    const { secrets } = this.#configuration;
    const [certificate, ...chain] = parseCertificates(secrets.certificate).map((pem) => new X509Certificate(pem));
    const chainOctets = chain.map((one) => one.raw);
    this.#running = new RunningPeer({
      ...rest,
      configuration: this.#configuration,
      clock: this.#clock,
      activeTlsVerify: known.tlsVerify,
      snapshot: known,
      ownCertificate: (rowText) => {
        const { authorities } = secrets;
        const nowMs = this.#clock.wallMs();
        const { valid, text } = verifyPeerCertificate({ certificate, chain: chainOctets, rowText, authorities, nowMs });
        return { valid, text };
      },
    });
    return this.#running;
  }

  async #startApi(peer: RunningPeer): Promise<void> {
    const { bindAddress, ports, secrets, web } = this.#configuration;
    const api = createApi({
      peer,
      clock: this.#clock,
      passwordHash: secrets.passwordHash,
      sessionMinutes: web.sessionMinutes,
      labToken: secrets.labToken,
      files: await loadStaticFiles(),
      fatal: (reason) => this.#hooks.fatal(reason),
    });
    const server = await startApiServer(api, {
      address: bindAddress,
      port: ports.https,
      certificate: secrets.certificate,
      privateKey: secrets.privateKey,
    });
    this.#stops.add('API', () => server.close());
    this.say('INFO', `API and page at ${server.url}`);
    this.#hooks.ready(server.url);
  }

  async #loadTables(
    database: Database,
    links: PeerLinks,
    own: OwnIdentity,
    known: ClusterConfiguration,
  ): Promise<void> {
    const steps: TableSteps = {
      database,
      clock: this.#clock,
      isStopping: () => this.#isStopping,
      say: (text) => this.say('INFO', text),
    };
    const definitions = peerTables(database.nodeName, this.#running?.lab !== undefined);
    const first = isFirstBoot(database);
    if (first && known.peers.length > 1) await this.#lookForCluster(database, links);
    await declareTables(steps, definitions);
    await awaitTables(
      steps,
      definitions.map((definition) => definition.name),
    );
    if (!first || this.#isStopping) return;
    const seeded = await seedTables(database, known);
    this.say(
      'INFO',
      `First start of ${own.fqdn}: ${seeded.length === 0 ? 'nothing' : seeded.join(', ')} taken from ${this.#configuration.file}`,
    );
  }

  /** Until every row is joined or has failed, or the patience ends: a joining peer must not bring its own values. */
  async #lookForCluster(database: Database, links: PeerLinks): Promise<void> {
    const endMs = this.#clock.monotonicMs() + FIRST_CONTACT_MS;
    this.say('INFO', 'First start: looking for the other peers');
    while (!this.#isStopping && this.#clock.monotonicMs() < endMs) {
      const running = database.systemInfo().runningDbNodes;
      const open = links
        .status()
        .filter(
          ({ address, state, name }) => address !== undefined && state !== 'failed' && !running.includes(name ?? ''),
        );
      if (open.length === 0) return;
      await sleep(this.#clock, FIRST_CONTACT_LOOK_MS);
    }
  }

  async #startTree(parts: {
    database: Database;
    events: EarlyEvents;
    links: PeerLinks;
    own: OwnIdentity;
    system: ActorSystem;
    activeTlsVerify: ClusterConfiguration['tlsVerify'];
    incarnation: number;
  }): Promise<void> {
    const { database, events, links, own, system, activeTlsVerify, incarnation } = parts;
    const { synchroniseIntervalMs, forcedUpdateMs } = this.#configuration.timings;
    this.#stops.add('events of the tables', forwardTableEvents(database, system));
    await system.start(
      peerChildren({
        database,
        incarnation,
        own,
        softwareVersion: SOFTWARE_VERSION,
        startup: readClusterConfiguration(database),
        activeTlsVerify,
        links: () => links.peerLinks(),
        setPeers: (peers) => links.setPeers(peers),
        lookup: lookupAddress,
        alternates: () => links.alternates(),
        nodeNameOfPeer: (index) => links.nodeNameOfPeer(index),
        timings: { synchroniseIntervalMs, forcedUpdateMs },
      }),
    );
    events.release();
  }

  /** Every change of a configuration table goes to the page, and to the copy the next start begins with. */
  #followConfiguration(database: Database, snapshot: StartupSnapshot): void {
    const keep = () => {
      this.#running?.changed();
      snapshot.write(readClusterConfiguration(database)).catch((error: unknown) => {
        this.say('ERROR', `The copy of the configuration for the next start cannot be written: ${String(error)}`);
      });
    };
    keep();
    for (const table of [TABLE.clusterConfiguration, TABLE.peerConfiguration, TABLE.clusterAddressMapping]) {
      this.#stops.add(`events of ${table}`, database.subscribeTable(table, keep));
    }
    this.#stops.add(
      'events of alarms',
      database.subscribeTable(TABLE.alarms, () => this.#running?.changed()),
    );
  }

  #refreshRegularly(peer: RunningPeer): void {
    const refresh = () => {
      peer.refresh().catch((error: unknown) => this.say('WARN', `Status of the actors is not known: ${String(error)}`));
      timer = this.#clock.after(REFRESH_MS, refresh);
    };
    let timer = this.#clock.after(0, refresh);
    this.#stops.add('status', () => this.#clock.cancel(timer));
  }
}

function fileConfiguration({ cluster, addressMapping }: PeerConfiguration): ClusterConfiguration {
  const { name, configurationPrimary, ipVersion, tlsVerify, peers } = cluster;
  return { name, configurationPrimary, ipVersion, tlsVerify, peers, addressMapping };
}

/** Where peers share an address, as in a lab on one address, only the name tells them apart. */
function ownIdentity({ fqdn, bindAddress, cluster }: PeerConfiguration): OwnIdentity {
  if (cluster.peerPorts !== undefined) return { fqdn, addresses: [] };
  if (bindAddress !== '0.0.0.0' && bindAddress !== '::') return { fqdn, addresses: [bindAddress] };
  const addresses = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((entry) => entry.address));
  return { fqdn, addresses };
}
