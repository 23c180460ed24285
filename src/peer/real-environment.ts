/** Time, randomness and turns of a real peer. The only file of this folder that asks the machine for them. */
import { randomBytes } from 'node:crypto';
import type { Clock, Environment, Random, TimerHandle } from '../../storage/environment.ts';

/** Longer delays overflow Node's timers, which then fire at once. */
const DELAY_MAX_MS = 2 ** 31 - 1;

export interface RealClock extends Clock {
  /** A lab may move this peer's wall clock; durations do not notice. */
  setWallOffset(offsetMs: number): void;
  wallOffsetMs(): number;
}

export function createRealClock(): RealClock {
  let offset = 0;
  return {
    wallMs: () => Date.now() + offset,
    monotonicMs: () => performance.now(),
    after(delayMs: number, run: () => void): TimerHandle {
      return { timer: setTimeout(run, Math.min(Math.max(0, delayMs), DELAY_MAX_MS)) };
    },
    cancel(handle: TimerHandle): void {
      clearTimeout(handle.timer as NodeJS.Timeout);
    },
    setWallOffset(offsetMs: number): void {
      offset = offsetMs;
    },
    wallOffsetMs: () => offset,
  };
}

export function createRealRandom(): Random {
  return {
    next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
    hex: (count: number) => randomBytes(count).toString('hex'),
  };
}

export const endOfTurn: Environment['endOfTurn'] = (run) => {
  setImmediate(run);
};

/** Steps of protocols mean something to tests only. */
export const probe: Environment['probe'] = () => undefined;

/** ISO 8601 UTC of a moment in ms since the epoch. */
export function isoTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
