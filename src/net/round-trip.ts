/** Round trip of a link: the median of the last five ticks (R5). One late tick must not raise an alarm. */
import { ROUND_TRIP_SAMPLES } from './limits.ts';

export class RoundTrip {
  readonly #samples: number[] = [];

  add(sampleMs: number): void {
    if (!Number.isFinite(sampleMs) || sampleMs < 0) return;
    this.#samples.push(sampleMs);
    if (this.#samples.length > ROUND_TRIP_SAMPLES) this.#samples.shift();
  }

  get medianMs(): number | undefined {
    const sorted = this.#samples.toSorted((left, right) => left - right);
    return sorted[Math.floor(sorted.length / 2)];
  }
}
