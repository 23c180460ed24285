import type { Clock } from '../../storage/environment.ts';
import type { CallOutcome, CallParty, CallTable } from './calls.ts';
import { errorReason, isOrderly } from './exit.ts';
import { MAILBOX_MAX_DEFAULT, TURN_MESSAGES_MAX, TURN_MS } from './limits.ts';
import { breakLinks, type Linked } from './links.ts';
import { type Envelope, Mailbox } from './mailbox.ts';
import { fireWatchers, type ProcessMonitors, type Watchers } from './monitors.ts';
import type { HostSlot, ProcessHost } from './process-host.ts';
import type { Registry } from './registry.ts';
import { mailboxFull, processCrashed } from './reports.ts';
import type { TimerService } from './timers.ts';
import type {
  ActorContext,
  DeadLetterCause,
  Destination,
  ExitReason,
  From,
  LogRecord,
  MailboxPolicy,
  Pid,
  ProcessInfo,
} from './types.ts';

/** What processes need of their system: the parts they share. */
export interface Kernel {
  readonly node: string;
  readonly clock: Clock;
  readonly host: ProcessHost;
  readonly registry: Registry<Process>;
  readonly calls: CallTable;
  readonly timers: TimerService;
  readonly router: Router;
  /** A pid never given before, with the name of its slot. */
  nextPid(): Pid;
  started(process: Process): void;
  ended(process: Process, reason: ExitReason): void;
  countHandled(): void;
  countAbandonedWorker(): void;
  deadLetters(cause: DeadLetterCause, count: number): void;
  log(record: LogRecord): void;
  /** A supervisor had to kill what did not stop in time. */
  leftover(text: string): void;
  /** An invariant broke: the peer must end itself. */
  fatal(reason: ExitReason): void;
}

/** From a process to a destination anywhere. */
export interface Router {
  send(to: Destination, message: unknown): void;
  cast(to: Destination, message: unknown): void;
  call(
    caller: Process | undefined,
    to: Destination,
    message: unknown,
    timeoutMs: number,
    settle: (outcome: CallOutcome) => void,
  ): void;
  reply(to: From, value: unknown): void;
  /** Answers a failure to a caller, as if the callee had ended with `reason`. */
  refuse(to: From, reason: ExitReason): void;
  monitor(monitors: ProcessMonitors, target: Destination, name: string): void;
  exit(to: Destination, reason: ExitReason): void;
}

/** What kind of process it is. Called by its process only, one call at a time. */
export interface Behaviour {
  readonly type: 'server' | 'worker' | 'supervisor';
  handle(envelope: Envelope): void;
  /** An exit signal other than kill. It may end the process with `process.exit`. */
  signal(from: Linked | undefined, reason: ExitReason): void;
  /** The process is dead; frees what belongs to it and ends what may not outlive it. */
  ended(reason: ExitReason): void;
  children(): readonly ProcessInfo[];
  /** Restarts of the child with this pid, as a supervisor counts them. */
  restartsOf(process: Process): number;
}

export interface ProcessOptions {
  readonly id: string;
  readonly parent: Process | undefined;
  readonly mailboxMax?: number;
  readonly mailboxPolicy?: MailboxPolicy;
}

interface Signal {
  readonly from: Linked | undefined;
  readonly reason: ExitReason;
}

/**
 * One process: a pid, a mailbox, turns, and an end that everyone who should hear of it hears of once. It never throws
 * out of a turn: whatever is thrown below ends this process and nothing else.
 */
export class Process implements Linked, CallParty {
  readonly kernel: Kernel;
  readonly pid: Pid;
  readonly id: string;
  readonly parent: Process | undefined;
  readonly links = new Set<Linked>();
  readonly asked = new Set<number>();
  readonly waiting = new Set<number>();
  readonly watchers: Watchers = new Set();
  readonly behaviour: Behaviour;
  name: string | undefined;
  alive = true;
  handled = 0;
  /** While true only exit signals are taken: a supervisor that waits for children to stop. */
  blocked = false;
  private readonly mailbox: Mailbox;
  private readonly mailboxMax: number;
  private readonly slot: HostSlot;
  private signals: Signal[] = [];
  private fullReported = false;
  private running = false;

