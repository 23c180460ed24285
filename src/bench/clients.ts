/**
 * Clients inside a node: closed loops without time to think. Each operation is timed from the end of the one before it
 * in the same loop; what begins within the measured time counts.
 */
import { Histogram, type HistogramBuckets } from './histogram.ts';
import { firstState, nextState } from './records.ts';

/**
 * A loop of promises that are settled already never lets the event loop turn, and a node that does not turn is given up
 * by the others. As a server is fed by its sockets, so clients wait for the next turn this often; the wait is not part
 * of an operation, but of the time that is measured.
 */
const TURN_MS = 5;

export interface ClientPlan {
  readonly clients: number;
  readonly salt: number;
  readonly warmMs: number;
  readonly measuredMs: number;
}

/** Does one operation with a number of the sequence. A synchronous one is done by one loop after another. */
export type ClientOperation =
  | { readonly isSynchronous: true; readonly run: (state: number) => void }
  | { readonly isSynchronous: false; readonly run: (state: number) => Promise<unknown> };

export interface ClientFigures {
  /** Operations that began within the measured time and succeeded. */
  readonly operations: number;
  /** All that succeeded, warm-up and the last of each client included. */
  readonly succeeded: number;
  /** All that failed, by the code of their error. */
  readonly errors: Readonly<Record<string, number>>;
  readonly latencies: HistogramBuckets;
}

/** The turn of the event loop that all clients of this process share. */
class SharedTurn {
  #beganMs = performance.now();
  #next: Promise<void> | undefined;

  isOver(nowMs: number): boolean {
    return nowMs - this.#beganMs > TURN_MS;
  }

  next(): Promise<void> {
    this.#next ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#next = undefined;
        this.#beganMs = performance.now();
        resolve();
      });
    });
    return this.#next;
  }
}

export function errorCodeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

class Tally {
  readonly histogram = new Histogram();
  readonly errors: Record<string, number> = {};
  succeeded = 0;
  readonly #fromMs: number;

  constructor(fromMs: number) {
    this.#fromMs = fromMs;
  }

  success(beganMs: number, endedMs: number): void {
    this.succeeded += 1;
    if (beganMs >= this.#fromMs) this.histogram.add(endedMs - beganMs);
  }

  failure(error: unknown): void {
    const code = errorCodeOf(error);
    this.errors[code] = (this.errors[code] ?? 0) + 1;
  }

  figures(): ClientFigures {
    return {
      operations: this.histogram.total,
      succeeded: this.succeeded,
      errors: this.errors,
      latencies: this.histogram.buckets(),
    };
  }
}

export async function runClients(plan: ClientPlan, operation: ClientOperation): Promise<ClientFigures> {
  const fromMs = performance.now() + plan.warmMs;
  const endMs = fromMs + plan.measuredMs;
  const tally = new Tally(fromMs);
  const states = Array.from({ length: plan.clients }, (_, at) => firstState(at + 1, plan.salt));
  if (operation.isSynchronous) {
    await synchronousClients(states, operation.run, tally, endMs);
  } else {
    const turn = new SharedTurn();
    await Promise.all(states.map((state) => client(state, operation.run, tally, endMs, turn)));
  }
  return tally.figures();
}

async function client(
  first: number,
  run: (state: number) => Promise<unknown>,
  tally: Tally,
  endMs: number,
  turn: SharedTurn,
): Promise<void> {
  let state = first;
  let beganMs = performance.now();
  while (beganMs < endMs) {
    state = nextState(state);
    try {
      await run(state);
      const endedMs = performance.now();
      tally.success(beganMs, endedMs);
      beganMs = endedMs;
    } catch (error) {
      tally.failure(error);
      beganMs = performance.now();
    }
    if (turn.isOver(beganMs)) {
      await turn.next();
      beganMs = performance.now();
    }
  }
}

async function synchronousClients(
  states: number[],
  run: (state: number) => void,
  tally: Tally,
  endMs: number,
): Promise<void> {
  const turn = new SharedTurn();
  let beganMs = performance.now();
  while (beganMs < endMs && states.length > 0) {
    while (!turn.isOver(beganMs)) {
      for (let at = 0; at < states.length; at++) {
        const state = nextState(states[at]!);
        states[at] = state;
        run(state);
        const endedMs = performance.now();
        tally.success(beganMs, endedMs);
        beganMs = endedMs;
      }
    }
    await turn.next();
    beganMs = performance.now();
  }
}
