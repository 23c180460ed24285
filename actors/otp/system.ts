import type { Clock } from '../../storage/environment.ts';
import { CallTable } from './calls.ts';
import { checkSpec, shutdownOf } from './child-spec.ts';
import { assertName, describeDestination, ExitError, errorReason } from './exit.ts';
import { CALL_TIMEOUT_MS_DEFAULT } from './limits.ts';
import type { Kernel, Process } from './process.ts';
import type { ProcessHost } from './process-host.ts';
import { Registry } from './registry.ts';
import { RemoteNodes } from './remote.ts';
import { hostFault } from './reports.ts';
import { MessageRouter } from './router.ts';
import { spawnSupervisor } from './supervisor.ts';
import * as requests from './supervisor-requests.ts';
import { TimerService } from './timers.ts';
import type {
  ActorStatistics,
  ActorSystem,
  ActorSystemOptions,
  ChildSpec,
  DeadLetterCause,
  Destination,
  ExitReason,
  LogRecord,
  Pid,
  ProcessInfo,
  SupervisorSpec,
} from './types.ts';

interface Root {
  readonly spec: SupervisorSpec;
  readonly process: Process;
}

/** One node's processes, and what they share. */
export class NodeSystem implements ActorSystem, Kernel {
  readonly node: string;
  readonly clock: Clock;
  readonly host: ProcessHost;
  readonly registry = new Registry<Process>();
  readonly timers: TimerService;
  readonly calls: CallTable;
  readonly router: MessageRouter;
  private readonly options: ActorSystemOptions;
  private readonly incarnation: number;
  private readonly processes = new Map<number, Process>();
  private readonly roots: Root[] = [];
  /** Who waits for the end of a top process. */
  private readonly endings = new Map<Process, () => void>();
  private readonly remote: RemoteNodes | undefined;
  private readonly dead: Record<DeadLetterCause, number> = {
    noproc: 0,
    noconnection: 0,
    mailbox_full: 0,
    left_in_mailbox: 0,
    not_understood: 0,
  };
  private readonly leftovers: string[] = [];
  private serial = 0;
  private handled = 0;
  private workersAbandoned = 0;
  private logFailures = 0;
  /** For a debugger or a crash dump: there is no log left to tell it to. */
  lastLogFailure: unknown;
  private stopping: Promise<{ readonly leftovers: readonly string[] }> | undefined;
  private fatalReported = false;

  constructor(options: ActorSystemOptions, host: ProcessHost) {
    assertName(options.node, 'The name of a node');
    this.options = options;
    this.node = options.node;
    this.incarnation = options.incarnation ?? 0;
    if (!Number.isSafeInteger(this.incarnation) || this.incarnation < 0) {
      throw new RangeError(`Incarnation ${options.incarnation} is not a whole number. Pass the node's boot counter.`);
    }
    this.clock = options.clock;
    this.host = host;
    this.timers = new TimerService(options.clock);
    this.calls = new CallTable(this.timers);
    const outside: Pid = this.pid(0);
    this.router = new MessageRouter(this, this.processes, outside);
    host.onFault((error) => this.hostFailed(error));
    if (options.remote !== undefined) {
      this.remote = new RemoteNodes(this, options.remote, outside, (address) => this.router.find(address));
      this.router.remote = this.remote;
      this.remote.open();
    }
  }

  async start(spec: SupervisorSpec): Promise<Pid> {
    if (this.stopping !== undefined) throw new ExitError('shutdown', spec.id, 'Start of');
    checkSpec(spec);
    if (spec.type !== 'supervisor')
      throw new TypeError(`"${spec.id}" is not a supervisor. Only supervisors start at the top.`);
    const outcome = spawnSupervisor(this, spec, undefined);
    if (outcome.ok) {
      this.roots.push({ spec, process: outcome.process });
      return outcome.process.pid;
    }
    if (outcome.process !== undefined) await this.endOf(outcome.process);
    throw new ExitError(outcome.reason, spec.id, 'Start of');
  }

  whereis(name: string): Pid | undefined {
    return this.registry.whereis(name)?.pid;
  }

  send(to: Destination, message: unknown): void {
    this.router.send(to, message);
  }

  cast(to: Destination, message: unknown): void {
    this.router.cast(to, message);
  }

