/**
 * What goes wrong, and when: drawn from the seed, within a profile that says which kinds of trouble this seed is about.
 * Every fault ends by itself; at the end `quiet` ends those that have not.
 */
import { PROBE_POINTS, type ProbePoint } from '../../storage/environment.ts';
import type { Cluster, SimulatedNode } from './cluster.ts';
import type { FaultKind, Profile } from './fault-profiles.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { Trace } from './trace.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Between two machines that lose what is on their discs. */
const DISC_CARE_US = 12_000_000;

interface Trap {
  readonly node: SimulatedNode;
  readonly point: ProbePoint;
  passes: number;
}

export interface NemesisOptions {
  readonly cluster: Cluster;
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly trace: Trace;
  readonly profile: Profile;
}

export class Nemesis {
  readonly counts: Partial<Record<FaultKind, number>> = {};
  private readonly options: NemesisOptions;
  private readonly random: SeededRandom;
  private stopped = false;
  private traps: Trap[] = [];
  /** Machines whose discs must be whole now, because another's just was not. */
  private powerLostUs = Number.NEGATIVE_INFINITY;

  constructor(options: NemesisOptions) {
    this.options = options;
    this.random = options.random;
    options.cluster.onProbe = (node, point) => this.sprung(node, point);
  }

  async run(durationMs: number): Promise<void> {
    const { time, profile } = this.options;
    const untilUs = time.nowUs + durationMs * 1000;
    while (!this.stopped) {
      const gapMs = this.random.between(profile.gapMs[0], profile.gapMs[1]);
      if (time.nowUs + gapMs * 1000 >= untilUs) break;
      await time.sleep(gapMs);
      this.strike(this.pickFault());
    }
    await time.sleep(Math.max(0, (untilUs - time.nowUs) / 1000));
  }

  /** Heals, resumes and starts everything. */
  quiet(): void {
    const { cluster, trace } = this.options;
    this.stopped = true;
    this.traps = [];
    trace.record('fault', 'nemesis', 'ends all faults');
    cluster.network.healAll();
    for (const node of cluster.nodes) {
      cluster.resume(node);
      this.mendDisc(node);
      cluster.start(node);
    }
  }

  strike(fault: FaultKind): void {
    this.counts[fault] = (this.counts[fault] ?? 0) + 1;
    FAULTS[fault](this);
  }