  constructor(kernel: Kernel, options: ProcessOptions, makeBehaviour: (process: Process) => Behaviour) {
    this.kernel = kernel;
    this.pid = kernel.nextPid();
    this.id = options.id;
    this.parent = options.parent;
    this.mailboxMax = options.mailboxMax ?? MAILBOX_MAX_DEFAULT;
    this.mailbox = new Mailbox(this.mailboxMax, options.mailboxPolicy ?? 'refuse');
    this.slot = kernel.host.open(`${this.pid.serial}.${this.pid.incarnation ?? 0}`, () => this.turn());
    this.behaviour = makeBehaviour(this);
    kernel.started(this);
  }

  /** Registers `name`; answers the process that holds it already. */
  register(name: string): Process | undefined {
    const holder = this.kernel.registry.register(name, this);
    if (holder === undefined) this.name = name;
    return holder;
  }

  context(): ActorContext {
    return { self: this.pid, node: this.kernel.node, nowMs: this.kernel.clock.wallMs() };
  }

  /** False when the mailbox refused it. */
  post(envelope: Envelope): boolean {
    const dropped = this.mailbox.push(envelope);
    if (dropped !== undefined) {
      this.kernel.deadLetters('mailbox_full', 1);
      if (!this.fullReported) {
        this.fullReported = true;
        this.kernel.log(mailboxFull({ node: this.kernel.node, pid: this.pid }, this.name ?? this.id, this.mailboxMax));
      }
    }
    this.slot.wake();
    return dropped !== envelope;
  }

  signal(from: Linked | undefined, reason: ExitReason): void {
    if (!this.alive) return;
    if (reason === 'kill') {
      this.exit('killed');
      return;
    }
    this.signals.push({ from, reason });
    this.slot.wake();
  }

  /** For a behaviour that could not take a signal yet: it comes again before anything that arrived later. */
  postpone(signals: readonly { readonly from: Linked | undefined; readonly reason: ExitReason }[]): void {
    this.signals.unshift(...signals);
  }

  /** Wakes the process when it was blocked and has work. */
  unblock(): void {
    this.blocked = false;
    this.slot.wake();
  }

  /**
   * Ends the process now. Names and timers are free before anyone hears of the end, so that whoever is told may start
   * a successor at once.
   */
  exit(reason: ExitReason, quiet = false): void {
    if (!this.alive) return;
    this.alive = false;
    if (this.name !== undefined) this.kernel.registry.unregister(this.name, this);
    this.behaviour.ended(reason);
    this.kernel.calls.dropWaiting(this);
    this.kernel.calls.failAsked(this, reason);
    this.slot.close();
    this.kernel.deadLetters('left_in_mailbox', this.mailbox.length);
    this.signals = [];
    if (!quiet && !isOrderly(reason) && this.behaviour.type !== 'worker') {
      this.kernel.log(processCrashed({ node: this.kernel.node, pid: this.pid }, this.name ?? this.id, reason));
    }
    this.kernel.ended(this, reason);
    fireWatchers(this.watchers, this.pid, reason);
    breakLinks(this, reason);
  }

  info(): ProcessInfo {
    return {
      pid: this.pid.text,
      id: this.id,
      name: this.name,
      type: this.behaviour.type === 'supervisor' ? 'supervisor' : 'worker',
      restarts: this.parent?.behaviour.restartsOf(this) ?? 0,
      mailbox: this.mailbox.length,
      handled: this.handled,
      children: this.behaviour.children(),
    };
  }

  private turn(): boolean {
    // A port called by a handler may move a virtual clock and so run the host: what came in waits for the outer turn.
    if (this.running) return false;
    this.running = true;
    try {
      return this.drain();
    } finally {
      this.running = false;
    }
  }

  /** True when there is more to do than one turn allows. */
  private drain(): boolean {
    const { clock } = this.kernel;
    const endMs = clock.monotonicMs() + TURN_MS;
    for (let count = 0; this.alive; ) {
      try {
        if (!this.step()) break;
      } catch (error) {
        this.exit(errorReason(error));
        return false;
      }
      count += 1;
      if (count >= TURN_MESSAGES_MAX || clock.monotonicMs() >= endMs) break;
    }
    if (!this.alive) return false;
    if (this.mailbox.length === 0) this.fullReported = false;
    return this.signals.length > 0 || (!this.blocked && this.mailbox.length > 0);
  }

  /** Takes one thing to do. Exit signals come first. */
  private step(): boolean {
    const signal = this.signals.shift();
    if (signal !== undefined) {
      this.behaviour.signal(signal.from, signal.reason);
      return true;
    }
    if (this.blocked) return false;
    const envelope = this.mailbox.shift();
    if (envelope === undefined) return false;
    this.handled += 1;
    this.kernel.countHandled();
    this.behaviour.handle(envelope);
    return true;
  }
}
