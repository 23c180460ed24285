import type { Clock, TimerHandle } from '../../storage/environment.ts';

interface Entry {
  readonly dueMs: number;
  readonly order: number;
  readonly run: () => void;
}

/**
 * A Clock that stands still until a test moves it. Timers run in the order they are due, and in the order they were
 * set when due at the same time.
 */
export class VirtualClock implements Clock {
  private nowMs = 0;
  private wallOffsetMs: number;
  private readonly entries = new Set<Entry>();
  private order = 0;

  constructor(wallStartMs = Date.UTC(2026, 0, 1)) {
    this.wallOffsetMs = wallStartMs;
  }

  wallMs(): number {
    return this.wallOffsetMs + this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, run: () => void): TimerHandle {
    this.order += 1;
    const entry: Entry = { dueMs: this.nowMs + Math.max(0, delayMs), order: this.order, run };
    this.entries.add(entry);
    return { timer: entry };
  }

  cancel(handle: TimerHandle): void {
    this.entries.delete(handle.timer as Entry);
  }

  /** Timers that are still to come. */
  get pending(): number {
    return this.entries.size;
  }

  /** Somebody sets the wall clock; durations do not notice. */
  jumpWall(byMs: number): void {
    this.wallOffsetMs += byMs;
  }

  /** Moves time and runs what is due on the way, synchronously. Microtasks wait until afterwards. */
  advance(byMs: number): void {
    const endMs = this.nowMs + byMs;
    for (let next = this.next(endMs); next !== undefined; next = this.next(endMs)) this.fire(next);
    this.nowMs = Math.max(this.nowMs, endMs);
  }

  /** As `advance`, but between any two timers promises and real immediates of the program get their turn. */
  async advanceAsync(byMs: number): Promise<void> {
    const endMs = this.nowMs + byMs;
    await turn();
    for (let next = this.next(endMs); next !== undefined; next = this.next(endMs)) {
      this.fire(next);
      await turn();
    }
    this.nowMs = Math.max(this.nowMs, endMs);
  }

  /** As `advanceAsync`, until `holds` after all that is due at one moment; answers whether it did within `patienceMs`. */
  async advanceUntil(holds: () => boolean, patienceMs: number): Promise<boolean> {
    const endMs = this.nowMs + patienceMs;
    await turn();
    while (!holds()) {
      let next = this.next(endMs);
      if (next === undefined) {
        this.nowMs = endMs;
        return false;
      }
      for (; next !== undefined; next = this.next(this.nowMs)) {
        this.fire(next);
        await turn();
      }
    }
    return true;
  }

  private next(endMs: number): Entry | undefined {
    let first: Entry | undefined;
    for (const entry of this.entries) {
      if (entry.dueMs > endMs) continue;
      if (
        first === undefined ||
        entry.dueMs < first.dueMs ||
        (entry.dueMs === first.dueMs && entry.order < first.order)
      ) {
        first = entry;
      }
    }
    return first;
  }

  private fire(entry: Entry): void {
    this.entries.delete(entry);
    this.nowMs = Math.max(this.nowMs, entry.dueMs);
    entry.run();
  }
}

/** One turn of the real event loop: every microtask and every immediate that waits now is done afterwards. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
