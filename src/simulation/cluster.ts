/**
 * The nodes of a simulation: machines with a disc each, the process that runs on each of them at the moment, and the
 * database in it. Starts, stops, kills, pauses. It watches every database from outside and writes down what it sees.
 */
import type { Disc, Environment, ProbePoint } from '../../storage/environment.ts';
import { StorageError } from '../../storage/errors.ts';
import type { DatabaseOptions, SystemEvent, TableEvent } from '../../storage/types.ts';
import type { DatabaseUnderTest } from './database-under-test.ts';
import { type DiscRemains, discRemains } from './disc-remains.ts';
import { tracedDisc } from './disc-trace.ts';
import { type History, nodeName, type TablePlan } from './history.ts';
import { KeptKinds } from './kept-kinds.ts';
import type { NetworkTimings } from './link-session.ts';
import { type NodeProcess, VirtualNetwork } from './network.ts';
import { RowWatch } from './row-watch.ts';
import { holdersAt } from './schema-operations.ts';
import type { SeededRandom } from './seeded-random.ts';
import { type DiscImage, SimulatedDisc } from './simulated-disc.ts';
import { definitionOf } from './tables.ts';
import { type Trace, valueText } from './trace.ts';
import { NodeClock, type VirtualTime } from './virtual-time.ts';

export interface ClusterOptions {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly trace: Trace;
  readonly history: History;
  readonly nodeCount: number;
  readonly timings: NetworkTimings;
  readonly openDatabase: (options: DatabaseOptions) => Promise<DatabaseUnderTest>;
  /** Anything that must never happen: a broken invariant, a message changed after it was sent. */
  readonly onBroken: (what: string) => void;
}

export type Death = 'killed' | 'power' | 'stopped';

export interface SimulatedNode {
  readonly index: number;
  /** Lies in its data directory: with an empty disc comes another one. */
  id: string;
  readonly name: string;
  readonly label: string;
  readonly disc: SimulatedDisc;
  /** Belongs to the machine: it stays off by as much after a restart. */
  wallOffsetMs: number;
  driftPpm: number;
  incarnation: number;
  process: NodeProcess | undefined;
  clock: NodeClock | undefined;
  database: DatabaseUnderTest | undefined;
  /** The disc as the present process uses it. */
  port: Disc | undefined;
  /** The database answers and all tables were created on it. */
  ready: boolean;
  /** Not yet part of the cluster: it is started for the first time while others already work. */
  isToCome: boolean;
  /** What is on its disc knows of others. Until then its rows are those of an island that nobody has heard of. */
  hasMet: boolean;
  /** Its disc is an old copy, and it has met nobody since. */
  hasOldDisc: boolean;
  pausedAtUs: number;
  /** Called once when the present process is gone. */
  readonly onDeath: Set<() => void>;
  /** Subscribes to a table of the present database, once. */
  watch(table: string): void;
  /** Changes of the table on this node are written down. */
  isWatched(table: string): boolean;
}

/** Called in the middle of a protocol; a nemesis may kill the node there. */
export type ProbeListener = (node: SimulatedNode, point: ProbePoint) => void;

const DRIFT_PPM_MAX = 200;
const COMPANY_POLL_MS = 20;
const REMOVAL_MS_MAX = 8000;
/** Some clock was never set. */
const FAR_OFF_MS = 60_000;

export class Cluster {
  readonly options: ClusterOptions;
  readonly nodes: readonly SimulatedNode[];
  readonly network: VirtualNetwork;
  onProbe: ProbeListener = () => undefined;
  readonly counts = { starts: 0, probes: 0 };
  private readonly rows: RowWatch;
  private readonly keptKinds = new KeptKinds();
  /** Few keys in some seeds, so that merges are copied in several rounds. */
  private readonly lastKeysMax: number;
  /** And few in others, so that changed-since sets collapse. */
  private readonly changedKeysMax: number;
  /** In some seeds all are configured with a node that is to come; in others they hear of it when it comes. */
  private readonly isComingKnown: boolean;
  /** Tables that each node's present database is watched in. */
  private readonly watched: Set<string>[] = [];

