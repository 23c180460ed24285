import type { HostSlot, ProcessHost } from './process-host.ts';

export interface RunQueueHostOptions {
  /** Runs `drain` once, later, never inside the call: `(run) => clock.after(0, run)` or a simulator's own queue. */
  readonly schedule: (drain: () => void) => void;
}

/**
 * Turns in the order they were asked for, one queue, nothing else: the same seed gives the same run. The simulator and
 * the tests that must repeat exactly use it; a running peer uses nact-host.ts.
 */
export function createRunQueueHost(options: RunQueueHostOptions): ProcessHost {
  let queue: RunQueueSlot[] = [];
  let scheduled = false;
  let closed = false;
  let report: (error: unknown) => void = (error) => {
    throw error;
  };

  const enqueue = (slot: RunQueueSlot): void => {
    queue.push(slot);
    if (scheduled || closed) return;
    scheduled = true;
    options.schedule(drain);
  };

  const drain = (): void => {
    scheduled = false;
    // Only those who wait now: who wants more is scheduled anew, so that timers and links get their turn between.
    const batch = queue;
    queue = [];
    for (const slot of batch) {
      if (closed) return;
      try {
        slot.run();
      } catch (error) {
        report(error);
      }
    }
  };

  return {
    open: (_name, turn) => new RunQueueSlot(turn, enqueue),
    onFault(handler) {
      report = handler;
    },
    close() {
      closed = true;
      queue = [];
    },
  };
}

class RunQueueSlot implements HostSlot {
  private readonly turn: () => boolean;
  private readonly enqueue: (slot: RunQueueSlot) => void;
  private queued = false;
  private closed = false;

  constructor(turn: () => boolean, enqueue: (slot: RunQueueSlot) => void) {
    this.turn = turn;
    this.enqueue = enqueue;
  }

  wake(): void {
    if (this.queued || this.closed) return;
    this.queued = true;
    this.enqueue(this);
  }

  run(): void {
    this.queued = false;
    if (!this.closed && this.turn()) this.wake();
  }

  close(): void {
    this.closed = true;
  }
}
