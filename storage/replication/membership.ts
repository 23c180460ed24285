/**
 * Who runs with whom: link events, ticks, mnesia_down and mnesia_up, overlapping partitions, and when to try to become
 * one island with somebody (storage.md §5).
 */
import type { LinkDownReason, LinkInfo, NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import { SKEW_LIMIT_MS } from '../hybrid-clock.ts';
import {
  CONNECT_BACKOFF_MAX_MS,
  CONNECT_BACKOFF_MS,
  NODES_MAX,
  REMEMBER_AGAIN_MS,
  TICKS_PER_REPEAT,
} from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import { isEstablishedAt } from '../schema/majorities.ts';
import { Kind, type Message } from '../transactions/messages.ts';
import type { SystemEvent } from '../types.ts';
import type { SchemaConflict } from './connection-messages.ts';
import { Division } from './division.ts';
import { mayRemember } from './forgetful.ts';
import { RemovedNodes } from './removed-nodes.ts';
import { noteUnacknowledged } from './unacknowledged.ts';

/** What a linked node last said of itself. */
interface Knowledge {
  readonly starting: boolean;
  readonly view: readonly NodeId[];
  readonly members: ReadonlySet<NodeId>;
  readonly linked: readonly NodeId[];
  readonly downs: readonly NodeId[];
  /** When it was last said. */
  atMs: number;
}

export interface MembershipHost {
  readonly node: NodeState;
  isStarting(): boolean;
  watermark(): number;
  mayConnect(): boolean;
  connect(members: readonly NodeId[]): void;
  /** The node is out of the view, until now or for some time: transactions, merges and loads must go on without it. */
  nodeLost(node: NodeId, wasRunning: boolean): void;
  settle(coordinator: NodeId, watermark: number, view: ReadonlySet<NodeId>): void;
}

type TickMessage = [
  kind: number,
  name: string,
  starting: boolean,
  view: NodeId[],
  linked: NodeId[],
  downs: NodeId[],
  watermark: number,
  wallMs: number,
];

interface Waiting {
  readonly node: NodeId;
  resolve(): void;
  reject(error: StorageError): void;
}

export class Membership {
  readonly #host: MembershipHost;
  readonly #node: NodeState;
  readonly #known = new Map<NodeId, Knowledge>();
  readonly #linked = new Map<NodeId, LinkInfo>();
  /** Partition events already given for this link. */
  readonly #announced = new Set<NodeId>();
  readonly #skewed = new Set<NodeId>();
  #waiting: Waiting[] = [];
  #backoffMs = CONNECT_BACKOFF_MS;
  #nextTryMs = 0;
  /** A member of the view asked for a connection transaction. */
  #nudged = false;
  #isRemembering = false;
  #nextRememberMs = 0;
  /** The last tick, and how many were left out since because it still held. */
  #told: Message | undefined = undefined;
  #untold = 0;
  /** Somebody came, went or reported something since all was last looked at. */
  #isStirred = true;
  /** When an outside node last stood in the way of connecting: others are tried before it is tried again. */
  readonly #failedAtMs = new Map<NodeId, number>();
  /** Outside nodes whose definitions cannot be united with this side's. */
  readonly #conflicting = new Set<NodeId>();
  readonly #removed: RemovedNodes;
  readonly #division: Division;

  constructor(host: MembershipHost) {
    this.#host = host;
    this.#node = host.node;
    this.#removed = new RemovedNodes(host.node, (member) => this.exclude(member));
    this.#division = new Division({
      node: host.node,
      known: this.#known,
      linked: this.#linked,
      compare: (a, b) => this.#compare(a, b),
      tick: () => this.tick(),
      exclude: (member) => this.exclude(member),
    });
  }

  /** Something is to be looked at soon: an island that is not whole, nodes outside it, a schema change. */
  get isUnsettled(): boolean {
    return this.#isStirred || this.#division.isBroken || this.#waiting.length > 0 || this.#reconcileWanted;
  }

  /** A schema change made here, or by another member, that the view must hear of. */
  get #reconcileWanted(): boolean {
    return this.#nudged || this.#node.schema.isOpen || this.#isRemembering;
  }

  // -- links ------------------------------------------------------------------------------------------------------

  linkUp(node: NodeId, info: LinkInfo): void {
    this.#linked.set(node, info);
    this.#isStirred = true;
    this.#division.reconsider();
    if (this.#node.names.get(node) !== info.name) {
      this.#node.names.set(node, info.name);
      this.#node.persistNames();
    }
    this.#nextTryMs = 0;
    this.#removed.linkUp(node);
    // Not to that node alone: who is to lead their connection waits to hear that all of them see each other.
    this.tick();
  }

  linkDown(node: NodeId, reason: LinkDownReason): void {
    this.#linked.delete(node);
    this.#isStirred = true;
    this.#known.delete(node);
    this.#division.reconsider();
    this.#announced.delete(node);
    this.#failedAtMs.delete(node);
    this.#conflicting.delete(node);
    this.#removed.linkDown(node);
    this.#skewed.delete(node);
    this.#node.outbox.discard(node);
    if (this.#node.view.has(node)) this.nodeDown(node, reason);
    else this.#host.nodeLost(node, false);
    this.#rejectWaiting((waiting) => waiting.node === node, this.#notRunning(node));
  }

  #notRunning(node: NodeId): StorageError {
    const name = this.#node.nameOf(node);
    return new StorageError('node_not_running', `There is no link to ${name}. Start it, or mend the network.`, {
      node: name,
    });
  }

  /** mnesia_down: written to disc before anything is committed without the lost node. */
  nodeDown(lost: NodeId, reason: Extract<SystemEvent, { type: 'mnesia_down' }>['reason']): void {
    const node = this.#node;
    node.environment.probe('down.before_record');
    node.view.delete(lost);
    for (const { forgetful } of node.tables.values()) forgetful.delete(lost);
    this.#isStirred = true;
    noteUnacknowledged(node, lost);
    node.recordDown(lost);
    node.environment.probe('down.after_record');
    this.#host.nodeLost(lost, true);
    node.emit({ type: 'mnesia_down', node: node.nameOf(lost), wasAccessible: true, reason });
    this.tick();
  }

  // -- ticks ------------------------------------------------------------------------------------------------------

  tick(): void {
    if (this.#linked.size > 0) this.#tell(this.#tickMessage());
  }

  /** With the clock. What the others know already is only said again now and then, or while they may divide a view. */
  repeatTick(): void {
    if (this.#linked.size === 0) return;
    this.#untold += 1;
    const isDue = this.#untold >= TICKS_PER_REPEAT || this.#division.isBroken;
    if (isDue || !this.#holdsStill(this.#told)) this.#tell(this.#tickMessage());
  }

  #tell(message: Message): void {
    this.#told = message;
    this.#untold = 0;
    for (const node of this.#linked.keys()) this.#node.send(node, message);
  }

  #tickMessage(): Message {
    const { self, selfName, view, downs } = this.#node;
    return [
      Kind.tick,
      selfName,
      this.#host.isStarting(),
      [...view].sort(),
      [self, ...[...this.#linked.keys()].sort()],
      [...downs.keys()].sort(),
      this.#host.watermark(),
      this.#node.environment.clock.wallMs(),
    ];
  }

  /** Whether a tick given before says all there is to say. */
  #holdsStill(told: Message | undefined): boolean {
    if (told === undefined) return false;
    const { selfName, view, downs } = this.#node;
    const [, name, starting, toldView, toldLinked, toldDowns, watermark] = told as unknown as TickMessage;
    return (
      watermark === this.#host.watermark() &&
      starting === this.#host.isStarting() &&
      name === selfName &&
      isSameSet(toldView, view) &&
      toldLinked.length === this.#linked.size + 1 &&
      toldLinked.every((node) => node === this.#node.self || this.#linked.has(node)) &&
      isSameSet(toldDowns, downs)
    );
  }

  onTick(from: NodeId, message: Message): void {
    const [, name, starting, view, linked, downs, watermark, wallMs] = message as unknown as TickMessage;
    this.#node.names.set(from, name);
    if (this.#node.retired.has(from)) return;
    this.#compareClocks(from, wallMs);
    if (!this.#node.heardSince.has(from)) this.#node.heardSince.set(from, this.#node.hlc.now());
    const atMs = this.#node.environment.clock.monotonicMs();
    let known = this.#known.get(from);
    if (
      known?.starting === starting &&
      isSame(view, known.view) &&
      isSame(linked, known.linked) &&
      isSame(downs, known.downs)
    ) {
      known.atMs = atMs;
    } else {
      known = { starting, view, members: new Set(view), linked, downs, atMs };
      this.#known.set(from, known);
      this.#division.reconsider();
    }
    if (!this.#node.view.has(from) || !this.#division.isWhole()) this.#isStirred = true;
    this.#node.watermarks.set(from, watermark);
    this.#host.settle(from, watermark, known.members);
    this.#announce(from);
    this.consider();
  }

  /** Both ran while apart: each side noted the other down (M60). */
  #announce(from: NodeId): void {
    const knowledge = this.#known.get(from) as Knowledge;
    if (this.#announced.has(from) || this.#node.view.has(from)) return;
    if (!this.#node.downs.has(from) || !knowledge.downs.includes(this.#node.self)) return;
    this.#announced.add(from);
    const starting = knowledge.starting || this.#host.isStarting();
    const context = starting ? 'starting_partitioned_network' : 'running_partitioned_network';
    this.#node.emit({ type: 'inconsistent_database', context, node: this.#node.nameOf(from) });
  }

  /** The moments in frames would not tell: they go from node to node, and one clock that is ahead takes all along. */
  #compareClocks(from: NodeId, wallMs: number): void {
    const aheadMs = wallMs - this.#node.environment.clock.wallMs();
    if (aheadMs <= SKEW_LIMIT_MS) return void this.#skewed.delete(from);
    if (this.#skewed.has(from)) return;
    this.#skewed.add(from);
    this.#node.emit({ type: 'clock_skew', node: this.#node.nameOf(from), skewMs: Math.round(aheadMs) });
  }

  // -- overlapping partitions ------------------------------------------------------------------------------------------

  /** Called with the clock. */
  checkCliques(nowMs: number): void {
    this.#division.check(nowMs);
    this.#isStirred = !this.#division.isWhole() || this.#knowsOutsiders();
  }

  /** All of the view have said that it is theirs: whoever is lost to one is lost to all, and what they sent before has come. */
  get isAgreed(): boolean {
    const { view, self } = this.#node;
    for (const member of view) {
      if (member === self) continue;
      const members = this.#known.get(member)?.members;
      if (members?.size !== view.size) return false;
      for (const other of members) if (!view.has(other)) return false;
    }
    return true;
  }

  exclude(member: NodeId): void {
    if (!this.#node.view.has(member)) return;
    this.#node.send(member, [Kind.exclude]);
    this.nodeDown(member, 'dropped');
  }

  /** `sentHlc`: the sender's clock. A member that was let go before a merge was taken in again by it. */
  onExclude(from: NodeId, sentHlc: number): void {
    if (!this.#node.view.has(from)) this.#host.nodeLost(from, false);
    else if (sentHlc > this.#node.mergedHlc) this.nodeDown(from, 'dropped');
  }

  // -- connecting ----------------------------------------------------------------------------------------------------

  #compare(a: NodeId, b: NodeId): number {
    const [first, second] = [this.#node.nameOf(a), this.#node.nameOf(b)];
    if (first !== second) return first < second ? -1 : 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }

  /** Starts the node connection transaction when this node is the one to lead it. */
  consider(): void {
    const nowMs = this.#node.environment.clock.monotonicMs();
    if (nowMs < this.#nextTryMs || this.#node.removedBy !== undefined || !this.#host.mayConnect()) return;
    const members = this.#candidates();
    if (members === undefined) return;
    const leader = members.reduce((least, node) => (this.#compare(node, least) < 0 ? node : least));
    if (leader === this.#node.self) {
      this.#host.connect(members);
    } else if (this.#reconcileWanted && members.length === this.#node.view.size) {
      this.#nextTryMs = nowMs + CONNECT_BACKOFF_MS;
      this.#node.send(leader, [Kind.nudge]);
    }
  }

  /** This node's island and one more, all of whose members see each other; or the own island, if asked for. */
  #candidates(): NodeId[] | undefined {
    const { view, self } = this.#node;
    if (!this.#knowsOutsiders() && !this.#reconcileWanted) return undefined;
    const failedAt = (node: NodeId): number => this.#failedAtMs.get(node) ?? Number.NEGATIVE_INFINITY;
    const outside = [...this.#known.keys()].filter((node) => !view.has(node));
    outside.sort((a, b) => failedAt(a) - failedAt(b) || this.#compare(a, b));
    for (const node of outside) {
      if (this.#reconcileWanted && view.size > 1 && this.#conflicting.has(node)) continue;
      if (!this.#node.autoConnect && !this.#waiting.some((waiting) => waiting.node === node)) continue;
      const members = [...new Set([...view, node, ...(this.#known.get(node)?.view ?? [])])];
      if (members.length > NODES_MAX) continue;
      const meshed = members.every((a) => a === self || this.#known.has(a));
      if (meshed && members.every((a, i) => members.every((b, j) => j <= i || this.#division.areLinked(a, b))))
        return members;
    }
    return this.#reconcileWanted && view.size > 1 ? [...view] : undefined;
  }

  #knowsOutsiders(): boolean {
    for (const node of this.#known.keys()) if (!this.#node.view.has(node)) return true;
    return false;
  }

  onNudge(): void {
    this.#nudged = true;
    this.consider();
  }

  /** Resolves once `name` is in the view. */
  connectNode(name: string): Promise<void> {
    const node = this.#node.idOf(name);
    if (node !== undefined && this.#node.view.has(node)) return Promise.resolve();
    if (node === undefined || !this.#linked.has(node)) {
      return Promise.reject(
        new StorageError('node_not_running', `There is no link to ${name}. Start it, or mend the network.`, {
          node: name,
        }),
      );
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ node, resolve, reject });
      this.#nextTryMs = 0;
      this.tick();
      this.consider();
    });
  }

  /** Tries once, for a bounded time, to become one island with somebody who is linked. */
  meet(): Promise<void> {
    const other = [...this.#known.keys()].find((node) => !this.#node.view.has(node));
    if (other === undefined) return Promise.resolve();
    const { clock } = this.#node.environment;
    return new Promise((resolve) => {
      const timer = clock.after(this.#node.limits.connectDeadlineMs, resolve);
      const done = (): void => {
        clock.cancel(timer);
        resolve();
      };
      this.connectNode(this.#node.nameOf(other)).then(done, done);
    });
  }

  connectFailed(members: readonly NodeId[], error: StorageError): void {
    const { clock, random } = this.#node.environment;
    this.#nextTryMs = clock.monotonicMs() + this.#backoffMs * (0.5 + random.next());
    this.#backoffMs = Math.min(CONNECT_BACKOFF_MAX_MS, this.#backoffMs * 2);
    this.#node.connectFailure = error.message;
    for (const member of members) {
      if (member === this.#node.self || this.#node.view.has(member)) continue;
      this.#failedAtMs.set(member, clock.monotonicMs());
      this.#node.emit({ type: 'connect_failed', node: this.#node.nameOf(member), reason: error.message });
    }
    this.#rejectWaiting((waiting) => members.includes(waiting.node), error);
  }

  /** Told on all nodes of both sides. Changes that are asked for here, which may end it, are made without the other side. */
  inConflict([table, property, nodes]: SchemaConflict, members: readonly NodeId[]): void {
    const outside = members.filter((member) => !this.#node.view.has(member));
    for (const member of outside) this.#conflicting.add(member);
    const others =
      outside.length > 0 ? this.#node.namesOf(outside) : nodes.filter((name) => name !== this.#node.selfName);
    for (const node of others) this.#node.emit({ type: 'schema_conflict', node, table, property });
  }

  onRemoved(from: NodeId, removed: readonly NodeId[], retired: readonly NodeId[]): void {
    this.#removed.onRemoved(from, removed, retired);
    this.#removed.tell(this.#linked.keys());
  }

  /**
   * Whether replicas that have forgotten their promises may count again, or a list of replicas from before a change may
   * be forgotten: that takes a merge of the island with itself. Another member may hold a promise that is in the way, so
   * it is tried now and then.
   */
  lookForMajorities(nowMs: number): void {
    if (nowMs < this.#nextRememberMs) return;
    const { view, tables } = this.#node;
    const mayEstablish = (): boolean =>
      [...tables.values()].some(({ definition, forgetful }) => isEstablishedAt(definition, view, forgetful));
    this.#isRemembering = view.size > 1 && (mayRemember(this.#node) || mayEstablish());
  }

  /** The view grew. */
  joined(): void {
    this.#nudged = false;
    this.#isRemembering = false;
    this.#nextRememberMs = this.#node.environment.clock.monotonicMs() + REMEMBER_AGAIN_MS;
    this.#isStirred = true;
    this.#backoffMs = CONNECT_BACKOFF_MS;
    this.#nextTryMs = 0;
    const still: Waiting[] = [];
    for (const waiting of this.#waiting) {
      if (this.#node.view.has(waiting.node)) waiting.resolve();
      else still.push(waiting);
    }
    this.#waiting = still;
    this.#conflicting.clear();
    this.#removed.tell(this.#linked.keys());
    this.tick();
  }

  #rejectWaiting(which: (waiting: Waiting) => boolean, error: StorageError): void {
    const rejected = this.#waiting.filter(which);
    this.#waiting = this.#waiting.filter((waiting) => !which(waiting));
    for (const waiting of rejected) waiting.reject(error);
  }

  close(error: StorageError): void {
    this.#rejectWaiting(() => true, error);
  }
}

function isSame(one: readonly NodeId[], other: readonly NodeId[]): boolean {
  return one.length === other.length && one.every((node, place) => node === other[place]);
}

/** No node is in `list` twice. */
function isSameSet(list: readonly NodeId[], nodes: { readonly size: number; has(node: NodeId): boolean }): boolean {
  return list.length === nodes.size && list.every((node) => nodes.has(node));
}
