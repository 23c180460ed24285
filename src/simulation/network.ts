/**
 * The network between the nodes of a simulation: a full mesh of paths that can be cut, reset and slowed, and over each
 * pair at most one living session, which behaves as the port `Links` promises: in order, exactly once while it lasts,
 * nothing after down. It refuses to be kinder than the real link layer: what was under way when a side went down is
 * lost from some point on, and the two sides learn of it at different times.
 */
import type { LinkDownReason, LinkHandlers, Links, NodeId } from '../../storage/environment.ts';
import { LinkSession, type NetworkTimings, Path } from './link-session.ts';
import { CopyingCarrier, EncodingCarrier, type MessageCarrier, type Parcel } from './message-carrier.ts';
import { batchText } from './message-text.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { Trace } from './trace.ts';
import type { EventOwner, VirtualEvent, VirtualTime } from './virtual-time.ts';

/** One incarnation of a node's process. */
export interface NodeProcess extends EventOwner {
  readonly index: number;
  readonly id: NodeId;
  readonly name: string;
  readonly label: string;
  readonly incarnation: number;
}

export interface NetworkOptions {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly trace: Trace;
  readonly timings: NetworkTimings;
  readonly nodes: readonly { readonly id: NodeId; readonly name: string; readonly label: string }[];
  /** A message a node sent and changed afterwards, or one that msgpack does not carry. */
  readonly onMisuse: (process: NodeProcess, what: string) => void;
  readonly onDown: (process: NodeProcess, other: NodeProcess) => void;
}

interface Pair {
  readonly low: number;
  readonly high: number;
  sessions: LinkSession[];
  attempt: VirtualEvent | undefined;
  tries: number;
}

const FIRST_RETRY_MS = 150;
const RETRY_MS_MAX = 2000;
/** Of the seeds, so many have their messages encoded as real links do. */
const ENCODING_SHARE = 0.15;

export class VirtualNetwork {
  readonly options: NetworkOptions;
  readonly counts = { messages: 0, bytes: 0, ups: 0, downs: {} as Record<string, number>, resumed: 0 };
  /** Breaks under way end with `healAll`, and not once more by themselves. */
  private heals = 0;
  private readonly carrier: MessageCarrier;
  private readonly indices: Map<NodeId, number>;
  private readonly paths: Path[][];
  private readonly pairs: Pair[] = [];
  private readonly pairTable: Pair[][];
  private readonly listening: ({ process: NodeProcess; handlers: LinkHandlers } | undefined)[];

  constructor(options: NetworkOptions) {
    this.options = options;
    this.carrier = options.random.chance(ENCODING_SHARE) ? new EncodingCarrier() : new CopyingCarrier();
    this.indices = new Map(options.nodes.map((node, index) => [node.id, index]));
    const count = options.nodes.length;
    this.listening = options.nodes.map(() => undefined);
    this.paths = options.nodes.map(() => []);
    this.pairTable = options.nodes.map(() => []);
    for (let low = 0; low < count; low++) {
      for (let high = low + 1; high < count; high++) {
        const baseUs = options.random.between(options.timings.latencyMs[0], options.timings.latencyMs[1]) * 1000;
        (this.paths[low] as Path[])[high] = new Path(baseUs);
        (this.paths[high] as Path[])[low] = new Path(baseUs);
        const pair: Pair = { low, high, sessions: [], attempt: undefined, tries: 0 };
        this.pairs.push(pair);
        (this.pairTable[low] as Pair[])[high] = pair;
        (this.pairTable[high] as Pair[])[low] = pair;
      }
    }
  }

  /** The node has another identity from now on; nobody answers under the earlier one. */
  identify(index: number, id: NodeId): void {
    for (const [known, place] of this.indices) if (place === index) this.indices.delete(known);
    this.indices.set(id, index);
  }

  private upSession(process: NodeProcess, node: NodeId): LinkSession | undefined {
    const index = this.indices.get(node);
    if (index === undefined || index === process.index || process.state === 'dead') return undefined;
    for (const session of this.pairOf(process.index, index).sessions) if (session.isUp(process)) return session;
    return undefined;
  }

