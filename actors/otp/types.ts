import type { Clock } from '../../storage/environment.ts';

/**
 * The shapes an actor is written with. An actor is a module of pure functions: state and message in, state and
 * effects out. The host (gen-server.ts, worker.ts, supervisor.ts, over nact-host.ts) turns effects into acts.
 */

/** `<0.n.0>`: n counts up in one node's life and is never used again. */
export interface Pid {
  readonly node: string;
  readonly serial: number;
  readonly text: string;
  /** Boot counter of its node, so that a pid of an earlier life is never taken for one of this life. Absent: 0. */
  readonly incarnation?: number;
}

/** A process: by pid, by a name registered here, or by a name registered on another node. */
export type Destination = Pid | string | { readonly name: string; readonly node: string };

export type ExitReason =
  | 'normal'
  | 'shutdown'
  | 'kill'
  | 'killed'
  | 'noproc'
  | 'noconnection'
  | { readonly type: 'shutdown'; readonly detail: unknown }
  | { readonly type: 'error'; readonly error: unknown };

/** Identifies one call; the answer goes back by it. */
export interface From {
  readonly pid: Pid;
  readonly callId: number;
}

export type LogLevel = 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';

/** One line of the event log before it has a time and a host: see actors/diagnostics/log-record.ts. */
export interface LogRecord {
  /** `replication`, `management`, `alarm`, `tvcs`, `httpd[15060]: web`; undefined for database processes. */
  readonly tag: string | undefined;
  /** Where UTCTime stands: module lines first, alarm and tvcs event lines last, the web line last without ms. */
  readonly utcTime: 'first' | 'last' | 'last-seconds';
  readonly level: LogLevel;
  /** In order, keys may repeat. `Node` and `PID` of the emitter are written here by the maker of the record. */
  readonly fields: readonly (readonly [key: string, value: string])[];
}

/** What an actor asks of its host. */
export type Effect =
  | { readonly type: 'reply'; readonly to: From; readonly value: unknown }
  | { readonly type: 'send'; readonly to: Destination; readonly message: unknown }
  | { readonly type: 'cast'; readonly to: Destination; readonly message: unknown }
  /** (Re)starts the timer `name` of this process; when due, handleInfo gets `{ type: 'timeout', name, message }`. */
  | { readonly type: 'startTimer'; readonly name: string; readonly delayMs: number; readonly message?: unknown }
  | { readonly type: 'cancelTimer'; readonly name: string }
  /**
   * Runs `work` in a short-lived worker process with a pid of its own. Its outcome comes back to handleInfo as
   * `{ type: 'worker', name, pid, ok: true, value }` or `{ …, ok: false, reason }`. The worker dies with this process.
   * Several of one name may run at once; their pids tell them apart.
   */
  | { readonly type: 'run'; readonly name: string; readonly work: (worker: WorkerContext) => unknown }
  | { readonly type: 'monitor'; readonly target: Destination; readonly name: string }
  | { readonly type: 'demonitor'; readonly name: string }
  | { readonly type: 'log'; readonly record: LogRecord }
  | { readonly type: 'stop'; readonly reason: ExitReason };

/**
 * What a worker's function may do. Once its process is dead (its owner stopped, it was killed) the function is left
 * behind: what it awaits from here never settles, what it sends goes nowhere.
 */
export interface WorkerContext {
  readonly self: Pid;
  /** Waits for a call's answer; rejects with the exit reason when the callee dies, at once. */
  call(to: Destination, message: unknown, timeoutMs?: number): Promise<unknown>;
  send(to: Destination, message: unknown): void;
  log(record: LogRecord): void;
  sleep(delayMs: number): Promise<void>;
}

/** What every function of an actor is given besides state and message. */
export interface ActorContext {
  readonly self: Pid;
  /** `clusterdb@<fqdn>` of this node. */
  readonly node: string;
  /** Wall clock, ms since the epoch, read once for this message. */
  readonly nowMs: number;
}

export interface Next<State> {
  readonly state: State;
  readonly effects?: readonly Effect[];
}

/** Info messages the host itself sends. */
export type HostInfo =
  | { readonly type: 'timeout'; readonly name: string; readonly message: unknown }
  | { readonly type: 'worker'; readonly name: string; readonly pid: Pid; readonly ok: true; readonly value: unknown }
  | {
      readonly type: 'worker';
      readonly name: string;
      readonly pid: Pid;
      readonly ok: false;
      readonly reason: ExitReason;
    }
  | { readonly type: 'DOWN'; readonly name: string; readonly pid: Pid | undefined; readonly reason: ExitReason };

/** A gen-server module. Functions are synchronous; a throw ends the process with `{ type: 'error', error }`. */
export interface GenServer<State, Args = undefined, Call = unknown, Cast = unknown, Info = unknown> {
  init(args: Args, context: ActorContext): Next<State>;
  handleCall(message: Call, from: From, state: State, context: ActorContext): Next<State>;
  handleCast(message: Cast, state: State, context: ActorContext): Next<State>;
  handleInfo(message: Info | HostInfo, state: State, context: ActorContext): Next<State>;
  /** Called once after the last message, never while one is handled. */
  terminate?(reason: ExitReason, state: State, context: ActorContext): void;
}

/** Any actor's module, as child specifications hold it. Each `GenServer<…>` fits without a cast. */
export type AnyGenServer = GenServer<unknown, unknown, unknown, unknown, unknown>;

