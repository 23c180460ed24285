import type { RestartLimit } from './child-spec.ts';

/** Counts a supervisor's restarts: at most `intensity` within any `periodMs`. */
export class RestartIntensity {
  private readonly limit: RestartLimit;
  private times: number[] = [];

  constructor(limit: RestartLimit) {
    this.limit = limit;
  }

  /** Notes one more restart; false when it is one too many. */
  add(nowMs: number): boolean {
    const since = nowMs - this.limit.periodMs;
    const firstWithin = this.times.findIndex((time) => time >= since);
    if (firstWithin !== 0) this.times = firstWithin < 0 ? [] : this.times.slice(firstWithin);
    this.times.push(nowMs);
    return this.times.length <= this.limit.intensity;
  }
}
