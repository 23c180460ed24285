/**
 * Hybrid logical clock: one number, `wall ms since 2020 * 4096 + counter`, that never goes back and is above every time
 * seen in a frame. It fits a double until the year 2089. Every write's version is one tick of it.
 */
import type { Clock } from './environment.ts';

export const TICKS_PER_MS = 4096;
/** 2020-01-01 in wall ms: counted from 1970 a double would be full in 2039. */
const EPOCH_MS = 1_577_836_800_000;

/** A clock further ahead than this of the others is said (storage.md §6: HLC bounds skew). */
export const SKEW_LIMIT_MS = 500;

export class HybridClock {
  #last = 0;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A new moment, above every one given or seen before. */
  tick(): number {
    const wall = (this.#clock.wallMs() - EPOCH_MS) * TICKS_PER_MS;
    this.#last = wall > this.#last ? wall : this.#last + 1;
    return this.#last;
  }

  /** The latest moment given or seen. */
  now(): number {
    return this.#last;
  }

  /** Takes note of another node's moment. */
  witness(moment: number): void {
    if (moment > this.#last) this.#last = moment;
  }
}

/** Wall ms since 1970 of a moment. */
export function wallMsOf(moment: number): number {
  return Math.floor(moment / TICKS_PER_MS) + EPOCH_MS;
}