  constructor(options: ClusterOptions) {
    this.options = options;
    this.rows = new RowWatch(options.history.tables);
    const limits = options.random.fork('limits');
    this.lastKeysMax = limits.pick([1, 20, 500]);
    this.changedKeysMax = limits.pick([4, 100_000]);
    this.isComingKnown = limits.chance(0.5);
    const { random, time, trace } = options;
    this.nodes = Array.from({ length: options.nodeCount }, (_, index) => {
      const label = `peer${index + 1}`;
      return {
        index,
        id: random.fork(`id${index}`).hex(8),
        name: nodeName(label),
        label,
        disc: new SimulatedDisc(time, random.fork(`disc${index}`)),
        wallOffsetMs: Math.round(
          random.chance(0.1) ? random.between(-FAR_OFF_MS, FAR_OFF_MS) : random.between(-40, 40),
        ),
        driftPpm: random.between(-DRIFT_PPM_MAX, DRIFT_PPM_MAX),
        incarnation: 0,
        process: undefined,
        clock: undefined,
        database: undefined,
        port: undefined,
        ready: false,
        isToCome: false,
        hasMet: false,
        hasOldDisc: false,
        pausedAtUs: 0,
        onDeath: new Set<() => void>(),
        watch: (table: string) => this.watch(this.nodes[index] as SimulatedNode, table),
        isWatched: (table: string) => this.watched[index]?.has(table) ?? false,
      };
    });
    for (const { id, label } of this.nodes) trace.nameNode(id, label);
    this.network = new VirtualNetwork({
      time,
      random: random.fork('network'),
      trace,
      timings: options.timings,
      nodes: this.nodes,
      onMisuse: (process, what) => options.onBroken(`${process.label} ${what}`),
      onDown: (process, other) => this.sawDown(process, other),
    });
  }

  get alive(): SimulatedNode[] {
    return this.nodes.filter((node) => node.process !== undefined);
  }

  /** A new process on this machine. Comes back at once; the database opens as virtual time passes. */
  start(node: SimulatedNode): void {
    if (node.process) return;
    node.incarnation++;
    this.counts.starts++;
    if (this.options.history.operations.length > 0) this.options.history.restarted = true;
    node.isToCome = false;
    const process: NodeProcess = {
      state: 'running',
      parked: [],
      index: node.index,
      id: node.id,
      name: node.name,
      label: node.label,
      incarnation: node.incarnation,
    };
    node.process = process;
    this.rows.restart(node.index);
    this.watched[node.index] = new Set();
    this.options.trace.record('node', node.label, `starts, incarnation ${node.incarnation}`);
    this.boot(node, process).catch((error) => {
      if (node.process !== process) return;
      this.options.trace.record('node', node.label, 'did not start', () => String(error));
      if (node.disc.failure !== undefined) this.die(node, 'killed');
      else this.options.onBroken(`${node.label} did not start: ${describe(error)}`);
    });
  }

  /**
   * An orderly stop: the database closes, then the process ends. With an image, the machine gets that for a disc.
   * Answers whether it came to that.
   */
  async stop(node: SimulatedNode, image?: DiscImage): Promise<boolean> {
    const { process, database } = node;
    if (!process || !database) return false;
    this.options.trace.record('node', node.label, 'stops in order');
    this.noteLoss(node, image !== undefined);
    node.ready = false;
    await Promise.race([database.close(), this.deathOf(node)]);
    if (node.process !== process) return false;
    this.die(node, 'stopped');
    if (image) {
      node.disc.restore(image);
      node.hasOldDisc = true;
    }
    return true;
  }

  /** Stopped in order, and then what lay in the data directory is gone, and with it who this node was. */
  async loseDisc(node: SimulatedNode): Promise<void> {
    const { random, trace } = this.options;
    if (!(await this.stop(node, node.disc.empty()))) return;
    node.id = random.fork(`id after ${node.id}`).hex(8);
    node.incarnation = 0;
    node.hasOldDisc = false;
    this.network.identify(node.index, node.id);
    trace.nameNode(node.id, node.label);
    trace.record('node', node.label, 'lost its data directory');
  }

