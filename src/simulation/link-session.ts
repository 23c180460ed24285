/** One session between two processes: two flows of messages, and what each side believes of it. */
import type { LinkDownReason } from '../../storage/environment.ts';
import type { Parcel } from './message-carrier.ts';
import { batchText } from './message-text.ts';
import type { NodeProcess, VirtualNetwork } from './network.ts';
import type { VirtualEvent } from './virtual-time.ts';

export interface NetworkTimings {
  /** Least and greatest one-way latency of a pair without faults. */
  readonly latencyMs: readonly [number, number];
  readonly jitterChance: number;
  readonly jitterMsMax: number;
  readonly netTicktimeMs: number;
  readonly resumeWindowMs: number;
}

/** One direction between two nodes; it outlives sessions. */
export class Path {
  readonly baseUs: number;
  extraUs = 0;
  cut = false;
  /** Broken connections under way: see `blip`. */
  resets = 0;

  constructor(baseUs: number) {
    this.baseUs = baseUs;
  }

  get blocked(): boolean {
    return this.cut || this.resets > 0;
  }
}

type Item =
  | { readonly type: 'open'; atUs: number }
  | { readonly type: 'close'; atUs: number; readonly reason: LinkDownReason }
  | { readonly type: 'data'; atUs: number; readonly parcel: Parcel };

/** Messages on their way to one side. */
export interface Flow {
  readonly from: NodeProcess;
  readonly to: NodeProcess;
  items: Item[];
  lastUs: number;
  delivery: VirtualEvent | undefined;
  /** Runs while the receiving side hears nothing. */
  silence: VirtualEvent | undefined;
  /** The sender is gone without a word. */
  mute: boolean;
}

interface Side {
  readonly process: NodeProcess;
  state: 'opening' | 'up' | 'leaving' | 'closed';
  readonly flow: Flow;
}

/** A segment lost in a cut is sent again a while after the heal. */
const RETRANSMISSION_MS_MAX = 200;

export class LinkSession {
  readonly sides: readonly [Side, Side];
  private readonly network: VirtualNetwork;

  constructor(network: VirtualNetwork, one: NodeProcess, other: NodeProcess) {
    this.network = network;
    this.sides = [newSide(one, other), newSide(other, one)];
    for (const side of this.sides) {
      this.queue(side, { type: 'open', atUs: 0 });
      this.giveUpOpeningLater(side);
    }
  }

  has(process: NodeProcess): boolean {
    return this.sides[0].process === process || this.sides[1].process === process;
  }

  isUp(process: NodeProcess): boolean {
    return this.has(process) && this.sideOf(process).state === 'up';
  }

  /** Whether a process, or an earlier one of the same node, has no more part in this session. */
  isOverFor(process: NodeProcess): boolean {
    return !this.has(process) || this.sideOf(process).state === 'closed';
  }

  get queued(): number {
    return this.sides[0].flow.items.length + this.sides[1].flow.items.length;
  }

  backlogBytes(process: NodeProcess): number {
    const { flow } = this.otherSide(process);
    if (!this.network.path(flow.from.index, flow.to.index).blocked) return 0;
    return flow.items.reduce((sum, item) => sum + (item.type === 'data' ? item.parcel.bytes : 0), 0);
  }

  send(process: NodeProcess, parcel: Parcel, message: unknown): void {
    const receiver = this.otherSide(process);
    this.network.options.trace.message('send', process.label, receiver.process.label, parcel.bytes, () =>
      batchText(message),
    );
    if (receiver.state === 'closed') return;
    this.queue(receiver, { type: 'data', atUs: 0, parcel });
  }

  /** At once for the caller, who hears `down` in an event of its own. */
  drop(process: NodeProcess): void {
    const side = this.sideOf(process);
    side.state = 'leaving';
    this.network.options.time.schedule(0, process, () => this.closeSide(process, 'dropped'));
  }

