/** A clock whose time is virtual and runs by itself: it jumps to the next timer once the process is idle. */
import type { Clock, Random, TimerHandle } from '../../../storage/environment.ts';

interface Timer extends TimerHandle {
  readonly at: number;
  readonly run: () => void;
}

export function createVirtualClock(): Clock {
  let now = 0;
  let timers: Timer[] = [];
  let isDriven = false;

  const drive = (): void => {
    const next = timers.reduce<Timer | undefined>(
      (first, timer) => (first && first.at <= timer.at ? first : timer),
      undefined,
    );
    isDriven = next !== undefined;
    if (next === undefined) return;
    timers = timers.filter((timer) => timer !== next);
    now = Math.max(now, next.at);
    next.run();
    setImmediate(drive);
  };

  return {
    wallMs: () => now,
    monotonicMs: () => now,
    after(delayMs, run) {
      const timer: Timer = { timer: undefined, at: now + delayMs, run };
      timers.push(timer);
      if (!isDriven) {
        isDriven = true;
        setImmediate(drive);
      }
      return timer;
    },
    cancel(timer) {
      timers = timers.filter((other) => other !== timer);
    },
  };
}

/** Seeded chance (mulberry32). */
export function createSeededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    hex: (count) =>
      Array.from({ length: count }, () =>
        Math.floor(next() * 256)
          .toString(16)
          .padStart(2, '0'),
      ).join(''),
  };
}