  /** `by` is told that `node` never comes back. Whether it can be done is not for the caller to know: faults go on. */
  async remove(node: SimulatedNode, by: SimulatedNode): Promise<void> {
    const { trace } = this.options;
    const { database } = by;
    if (!database || !by.ready) return;
    while (database.runningDbNodes().includes(node.name)) {
      await this.options.time.sleep(COMPANY_POLL_MS);
      if (by.database !== database || node.process) return;
    }
    trace.record('node', by.label, `removes ${node.label}`);
    const removal = database.removeNode(node.name, { timeoutMs: REMOVAL_MS_MAX }).then(
      () => 'removed',
      (error) => String(error instanceof StorageError ? error.code : describe(error)),
    );
    const outcome = await Promise.race([removal, this.deathOf(by)]);
    trace.record('node', by.label, `has removed ${node.label}: ${outcome}`);
  }

  /** What lies on the disc of a node for others only. */
  async remains(node: SimulatedNode): Promise<DiscRemains | undefined> {
    return node.port === undefined ? undefined : await discRemains(node.port);
  }

  kill(node: SimulatedNode, how: 'killed' | 'power'): void {
    if (!node.process) return;
    this.noteLoss(node, how === 'power');
    this.die(node, how);
  }

  pause(node: SimulatedNode): void {
    const { process } = node;
    if (process?.state !== 'running') return;
    this.options.trace.record('node', node.label, 'is stopped by a signal');
    node.pausedAtUs = this.options.time.nowUs;
    this.options.time.pause(process);
    this.network.paused(process);
  }

  resume(node: SimulatedNode): void {
    const { process } = node;
    if (process?.state !== 'paused') return;
    const pausedMs = (this.options.time.nowUs - node.pausedAtUs) / 1000;
    this.options.trace.record('node', node.label, `goes on after ${pausedMs.toFixed(0)} ms`);
    process.state = 'running';
    this.network.resumed(process, pausedMs);
    process.state = 'paused';
    this.options.time.resume(process);
  }

  jumpClock(node: SimulatedNode, byMs: number): void {
    this.options.trace.record('fault', node.label, `wall clock jumps by ${byMs} ms`);
    node.wallOffsetMs += byMs;
    if (node.clock) node.clock.wallOffsetMs = node.wallOffsetMs;
  }

  /** Resolves when the present process of the node is gone. */
  deathOf(node: SimulatedNode): Promise<'died'> {
    return new Promise((resolve) => {
      node.onDeath.add(() => resolve('died'));
    });
  }

  private async boot(node: SimulatedNode, process: NodeProcess): Promise<void> {
    const { history, openDatabase } = this.options;
    const primary = this.nodes[0]?.name;
    const database = await openDatabase({
      environment: this.environmentOf(node, process),
      nodeId: node.id,
      incarnation: node.incarnation,
      nodeName: node.name,
      primaryNodeName: () => primary,
      extraDbNodes: () => this.peersOf(node),
      limits: { lastKeysMax: this.lastKeysMax, changedKeysMax: this.changedKeysMax },
    });
    if (node.process !== process) return;
    node.database = database;
    node.hasMet = database.systemInfo().dbNodes.length > 1;
    this.sawLoaded(node);
    database.subscribeSystem((event) => this.sawSystemEvent(node, process, event));
    for (const plan of history.tables) {
      if (plan.moves && node.incarnation > 1) {
        // Declared once; since then it is what the clients have made of it.
        if (database.systemInfo().tables.includes(plan.name)) node.watch(plan.name);
        continue;
      }
      if (!plan.holders.includes(node.index)) continue;
      await database.createTable(definitionOf(plan, node.name));
      if (node.process !== process) return;
      node.watch(plan.name);
    }
    node.ready = true;
    this.options.trace.record('node', node.label, 'is open');
  }

  hasMet(node: SimulatedNode): boolean {
    node.hasMet ||= (node.database?.runningDbNodes().length ?? 0) > 1;
    return node.hasMet;
  }

