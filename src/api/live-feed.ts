/**
 * The live feed: server-sent events `status` (the whole status, when it changed), `alarm`, `log`, and `ping` when there
 * was nothing to say. Subscribers are bounded, and so is what waits for a slow one: the newest status replaces an older
 * one, log lines past the limit are dropped and counted.
 */
import type { Clock, TimerHandle } from '../../storage/environment.ts';
import type { AlarmStatus, PeerHandle, PeerStatus } from '../peer/peer-handle.ts';
import { ApiError } from './errors.ts';

export const SUBSCRIBERS_MAX = 32;
export const PENDING_EVENTS_MAX = 500;
/** Changes within this time travel as one. */
export const COALESCE_MS = 200;
export const PING_MS = 4_000;

interface FeedEvent {
  readonly event: 'status' | 'alarm' | 'log' | 'ping' | 'dropped';
  readonly data: string;
}

interface Subscriber {
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  readonly isWelcome: () => boolean;
  pending: FeedEvent[];
  dropped: number;
  /** What was sent last, so that a status that did not change is not sent again. */
  lastStatus: string;
}

const encoder = new TextEncoder();
const frame = ({ event, data }: FeedEvent) => encoder.encode(`event: ${event}\ndata: ${data}\n\n`);

/** Without what changes by itself at every look. */
function fingerprint(status: PeerStatus): string {
  const peers = status.cluster.peers.map((row) => ({ ...row, rttMs: undefined }));
  return JSON.stringify({ ...status, uptimeMs: 0, at: '', cluster: { ...status.cluster, peers } });
}

export class LiveFeed {
  readonly #peer: PeerHandle;
  readonly #clock: Clock;
  readonly #subscribers = new Set<Subscriber>();
  readonly #unsubscribe: (() => void)[];
  #alarms: readonly AlarmStatus[] | undefined;
  #due: TimerHandle | undefined;
  #ping: TimerHandle | undefined;

  constructor(peer: PeerHandle, clock: Clock) {
    this.#peer = peer;
    this.#clock = clock;
    this.#unsubscribe = [
      peer.onChange(() => this.#statusSoon()),
      peer.onLog((line) => this.#publish({ event: 'log', data: JSON.stringify({ line }) })),
    ];
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** The body of one subscriber's answer. `isWelcome` is asked again and again: a session may end meanwhile. */
  subscribe(isWelcome: () => boolean): ReadableStream<Uint8Array> {
    if (this.#subscribers.size >= SUBSCRIBERS_MAX) {
      throw new ApiError(
        503,
        'too_many_subscribers',
        'The live feed is full',
        `${SUBSCRIBERS_MAX} pages watch it already`,
        'Close another page, then try again.',
        5,
      );
    }
    let subscriber: Subscriber | undefined;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          subscriber = { controller, isWelcome, pending: [], dropped: 0, lastStatus: '' };
          this.#subscribers.add(subscriber);
          this.#greet(subscriber);
          this.#ping ??= this.#clock.after(PING_MS, () => this.#pingAll());
        },
        pull: () => {
          if (subscriber !== undefined) this.#flush(subscriber);
        },
        cancel: () => {
          if (subscriber !== undefined) this.#subscribers.delete(subscriber);
        },
      },
      { highWaterMark: 16 },
    );
  }

  close(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    for (const timer of [this.#due, this.#ping]) if (timer !== undefined) this.#clock.cancel(timer);
    for (const subscriber of this.#subscribers) this.#end(subscriber);
  }

  #greet(subscriber: Subscriber): void {
    const status = this.#peer.status();
    this.#alarms ??= status.alarms;
    subscriber.lastStatus = fingerprint(status);
    this.#push(subscriber, { event: 'status', data: JSON.stringify(status) });
  }

  #statusSoon(): void {
    this.#due ??= this.#clock.after(COALESCE_MS, () => {
      this.#due = undefined;
      if (this.#subscribers.size > 0) this.#publishStatus(false);
    });
  }

  #publishStatus(always: boolean): void {
    const status = this.#peer.status();
    const print = fingerprint(status);
    const data = JSON.stringify(status);
    this.#publishAlarms(status.alarms);
    for (const subscriber of this.#subscribers) {
      if (!always && subscriber.lastStatus === print) continue;
      subscriber.lastStatus = print;
      this.#push(subscriber, { event: 'status', data });
    }
  }

  #publishAlarms(alarms: readonly AlarmStatus[]): void {
    const before = this.#alarms ?? [];
    this.#alarms = alarms;
    const has = (list: readonly AlarmStatus[], alarm: AlarmStatus) =>
      list.some((other) => other.uuid === alarm.uuid && other.node === alarm.node);
    const tell = (change: 'raised' | 'lowered', alarm: AlarmStatus) =>
      this.#publish({ event: 'alarm', data: JSON.stringify({ change, alarm }) });
    for (const alarm of alarms) if (!has(before, alarm)) tell('raised', alarm);
    for (const alarm of before) if (!has(alarms, alarm)) tell('lowered', alarm);
  }

  /** Sends the status too: times and round trips on a page stay fresh even when nothing happens. */
  #pingAll(): void {
    this.#ping = undefined;
    for (const subscriber of this.#subscribers) if (!subscriber.isWelcome()) this.#end(subscriber);
    if (this.#subscribers.size === 0) return;
    this.#publishStatus(true);
    this.#ping = this.#clock.after(PING_MS, () => this.#pingAll());
  }

  #publish(event: FeedEvent): void {
    for (const subscriber of this.#subscribers) this.#push(subscriber, event);
  }

  #push(subscriber: Subscriber, event: FeedEvent): void {
    if (event.event === 'status') {
      subscriber.pending = subscriber.pending.filter((waiting) => waiting.event !== 'status');
    }
    if (subscriber.pending.length >= PENDING_EVENTS_MAX) subscriber.dropped += 1;
    else subscriber.pending.push(event);
    this.#flush(subscriber);
  }

  #flush(subscriber: Subscriber): void {
    if (!this.#subscribers.has(subscriber)) return;
    while ((subscriber.controller.desiredSize ?? 0) > 0) {
      const event = subscriber.pending.shift();
      if (event === undefined) {
        if (subscriber.dropped === 0) return;
        subscriber.controller.enqueue(frame({ event: 'dropped', data: JSON.stringify({ count: subscriber.dropped }) }));
        subscriber.dropped = 0;
        return;
      }
      subscriber.controller.enqueue(frame(event));
    }
  }

  #end(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    subscriber.controller.close();
  }
}
