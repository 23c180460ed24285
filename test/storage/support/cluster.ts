/** One to three databases in this process, over links and discs in memory, on one virtual clock. One run is like the next. */
import { Database } from '../../../storage/database.ts';
import { createMemoryDisc, type DiscImage, type MemoryDisc } from '../../../storage/disc/memory-store.ts';
import type { Clock, Environment, ProbePoint, TimerHandle } from '../../../storage/environment.ts';
import type { StorageError } from '../../../storage/errors.ts';
import type { Message } from '../../../storage/transactions/messages.ts';
import type { DatabaseOptions, Key, SystemEvent, TableDefinition, Value } from '../../../storage/types.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';
import { createSeededRandom } from '../disc/virtual-clock.ts';
import { MemoryNetwork } from './network.ts';

const PATIENCE_MS = 60_000;

/** The timers of one process: they end with it. */
class ProcessClock implements Clock {
  readonly #clock: VirtualClock;
  readonly #isAlive: () => boolean;

  constructor(clock: VirtualClock, isAlive: () => boolean) {
    this.#clock = clock;
    this.#isAlive = isAlive;
  }

  wallMs(): number {
    return this.#clock.wallMs();
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  after(delayMs: number, run: () => void): TimerHandle {
    return this.#clock.after(delayMs, () => {
      if (this.#isAlive()) run();
    });
  }

  cancel(timer: TimerHandle): void {
    this.#clock.cancel(timer);
  }
}

export type NodeOptions = Pick<DatabaseOptions, 'autoConnect' | 'primaryNodeName' | 'limits'>;

export class ClusterNode {
  readonly id: string;
  readonly name: string;
  readonly cluster: Cluster;
  readonly options: NodeOptions;
  /** System events since the node was last started. */
  events: SystemEvent[] = [];
  disc!: MemoryDisc;
  /** Called at each step of a protocol on this node; may kill it. */
  onProbe: (point: ProbePoint) => void = () => undefined;
  #image: DiscImage | undefined = undefined;
  #database: Database | undefined = undefined;
  #incarnation = 0;

  constructor(cluster: Cluster, number: number, options: NodeOptions) {
    this.cluster = cluster;
    this.id = `id${number}`;
    this.name = `clusterdb@peer${number}`;
    this.options = options;
  }