  /** Those it is configured with, as a peer is by its list. */
  private peersOf(node: SimulatedNode): string[] {
    const others = this.nodes.filter((other) => other !== node && (this.isComingKnown || !other.isToCome));
    return others.map(({ name }) => name);
  }

  private watch(node: SimulatedNode, table: string): void {
    const { process, database } = node;
    const watched = this.watched[node.index] as Set<string>;
    if (!process || !database || watched.has(table)) return;
    watched.add(table);
    database.subscribeTable(table, (event) => this.sawTableEvent(node, process, event));
  }

  private environmentOf(node: SimulatedNode, process: NodeProcess): Environment {
    const random = this.options.random.fork(`process${node.id}.${node.incarnation}`);
    const clock = new NodeClock(this.options.time, process, () => random.next());
    clock.wallOffsetMs = node.wallOffsetMs;
    clock.driftPpm = node.driftPpm;
    node.clock = clock;
    node.port = node.disc.open(process, clock);
    return {
      clock,
      random,
      links: this.network.linksFor(process),
      disc: this.keptKinds.watching(tracedDisc(node.port, this.options.trace, node.label), node.id),
      endOfTurn: (run) => this.options.time.endOfTurn(process, run),
      probe: (point) => {
        if (process.state === 'dead') return;
        this.counts.probes++;
        this.options.trace.record('probe', node.label, point);
        this.onProbe(node, point);
      },
    };
  }

  private die(node: SimulatedNode, how: Death): void {
    const { process } = node;
    if (!process) return;
    this.options.trace.record('node', node.label, DEATHS[how]);
    process.state = 'dead';
    process.parked.length = 0;
    node.process = undefined;
    node.database = undefined;
    node.port = undefined;
    node.clock = undefined;
    node.ready = false;
    this.noteView(node, 'died', how);
    this.network.died(process, how);
    if (how === 'power') node.disc.powerLost();
    else node.disc.processDied();
    for (const tell of [...node.onDeath]) tell();
    node.onDeath.clear();
  }

  /** What only this node held in memory, or on a disc that forgets, goes with it: no fault of the database. */
  private noteLoss(leaving: SimulatedNode, withDisc = false): void {
    for (const table of this.options.history.tables) {
      if (table.moves) {
        if (this.lastOfMoving(leaving, table, withDisc)) this.options.history.mayLose.add(table.name);
        continue;
      }
      if ((table.storage === 'disc' && !withDisc) || !table.holders.includes(leaving.index)) continue;
      if (table.storage === 'ram' && table.majority) {
        if (!this.mostRememberWithout(leaving, table)) this.options.history.mayLose.add(table.name);
        continue;
      }
      // Of two replicas one alone is no majority: it leaves what it only promised to the disc of the other.
      const needsBoth = table.majority && table.holders.length === 2;
      const another =
        !table.localContent &&
        !needsBoth &&
        table.holders.some((holder) => holder !== leaving.index && this.shares(leaving, holder, table));
      if (!another) this.options.history.mayLose.add(table.name);
    }
  }

  /** Of more than half of the replicas, one knows of all that a majority ever made. */
  private mostRememberWithout(leaving: SimulatedNode, { name, holders }: TablePlan): boolean {
    const remembering = holders.filter((holder) => {
      const other = this.nodes[holder];
      if (other === leaving || !other?.ready || !other.database || other.process?.state === 'dead') return false;
      return !other.database.tableInfo(name).forgetful.includes(other.name);
    });
    return remembering.length * 2 > holders.length;
  }

  /** Whether a table whose replicas move may lose with this node what no other living one has. */
  private lastOfMoving(leaving: SimulatedNode, table: TablePlan, withDisc: boolean): boolean {
    const { database } = leaving;
    if (!database || !leaving.ready) return true;
    const holders = holdersAt(database, table.name);
    if (!holders.includes(leaving.name)) return false;
    if (this.keptKinds.isOnDisc(leaving.id) && !withDisc) return false;
    return !this.nodes.some(
      (other) => other !== leaving && holders.includes(other.name) && this.shares(leaving, other.index, table),
    );
  }