  isLinked(process: NodeProcess, node: NodeId): boolean {
    return this.upSession(process, node) !== undefined;
  }

  /** The port one process sees. It listens from the moment it sets its handlers. */
  linksFor(process: NodeProcess): Links {
    const other = (node: NodeId): LinkSession | undefined => this.upSession(process, node);
    return {
      send: (node, message) => this.send(process, other(node), message),
      isUp: (node) => other(node) !== undefined,
      backlogBytes: (node) => other(node)?.backlogBytes(process) ?? 0,
      drop: (node, reason) => {
        const session = other(node);
        this.options.trace.record('link', process.label, `drops ${this.labelOf(node)}`, () => reason);
        if (session) session.drop(process);
      },
      setHandlers: (handlers) => this.listen(process, handlers),
    };
  }

  cut(from: number, to: number): void {
    this.change(from, to, (path) => {
      path.cut = true;
    });
  }

  heal(from: number, to: number): void {
    this.change(from, to, (path) => {
      path.cut = false;
    });
  }

  /** A connection that breaks and comes back after `durationMs`; the link layer resumes it if that is soon enough. */
  blip(a: number, b: number, durationMs: number): void {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      this.change(from, to, (path) => {
        path.resets++;
      });
    }
    const { heals } = this;
    this.options.time.schedule(durationMs * 1000, this.options.time.world, () => {
      if (heals !== this.heals) return;
      this.counts.resumed++;
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        this.change(from, to, (path) => {
          path.resets--;
        });
      }
    });
  }

  delay(from: number, to: number, extraMs: number): void {
    this.path(from, to).extraUs = extraMs * 1000;
  }

  isCut(from: number, to: number): boolean {
    return this.path(from, to).blocked;
  }

  healAll(): void {
    this.heals++;
    for (const pair of this.pairs) {
      for (const [from, to] of [
        [pair.low, pair.high],
        [pair.high, pair.low],
      ] as const) {
        this.delay(from, to, 0);
        this.change(from, to, (path) => {
          path.cut = false;
          path.resets = 0;
        });
      }
    }
  }

  /** The process is gone. Its kernel says so to the others, unless the whole machine lost its power. */
  died(process: NodeProcess, how: 'killed' | 'power' | 'stopped'): void {
    if (this.listening[process.index]?.process === process) this.listening[process.index] = undefined;
    for (const session of this.sessionsOf(process)) {
      if (how === 'power') session.mute(process);
      else session.abandon(process, how === 'stopped' ? 'closed' : 'refused');
    }
  }

  paused(process: NodeProcess): void {
    for (const session of this.sessionsOf(process)) session.refresh();
  }

  resumed(process: NodeProcess, pausedMs: number): void {
    for (const session of this.sessionsOf(process)) {
      session.refresh();
      // A process that slept through net_ticktime may look at its timers before it reads its sockets.
      if (pausedMs > this.options.timings.netTicktimeMs && this.options.random.chance(0.5)) {
        this.options.time.schedule(0, process, () => session.closeSide(process, 'silent'));
      }
    }
  }

  /** Messages queued anywhere, for the check that nothing is left behind. */
  get inFlight(): number {
    return this.pairs.reduce(
      (sum, pair) => sum + pair.sessions.reduce((queued, session) => queued + session.queued, 0),
      0,
    );
  }

  handlersOf(process: NodeProcess): LinkHandlers | undefined {
    const listener = this.listening[process.index];
    return listener?.process === process ? listener.handlers : undefined;
  }

  path(from: number, to: number): Path {
    return (this.paths[from] as Path[])[to] as Path;
  }

  latencyUs(from: number, to: number): number {
    const path = this.path(from, to);
    const { random, timings } = this.options;
    const jitterUs = random.chance(timings.jitterChance)
      ? random.between(0, timings.jitterMsMax * 1000)
      : random.between(0, 100);
    return path.baseUs + path.extraUs + jitterUs;
  }

  /** Both sides of a session are done with it. */
  ended(session: LinkSession): void {
    const pair = this.pairOf(session.sides[0].process.index, session.sides[1].process.index);
    pair.sessions = pair.sessions.filter((other) => other !== session);
    this.tryLater(pair);
  }

  /** A side that still held an earlier session hears its end before it hears of the new one. */
  closeOlder(session: LinkSession, process: NodeProcess, other: number): void {
    for (const older of [...this.pairOf(process.index, other).sessions]) {
      if (older === session || !older.has(process)) continue;
      const partner = older.sides[0].process === process ? older.sides[1].process : older.sides[0].process;
      older.closeSide(process, partner.state === 'dead' ? 'refused' : 'silent');
    }
  }

  /** The last thing `process` hears of a session. */
  tellDown(process: NodeProcess, other: NodeProcess, reason: LinkDownReason): void {
    this.counts.downs[reason] = (this.counts.downs[reason] ?? 0) + 1;
    this.options.trace.record('link', process.label, `down ${other.label} ${reason}`);
    this.options.onDown(process, other);
    this.handlersOf(process)?.down(other.id, reason);
  }

  private send(process: NodeProcess, session: LinkSession | undefined, message: unknown): void {
    if (process.state === 'dead') return;
    const parcel = this.pack(process, message);
    if (!session) return;
    this.counts.messages++;
    this.counts.bytes += parcel.bytes;
    session.send(process, parcel, message);
  }

  private pack(process: NodeProcess, message: unknown): Parcel {
    try {
      return this.carrier.pack(message, (what) => this.options.onMisuse(process, what));
    } catch (error) {
      this.options.onMisuse(process, `sent a message that no link carries (${String(error)}): ${batchText(message)}`);
      throw error;
    }
  }

  private listen(process: NodeProcess, handlers: LinkHandlers): void {
    if (process.state === 'dead') return;
    this.listening[process.index] = { process, handlers };
    for (const pair of this.pairsOf(process.index)) {
      // Whoever still holds a session with an earlier process of this node learns now that it is gone.
      for (const session of pair.sessions) session.replaced(process.index);
      pair.tries = 0;
      this.tryLater(pair);
    }
  }

  private tryLater(pair: Pair): void {
    const { time, random } = this.options;
    if (pair.attempt?.run) return;
    const backOffMs = Math.min(RETRY_MS_MAX, FIRST_RETRY_MS * 2 ** pair.tries++);
    pair.attempt = time.schedule(random.between(0.3, 1) * backOffMs * 1000, time.world, () => this.tryNow(pair));
  }

  private tryNow(pair: Pair): void {
    const { low, high } = pair;
    const one = this.listening[low];
    const other = this.listening[high];
    if (!one || !other) return;
    const blocked = this.path(low, high).blocked || this.path(high, low).blocked;
    const asleep = one.process.state !== 'running' || other.process.state !== 'running';
    const halfOpen = pair.sessions.some(
      (session) => !session.isOverFor(one.process) && !session.isOverFor(other.process),
    );
    if (halfOpen) return;
    const lingering = pair.sessions.length > 0 && this.options.random.chance(0.5);
    if (blocked || asleep || lingering) {
      this.tryLater(pair);
      return;
    }
    pair.tries = 0;
    pair.sessions.push(new LinkSession(this, one.process, other.process));
  }

  private change(from: number, to: number, edit: (path: Path) => void): void {
    const path = this.path(from, to);
    const before = path.blocked;
    edit(path);
    if (before === path.blocked) return;
    for (const session of [...this.pairOf(from, to).sessions]) session.pathChanged(to, path.blocked);
  }

  private pairOf(a: number, b: number): Pair {
    return (this.pairTable[a] as Pair[])[b] as Pair;
  }

  private pairsOf(index: number): Pair[] {
    return this.pairs.filter((pair) => pair.low === index || pair.high === index);
  }

  private sessionsOf(process: NodeProcess): LinkSession[] {
    return this.pairsOf(process.index).flatMap((pair) => pair.sessions.filter((session) => session.has(process)));
  }

  private labelOf(node: NodeId): string {
    return this.options.nodes.find((candidate) => candidate.id === node)?.label ?? node;
  }
}