  /** The path towards the node `to` was blocked or is free again. */
  pathChanged(to: number, blocked: boolean): void {
    const { time, random } = this.network.options;
    const side = this.sides.find((candidate) => candidate.process.index === to) as Side;
    if (blocked) {
      time.cancel(side.flow.delivery);
    } else {
      let atUs = time.nowUs + random.between(0, RETRANSMISSION_MS_MAX) * 1000;
      for (const item of side.flow.items) {
        atUs = Math.max(atUs, item.atUs);
        item.atUs = atUs;
      }
      side.flow.lastUs = Math.max(side.flow.lastUs, atUs);
      this.scheduleDelivery(side);
    }
    this.refresh();
  }

  /** Starts or stops the two silence timers, whatever changed. */
  refresh(): void {
    for (const side of this.sides) this.refreshSilence(side);
  }

  /** The process died and its machine lives: the other side is told, after some of what was under way. */
  abandon(process: NodeProcess, reason: LinkDownReason): void {
    this.leave(this.sideOf(process), reason, reason === 'closed');
  }

  /** The whole machine is gone: the other side hears nothing any more. */
  mute(process: NodeProcess): void {
    const side = this.sideOf(process);
    const receiver = this.otherSide(process);
    side.state = 'closed';
    this.clear(side.flow);
    receiver.flow.mute = true;
    receiver.flow.items.length = this.network.options.random.integer(0, receiver.flow.items.length);
    this.refreshSilence(receiver);
    this.finishIfOver();
  }

  /** A new process of node `index` answers where an earlier one was. */
  replaced(index: number): void {
    const side = this.sides.find((candidate) => candidate.process.index === index) as Side;
    if (side.process.state !== 'dead') return;
    const receiver = this.otherSide(side.process);
    if (receiver.state === 'closed' || !receiver.flow.mute) return;
    receiver.flow.mute = false;
    this.queue(receiver, { type: 'close', atUs: 0, reason: 'refused' });
    this.refreshSilence(receiver);
  }

  /** Must run as an event of the side's own process. */
  closeSide(process: NodeProcess, reason: LinkDownReason): void {
    const side = this.sideOf(process);
    if (side.state === 'closed') return;
    const wasUp = side.state === 'up' || side.state === 'leaving';
    // Who gives up on a silent link is no longer there to resume it; who drops it on purpose says goodbye.
    this.leave(side, reason === 'dropped' ? 'closed' : 'silent');
    if (!wasUp) return;
    this.network.tellDown(process, this.otherSide(process).process, reason);
  }

  private leave(side: Side, told: LinkDownReason, orderly = false): void {
    const { random } = this.network.options;
    if (side.state === 'closed') return;
    side.state = 'closed';
    this.clear(side.flow);
    const receiver = this.otherSide(side.process);
    if (receiver.state !== 'closed') {
      // A flow keeps its order, so what is lost of it is lost from some point on.
      const { items } = receiver.flow;
      if (!orderly && random.chance(0.5)) items.length = random.integer(0, items.length);
      this.queue(receiver, { type: 'close', atUs: 0, reason: told });
    }
    this.finishIfOver();
  }

  private finishIfOver(): void {
    if (this.sides.every((side) => side.state === 'closed' || side.process.state === 'dead')) {
      for (const side of this.sides) this.clear(side.flow);
      this.network.ended(this);
    }
  }

  private queue(receiver: Side, item: Item): void {
    const { flow } = receiver;
    const { time } = this.network.options;
    item.atUs = Math.max(flow.lastUs, time.nowUs + this.network.latencyUs(flow.from.index, flow.to.index));
    flow.lastUs = item.atUs;
    flow.items.push(item);
    this.scheduleDelivery(receiver);
  }

  private scheduleDelivery(receiver: Side): void {
    const { flow } = receiver;
    const first = flow.items[0];
    if (!first || flow.delivery?.run || this.isBlocked(flow)) return;
    const { time } = this.network.options;
    flow.delivery = time.schedule(Math.ceil(first.atUs - time.nowUs), receiver.process, () => this.deliver(receiver));
  }

