/** One to three databases in this process, over links and discs in memory, on one virtual clock. One run is like the next. */
import { Database } from '../../../storage/database.ts';
import { createMemoryDisc, type DiscImage, type MemoryDisc } from '../../../storage/disc/memory-store.ts';
import type { Clock, Environment, Links, ProbePoint, TimerHandle } from '../../../storage/environment.ts';
import type { StorageError } from '../../../storage/errors.ts';
import type { Message } from '../../../storage/transactions/messages.ts';
import type { DatabaseOptions, Key, SystemEvent, TableDefinition, Value } from '../../../storage/types.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';
import { createSeededRandom } from '../disc/virtual-clock.ts';
import { MemoryNetwork } from './network.ts';

const PATIENCE_MS = 60_000;

/** What happens to one process waits while it is stopped by a signal, and ends with it. */
type Gate = (run: () => void) => void;

class ProcessClock implements Clock {
  readonly #clock: VirtualClock;
  readonly #gate: Gate;
  readonly #aheadMs: () => number;

  constructor(clock: VirtualClock, gate: Gate, aheadMs: () => number) {
    this.#clock = clock;
    this.#gate = gate;
    this.#aheadMs = aheadMs;
  }

  wallMs(): number {
    return this.#clock.wallMs() + this.#aheadMs();
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  after(delayMs: number, run: () => void): TimerHandle {
    return this.#clock.after(delayMs, () => this.#gate(run));
  }

  cancel(timer: TimerHandle): void {
    this.#clock.cancel(timer);
  }
}

/** The links of a process that may be stopped by a signal: what arrives meanwhile waits. */
function behind(gate: Gate, links: Links): Links {
  return {
    ...links,
    setHandlers: (handlers) =>
      links.setHandlers({
        up: (node, info) => gate(() => handlers.up(node, info)),
        down: (node, reason) => gate(() => handlers.down(node, reason)),
        message: (node, message) => gate(() => handlers.message(node, message)),
      }),
  };
}

/** How a process ends. `sent`: whether frames that had left it still arrive. `disc`: see MemoryDisc.crash. */
export interface Death {
  readonly disc?: 'process' | 'synced' | 'medium';
  readonly sent?: 'arrives' | 'lost';
}

export type NodeOptions = Pick<
  DatabaseOptions,
  'autoConnect' | 'primaryNodeName' | 'extraDbNodes' | 'limits' | 'mergeFunctions' | 'masterNodes'
>;

export class ClusterNode {
  /** Kept on the disc. */
  id: string;
  /** An attribute: it may change between two lives. */
  name: string;
  readonly cluster: Cluster;
  readonly options: NodeOptions;
  /** System events since the node was last started. */
  events: SystemEvent[] = [];
  disc!: MemoryDisc;
  /** Called at each step of a protocol on this node; may kill it. */
  onProbe: (point: ProbePoint) => void = () => undefined;
  /** By how much its wall clock is wrong. */
  clockAheadMs = 0;
  /** How often each step was passed, in all lives of this node. */
  readonly passed = new Map<ProbePoint, number>();
  #image: DiscImage | undefined = undefined;
  #database: Database | undefined = undefined;
  #incarnation = 0;
  #parked: (() => void)[] | undefined = undefined;
  #onceSent: (() => void)[] = [];
  #died: () => void = () => undefined;

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

  get isRunning(): boolean {
    return this.#database !== undefined;
  }

  /** Of the process that runs, or ran last. */
  get incarnation(): number {
    return this.#incarnation;
  }

