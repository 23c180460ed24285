/** A cluster to measure: one process a node, TLS links between them on loopback, each with a directory on the disc. */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StorageKind } from '../../storage/index.ts';
import {
  createAuthority,
  createPeerCertificate,
  type PeerAddress,
  type PeerCertificate,
  validityFrom,
} from '../net/index.ts';
import type { NodeSettings, OpenedNode } from './calls.ts';
import { NodeProcess } from './node-process.ts';

const ADDRESS = '127.0.0.1';
const CERTIFICATE_DAYS = 2;
const CONNECT_MS_MAX = 30_000;
const POLL_MS = 5;
/** As a shell says of a command that was interrupted. */
const INTERRUPTED = 130;

export interface ClusterOptions {
  readonly nodes: number;
  /** Where the directory of the cluster is made. */
  readonly directory: string;
  readonly netTicktimeMs: number;
  readonly resumeWindowMs: number;
}

interface Identity {
  readonly certificate: PeerCertificate;
  readonly authority: string;
  readonly clusterKey: string;
}

export class BenchCluster {
  readonly #options: ClusterOptions;
  readonly #identity: Identity;
  readonly #directory: string;
  /** Kept over a restart: the others know the node by it. */
  readonly #ports: number[];
  readonly #nodes: NodeProcess[] = [];

  private constructor(options: ClusterOptions, identity: Identity, directory: string) {
    this.#options = options;
    this.#identity = identity;
    this.#directory = directory;
    this.#ports = Array.from({ length: options.nodes }, () => 0);
  }

  /** Starts the nodes and gives the cluster to `use`; whatever happens, nothing of it is left afterwards. */
  static async with<T>(options: ClusterOptions, use: (cluster: BenchCluster) => Promise<T>): Promise<T> {
    const directory = await mkdtemp(join(options.directory, 'peerage-bench-'));
    const cluster = new BenchCluster(options, await createIdentity(), directory);
    const stop = (): void => cluster.#removeAll();
    const interrupted = (): void => process.exit(INTERRUPTED);
    process.once('exit', stop).once('SIGINT', interrupted).once('SIGTERM', interrupted);
    try {
      await cluster.#start();
      return await use(cluster);
    } finally {
      await Promise.all(cluster.#nodes.map((node) => node.kill()));
      await rm(directory, { recursive: true, force: true });
      process.off('exit', stop).off('SIGINT', interrupted).off('SIGTERM', interrupted);
    }
  }

  get nodes(): readonly NodeProcess[] {
    return this.#nodes;
  }

  /** The node in which single clients live. */
  get first(): NodeProcess {
    return this.node(1);
  }

  /** @param number from 1 */
  node(number: number): NodeProcess {
    const node = this.#nodes[number - 1];
    if (node === undefined) throw new RangeError(`there is no node ${number}`);
    return node;
  }

  get names(): string[] {
    return this.#ports.map((_, at) => nodeNameOf(at + 1));
  }

  /** A table with a replica of this kind on every node. */
  async createTable(name: string, storage: StorageKind): Promise<void> {
    await this.first.call('createTable', { name, [storage]: this.names });
  }

  /** Starts a process for the node, on the directory and port it had; its links are not dialled yet. */
  async open(number: number): Promise<OpenedNode> {
    const node = NodeProcess.start(number);
    this.#nodes[number - 1] = node;
    const opened = await node.call('open', this.#settings(number));
    this.#ports[number - 1] = opened.port;
    return opened;
  }

  /** Ends the node as an operator would; its directory stays. */
  async close(number: number): Promise<void> {
    await this.node(number).call('close', null);
    await this.node(number).kill();
  }

  /** A file beside the directories of the nodes. */
  file(name: string): string {
    return join(this.#directory, name);
  }

  /** How the other nodes are dialled by this one, or those of them that are named. */
  rowsFor(number: number, others: readonly number[] = this.#ports.map((_, at) => at + 1)): PeerAddress[] {
    return this.#ports.flatMap((port, at) =>
      at + 1 === number || !others.includes(at + 1) ? [] : [{ index: at + 1, text: ADDRESS, address: ADDRESS, port }],
    );
  }

  /** Holds back what every node sends to every other, so that a message and its answer take so long on their way. */
  async setRoundTrip(roundTripMs: number): Promise<void> {
    const delayMs = roundTripMs / 2;
    const faults = this.#nodes.map((node) =>
      node.call('setFaults', { peers: this.rowsFor(node.number), isCut: false, delayMs }),
    );
    await Promise.all(faults);
  }

  /** As a cable that is pulled between two groups, both ways; nothing is closed or refused. */
  async cut(side: readonly number[]): Promise<void> {
    const others = this.#nodes.map(({ number }) => number).filter((number) => !side.includes(number));
    const cutOff = (number: number): readonly number[] => (side.includes(number) ? others : side);
    const faults = this.#nodes.map((node) =>
      node.call('setFaults', { peers: this.rowsFor(node.number, cutOff(node.number)), isCut: true, delayMs: 0 }),
    );
    await Promise.all(faults);
  }

  /** Ends cuts and delays. */
  async heal(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.call('setFaults', { peers: [], isCut: false, delayMs: 0 })));
  }

  /** Until all nodes that run hold the same rows of a table. */
  async equal(table: string, timeoutMs: number): Promise<void> {
    await until(`equal replicas of ${table}`, timeoutMs, async () => {
      const digests = await Promise.all(this.#running.map((node) => node.call('digest', table)));
      return new Set(digests).size === 1;
    });
  }

  async connect(number: number): Promise<void> {
    await this.node(number).call('setPeers', this.rowsFor(number));
  }

  /** Until every node that runs sees `count` nodes. */
  async connected(count: number): Promise<void> {
    await until(`${count} nodes to be one cluster`, CONNECT_MS_MAX, async () => {
      const infos = await Promise.all(this.#running.map((node) => node.call('systemInfo', null)));
      return infos.every(({ runningDbNodes }) => runningDbNodes.length === count);
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
    const { netTicktimeMs, resumeWindowMs } = this.#options;
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
    };
  }

  #removeAll(): void {
    for (const node of this.#nodes) node.signal('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

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

/** @throws Error that says what was waited for */
export async function until(what: string, timeoutMs: number, check: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await sleep(POLL_MS);
  }
}
