/** What the tests of the network layer share: a real clock, certificates, and peers on loopback addresses. */
import { Socket } from 'node:net';
import type { LogRecord } from '../../../actors/otp/types.ts';
import {
  type Authority,
  ClusterLinks,
  type ClusterLinksOptions,
  createAuthority,
  createPeerCertificate,
  type LinkStatus,
  type PeerAddress,
  type PeerCertificate,
  validityFrom,
} from '../../../src/net/index.ts';
import { SeededRandom } from '../../../src/simulation/seeded-random.ts';
import type { Clock, Links } from '../../../storage/environment.ts';

export const realClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, run) => ({ timer: setTimeout(run, delayMs) }),
  cancel: (handle) => clearTimeout(handle.timer as NodeJS.Timeout),
};

export const CLUSTER_KEY = Buffer.alloc(32, 7);
/** Long enough for a busy machine, on which a turn of the event loop may take a second. */
export const NET_TICKTIME_MS = 2000;
export const RESUME_WINDOW_MS = 2000;

export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** Waits until `check` gives something truthy; the limit is for a broken test, not for speed. */
export async function until<T>(what: string, check: () => T, timeoutMs = 8000): Promise<T> {
  const startMs = performance.now();
  for (;;) {
    const value = check();
    if (value) return value;
    if (performance.now() - startMs > timeoutMs) throw new Error(`waited in vain for ${what}`);
    await pause(5);
  }
}

export interface PeerSettings {
  readonly name: string;
  readonly address: string;
  /** What the others' rows say; the address by default. */
  readonly text?: string;
  readonly nodeId?: string;
  readonly options?: Partial<ClusterLinksOptions>;
  readonly certificate?: PeerCertificate;
}

export interface Received {
  readonly channel: 'db' | 'otp';
  readonly node: string;
  readonly message: unknown;
}

/** One authority and the peers of a test; `close` ends everything that was opened. */
export class NetLab {
  readonly authority: Authority;
  readonly peers: TestPeer[] = [];

  private constructor(authority: Authority) {
    this.authority = authority;
  }

  static async create(): Promise<NetLab> {
    return new NetLab(await createAuthority('Net lab authority', validityFrom(Date.now(), 30)));
  }

  certificate(commonName: string, dnsNames: string[], ipAddresses: string[]): Promise<PeerCertificate> {
    const validity = validityFrom(Date.now(), 30);
    return createPeerCertificate({ authority: this.authority, commonName, dnsNames, ipAddresses, validity });
  }

  async start(settings: PeerSettings): Promise<TestPeer> {
    const { name, address } = settings;
    const certificate = settings.certificate ?? (await this.certificate(name, [name], [address]));
    const peer = new TestPeer(settings);
    await peer.open({
      nodeId: settings.nodeId ?? `id-${name}`,
      nodeName: `clusterdb@${name}`,
      incarnation: 1,
      bindAddress: address,
      port: 0,
      sourcePorts: [30_000, 35_999],
      certificate: certificate.certificatePem,
      privateKey: certificate.privateKeyPem,
      trustedAuthorities: [this.authority.certificatePem],
      tlsVerify: 'Permissive',
      clusterKey: CLUSTER_KEY,
      netTicktimeMs: NET_TICKTIME_MS,
      resumeWindowMs: RESUME_WINDOW_MS,
      clock: realClock,
      random: new SeededRandom(`${name} ${address}`),
      log: (record) => peer.logs.push(record),
      ...settings.options,
    });
    this.peers.push(peer);
    return peer;
  }

  /** Everybody lists everybody, in the order they were started. */
  connect(...peers: readonly TestPeer[]): void {
    const members = peers.length === 0 ? this.peers : peers;
    for (const peer of members) peer.links.setPeers(rowsFor(peer, members));
  }

  async close(): Promise<void> {
    await Promise.all(this.peers.map((peer) => peer.links.close()));
    this.peers.length = 0;
  }
}

export function rowsFor(peer: TestPeer, members: readonly TestPeer[]): PeerAddress[] {
  return members.flatMap((member, i) => (member === peer ? [] : [member.row(i + 1)]));
}

export class TestPeer {
  readonly settings: PeerSettings;
  readonly logs: LogRecord[] = [];
  /** `up id`, `down id reason`, in order, as channel db hears them. */
  readonly events: string[] = [];
  readonly received: Received[] = [];
  nodeId = '';
  onMessage: ((received: Received) => void) | undefined;
  #links: ClusterLinks | undefined;
  #db: Links | undefined;
  #otp: Links | undefined;

  constructor(settings: PeerSettings) {
    this.settings = settings;
  }

  get links(): ClusterLinks {
    if (this.#links === undefined) throw new Error('not open');
    return this.#links;
  }

  get db(): Links {
    if (this.#db === undefined) throw new Error('not open');
    return this.#db;
  }

  get otp(): Links {
    if (this.#otp === undefined) throw new Error('not open');
    return this.#otp;
  }

  get address(): string {
    return this.settings.address;
  }

  async open(options: ClusterLinksOptions): Promise<void> {
    this.nodeId = options.nodeId;
    this.#links = await ClusterLinks.open(options);
    this.#db = this.#channel('db', true);
    this.#otp = this.#channel('otp', false);
  }

  row(index: number): PeerAddress {
    const { address, text } = this.settings;
    return { index, text: text ?? address, address, port: this.links.port };
  }

  statusOf(index: number): LinkStatus {
    const status = this.links.status().find((row) => row.index === index);
    if (status === undefined) throw new Error(`no row ${index}`);
    return status;
  }

  messages(channel: 'db' | 'otp' = 'db'): unknown[] {
    return this.received.filter((received) => received.channel === channel).map(({ message }) => message);
  }

  logText(): string {
    return this.logs.map((record) => record.fields.map(([key, value]) => `${key}="${value}"`).join(' ')).join('\n');
  }

  async linkedWith(...others: readonly TestPeer[]): Promise<void> {
    await until(`links of ${this.settings.name}`, () => others.every((other) => this.db.isUp(other.nodeId)));
  }

  #channel(name: 'db' | 'otp', isWatched: boolean): Links {
    const links = this.links.channel(name);
    links.setHandlers({
      up: (node) => isWatched && this.events.push(`up ${node}`),
      down: (node, reason) => isWatched && this.events.push(`down ${node} ${reason}`),
      message: (node, message) => {
        const received = { channel: name, node, message };
        this.received.push(received);
        this.onMessage?.(received);
      },
    });
    return links;
  }
}

/** Open TCP sockets of this process that touch an address, as the operating system would break them. */
export function socketsOf(address: string): Socket[] {
  const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles();
  return handles.filter(
    (handle): handle is Socket =>
      handle instanceof Socket &&
      !handle.destroyed &&
      (handle.remoteAddress === address || handle.localAddress === address),
  );
}
