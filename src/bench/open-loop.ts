/**
 * Arrivals at a rate, whether or not what arrived before is done: the load of callers who know nothing of each other.
 * Each arrival counts up one row, so that what was answered can be found again.
 */
import { type Database, StorageError } from '../../storage/index.ts';
import type { LoadRequest, LoadSample } from './calls.ts';
import { errorCodeOf } from './clients.ts';
import { Histogram } from './histogram.ts';
import { firstState, incremented, nextState, saltOf } from './records.ts';

const STEP_MS = 5;
/** A process that was stopped does not make up for more than this. */
const CATCH_UP_MS_MAX = 1000;

export class OpenLoop {
  readonly #database: Database;
  #request: LoadRequest = { table: '', keys: 1, ratePerS: 0 };
  #state: number;
  #timer: NodeJS.Timeout | undefined;
  #lastStepMs = 0;
  /** Arrivals that were due and not yet whole. */
  #due = 0;
  #inFlight = 0;
  #tally = new Tally();

  constructor(database: Database) {
    this.#database = database;
    this.#state = firstState(1, saltOf(database.nodeName));
  }

  /** A rate of 0 ends the arrivals. */
  set(request: LoadRequest): void {
    this.#request = request;
    if (this.#timer !== undefined) return;
    this.#lastStepMs = performance.now();
    this.#timer = setInterval(() => this.#step(), STEP_MS);
  }

  /** What happened since the last time, and where things are now. */
  sample(): LoadSample {
    const tally = this.#tally;
    this.#tally = new Tally();
    return {
      offered: tally.offered,
      succeeded: tally.succeeded,
      overloaded: tally.overloaded,
      overloadedWithoutTime: tally.overloadedWithoutTime,
      unknown: tally.unknown,
      errors: tally.errors,
      latencies: tally.histogram.buckets(),
      longestMs: tally.longestMs,
      inFlight: this.#inFlight,
      rssBytes: process.memoryUsage.rss(),
      heapUsedBytes: process.memoryUsage().heapUsed,
    };
  }

  #step(): void {
    const nowMs = performance.now();
    const passedMs = Math.min(nowMs - this.#lastStepMs, CATCH_UP_MS_MAX);
    this.#lastStepMs = nowMs;
    this.#due += (this.#request.ratePerS * passedMs) / 1000;
    for (; this.#due >= 1; this.#due -= 1) void this.#arrive(nowMs);
  }

  async #arrive(arrivedMs: number): Promise<void> {
    const { table, keys } = this.#request;
    this.#state = nextState(this.#state);
    const key = this.#state % keys;
    this.#tally.offered += 1;
    this.#inFlight += 1;
    try {
      await this.#database.transaction((tx) => tx.write(table, key, incremented(tx.read(table, key))));
      this.#tally.succeeded += 1;
      this.#tally.took(performance.now() - arrivedMs);
    } catch (error) {
      this.#tally.failed(error, performance.now() - arrivedMs);
    }
    this.#inFlight -= 1;
  }
}

class Tally {
  readonly histogram = new Histogram();
  readonly errors: Record<string, number> = {};
  offered = 0;
  succeeded = 0;
  overloaded = 0;
  overloadedWithoutTime = 0;
  unknown = 0;
  longestMs = 0;

  /** Refusals are answered at once: counted here, they would hide how long the others wait. */
  took(latencyMs: number): void {
    this.histogram.add(latencyMs);
    this.longestMs = Math.max(this.longestMs, latencyMs);
  }

  failed(error: unknown, latencyMs: number): void {
    const code = errorCodeOf(error);
    if (code === 'overloaded') {
      this.overloaded += 1;
      if (!(error instanceof StorageError && (error.fields.retryAfterMs ?? 0) > 0)) this.overloadedWithoutTime += 1;
      return;
    }
    this.took(latencyMs);
    this.errors[code] = (this.errors[code] ?? 0) + 1;
    // A commit that was under way at its deadline, or whose participant was lost, may have been made.
    if (code === 'deadline' || (error instanceof StorageError && error.fields.reason === 'outcome_unknown')) {
      this.unknown += 1;
    }
  }
}
