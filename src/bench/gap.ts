/** W10: how long nothing commits while something happens to the cluster. */
import type { Database } from '../../storage/index.ts';
import type { GapFigures, GapRequest } from './calls.ts';
import { errorCodeOf } from './clients.ts';
import { firstState, nextState, rowOf, saltOf } from './records.ts';

export async function measureGap(database: Database, request: GapRequest): Promise<GapFigures> {
  const watch = new GapWatch(performance.now() + request.warmMs, request.measuredMs);
  const salt = saltOf(database.nodeName);
  await Promise.all(
    Array.from({ length: request.clients }, (_, at) => writer(database, request, firstState(at + 1, salt), watch)),
  );
  return watch.figures();
}

class GapWatch {
  readonly #fromMs: number;
  readonly #endMs: number;
  readonly #errors: Record<string, number> = {};
  #lastCommitMs: number;
  #longestGapMs = 0;
  #gapBeganMs: number;
  #longestOperationMs = 0;
  #commits = 0;

  constructor(fromMs: number, measuredMs: number) {
    this.#fromMs = fromMs;
    this.#endMs = fromMs + measuredMs;
    this.#lastCommitMs = fromMs;
    this.#gapBeganMs = fromMs;
  }

  isOver(nowMs: number): boolean {
    return nowMs >= this.#endMs;
  }

  committed(beganMs: number, nowMs: number): void {
    if (nowMs < this.#fromMs) return;
    this.#gapEnds(nowMs);
    this.#lastCommitMs = nowMs;
    this.#commits += 1;
    this.#longestOperationMs = Math.max(this.#longestOperationMs, nowMs - beganMs);
  }

  failed(error: unknown): void {
    const code = errorCodeOf(error);
    this.#errors[code] = (this.#errors[code] ?? 0) + 1;
  }

  figures(): GapFigures {
    // Nothing may have committed any more.
    this.#gapEnds(this.#endMs);
    return {
      longestGapMs: this.#longestGapMs,
      gapBeganAt: performance.timeOrigin + this.#gapBeganMs,
      longestOperationMs: this.#longestOperationMs,
      commits: this.#commits,
      errors: this.#errors,
    };
  }

  #gapEnds(nowMs: number): void {
    const gapMs = nowMs - this.#lastCommitMs;
    if (gapMs <= this.#longestGapMs) return;
    this.#longestGapMs = gapMs;
    this.#gapBeganMs = this.#lastCommitMs;
  }
}

async function writer(database: Database, request: GapRequest, first: number, watch: GapWatch): Promise<void> {
  const { table, keys } = request;
  let state = first;
  let beganMs = performance.now();
  while (!watch.isOver(beganMs)) {
    state = nextState(state);
    const key = state % keys;
    const n = state;
    try {
      await database.transaction((tx) => tx.write(table, key, rowOf(key, n)));
      watch.committed(beganMs, performance.now());
    } catch (error) {
      watch.failed(error);
      // A loop of refusals must not keep the event loop from turning.
      await new Promise((resolve) => setImmediate(resolve));
    }
    beganMs = performance.now();
  }
}
