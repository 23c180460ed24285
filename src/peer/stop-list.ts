/** What was started is stopped in the opposite order, each part once, all of it within a bounded time. */
import type { Clock } from '../../storage/environment.ts';

interface Part {
  readonly name: string;
  readonly stop: () => Promise<unknown> | unknown;
}

export interface StopFailure {
  readonly part: string;
  readonly reason: string;
}

export class StopList {
  readonly #clock: Clock;
  readonly #parts: Part[] = [];
  #stopping: Promise<readonly StopFailure[]> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `name` is what a person reads when this part does not end. */
  add(name: string, stop: Part['stop']): void {
    this.#parts.push({ name, stop });
  }

  /** A part that fails or hangs does not keep the parts below it from being stopped: each gets its share of the time. */
  stop(limitMs: number): Promise<readonly StopFailure[]> {
    this.#stopping ??= this.#stop(limitMs);
    return this.#stopping;
  }

  async #stop(limitMs: number): Promise<readonly StopFailure[]> {
    const deadlineMs = this.#clock.monotonicMs() + limitMs;
    const failures: StopFailure[] = [];
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      const leftMs = Math.max(0, deadlineMs - this.#clock.monotonicMs());
      // Half of what is left: a part that hangs must leave time for those below it.
      const reason = await this.#within(part, this.#parts.length === 0 ? leftMs : leftMs / 2);
      if (reason !== undefined) failures.push({ part: part.name, reason });
    }
    return failures;
  }

  #within({ stop }: Part, limitMs: number): Promise<string | undefined> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(limitMs, () => resolve(`did not end within ${Math.round(limitMs)} ms`));
      const settle = (reason: string | undefined) => {
        this.#clock.cancel(timer);
        resolve(reason);
      };
      const run = async () => {
        await stop();
      };
      run().then(
        () => settle(undefined),
        (error: unknown) => settle(error instanceof Error ? error.message : String(error)),
      );
    });
  }
}
