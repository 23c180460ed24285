/** How often a node looks at its deadlines: often while there are any, and no more than it ticks otherwise. */
import { describe, expect, it } from 'vitest';
import type { Clock, TimerHandle } from '../../storage/environment.ts';
import { Pulse } from '../../storage/pulse.ts';

class HandClock implements Clock {
  nowMs = 0;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  wallMs(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, run: () => void): TimerHandle {
    const timer = { atMs: this.nowMs + delayMs, run };
    this.#timers.push(timer);
    return { timer };
  }

  cancel({ timer }: TimerHandle): void {
    this.#timers = this.#timers.filter((other) => other !== timer);
  }

  get pending(): number {
    return this.#timers.length;
  }

  pass(untilMs: number): void {
    for (;;) {
      const next = this.#timers.sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#timers.shift();
      this.nowMs = next.atMs;
      next.run();
    }
    this.nowMs = untilMs;
  }
}

function newPulse() {
  const clock = new HandClock();
  const state = { isRestless: false, beats: [] as number[], ticks: [] as number[] };
  const pulse = new Pulse(clock, {
    isRestless: () => state.isRestless,
    beat: (nowMs, isTick) => (isTick ? state.ticks : state.beats).push(nowMs),
  });
  pulse.start();
  return { clock, state, pulse };
}

describe('the pulse of a node', () => {
  it('only ticks while there is nothing to wait for', () => {
    const { clock, state } = newPulse();
    clock.pass(2000);
    expect(state).toMatchObject({ beats: [], ticks: [500, 1000, 1500, 2000] });
  });

  it('sweeps ten times a second while there is, and ticks at the same moments', () => {
    const { clock, state, pulse } = newPulse();
    state.isRestless = true;
    pulse.quicken();
    clock.pass(1000);
    expect(state).toMatchObject({ beats: [100, 200, 300, 400, 600, 700, 800, 900], ticks: [500, 1000] });
  });

  it('is quickened by what happens between two ticks, and slows down after it', () => {
    const { clock, state, pulse } = newPulse();
    clock.pass(230);
    state.isRestless = true;
    pulse.quicken();
    clock.pass(400);
    state.isRestless = false;
    clock.pass(1000);
    expect(state).toMatchObject({ beats: [330, 430], ticks: [500, 1000] });
  });

  it('goes on after a beat that threw, and ends when it is stopped', () => {
    const clock = new HandClock();
    let beats = 0;
    const pulse = new Pulse(clock, {
      isRestless: () => false,
      beat: () => {
        beats += 1;
        throw new Error('a bug');
      },
    });
    pulse.start();
    expect(() => clock.pass(500)).toThrow('a bug');
    expect(() => clock.pass(1000)).toThrow('a bug');
    pulse.stop();
    clock.pass(5000);
    expect(beats).toBe(2);
    expect(clock.pending).toBe(0);
  });
});