  private shares(leaving: SimulatedNode, holder: number, table: TablePlan): boolean {
    const other = this.nodes[holder];
    if (!other?.ready || !other.database || !leaving.ready || !leaving.database) return false;
    if (other.process?.state !== 'running') return false;
    // Tables are deleted and made anew: this node may have heard of the deletion alone.
    const isKnown = other.database.systemInfo().tables.includes(table.name);
    return (
      isKnown &&
      other.database.tableInfo(table.name).loaded &&
      leaving.database.runningDbNodes().includes(other.name) &&
      other.database.runningDbNodes().includes(leaving.name)
    );
  }

  private sawDown(process: NodeProcess, other: NodeProcess): void {
    if (other.state !== 'dead' && process.state !== 'dead') this.options.history.split = true;
  }

  /** A view may lose a node whose link is up. */
  private sawLetGo(process: NodeProcess, name: string): void {
    const other = this.nodes.find((node) => node.name === name);
    if (other?.process && this.network.isLinked(process, other.id)) this.sawDown(process, other.process);
  }

  /** A copy of a disc from when its node ran alone says that the others had gone: it is loaded at once, and so are they. */
  private sawLoaded({ database, hasOldDisc }: SimulatedNode): void {
    const { history } = this.options;
    if (!hasOldDisc || database === undefined || database.runningDbNodes().length > 1) return;
    const { tables } = database.systemInfo();
    const isShared = ({ storage, localContent, holders, moves }: TablePlan): boolean =>
      storage === 'disc' && !localContent && !moves && holders.length > 1;
    const shared = history.tables.filter(isShared);
    if (!shared.some(({ name }) => tables.includes(name) && database.tableInfo(name).loaded)) return;
    history.split = true;
    history.servedOldDisc = true;
  }

  private sawSystemEvent(node: SimulatedNode, process: NodeProcess, event: SystemEvent): void {
    if (process.state === 'dead') return;
    const { type, ...rest } = event;
    // A node whose disc failed leaves its island and goes on answering reads.
    if (type === 'disc_failed') this.options.history.split = true;
    if (event.type === 'mnesia_down') this.sawLetGo(process, event.node);
    if (type === 'table_loaded') this.sawLoaded(node);
    this.options.trace.record('event', node.label, type, () => `${valueText(rest)}${this.viewText(node)}`);
    const other = 'node' in event ? event.node : 'nodes' in event ? event.nodes.join(' ') : '';
    if (event.type === 'connected') {
      node.hasMet = true;
      node.hasOldDisc = false;
      this.rows.joined(
        node.index,
        this.nodes.filter((other) => event.nodes.includes(other.name)).map((other) => other.index),
      );
    }
    this.noteView(node, type, other);
  }

  private viewText(node: SimulatedNode): string {
    const view = node.database?.runningDbNodes() ?? [];
    return `, view ${this.nodes.filter(({ name }) => view.includes(name)).map(({ label }) => label)}`;
  }

  private noteView(node: SimulatedNode, type: string, other = ''): void {
    const view = node.database?.runningDbNodes() ?? [];
    this.options.history.membership.push({ atUs: this.options.time.nowUs, node: node.index, type, other, view });
  }

  private sawTableEvent(node: SimulatedNode, process: NodeProcess, event: TableEvent): void {
    if (process.state === 'dead') return;
    const { place, key, by, before } = this.rows.saw(node.index, event);
    this.options.trace.record('row', node.label, `${event.type} ${place} by ${by} ${event.origin}`, () => {
      return `${event.version.hlc}/${event.version.node}, before ${before ?? 'unknown'}`;
    });
    this.options.history.rows.push({
      atUs: this.options.time.nowUs,
      node: node.index,
      table: event.table,
      key,
      type: event.type,
      by,
      before,
      version: event.version,
      origin: event.origin,
    });
  }
}

const DEATHS: Readonly<Record<Death, string>> = {
  killed: 'is killed',
  power: 'loses its power',
  stopped: 'has stopped',
};

export function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}\n${error.stack ?? ''}` : String(error);
}