  /** Everything that has arrived by now, in one turn of the receiver. */
  private deliver(receiver: Side): void {
    const { flow } = receiver;
    const { time } = this.network.options;
    while (receiver.state !== 'closed' && receiver.process.state === 'running') {
      const item = flow.items[0];
      if (!item || item.atUs > time.nowUs) break;
      flow.items.shift();
      this.take(receiver, item);
    }
    if (receiver.state !== 'closed') this.scheduleDelivery(receiver);
  }

  private take(receiver: Side, item: Item): void {
    const { trace, onMisuse } = this.network.options;
    const { from } = receiver.flow;
    if (item.type === 'open') {
      this.opened(receiver);
    } else if (item.type === 'close') {
      const wasUp = receiver.state === 'up' || receiver.state === 'leaving';
      const reason = receiver.state === 'leaving' ? 'dropped' : item.reason;
      receiver.state = 'closed';
      this.clear(receiver.flow);
      this.clear(this.otherSide(receiver.process).flow);
      this.otherSide(receiver.process).state = 'closed';
      this.network.ended(this);
      if (wasUp) this.network.tellDown(receiver.process, from, reason);
    } else if (receiver.state === 'up') {
      const message = item.parcel.unpack((what) => onMisuse(from, what));
      trace.message('receive', receiver.process.label, from.label, item.parcel.bytes, () => batchText(message));
      this.network.handlersOf(receiver.process)?.message(from.id, message);
    }
  }

  private opened(receiver: Side): void {
    if (receiver.state !== 'opening') return;
    const { from, to } = receiver.flow;
    this.network.closeOlder(this, to, from.index);
    receiver.state = 'up';
    this.network.counts.ups++;
    this.network.options.trace.record('link', to.label, `up ${from.label} incarnation ${from.incarnation}`);
    this.network.handlersOf(to)?.up(from.id, { name: from.name, incarnation: from.incarnation });
  }

  private refreshSilence(side: Side): void {
    const { time, random, timings } = this.network.options;
    const { flow } = side;
    const path = this.network.path(flow.from.index, flow.to.index);
    const hears = !path.blocked && !flow.mute && flow.from.state === 'running';
    if (hears || side.state !== 'up') {
      time.cancel(flow.silence);
      flow.silence = undefined;
      return;
    }
    if (flow.silence?.run) return;
    const patienceMs = path.resets > 0 && !path.cut ? timings.resumeWindowMs : timings.netTicktimeMs;
    const lateMs = random.between(0, patienceMs / 4);
    flow.silence = time.schedule((patienceMs + lateMs) * 1000, side.process, () => {
      this.closeSide(side.process, 'silent');
    });
  }

  private giveUpOpeningLater(side: Side): void {
    const { time, timings } = this.network.options;
    time.schedule(timings.netTicktimeMs * 1000, side.process, () => {
      if (side.state === 'opening') this.closeSide(side.process, 'silent');
    });
  }

  private isBlocked(flow: Flow): boolean {
    return this.network.path(flow.from.index, flow.to.index).blocked;
  }

  private clear(flow: Flow): void {
    const { time } = this.network.options;
    flow.items.length = 0;
    time.cancel(flow.delivery);
    time.cancel(flow.silence);
  }

  private sideOf(process: NodeProcess): Side {
    return this.sides[0].process === process ? this.sides[0] : this.sides[1];
  }

  private otherSide(process: NodeProcess): Side {
    return this.sides[0].process === process ? this.sides[1] : this.sides[0];
  }
}

function newSide(process: NodeProcess, other: NodeProcess): Side {
  const flow: Flow = {
    from: other,
    to: process,
    items: [],
    lastUs: 0,
    delivery: undefined,
    silence: undefined,
    mute: false,
  };
  return { process, state: 'opening', flow };
}