  private pickFault(): FaultKind {
    const all = Object.entries(this.options.profile.weights) as [FaultKind, number][];
    const weights = this.nodeToCome() ? all : all.filter(([fault]) => fault !== 'new node');
    let drawn = this.random.next() * weights.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [fault, weight] of weights) {
      drawn -= weight;
      if (drawn < 0) return fault;
    }
    return (weights[0] as [FaultKind, number])[0];
  }

  private note(what: string): void {
    this.options.trace.record('fault', 'nemesis', what);
  }

  private later(delayMs: number, run: () => void): void {
    const { time } = this.options;
    time.schedule(delayMs * 1000, time.world, () => {
      if (!this.stopped) run();
    });
  }

  /** At once if all is to be quiet already: a stop may take its time. */
  private startLater(node: SimulatedNode, delayMs: number): void {
    const { cluster } = this.options;
    if (this.stopped) cluster.start(node);
    else this.later(delayMs, () => cluster.start(node));
  }

  /** Cuts every path from one group to the other, and back unless one-way; heals after a while. */
  cutBetween(some: readonly SimulatedNode[], others: readonly SimulatedNode[], oneWay: boolean): void {
    const { network } = this.options.cluster;
    const forMs = this.random.chance(0.3) ? this.random.between(300, 4000) : this.random.between(4000, 14_000);
    this.note(`cuts ${labels(some)} ${oneWay ? '-x>' : '<x>'} ${labels(others)} for ${forMs.toFixed(0)} ms`);
    const paths = some.flatMap((from) => others.map((to) => [from.index, to.index] as const));
    for (const [from, to] of paths) {
      network.cut(from, to);
      if (!oneWay) network.cut(to, from);
    }
    this.later(forMs, () => {
      this.note(`heals ${labels(some)} and ${labels(others)}`);
      for (const [from, to] of paths) {
        network.heal(from, to);
        network.heal(to, from);
      }
    });
  }

  cutGroups(oneWay: boolean): void {
    const nodes = this.random.shuffle(this.options.cluster.nodes);
    const size = this.random.integer(1, nodes.length - 1);
    this.cutBetween(nodes.slice(0, size), nodes.slice(size), oneWay);
  }

  /** Two lose sight of each other while both still see all others. */
  cutPair(): void {
    const [one, other] = this.twoNodes();
    this.cutBetween([one], [other], this.random.chance(0.3));
  }

  isolate(): void {
    const node = this.random.pick(this.options.cluster.nodes);
    this.cutBetween(
      [node],
      this.options.cluster.nodes.filter((other) => other !== node),
      false,
    );
  }

  blip(leastMs: number, mostMs: number): void {
    const [one, other] = this.twoNodes();
    const forMs = this.random.between(leastMs, mostMs);
    const { network } = this.options.cluster;
    // Two breaks in a row, or one of a node that sleeps, would be a long one, and not the kind of fault that was drawn.
    if (network.isCut(one.index, other.index) || network.isCut(other.index, one.index)) return;
    if (one.process?.state === 'paused' || other.process?.state === 'paused') return;
    this.note(`breaks the connection ${one.label} ${other.label} for ${forMs.toFixed(0)} ms`);
    network.blip(one.index, other.index, forMs);
  }

  flap(): void {
    const [one, other] = this.twoNodes();
    this.note(`lets ${one.label} ${other.label} flap`);
    let atMs = 0;
    for (let round = this.random.integer(2, 6); round > 0; round--) {
      const forMs = this.random.between(50, 2500);
      this.later(atMs, () => this.options.cluster.network.blip(one.index, other.index, forMs));
      atMs += forMs + this.random.between(20, 1500);
    }
  }

  delay(): void {
    const [one, other] = this.twoNodes();
    const extraMs = this.random.between(20, 500);
    const forMs = this.random.between(500, 6000);
    const both = this.random.chance(0.5);
    const { network } = this.options.cluster;
    this.note(
      `delays ${one.label} ${both ? '<->' : '->'} ${other.label} by ${extraMs.toFixed(0)} ms for ${forMs.toFixed(0)} ms`,
    );
    network.delay(one.index, other.index, extraMs);
    if (both) network.delay(other.index, one.index, extraMs);
    this.later(forMs, () => {
      network.delay(one.index, other.index, 0);
      network.delay(other.index, one.index, 0);
    });
  }

  kill(node: SimulatedNode, how: 'killed' | 'power', downMs: readonly [number, number] = [50, 7000]): void {
    this.options.cluster.kill(node, how);
    this.startLater(node, this.random.between(downMs[0], downMs[1]));
  }

  killOne(): void {
    const node = this.aliveNode();
    if (node) this.kill(node, 'killed');
  }

  killAll(): void {
    const { cluster } = this.options;
    this.note('kills every process at once');
    for (const node of this.random.shuffle(cluster.alive)) this.kill(node, 'killed', [100, 4000]);
  }

  /** The node dies in the middle of a step, when it passes there for the n-th time. */
  setTrap(): void {
    const node = this.aliveNode();
    if (!node) return;
    const trap: Trap = {
      node,
      point: this.random.pick(this.options.profile.killPoints ?? PROBE_POINTS),
      passes: this.random.integer(1, 4),
    };
    this.note(`will kill ${node.label} at ${trap.point}, pass ${trap.passes}`);
    this.traps.push(trap);
    this.later(8000, () => {
      this.traps = this.traps.filter((other) => other !== trap);
    });
  }

  private sprung(node: SimulatedNode, point: ProbePoint): void {
    const trap = this.traps.find((candidate) => candidate.node === node && candidate.point === point);
    if (!trap || --trap.passes > 0) return;
    this.traps = this.traps.filter((other) => other !== trap);
    this.note(`kills ${node.label} at ${point}`);
    this.kill(node, 'killed');
  }

  /**
   * Only where another node of the same island lives, and never two machines within the same half minute: what was
   * acknowledged but not synced may be lost when all machines that hold it lose their power together.
   */
  losePower(): void {
    const { time } = this.options;
    const node = this.aliveNode();
    if (!node || time.nowUs - this.powerLostUs < DISC_CARE_US || !this.isWhole) return;
    this.powerLostUs = time.nowUs;
    this.kill(node, 'power', [500, 9000]);
  }

  /** A machine comes back with the disc it had a while ago. */
  oldDisc(): void {
    this.replaceDisc('an old disc', (node) => {
      const image = node.disc.snapshot();
      return () => this.options.cluster.stop(node, image);
    });
  }

  /** A machine comes back with nothing on its disc, under its old name. */
  emptyDisc(): void {
    this.replaceDisc('an empty disc', (node) => () => this.options.cluster.loseDisc(node));
  }

  /**
   * A machine is gone for good, and another node says so; a new one takes its place before that is done, after it, or
   * at the end only.
   */
  removeNode(): void {
    const { cluster } = this.options;
    this.replaceDisc('up for good', (node) => async () => {
      const when = this.random.pick(['meanwhile', 'afterwards', 'afterwards', 'at the end'] as const);
      await cluster.loseDisc(node);
      const removed = cluster.remove(node, this.random.pick(cluster.nodes.filter((other) => other !== node)));
      if (when === 'afterwards') await removed;
      if (when === 'at the end' && !this.stopped) await new Promise<never>(() => undefined);
    });
  }

  private replaceDisc(what: string, prepare: (node: SimulatedNode) => () => Promise<unknown>): void {
    const { time } = this.options;
    const node = this.aliveNode();
    if (!node?.ready || time.nowUs - this.powerLostUs < DISC_CARE_US) return;
    this.powerLostUs = time.nowUs;
    const replace = prepare(node);
    this.later(this.random.between(500, 4000), () => {
      if (!node.process || !this.isWhole) return;
      this.powerLostUs = time.nowUs;
      this.note(`gives ${node.label} ${what}`);
      // As an operator would: the machine is stopped in order before it is put back.
      replace().then(() => this.startLater(node, this.random.between(200, 3000)));
    });
  }

  /** One that nobody has met yet. */
  startNew(): void {
    const node = this.nodeToCome();
    if (!node) return;
    this.note(`starts ${node.label} for the first time`);
    this.options.cluster.start(node);
  }

  private nodeToCome(): SimulatedNode | undefined {
    return this.options.cluster.nodes.find((node) => node.isToCome);
  }

  stopInOrder(): void {
    const { cluster } = this.options;
    const node = this.aliveNode();
    if (!node?.ready) return;
    const downMs = this.random.between(100, 6000);
    cluster.stop(node).then(() => this.startLater(node, downMs));
  }

  pause(leastMs: number, mostMs: number): void {
    const node = this.aliveNode();
    if (!node) return;
    const { cluster } = this.options;
    const isBroken = cluster.nodes.some((other) => other !== node && cluster.network.isCut(node.index, other.index));
    if (isBroken && !this.options.profile.splits) return;
    cluster.pause(node);
    this.later(this.random.between(leastMs, mostMs), () => this.options.cluster.resume(node));
  }

  spoilDisc(failure: 'disc_full' | 'disc_io' | undefined): void {
    const node = this.aliveNode();
    if (!node) return;
    const forMs = this.random.between(500, 5000);
    if (failure === undefined) node.disc.slowness = this.random.between(10, 300);
    else node.disc.failure = failure;
    this.note(
      `makes the disc of ${node.label} ${failure ?? `${node.disc.slowness.toFixed(0)} times slower`} for ${forMs.toFixed(0)} ms`,
    );
    this.later(forMs, () => {
      this.note(`mends the disc of ${node.label}`);
      this.mendDisc(node);
    });
  }

  /** A store that failed once takes no writes until it is opened anew: whoever mends the disc restarts the node. */
  private mendDisc(node: SimulatedNode): void {
    const hadFailed = node.disc.failure !== undefined;
    node.disc.slowness = 1;
    node.disc.failure = undefined;
    if (!hadFailed) return;
    this.options.cluster.kill(node, 'killed');
    this.options.cluster.start(node);
  }

  jumpClock(): void {
    const { cluster } = this.options;
    const node = this.random.pick(cluster.nodes);
    const byMs = Math.round(
      this.random.chance(0.3) ? this.random.between(-5000, 5000) : this.random.between(-300, 300),
    );
    cluster.jumpClock(node, byMs);
  }

  private aliveNode(): SimulatedNode | undefined {
    // A machine whose disc has just forgotten something must first meet one that has not.
    if (this.options.time.nowUs - this.powerLostUs < DISC_CARE_US && !this.isWhole) return undefined;
    const running = this.options.cluster.alive.filter((node) => node.process?.state === 'running');
    return running.length === 0 ? undefined : this.random.pick(running);
  }

  /** All nodes run and count all as running. */
  private get isWhole(): boolean {
    const { nodes } = this.options.cluster;
    return nodes.every((one) => {
      const view = one.ready ? one.database?.runningDbNodes() : undefined;
      return view !== undefined && nodes.every((other) => view.includes(other.name));
    });
  }

  private twoNodes(): [SimulatedNode, SimulatedNode] {
    const [one, other] = this.random.shuffle(this.options.cluster.nodes);
    return [one as SimulatedNode, other as SimulatedNode];
  }
}

