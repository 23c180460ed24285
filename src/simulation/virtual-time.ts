/**
 * Virtual time: one queue of events ordered by (time, sequence), run one by one, each followed by every microtask it
 * caused. Nothing here waits for the real clock. The unit inside is the microsecond, an integer.
 *
 * Draining microtasks: the next event is started from `process.nextTick`, asked for by a microtask. Node runs the tick
 * queue only when the microtask queue is empty, so however long a chain of promises is, it ends before the next event,
 * and no trip through the operating system's event loop is needed. Every few thousand events one trip is made all the
 * same, so that signals arrive and rejections nobody handled are reported.
 */
import type { Clock, TimerHandle } from '../../storage/environment.ts';

/** Whoever an event happens to. A paused owner's events wait, a dead owner's never happen. */
export interface EventOwner {
  state: 'running' | 'paused' | 'dead';
  /** Events that came due during a pause, in the order in which they did. */
  readonly parked: VirtualEvent[];
}

export interface VirtualEvent {
  atUs: number;
  sequence: number;
  readonly owner: EventOwner;
  run: (() => void) | undefined;
}

const settled = Promise.resolve();
const EVENTS_PER_LOOP_TRIP = 4096;
/** More at one moment is not work but a circle. */
const EVENTS_PER_MOMENT_MAX = 100_000;

export class VirtualTime {
  /** The owner of whatever belongs to the simulator itself and never fails. */
  readonly world: EventOwner = { state: 'running', parked: [] };
  nowUs = 0;
  events = 0;
  private sequence = 0;
  private readonly heap: VirtualEvent[] = [];
  private readonly turn: { owner: EventOwner; run: () => void }[] = [];
  private turnHead = 0;
  private momentUs = 0;
  private momentEvents = 0;
  private finished: ((failure: unknown) => void) | undefined;
  private onError: (owner: EventOwner, error: unknown) => void = () => undefined;

  /**
   * Runs `main` and every event until `main` settles. An error thrown by an event goes to `onError`; so does a promise
   * that was rejected and that nobody handles.
   */
  async run<T>(main: () => Promise<T>, onError: (owner: EventOwner, error: unknown) => void): Promise<T> {
    this.onError = onError;
    const unhandled = (error: unknown): void => onError(this.world, error);
    process.on('unhandledRejection', unhandled);
    try {
      const ended = new Promise<void>((resolve, reject) => {
        this.finished = (failure) => (failure === undefined ? resolve() : reject(failure));
      });
      const result = main();
      result.then(
        () => this.end(undefined),
        (error) => this.end(error ?? new Error('The script of the simulation failed without a reason.')),
      );
      this.pumpAfterMicrotasks();
      await ended;
      return await result;
    } finally {
      // One trip through the loop, so that rejections of the last events are still heard here.
      await new Promise<void>((resolve) => setImmediate(resolve));
      process.off('unhandledRejection', unhandled);
    }
  }

  schedule(delayUs: number, owner: EventOwner, run: () => void): VirtualEvent {
    const atUs = this.nowUs + Math.max(0, Math.round(delayUs));
    const event: VirtualEvent = { atUs, sequence: this.sequence++, owner, run };
    this.push(event);
    return event;
  }

  cancel(event: VirtualEvent | undefined): void {
    if (event) event.run = undefined;
  }

  /** After the running event and all its microtasks, before any other event. */
  endOfTurn(owner: EventOwner, run: () => void): void {
    this.turn.push({ owner, run });
  }

  /** For scripts and clients, which live outside the nodes. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.schedule(delayMs * 1000, this.world, resolve));
  }

  pause(owner: EventOwner): void {
    if (owner.state === 'running') owner.state = 'paused';
  }

  /** What came due during the pause happens now, in its order. */
  resume(owner: EventOwner): void {
    if (owner.state !== 'paused') return;
    owner.state = 'running';
    for (const event of owner.parked.splice(0)) {
      event.atUs = this.nowUs;
      event.sequence = this.sequence++;
      this.push(event);
    }
  }

  get nowMs(): number {
    return this.nowUs / 1000;
  }

  private end(failure: unknown): void {
    const finished = this.finished;
    this.finished = undefined;
    finished?.(failure);
  }

