import type { Clock, TimerHandle } from '../../storage/environment.ts';
import { assertName } from './exit.ts';
import { DELAY_MS_MAX, TIMER_HOP_MS, TIMERS_PER_PROCESS_MAX } from './limits.ts';

/** A timer that is still to come. */
export interface Timer {
  cancel(): void;
}

/** All timers of one actor system: they go through the Clock port only, and `pending` tells whether one is left. */
export class TimerService {
  private readonly clock: Clock;
  pending = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  after(delayMs: number, run: () => void): Timer {
    let handle: TimerHandle | undefined;
    this.pending += 1;
    const ring = (): void => {
      handle = undefined;
      this.pending -= 1;
      run();
    };
    // The first hop takes the delay as given: a difference of two readings would be a hair short of it.
    if (delayMs <= TIMER_HOP_MS) {
      handle = this.clock.after(delayMs, ring);
    } else {
      const due = this.clock.monotonicMs() + delayMs;
      const hop = (): void => {
        const leftMs = Math.max(0, due - this.clock.monotonicMs());
        handle = leftMs > TIMER_HOP_MS ? this.clock.after(TIMER_HOP_MS, hop) : this.clock.after(leftMs, ring);
      };
      handle = this.clock.after(TIMER_HOP_MS, hop);
    }
    return {
      cancel: () => {
        if (handle === undefined) return;
        this.clock.cancel(handle);
        handle = undefined;
        this.pending -= 1;
      },
    };
  }
}

/** Refuses what JavaScript timers would silently turn into "at once". */
export function assertDelay(delayMs: unknown, what: string): asserts delayMs is number {
  if (typeof delayMs === 'number' && delayMs >= 0 && delayMs <= DELAY_MS_MAX) return;
  throw new RangeError(
    `${what} must be between 0 and ${DELAY_MS_MAX} ms (30 days), got ${String(delayMs)}. Give a number of milliseconds.`,
  );
}

interface NamedTimer {
  readonly generation: number;
  timer: Timer | undefined;
}

/**
 * The named timers of one process. A timer that was cancelled or started again is never heard of again, even when its
 * message already waits in the mailbox: messages carry the generation of their timer.
 */
export class ProcessTimers {
  private readonly service: TimerService;
  private readonly deliver: (name: string, generation: number, message: unknown) => void;
  private readonly timers = new Map<string, NamedTimer>();
  private generations = 0;

  constructor(service: TimerService, deliver: (name: string, generation: number, message: unknown) => void) {
    this.service = service;
    this.deliver = deliver;
  }

  start(name: string, delayMs: number, message: unknown): void {
    assertName(name, 'The name of a timer');
    assertDelay(delayMs, `The delay of timer "${name}"`);
    this.cancel(name);
    if (this.timers.size >= TIMERS_PER_PROCESS_MAX) {
      throw new RangeError(
        `Timer "${name}" not started: a process may have ${TIMERS_PER_PROCESS_MAX} timers. Use one timer for many entries.`,
      );
    }
    this.generations += 1;
    const generation = this.generations;
    const named: NamedTimer = { generation, timer: undefined };
    this.timers.set(name, named);
    named.timer = this.service.after(delayMs, () => {
      named.timer = undefined;
      this.deliver(name, generation, message);
    });
  }

  cancel(name: string): void {
    const named = this.timers.get(name);
    if (named === undefined) return;
    this.timers.delete(name);
    named.timer?.cancel();
  }

  /** Is the timeout that now leaves the mailbox still wanted? Called once for each. */
  take(name: string, generation: number): boolean {
    if (this.timers.get(name)?.generation !== generation) return false;
    this.timers.delete(name);
    return true;
  }

  cancelAll(): void {
    for (const named of this.timers.values()) named.timer?.cancel();
    this.timers.clear();
  }
}