  call(to: Destination, message: unknown, timeoutMs = CALL_TIMEOUT_MS_DEFAULT): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.router.call(undefined, to, message, timeoutMs, (outcome) => {
        if (outcome.ok) resolve(outcome.value);
        else reject(new ExitError(outcome.reason, describeDestination(to)));
      });
    });
  }

  async startChild(supervisor: Destination, child: ChildSpec | { readonly args: unknown }): Promise<Pid> {
    return (await this.call(supervisor, requests.startChild(child), Number.POSITIVE_INFINITY)) as Pid;
  }

  async terminateChild(supervisor: Destination, child: string | Pid): Promise<void> {
    await this.call(supervisor, requests.terminateChild(child), Number.POSITIVE_INFINITY);
  }

  async restartChild(supervisor: Destination, id: string): Promise<Pid> {
    return (await this.call(supervisor, requests.restartChild(id), Number.POSITIVE_INFINITY)) as Pid;
  }

  async deleteChild(supervisor: Destination, id: string): Promise<void> {
    await this.call(supervisor, requests.deleteChild(id), Number.POSITIVE_INFINITY);
  }

  stop(): Promise<{ readonly leftovers: readonly string[] }> {
    this.stopping ??= this.stopAll();
    return this.stopping;
  }

  tree(): readonly ProcessInfo[] {
    return this.roots.map((root) => root.process.info());
  }

  statistics(): ActorStatistics {
    return {
      processes: this.processes.size,
      spawned: this.serial,
      handled: this.handled,
      callsPending: this.calls.pending,
      timersPending: this.timers.pending,
      deadLetters: { ...this.dead },
      lateReplies: this.calls.lateReplies,
      badFrames: this.remote?.badFrames ?? 0,
      workersAbandoned: this.workersAbandoned,
      logFailures: this.logFailures,
    };
  }

  exit(target: Destination, reason: ExitReason): void {
    this.router.exit(target, reason);
  }

  // What processes need: Kernel.

  nextPid(): Pid {
    this.serial += 1;
    return this.pid(this.serial);
  }

  started(process: Process): void {
    this.processes.set(process.pid.serial, process);
  }

  ended(process: Process, reason: ExitReason): void {
    this.processes.delete(process.pid.serial);
    const waiting = this.endings.get(process);
    if (waiting !== undefined) {
      this.endings.delete(process);
      waiting();
    }
    const index = this.roots.findIndex((root) => root.process === process);
    if (index < 0) return;
    this.roots.splice(index, 1);
    if (this.stopping === undefined) this.fatal(reason);
  }

  countHandled(): void {
    this.handled += 1;
  }

  countAbandonedWorker(): void {
    this.workersAbandoned += 1;
  }

  deadLetters(cause: DeadLetterCause, count: number): void {
    this.dead[cause] += count;
  }

  /** A log that fails must not take the process with it that had something to say. */
  log(record: LogRecord): void {
    try {
      this.options.log(record);
    } catch (error) {
      this.logFailures += 1;
      this.lastLogFailure = error;
    }
  }

  leftover(text: string): void {
    this.leftovers.push(text);
  }

  fatal(reason: ExitReason): void {
    if (this.fatalReported) return;
    this.fatalReported = true;
    try {
      this.options.onFatal(reason);
    } catch (error) {
      this.log(hostFault({ node: this.node, pid: this.pid(0) }, errorReason(error)));
    }
  }

  private pid(serial: number): Pid {
    return { node: this.node, serial, text: `<0.${serial}.0>`, incarnation: this.incarnation };
  }

  private hostFailed(error: unknown): void {
    const reason = errorReason(error);
    this.log(hostFault({ node: this.node, pid: this.pid(0) }, reason));
    this.fatal(reason);
  }

  private endOf(process: Process): Promise<void> {
    if (!process.alive) return Promise.resolve();
    return new Promise((resolve) => {
      this.endings.set(process, resolve);
    });
  }

  private async stopAll(): Promise<{ readonly leftovers: readonly string[] }> {
    this.leftovers.length = 0;
    for (const root of [...this.roots].reverse()) await this.stopRoot(root);
    for (const process of [...this.processes.values()].reverse()) {
      this.leftover(`${process.name ?? process.id} ${process.pid.text}`);
      process.exit('killed', true);
    }
    this.calls.failWhere(() => true, 'shutdown');
    this.host.close();
    return { leftovers: [...this.leftovers] };
  }

  private async stopRoot(root: Root): Promise<void> {
    const { process, spec } = root;
    const shutdown = shutdownOf(spec);
    const end = this.endOf(process);
    process.signal(undefined, shutdown === 'brutal_kill' ? 'kill' : 'shutdown');
    if (typeof shutdown === 'number') {
      const timer = this.timers.after(shutdown, () => {
        this.leftover(`${spec.id} ${process.pid.text}`);
        process.exit('killed', true);
      });
      await end;
      timer.cancel();
    } else {
      await end;
    }
  }
}
