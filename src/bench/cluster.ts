/** A cluster to measure: one process a node, TLS links between them on loopback, each with a directory on the disc. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { StorageKind } from '../../storage/index.ts';
import {
  createAuthority,
  createPeerCertificate,
  type PeerAddress,
  type PeerCertificate,
  validityFrom,
} from '../net/index.ts';
import type { NodeSettings, OpenedNode } from './calls.ts';
import { type ClusterOptions, type MeasuredCluster, nodeOf, type System } from './measure.ts';
import { NodeProcess } from './node-process.ts';
import { withScratch } from './scratch.ts';
import { until } from './until.ts';

const ADDRESS = '127.0.0.1';
const CERTIFICATE_DAYS = 2;
const CONNECT_MS_MAX = 30_000;

interface Identity {
  readonly certificate: PeerCertificate;
  readonly authority: string;
  readonly clusterKey: string;
}

export class BenchCluster implements MeasuredCluster {
  readonly #options: ClusterOptions;
  readonly #identity: Identity;
  readonly #directory: string;
  /** Kept over a restart: the others know the node by it. */
  readonly #ports: number[];
  readonly #nodes: NodeProcess[];

  private constructor(options: ClusterOptions, identity: Identity, directory: string, nodes: NodeProcess[]) {
    this.#nodes = nodes;
    this.#options = options;
    this.#identity = identity;
    this.#directory = directory;
    this.#ports = Array.from({ length: options.nodes }, () => 0);
  }

  static async with<T>(options: ClusterOptions, use: (cluster: BenchCluster) => Promise<T>): Promise<T> {
    const nodes: NodeProcess[] = [];
    const killAll = async (): Promise<void> => {
      await Promise.all(nodes.map((node) => node.kill()));
    };
    return await withScratch(options.directory, killAll, async (directory) => {
      const cluster = new BenchCluster(options, await createIdentity(), directory, nodes);
      await cluster.#start();
      return await use(cluster);
    });
  }

  get nodes(): readonly NodeProcess[] {
    return this.#nodes;
  }

  get first(): NodeProcess {
    return this.node(1);
  }

  node(number: number): NodeProcess {
    return nodeOf(this.#nodes, number);
  }

  get #names(): string[] {
    return this.#ports.map((_, at) => nodeNameOf(at + 1));
  }

  async createTable(name: string, storage: StorageKind): Promise<void> {
    await this.first.call('createTable', { name, [storage]: this.#names });
  }

  async open(number: number): Promise<OpenedNode> {
    const node = NodeProcess.start(number);
    this.#nodes[number - 1] = node;
    const opened = await node.call('open', this.#settings(number));
    this.#ports[number - 1] = opened.port;
    return opened;
  }

  async close(number: number): Promise<void> {
    await this.node(number).call('close', null);
    await this.node(number).kill();
  }

  file(name: string): string {
    return join(this.#directory, name);
  }

  /** How the other nodes are dialled by this one, or those of them that are named. */
  #rowsFor(number: number, others: readonly number[] = this.#ports.map((_, at) => at + 1)): PeerAddress[] {
    return this.#ports.flatMap((port, at) =>
      at + 1 === number || !others.includes(at + 1) ? [] : [{ index: at + 1, text: ADDRESS, address: ADDRESS, port }],
    );
  }

  /** Holds back what one node sends to the others. */
  async setDelay(number: number, delayMs: number): Promise<void> {
    await this.node(number).call('setFaults', { peers: this.#rowsFor(number), isCut: false, delayMs });
  }

  /** Holds back what every node sends to every other, so that a message and its answer take so long on their way. */
  async setRoundTrip(roundTripMs: number): Promise<void> {
    await Promise.all(this.#nodes.map(({ number }) => this.setDelay(number, roundTripMs / 2)));
  }

  async cut(side: readonly number[]): Promise<void> {
    const others = this.#nodes.map(({ number }) => number).filter((number) => !side.includes(number));
    const cutOff = (number: number): readonly number[] => (side.includes(number) ? others : side);
    const faults = this.#nodes.map((node) =>
      node.call('setFaults', { peers: this.#rowsFor(node.number, cutOff(node.number)), isCut: true, delayMs: 0 }),
    );
    await Promise.all(faults);
  }

  async heal(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.call('setFaults', { peers: [], isCut: false, delayMs: 0 })));
  }

  async equal(table: string, timeoutMs: number): Promise<void> {
    await until(`equal replicas of ${table}`, timeoutMs, async () => {
      const digests = await Promise.all(this.#running.map((node) => node.call('digest', table)));
      return new Set(digests).size === 1;
    });
  }

  async connect(number: number): Promise<void> {
    await this.node(number).call('setPeers', this.#rowsFor(number));
  }

  async connected(count: number): Promise<void> {
    await until(`${count} nodes to be one cluster`, CONNECT_MS_MAX, async () => {
      const counts = await Promise.all(this.#running.map((node) => node.call('runningNodes', null)));
      return counts.every((seen) => seen === count);
    });
  }

  get #running(): NodeProcess[] {
    return this.#nodes.filter((node) => node.isRunning);
  }

  async #start(): Promise<void> {
    const numbers = this.#ports.map((_, at) => at + 1);
    await Promise.all(numbers.map((number) => this.open(number)));
    await Promise.all(numbers.map((number) => this.connect(number)));
    await this.connected(numbers.length);
  }

  #settings(number: number): NodeSettings {
    const { netTicktimeMs, resumeWindowMs, transactionsMax } = this.#options;
    const { certificate, authority, clusterKey } = this.#identity;
    return {
      number,
      nodeName: nodeNameOf(number),
      directory: join(this.#directory, `n${number}`),
      address: ADDRESS,
      port: this.#ports[number - 1] ?? 0,
      certificate: certificate.certificatePem,
      privateKey: certificate.privateKeyPem,
      authority,
      clusterKey,
      netTicktimeMs,
      resumeWindowMs,
      transactionsMax,
    };
  }
}

export const peerage: System = {
  name: 'peerage',
  measures: () => true,
  check: async () => undefined,
  withCluster: (options, use) => BenchCluster.with(options, use),
};

function nodeNameOf(number: number): string {
  return `clusterdb@n${number}.bench.example`;
}

async function createIdentity(): Promise<Identity> {
  const validity = validityFrom(Date.now(), CERTIFICATE_DAYS);
  const authority = await createAuthority('Bench authority', validity);
  const certificate = await createPeerCertificate({
    authority,
    commonName: 'bench.example',
    ipAddresses: [ADDRESS],
    validity,
  });
  return { certificate, authority: authority.certificatePem, clusterKey: randomBytes(32).toString('hex') };
}
