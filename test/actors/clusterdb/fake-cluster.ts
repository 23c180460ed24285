/**
 * Two peers on one virtual clock: the real actors on the real actor system with a run queue, over a database that is
 * two maps and a link that is a switch. What commits, and when, is fixed, so a timeline repeats exactly.
 */
import {
  type ActorSystem,
  type ClusterConfiguration,
  configurationRows,
  createRunQueueHost,
  forwardTableEvents,
  keepEarlyEvents,
  type LogRecord,
  type PeerDatabase,
  type PeerPorts,
  peerChildren,
  type RemoteTransport,
  readClusterConfiguration,
  startActorSystem,
  tableDefinitions,
} from '../../../actors/index.ts';
import { fixedZone, formatLine } from '../../../src/log/index.ts';
import { StorageError } from '../../../storage/errors.ts';
import type { Key, SystemEvent, TableEvent, Transaction, Value } from '../../../storage/index.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

/** A commit that waits for the other peer's vote, one that waits for nobody, and the way between the peers. */
const replicatedCommitMs = 5;
const localCommitMs = 1;
const linkMs = 1;

const addresses: Readonly<Record<string, string>> = { expc01: '10.15.13.15', expc02: '10.15.13.16' };

export const clusterConfiguration: ClusterConfiguration = {
  name: 'expc-cluster.apolo.local',
  configurationPrimary: 1,
  ipVersion: 'IPv4',
  tlsVerify: 'Permissive',
  peers: ['expc01.apolo.local', 'expc02.apolo.local'],
  addressMapping: { enabled: false, mappings: [] },
};

interface Row {
  readonly key: Key;
  readonly value: Value;
}

class FakeDatabase implements PeerDatabase {
  readonly nodeName: string;
  private readonly cluster: FakeCluster;
  private readonly tables = new Map<string, Map<string, Row>>();
  private readonly tableListeners = new Map<string, ((event: TableEvent) => void)[]>();
  private readonly systemListeners: ((event: SystemEvent) => void)[] = [];
  private readonly local: ReadonlySet<string>;

  constructor(cluster: FakeCluster, nodeName: string) {
    this.cluster = cluster;
    this.nodeName = nodeName;
    const definitions = tableDefinitions(nodeName);
    this.local = new Set(definitions.flatMap((one) => (one.local_content === true ? [one.name] : [])));
    for (const { name } of definitions) this.tables.set(name, new Map());
    for (const [table, rows] of configurationRows(clusterConfiguration)) {
      for (const row of rows) this.rows(table).set(JSON.stringify(row.key), row);
    }
  }

  private rows(table: string): Map<string, Row> {
    const rows = this.tables.get(table);
    if (rows === undefined) throw new StorageError('no_such_table', `Table "${table}" does not exist.`, { table });
    return rows;
  }

  dirtyRead(table: string, key: Key): Value {
    return this.rows(table).get(JSON.stringify(key))?.value;
  }

  dirtyForEach(table: string, visit: (key: Key, value: Value) => void): void {
    for (const { key, value } of this.rows(table).values()) visit(key, value);
  }

  async transaction<T>(run: (tx: Transaction) => T | Promise<T>): Promise<T> {
    const writes: { table: string; key: Key; value: Value }[] = [];
    const tx = {
      read: (table: string, key: Key) => this.dirtyRead(table, key),
      has: (table: string, key: Key) => this.rows(table).has(JSON.stringify(key)),
      allKeys: (table: string) => [...this.rows(table).values()].map((row) => row.key),
      write: (table: string, key: Key, value: Value) => writes.push({ table, key, value }),
      delete: (table: string, key: Key) => writes.push({ table, key, value: undefined }),
    } as unknown as Transaction;
    const result = await run(tx);
    const shared = writes.filter(({ table }) => !this.local.has(table));
    await this.cluster.sleep(shared.length > 0 ? replicatedCommitMs : localCommitMs);
    for (const write of writes) this.apply(write, 'local');
    if (shared.length > 0) this.cluster.replicate(this, shared);
    return result;
  }

  apply(write: { table: string; key: Key; value: Value }, origin: 'local' | 'remote'): void {
    const { table, key, value } = write;
    const rows = this.rows(table);
    const oldValue = this.dirtyRead(table, key);
    const shape = { table, key, oldValue, version: { hlc: 1, node: this.nodeName }, origin };
    if (value === undefined) rows.delete(JSON.stringify(key));
    else rows.set(JSON.stringify(key), { key, value });
    const event: TableEvent = value === undefined ? { ...shape, type: 'delete' } : { ...shape, type: 'write', value };
    for (const listener of this.tableListeners.get(table) ?? []) listener(event);
  }

  async connectNode(node: string): Promise<void> {
    if (!this.cluster.linked) throw new StorageError('node_not_running', `${node} has no link.`, { node });
  }

  systemInfo() {
    return { runningDbNodes: this.cluster.linked ? this.cluster.nodeNames : [this.nodeName] };
  }

  subscribeSystem(listener: (event: SystemEvent) => void): () => void {
    this.systemListeners.push(listener);
    return () => undefined;
  }

  subscribeTable(table: string, listener: (event: TableEvent) => void): () => void {
    this.tableListeners.set(table, [...(this.tableListeners.get(table) ?? []), listener]);
    return () => undefined;
  }