  /** A new process over what the last one left on the disc. */
  async start(options: NodeOptions = {}): Promise<void> {
    this.#incarnation += 1;
    const image = this.#image;
    this.#image = undefined;
    this.events = [];
    const environment = this.#environment(this.#incarnation, image);
    const died = new Promise<undefined>((resolve) => {
      this.#died = () => resolve(undefined);
    });
    const { id: nodeId, name: nodeName } = this;
    const incarnation = this.#incarnation;
    const opening = Database.open({ ...this.options, ...options, environment, nodeId, incarnation, nodeName }).then(
      (database) => {
        // It may have died in the very moment in which it was open.
        if (this.#incarnation !== incarnation || this.#image !== undefined) return;
        this.#database = database;
        database.subscribeSystem((event) => {
          if (this.#database === database) this.events.push(event);
        });
      },
    );
    await this.cluster.settle(Promise.race([opening, died]));
  }

  #environment(incarnation: number, image: DiscImage | undefined): Environment {
    const { cluster } = this;
    const isAlive = (): boolean => this.#incarnation === incarnation && this.#image === undefined;
    const gate: Gate = (run) => {
      if (!isAlive()) return;
      if (this.#parked === undefined) run();
      else this.#parked.push(() => gate(run));
    };
    const clock = new ProcessClock(cluster.clock, gate, () => this.clockAheadMs);
    const random = createSeededRandom(cluster.seed + 100 * incarnation + Number(this.id.slice(2)));
    this.disc = createMemoryDisc({ clock, random, ...(image === undefined ? {} : { image }) });
    return {
      clock,
      random,
      links: behind(gate, cluster.network.links(this.id, { name: this.name, incarnation }, isAlive)),
      disc: this.disc,
      endOfTurn: (run) => {
        clock.after(0, () => {
          run();
          for (const act of this.#onceSent.splice(0)) act();
        });
      },
      probe: (point) => {
        if (!isAlive()) return;
        this.passed.set(point, (this.passed.get(point) ?? 0) + 1);
        this.onProbe(point);
      },
    };
  }

  /** SIGKILL, or with `synced` the power: the others hear that nobody listens there any more. */
  kill(death: Death | NonNullable<Death['disc']> = {}): void {
    const { disc = 'process', sent = 'lost' } = typeof death === 'string' ? { disc: death } : death;
    this.#image = this.disc.crash(disc);
    this.#end();
    this.cluster.network.leave(this.id, 'refused', sent);
    this.#died();
  }

  /** An empty disc in place of the one there is, and so another identity: only while the node does not run. */
  replaceDisc(): void {
    this.#image = { entries: new Map() };
    this.id = `id${Number(this.id.slice(2)) + 10}`;
  }

  /** An older copy of the disc in its place: only while the node does not run. */
  putBack(image: DiscImage): void {
    this.#image = image;
  }

  #end(): void {
    this.#database = undefined;
    this.#parked = undefined;
    this.#onceSent = [];
  }

  /** SIGSTOP: links stay, and everything that happens to the process waits. */
  pause(): void {
    this.#parked ??= [];
  }

  /** SIGCONT. */
  resume(): void {
    const parked = this.#parked ?? [];
    this.#parked = undefined;
    for (const run of parked) this.cluster.clock.after(0, run);
  }

  /** Does something once the frames of this turn have left and its disc batch is under way. */
  onceSent(act: () => void): void {
    this.#onceSent.push(act);
  }

  /** An orderly stop. */
  async stop(): Promise<void> {
    await this.cluster.settle(this.db.close());
    this.#image = this.disc.image();
    this.#end();
    this.cluster.network.leave(this.id, 'closed');
  }

  /** The events of these types, in order. */
  eventsOf<T extends SystemEvent['type']>(...types: T[]): Extract<SystemEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<SystemEvent, { type: T }> => types.includes(event.type as T));
  }

  write(table: string, key: Key, value: Value): Promise<void> {
    return this.cluster.settle(this.db.transaction((tx) => tx.write(table, key, value)));
  }

  delete(table: string, key: Key): Promise<void> {
    return this.cluster.settle(this.db.transaction((tx) => tx.delete(table, key)));
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
    if (await this.clock.advanceUntil(holds, patienceMs)) return;
    throw new Error(`not so within ${patienceMs} ms: ${String(holds)}`);
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
