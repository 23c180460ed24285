/** A disc that can be made slow: every write is told to be done so much later than it is. */
import type { Disc, DiscFailure, DiscOperation } from '../../storage/index.ts';

export class SlowDisc implements Disc {
  readonly #disc: Disc;
  /** Added to each write from now on, ms. */
  delayMs = 0;
  /** Writes are done in the order they were made, however the delay changes. */
  #lastDone: Promise<void> = Promise.resolve();
  /** Writes that were made slow and are not told to be done yet. */
  #late = 0;

  constructor(disc: Disc) {
    this.#disc = disc;
  }

  write(operations: readonly DiscOperation[], sync: boolean, done: (failure: DiscFailure | undefined) => void): void {
    const { delayMs } = this;
    if (delayMs === 0 && this.#late === 0) return this.#disc.write(operations, sync, done);
    this.#late += 1;
    this.#disc.write(operations, sync, (failure) => {
      const waited = new Promise<void>((resolve) => setTimeout(resolve, delayMs));
      this.#lastDone = Promise.all([this.#lastDone, waited]).then(() => {
        this.#late -= 1;
        done(failure);
      });
    });
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#disc.get(key);
  }

  scan(...call: Parameters<Disc['scan']>): Promise<void> {
    return this.#disc.scan(...call);
  }

  close(): Promise<void> {
    return this.#lastDone.then(() => this.#disc.close());
  }
}