export type RestartType = 'permanent' | 'transient' | 'temporary';
export type Strategy = 'one_for_one' | 'one_for_all' | 'rest_for_one' | 'simple_one_for_one';
/** `brutal_kill`, a limit in ms, or `infinity` (supervisors). */
export type Shutdown = 'brutal_kill' | 'infinity' | number;

export type MailboxPolicy = 'refuse' | 'drop_oldest';

export interface WorkerSpec {
  readonly id: string;
  readonly type?: 'worker';
  readonly module: AnyGenServer;
  readonly args?: unknown;
  /** Name to register, unique on the node. */
  readonly register?: string;
  readonly restart?: RestartType;
  readonly shutdown?: Shutdown;
  /** Messages the mailbox holds before senders are refused; default 10,000. Timeouts, DOWN and worker results always fit. */
  readonly mailboxMax?: number;
  /** At the bound: `refuse` the newest (default), or `drop_oldest`. A call that does not fit fails at once either way. */
  readonly mailboxPolicy?: MailboxPolicy;
}

export interface SupervisorSpec {
  readonly id: string;
  readonly type: 'supervisor';
  readonly strategy: Strategy;
  /** `simple_one_for_one`: exactly one, the pattern of those `startChild` adds; none is started with the supervisor. */
  readonly children: readonly ChildSpec[];
  /** At most `intensity` restarts within `periodMs`; default 1 in 5,000 ms, as OTP. */
  readonly intensity?: number;
  readonly periodMs?: number;
  readonly register?: string;
  readonly restart?: RestartType;
  readonly shutdown?: Shutdown;
}

export type ChildSpec = WorkerSpec | SupervisorSpec;

/** A row of the supervision tree as shown to people. */
export interface ProcessInfo {
  readonly pid: string;
  readonly id: string;
  readonly name: string | undefined;
  readonly type: 'worker' | 'supervisor';
  readonly restarts: number;
  readonly mailbox: number;
  readonly handled: number;
  readonly children: readonly ProcessInfo[];
}

/** What the actor system needs of the world; time, randomness and links come from storage's environment. */
export interface ActorSystemOptions {
  /** `clusterdb@<fqdn>`. */
  readonly node: string;
  /** Persisted boot counter of this node, carried by its pids. Default 0. */
  readonly incarnation?: number;
  readonly clock: Clock;
  /** Messages to actors on other nodes, addressed by node NAME. Absent: this node is alone. */
  readonly remote?: RemoteTransport;
  readonly log: (record: LogRecord) => void;
  /** Called when the top supervisor gave up or an invariant broke; the peer then ends itself. */
  readonly onFatal: (reason: ExitReason) => void;
}

/** FIFO while a link lasts. `down` is reported once per loss. */
export interface RemoteTransport {
  isUp(node: string): boolean;
  send(node: string, message: unknown): void;
  setHandlers(handlers: {
    up(node: string): void;
    down(node: string): void;
    message(node: string, message: unknown): void;
  }): void;
}

/** Counters of one system; all of them only grow, but `processes` and the two pending ones. */
export interface ActorStatistics {
  readonly processes: number;
  readonly spawned: number;
  readonly handled: number;
  readonly callsPending: number;
  readonly timersPending: number;
  /** Messages nobody got, by cause. */
  readonly deadLetters: Readonly<Record<DeadLetterCause, number>>;
  /** Answers to calls that had already failed or had been answered. */
  readonly lateReplies: number;
  /** Frames from other nodes that were malformed, too many or not allowed. */
  readonly badFrames: number;
  /** Functions of workers that still ran when their process died. */
  readonly workersAbandoned: number;
  /** Records the log port threw at. */
  readonly logFailures: number;
}

export type DeadLetterCause = 'noproc' | 'noconnection' | 'mailbox_full' | 'left_in_mailbox' | 'not_understood';

/** The running system, as the composition root and tests use it (actors/otp/index.ts: `startActorSystem`). */
export interface ActorSystem {
  readonly node: string;
  /** Starts a top supervisor. Rejects with an `ExitError` when a child could not start; its siblings are stopped then. */
  start(spec: SupervisorSpec): Promise<Pid>;
  whereis(name: string): Pid | undefined;
  send(to: Destination, message: unknown): void;
  cast(to: Destination, message: unknown): void;
  /** Rejects with an `ExitError` at once when the callee is not there or dies, or its node is lost; after `timeoutMs` (default 5,000, `Infinity` allowed) otherwise. */
  call(to: Destination, message: unknown, timeoutMs?: number): Promise<unknown>;
  /** Adds a child to a running supervisor; for `simple_one_for_one`, `{ args }` fills in the pattern. */
  startChild(supervisor: Destination, child: ChildSpec | { readonly args: unknown }): Promise<Pid>;
  /** Stops a child; its specification stays unless it is temporary or of a `simple_one_for_one`. */
  terminateChild(supervisor: Destination, child: string | Pid): Promise<void>;
  /** Starts a stopped child again. */
  restartChild(supervisor: Destination, id: string): Promise<Pid>;
  /** Forgets a stopped child. */
  deleteChild(supervisor: Destination, id: string): Promise<void>;
  /** Ordered shutdown, children last started first. Resolves with what had to be killed. */
  stop(): Promise<{ readonly leftovers: readonly string[] }>;
  tree(): readonly ProcessInfo[];
  statistics(): ActorStatistics;
  /** Sends an exit signal, as `exit(Pid, Reason)` does: `kill` cannot be trapped, `normal` is ignored. */
  exit(target: Destination, reason: ExitReason): void;
}