const FAULTS: Readonly<Record<FaultKind, (nemesis: Nemesis) => void>> = {
  cut: (nemesis) => nemesis.cutGroups(false),
  'one-way cut': (nemesis) => nemesis.cutGroups(true),
  'overlapping cut': (nemesis) => nemesis.cutPair(),
  isolation: (nemesis) => nemesis.isolate(),
  blip: (nemesis) => nemesis.blip(5, 900),
  'long blip': (nemesis) => nemesis.blip(900, 4000),
  flapping: (nemesis) => nemesis.flap(),
  delay: (nemesis) => nemesis.delay(),
  kill: (nemesis) => nemesis.killOne(),
  'kill in protocol': (nemesis) => nemesis.setTrap(),
  'power loss': (nemesis) => nemesis.losePower(),
  'orderly stop': (nemesis) => nemesis.stopInOrder(),
  'kill all': (nemesis) => nemesis.killAll(),
  'short pause': (nemesis) => nemesis.pause(10, 2500),
  'long pause': (nemesis) => nemesis.pause(3000, 9000),
  'slow disc': (nemesis) => nemesis.spoilDisc(undefined),
  'full disc': (nemesis) => nemesis.spoilDisc('disc_full'),
  'broken disc': (nemesis) => nemesis.spoilDisc('disc_io'),
  'clock jump': (nemesis) => nemesis.jumpClock(),
  'old disc': (nemesis) => nemesis.oldDisc(),
  'empty disc': (nemesis) => nemesis.emptyDisc(),
  'removed node': (nemesis) => nemesis.removeNode(),
  'new node': (nemesis) => nemesis.startNew(),
};

function labels(nodes: readonly SimulatedNode[]): string {
  return nodes.map((node) => node.label).join('+');
}
