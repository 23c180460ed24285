/**
 * Who gives processes their turns. Two implementations: nact-host.ts for a running peer, run-queue-host.ts for the
 * simulator and for tests that must repeat exactly. Both pass the same conformance suite, so nothing above this port
 * may depend on which one is underneath.
 */
export interface ProcessHost {
  /**
   * Makes the slot of one process. `name` is unique in the life of the system. After each `wake`, `turn` runs once,
   * never inside the caller and never while another turn runs; when it returns true it wants another turn later, after
   * everyone else who waits had one.
   */
  open(name: string, turn: () => boolean): HostSlot;
  /** `turn` threw, which a process never lets happen: told to the system, which gives up in order. */
  onFault(report: (error: unknown) => void): void;
  /** Ends the host after the last process is gone. No slot gets a turn afterwards. */
  close(): void;
}

export interface HostSlot {
  /** Asks for a turn. Idempotent until that turn began. */
  wake(): void;
  /** No turn begins after this. May be called from inside the slot's own turn. */
  close(): void;
}
