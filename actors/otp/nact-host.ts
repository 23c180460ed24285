import { dispatch, type Ref, spawn, start, stop } from 'nact';
import type { HostSlot, ProcessHost } from './process-host.ts';

/**
 * The only file that knows nact. It takes two things from it: life cycle (an actor per process) and turns (one
 * `setImmediate` per message). A nact message here is a mere wake-up; the handler lets the process drain its own
 * mailbox and never throws. Everything else nact offers (its asks, its fault policies, its asynchronous handlers)
 * has behaviours a peer cannot live with, each of which test/actors/otp/nact-dangers.test.ts holds away.
 */

type TurnRef = Ref<'turn'>;

/** nact keeps systems in one table of the whole program, where a second one of a name silently replaces the first. */
let hostsCreated = 0;

export interface NactHostOptions {
  readonly node: string;
  readonly incarnation: number;
}

export function createNactHost(options: NactHostOptions): ProcessHost {
  hostsCreated += 1;
  // nact's typings promise a name as text, which it ignores; it takes an object, which the typings forbid.
  const name: unknown = { name: `${options.node}-${options.incarnation}-${hostsCreated}` };
  const system = start(name as string);
  let closed = false;
  let report: (error: unknown) => void = (error) => {
    throw error;
  };
  // Below a parent that never gets a message: nact copies all children of an actor for each message it handles.
  const parent: TurnRef = spawn(system, () => undefined, 'processes', { onCrash: (_m, _e, context) => context.stop });

  return {
    open(processName, turn) {
      if (closed) throw new Error(`The host is closed, process ${processName} cannot start. Start a new system.`);
      return new NactSlot(parent, processName, turn, (error) => report(error));
    },
    onFault(handler) {
      report = handler;
    },
    close() {
      if (closed) return;
      closed = true;
      stop(system as unknown as TurnRef);
    },
  };
}

class NactSlot implements HostSlot {
  private readonly turn: () => boolean;
  private readonly report: (error: unknown) => void;
  private readonly actor: TurnRef;
  private queued = false;
  private closed = false;
  /** Kept for a debugger or a crash dump: nothing else can be told about it. */
  lastFault: unknown;

  constructor(parent: TurnRef, name: string, turn: () => boolean, report: (error: unknown) => void) {
    this.turn = turn;
    this.report = report;
    this.actor = spawn(parent, () => this.run(), name, { onCrash: (_m, _e, context) => context.stop });
  }

  wake(): void {
    if (this.queued || this.closed) return;
    this.queued = true;
    dispatch(this.actor, 'turn');
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    stop(this.actor);
  }

  /** nact must never see a throw: its fault handling prints to the console, drops the actor or ends the program. */
  private run(): undefined {
    this.queued = false;
    if (this.closed) return;
    try {
      if (this.turn()) this.wake();
    } catch (error) {
      try {
        this.report(error);
      } catch (reportError) {
        // Whoever reports faults is broken itself. Stopping this one actor is all that is left to do.
        this.close();
        this.lastFault = reportError;
      }
    }
  }
}