  /** A promise's callback, because `queueMicrotask` makes an asynchronous resource of every call. */
  private pumpAfterMicrotasks(): void {
    settled.then(this.askForTick);
  }

  private readonly askForTick = (): void => {
    process.nextTick(this.pump);
  };

  private readonly pump = (): void => {
    if (!this.finished) return;
    if (this.nowUs !== this.momentUs) {
      this.momentUs = this.nowUs;
      this.momentEvents = this.events;
    }
    if (this.events - this.momentEvents > EVENTS_PER_MOMENT_MAX) {
      this.end(
        new Error(`More than ${EVENTS_PER_MOMENT_MAX} events happened at ${this.nowMs} ms, and time stands still.`),
      );
      return;
    }
    if (!this.runNext()) {
      this.end(new Error('Nothing is left to happen, and the script of the simulation still waits.'));
      return;
    }
    if (++this.events % EVENTS_PER_LOOP_TRIP === 0) setImmediate(this.pump);
    else this.pumpAfterMicrotasks();
  };

  private runNext(): boolean {
    for (;;) {
      const next = this.turnHead < this.turn.length ? this.nextOfTurn() : this.nextOfHeap();
      if (next === undefined) return false;
      const { owner, run } = next;
      if (!run || owner.state === 'dead') continue;
      try {
        run();
      } catch (error) {
        this.onError(owner, error);
      }
      return true;
    }
  }

  private nextOfTurn(): { owner: EventOwner; run: (() => void) | undefined } {
    const next = this.turn[this.turnHead++] as { owner: EventOwner; run: () => void };
    if (this.turnHead === this.turn.length) {
      this.turn.length = 0;
      this.turnHead = 0;
    }
    if (next.owner.state === 'paused') {
      this.schedule(0, next.owner, next.run);
      return { owner: next.owner, run: undefined };
    }
    return next;
  }

  private nextOfHeap(): { owner: EventOwner; run: (() => void) | undefined } | undefined {
    const event = this.pop();
    if (event === undefined) return undefined;
    this.nowUs = event.atUs;
    const run = event.run;
    if (run && event.owner.state === 'paused') {
      event.owner.parked.push(event);
      return { owner: event.owner, run: undefined };
    }
    event.run = undefined;
    return { owner: event.owner, run };
  }

  private push(event: VirtualEvent): void {
    const heap = this.heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as VirtualEvent;
      if (!before(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  private pop(): VirtualEvent | undefined {
    const heap = this.heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as VirtualEvent, heap[child] as VirtualEvent)) child++;
      if (!before(heap[child] as VirtualEvent, last)) break;
      heap[index] = heap[child] as VirtualEvent;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

function before(a: VirtualEvent, b: VirtualEvent): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.sequence < b.sequence);
}

/** 2026-01-01T00:00:00Z, so that traces read like dates. */
const EPOCH_MS = 1_767_225_600_000;
const TIMER_LATENESS_US_MAX = 800;

/** One node's clocks. The wall clock may be off, drift and jump; the monotonic one only passes. */
export class NodeClock implements Clock {
  wallOffsetMs = 0;
  driftPpm = 0;
  private readonly time: VirtualTime;
  private readonly owner: EventOwner;
  private readonly lateness: () => number;
  private readonly pending = new Set<VirtualEvent>();

  constructor(time: VirtualTime, owner: EventOwner, lateness: () => number) {
    this.time = time;
    this.owner = owner;
    this.lateness = lateness;
  }

  wallMs(): number {
    const elapsedMs = (this.time.nowUs / 1000) * (1 + this.driftPpm / 1_000_000);
    return Math.floor(EPOCH_MS + elapsedMs + this.wallOffsetMs);
  }

  monotonicMs(): number {
    return this.time.nowUs / 1000;
  }

  after(delayMs: number, run: () => void): TimerHandle {
    const lateUs = this.lateness() * TIMER_LATENESS_US_MAX;
    const event = this.time.schedule(Math.max(1, delayMs) * 1000 + lateUs, this.owner, () => {
      this.pending.delete(event);
      run();
    });
    this.pending.add(event);
    return { timer: event };
  }

  cancel(timer: TimerHandle): void {
    const event = timer.timer as VirtualEvent;
    this.pending.delete(event);
    this.time.cancel(event);
  }

  get pendingTimers(): number {
    return this.pending.size;
  }
}
