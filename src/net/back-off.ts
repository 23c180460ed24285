/** Pauses between dials: 250 ms, doubling to 1 s, each spread over 75–125 % so that peers do not dial in step. */
import type { Random } from '../../storage/environment.ts';
import { BACK_OFF_FIRST_MS, BACK_OFF_LAST_MS } from './limits.ts';

export class BackOff {
  readonly #random: Random;
  #nextMs = BACK_OFF_FIRST_MS;

  constructor(random: Random) {
    this.#random = random;
  }

  nextMs(): number {
    const baseMs = this.#nextMs;
    this.#nextMs = Math.min(BACK_OFF_LAST_MS, baseMs * 2);
    return Math.min(BACK_OFF_LAST_MS, Math.round(baseMs * (0.75 + this.#random.next() / 2)));
  }

  reset(): void {
    this.#nextMs = BACK_OFF_FIRST_MS;
  }
}