  get db(): Database {
    if (this.#database === undefined) throw new Error(`${this.name} does not run`);
    return this.#database;
  }

  /** A new process over what the last one left on the disc. */
  async start(): Promise<void> {
    this.#incarnation += 1;
    const incarnation = this.#incarnation;
    const isAlive = (): boolean => this.#incarnation === incarnation && this.#image === undefined;
    const { cluster } = this;
    const clock = new ProcessClock(cluster.clock, isAlive);
    const random = createSeededRandom(cluster.seed + 100 * incarnation + Number(this.id.slice(2)));
    this.disc = createMemoryDisc({ clock, random, ...(this.#image === undefined ? {} : { image: this.#image }) });
    this.#image = undefined;
    this.events = [];
    const environment: Environment = {
      clock,
      random,
      links: cluster.network.links(this.id, { name: this.name, incarnation }, isAlive),
      disc: this.disc,
      endOfTurn: (run) => {
        clock.after(0, run);
      },
      probe: (point) => {
        if (isAlive()) this.onProbe(point);
      },
    };
    const opening = Database.open({ ...this.options, environment, nodeId: this.id, incarnation, nodeName: this.name });
    const database = await cluster.settle(opening);
    database.subscribeSystem((event) => {
      if (isAlive()) this.events.push(event);
    });
    this.#database = database;
  }

  /** SIGKILL, or with `synced` the power: the others hear that nobody listens there any more. */
  kill(survive: 'process' | 'synced' = 'process'): void {
    this.#image = this.disc.crash(survive);
    this.#database = undefined;
    this.cluster.network.leave(this.id, 'refused');
  }

  /** An orderly stop. */
  async stop(): Promise<void> {
    await this.cluster.settle(this.db.close());
    this.#image = this.disc.image();
    this.#database = undefined;
    this.cluster.network.leave(this.id, 'closed');
  }

  /** The events of these types, in order. */
  eventsOf<T extends SystemEvent['type']>(...types: T[]): Extract<SystemEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<SystemEvent, { type: T }> => types.includes(event.type as T));
  }

  write(table: string, key: Key, value: Value): Promise<void> {
    return this.cluster.settle(this.db.dirtyWrite(table, key, value));
  }

  delete(table: string, key: Key): Promise<void> {
    return this.cluster.settle(this.db.dirtyDelete(table, key));
  }
}

export interface ClusterOptions extends NodeOptions {
  readonly seed?: number;
}

export class Cluster {
  readonly clock = new VirtualClock();
  readonly network = new MemoryNetwork(this.clock);
  readonly nodes: readonly ClusterNode[];
  readonly seed: number;

  private constructor(count: number, { seed = 1, ...options }: ClusterOptions) {
    this.seed = seed;
    this.nodes = Array.from({ length: count }, (_, index) => new ClusterNode(this, index + 1, options));
  }

  /** Nodes that run as one island. */
  static async start(count: number, options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = await Cluster.startApart(count, options);
    for (const [a, b] of cluster.#pairs()) cluster.network.heal(a.id, b.id);
    await cluster.together();
    await cluster.advance(2_000);
    return cluster;
  }

  /** Nodes that have not met yet: see `heal`. */
  static async startApart(count: number, options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = new Cluster(count, options);
    for (const [a, b] of cluster.#pairs()) cluster.network.cut(a.id, b.id);
    for (const node of cluster.nodes) await node.start();
    return cluster;
  }

  /** Peer 1, 2, 3. */
  node(number: number): ClusterNode {
    return this.nodes[number - 1] as ClusterNode;
  }

  get names(): string[] {
    return this.nodes.map((node) => node.name);
  }

  /** Makes the table with a replica at every node, and waits until all are loaded. */
  async createTable(
    name: string,
    kind: 'ram_copies' | 'disc_copies' = 'disc_copies',
    rest: Partial<TableDefinition> = {},
  ): Promise<void> {
    await this.settle(this.node(1).db.createTable({ name, [kind]: this.names, ...rest }));
    for (const node of this.nodes) await this.settle(node.db.waitForTables([name], PATIENCE_MS));
    await this.advance(1_000);
  }

  /** No links between the two groups; both hear of it at once. */
  async split(left: readonly number[], right: readonly number[]): Promise<void> {
    for (const a of left) for (const b of right) this.network.cut(this.node(a).id, this.node(b).id);
    await this.advance(1_000);
  }

  heal(): void {
    for (const [a, b] of this.#pairs()) this.network.heal(a.id, b.id);
  }

  async healAndMeet(): Promise<void> {
    this.heal();
    await this.together();
    await this.advance(2_000);
  }

  /** Until every node counts every other as running. */
  async together(): Promise<void> {
    await this.until(() => this.nodes.every(({ db }) => db.systemInfo().runningDbNodes.length === this.nodes.length));
  }

  advance(byMs: number): Promise<void> {
    return this.clock.advanceAsync(byMs);
  }

  async until(holds: () => boolean, patienceMs = PATIENCE_MS): Promise<void> {
    const endMs = this.clock.monotonicMs() + patienceMs;
    while (!holds()) {
      if (this.clock.monotonicMs() >= endMs) throw new Error(`not so within ${patienceMs} ms: ${String(holds)}`);
      await this.clock.advanceAsync(1);
    }
  }

  /** Lets time pass until the promise is settled. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const note = (): void => {
      settled = true;
    };
    promise.then(note, note);
    await this.until(() => settled);
    return promise;
  }

  /** The error a promise is rejected with. */
  async failure(promise: Promise<unknown>): Promise<StorageError> {
    const error = await this.settle(
      promise.then(
        () => undefined,
        (reason: unknown) => reason,
      ),
    );
    if (error === undefined) throw new Error('It was to fail, and did not.');
    return error as StorageError;
  }

  /** Messages of one kind sent since `mark` (see `mark`). */
  messages(kind: number, since = 0): { from: string; to: string; message: Message }[] {
    return this.network.sent
      .slice(since)
      .flatMap(({ from, to, messages }) => messages.map((message) => ({ from, to, message })))
      .filter(({ message }) => message[0] === kind);
  }

  get mark(): number {
    return this.network.sent.length;
  }

  #pairs(): [ClusterNode, ClusterNode][] {
    return this.nodes.flatMap((a, i) => this.nodes.slice(i + 1).map((b): [ClusterNode, ClusterNode] => [a, b]));
  }
}