  tell(event: SystemEvent): void {
    for (const listener of this.systemListeners) listener(event);
  }
}

export class FakePeer {
  readonly host: string;
  readonly node: string;
  readonly database: FakeDatabase;
  readonly system: ActorSystem;
  readonly lines: string[] = [];
  readonly fatal: unknown[] = [];
  private readonly cluster: FakeCluster;
  handlers: Parameters<RemoteTransport['setHandlers']>[0] | undefined;

  constructor(cluster: FakeCluster, host: string) {
    this.cluster = cluster;
    this.host = host;
    this.node = `clusterdb@${host}.apolo.local`;
    this.database = new FakeDatabase(cluster, this.node);
    const { clock } = cluster;
    this.system = startActorSystem(
      {
        node: this.node,
        clock,
        remote: cluster.transport(this),
        log: (record) => this.write(record),
        onFatal: (reason) => this.fatal.push(reason),
      },
      createRunQueueHost({ schedule: (drain) => clock.after(0, drain) }),
    );
  }

  write(record: LogRecord): void {
    const wallMs = this.cluster.clock.wallMs();
    this.lines.push(formatLine(record, { wallMs, host: this.host, zone: fixedZone(-300) }));
  }

  links() {
    const { linked } = this.cluster;
    return this.cluster.peers
      .filter((peer) => peer !== this)
      .map((peer) => ({
        index: Number(peer.host.slice(-1)),
        text: `${peer.host}.apolo.local`,
        up: linked,
        nodeName: peer.node,
      }));
  }

  async start(timings: PeerPorts['timings']): Promise<void> {
    forwardTableEvents(this.database, this.system);
    const events = keepEarlyEvents(this.database, this.system);
    const ports: PeerPorts = {
      database: this.database,
      incarnation: 1,
      own: { fqdn: `${this.host}.apolo.local`, addresses: [] },
      softwareVersion: '0.1.0',
      startup: readClusterConfiguration(this.database),
      activeTlsVerify: 'Permissive',
      links: () => this.links(),
      setPeers: () => undefined,
      lookup: (name) => this.cluster.lookup(name),
      alternates: () => Object.entries(addresses).map(([name, address]) => ({ name, address })),
      nodeNameOfPeer: () => undefined,
      timings,
    };
    await this.system.start(peerChildren(ports));
    events.release();
  }
}

export class FakeCluster {
  /** 12 August 2020, 19:57:38 UTC. */
  readonly clock = new VirtualClock(Date.UTC(2020, 7, 12, 19, 57, 38));
  linked = true;
  /** Hosts DNS does not know. */
  readonly unknownToDns = new Set<string>();
  readonly peers: readonly FakePeer[];

  constructor() {
    const peers: FakePeer[] = [];
    this.peers = peers;
    for (const host of Object.keys(addresses)) peers.push(new FakePeer(this, host));
  }

  get nodeNames(): string[] {
    return this.peers.map((peer) => peer.node);
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.clock.after(delayMs, resolve);
    });
  }

  async lookup(name: string): Promise<string> {
    const host = name.split('.')[0] ?? '';
    const address = this.unknownToDns.has(host) ? undefined : addresses[host];
    if (address === undefined) throw new Error(`${name} does not exist`);
    return address;
  }

  replicate(from: FakeDatabase, writes: readonly { table: string; key: Key; value: Value }[]): void {
    if (!this.linked) return;
    for (const peer of this.peers) {
      if (peer.database === from) continue;
      this.clock.after(linkMs, () => {
        for (const write of writes) peer.database.apply(write, 'remote');
      });
    }
  }

  transport(from: FakePeer): RemoteTransport {
    return {
      isUp: () => this.linked,
      send: (node, message) => {
        const to = this.peers.find((peer) => peer.node === node);
        this.clock.after(linkMs, () => {
          if (this.linked) to?.handlers?.message(from.node, message);
        });
      },
      setHandlers: (handlers) => {
        from.handlers = handlers;
      },
    };
  }

  /** The link of the two is gone, as both sides see it. */
  cut(reason: 'refused' | 'silent'): void {
    this.linked = false;
    for (const peer of this.peers) {
      for (const other of this.peers) {
        if (other === peer) continue;
        peer.handlers?.down(other.node);
        peer.database.tell({ type: 'mnesia_down', node: other.node, wasAccessible: true, reason });
      }
      peer.system.send('cdb', { type: 'links', peers: peer.links() });
    }
  }

  /** The link is back; the databases find each other and connect. */
  heal(): void {
    this.linked = true;
    for (const peer of this.peers) {
      peer.system.send('cdb', { type: 'links', peers: peer.links() });
      for (const other of this.peers) {
        if (other === peer) continue;
        peer.handlers?.up(other.node);
        peer.database.tell({ type: 'inconsistent_database', context: 'running_partitioned_network', node: other.node });
        const figures = { rowsTaken: 1, rowsGiven: 0, conflicts: 0, durationMs: 4 };
        peer.database.tell({ type: 'connected', nodes: this.nodeNames, ...figures });
        peer.database.tell({ type: 'mnesia_up', node: other.node });
      }
    }
  }

  async stop(): Promise<readonly string[]> {
    const stopping = Promise.all(this.peers.map((peer) => peer.system.stop()));
    await this.clock.advanceAsync(10_000);
    return (await stopping).flatMap((outcome) => outcome.leftovers);
  }
}
