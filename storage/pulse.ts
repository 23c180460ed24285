/**
 * A node's pulse. While something has a deadline or is not as it should be, deadlines are swept every SWEEP_MS; a node
 * that has nothing to wait for only ticks. Whatever happens in between quickens it again.
 */
import type { Clock, TimerHandle } from './environment.ts';
import { SWEEP_MS, TICK_MS } from './limits.ts';

export interface PulseHost {
  /** Something must be looked at before the next tick. */
  isRestless(): boolean;
  beat(nowMs: number, isTick: boolean): void;
}

export class Pulse {
  readonly #clock: Clock;
  readonly #host: PulseHost;
  #timer: TimerHandle | undefined = undefined;
  #isSlow = false;
  #tickAtMs = 0;
  #stopped = false;

  constructor(clock: Clock, host: PulseHost) {
    this.#clock = clock;
    this.#host = host;
  }

  start(): void {
    this.#tickAtMs = this.#clock.monotonicMs() + TICK_MS;
    this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== undefined) this.#clock.cancel(this.#timer);
  }

  /** To be called when something has happened. */
  quicken(): void {
    if (!this.#isSlow || this.#timer === undefined || !this.#host.isRestless()) return;
    this.#clock.cancel(this.#timer);
    this.#arm();
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#isSlow = !this.#host.isRestless();
    const untilTickMs = Math.max(0, this.#tickAtMs - this.#clock.monotonicMs());
    this.#timer = this.#clock.after(this.#isSlow ? untilTickMs : Math.min(SWEEP_MS, untilTickMs), () => this.#beat());
  }

  #beat(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.monotonicMs();
    const isTick = nowMs >= this.#tickAtMs;
    if (isTick) this.#tickAtMs = nowMs + TICK_MS;
    try {
      this.#host.beat(nowMs, isTick);
    } finally {
      this.#arm();
    }
  }
}
