import { assertName, errorReason, isReason } from './exit.ts';
import { WORKERS_PER_PROCESS_MAX } from './limits.ts';
import { type Linked, link } from './links.ts';
import type { Envelope } from './mailbox.ts';
import { ProcessMonitors } from './monitors.ts';
import { type Behaviour, type Kernel, Process } from './process.ts';
import { ProcessTimers } from './timers.ts';
import type { AnyGenServer, Effect, ExitReason, HostInfo, Next, ProcessInfo, WorkerSpec } from './types.ts';
import { spawnWorker } from './worker.ts';

export type StartOutcome =
  | { readonly ok: true; readonly process: Process }
  /** `process` is set when it still has to end before its siblings may be stopped. */
  | { readonly ok: false; readonly reason: ExitReason; readonly process?: Process };

/**
 * Starts the process of a gen-server: it is registered before `init`, so that `init` may tell others its name, and
 * linked to its supervisor after it, because a failing `init` is the answer to the start and not an exit of a child.
 */
export function spawnServer(kernel: Kernel, spec: WorkerSpec, parent: Process): StartOutcome {
  let server: ServerBehaviour | undefined;
  const process = new Process(
    kernel,
    { id: spec.id, parent, mailboxMax: spec.mailboxMax, mailboxPolicy: spec.mailboxPolicy },
    (self) => {
      server = new ServerBehaviour(self, spec.module);
      return server;
    },
  );
  const failure = nameTaken(process, spec.register) ?? server?.start(spec.args);
  if (failure !== undefined) {
    process.exit(failure, true);
    return { ok: false, reason: failure };
  }
  link(parent, process);
  return { ok: true, process };
}

/** Registers a name a specification asks for; the reason not to start when another process has it. */
export function nameTaken(process: Process, name: string | undefined): ExitReason | undefined {
  if (name === undefined) return undefined;
  const holder = process.register(name);
  if (holder === undefined) return undefined;
  return errorReason(
    new Error(`The name "${name}" belongs to process ${holder.pid.text} already. Names are unique on a node.`),
  );
}

/** Runs a module of pure functions: hands it one message at a time, keeps its state, carries out its effects. */
class ServerBehaviour implements Behaviour {
  readonly type = 'server';
  private readonly process: Process;
  private readonly module: AnyGenServer;
  private readonly timers: ProcessTimers;
  private readonly monitors: ProcessMonitors;
  private readonly workers = new Set<Process>();
  private state: unknown;
  private stopReason: ExitReason | undefined;

  constructor(process: Process, module: AnyGenServer) {
    this.process = process;
    this.module = module;
    this.timers = new ProcessTimers(process.kernel.timers, (name, generation, message) => {
      process.post({ kind: 'timeout', name, generation, message });
    });
    this.monitors = new ProcessMonitors((monitor, info) => {
      process.post({ kind: 'down', monitor, info });
    });
  }

  start(args: unknown): ExitReason | undefined {
    try {
      this.apply('init', this.module.init(args, this.process.context()));
    } catch (error) {
      return errorReason(error);
    }
    return this.stopReason;
  }

  handle(envelope: Envelope): void {
    try {
      this.dispatch(envelope);
    } catch (error) {
      this.terminate(errorReason(error));
      return;
    }
    if (this.stopReason !== undefined) this.terminate(this.stopReason);
  }

  /** A server takes its parent's word whatever it is; a stranger's `normal` means nothing, as in Erlang. */
  signal(from: Linked | undefined, reason: ExitReason): void {
    if (from === this.process.parent) this.terminate(reason);
    else if (from === undefined && reason !== 'normal') this.terminate(reason);
  }

  ended(): void {
    this.timers.cancelAll();
    this.monitors.releaseAll();
    for (const worker of [...this.workers]) worker.exit('shutdown');
    this.workers.clear();
  }

  children(): readonly ProcessInfo[] {
    return [...this.workers].map((worker) => worker.info());
  }

  restartsOf(): number {
    return 0;
  }

  private dispatch(envelope: Envelope): void {
    const { module, process, state } = this;
    switch (envelope.kind) {
      case 'call':
        this.apply('handleCall', module.handleCall(envelope.message, envelope.from, state, process.context()));
        break;
      case 'cast':
        this.apply('handleCast', module.handleCast(envelope.message, state, process.context()));
        break;
      case 'info':
        this.info(envelope.message);
        break;
      case 'timeout': {
        const { name, message } = envelope;
        if (this.timers.take(name, envelope.generation)) this.info({ type: 'timeout', name, message });
        break;
      }
      case 'down':
        if (this.monitors.take(envelope.monitor)) this.info(envelope.info);
        break;
      case 'host':
        this.info(envelope.info);
        break;
      case 'begin':
      case 'retry':
        throw new Error(`A server got the message "${envelope.kind}" of another kind of process.`);
    }
  }

  private info(message: unknown): void {
    this.apply('handleInfo', this.module.handleInfo(message, this.state, this.process.context()));
  }

  private apply(where: string, next: Next<unknown>): void {
    if (typeof next !== 'object' || next === null || !('state' in next)) {
      throw new TypeError(
        `${where} of "${this.process.id}" returned no state. Return { state } or { state, effects }.`,
      );
    }
    this.state = next.state;
    if (next.effects === undefined) return;
    for (const effect of next.effects) {
      // Killed by its own doing, through a port, while it handled the message: nothing of it takes effect any more.
      if (!this.process.alive) return;
      this.carryOut(effect);
    }
  }

  private carryOut(effect: Effect): void {
    const { router } = this.process.kernel;
    switch (effect.type) {
      case 'reply':
        router.reply(effect.to, effect.value);
        break;
      case 'send':
        router.send(effect.to, effect.message);
        break;
      case 'cast':
        router.cast(effect.to, effect.message);
        break;
      case 'startTimer':
        this.timers.start(effect.name, effect.delayMs, effect.message);
        break;
      case 'cancelTimer':
        this.timers.cancel(effect.name);
        break;
      case 'run':
        this.run(effect.name, effect.work);
        break;
      case 'monitor':
        assertName(effect.name, 'The name of a monitor');
        router.monitor(this.monitors, effect.target, effect.name);
        break;
      case 'demonitor':
        this.monitors.remove(effect.name);
        break;
      case 'log':
        this.process.kernel.log(effect.record);
        break;
      case 'stop':
        this.stop(effect.reason);
        break;
      default:
        throw new TypeError(`"${this.process.id}" asked for an unknown effect: ${JSON.stringify(effect)}.`);
    }
  }

  /** Takes effect after the other effects of the same message, so that a reply beside it is given. */
  private stop(reason: ExitReason): void {
    if (!isReason(reason)) {
      throw new TypeError(
        `"${this.process.id}" stops with something that is no exit reason: ${JSON.stringify(reason)}.`,
      );
    }
    this.stopReason ??= reason === 'kill' ? 'killed' : reason;
  }

  private run(name: string, work: Extract<Effect, { type: 'run' }>['work']): void {
    assertName(name, 'The name of a worker');
    if (this.workers.size >= WORKERS_PER_PROCESS_MAX) {
      throw new RangeError(
        `Worker "${name}" not started: ${WORKERS_PER_PROCESS_MAX} run for "${this.process.id}" already. Queue the work.`,
      );
    }
    const worker = spawnWorker(this.process, name, work, (info: HostInfo) => {
      this.workers.delete(worker);
      if (this.process.alive) this.process.post({ kind: 'host', info });
    });
    this.workers.add(worker);
  }

  /** Once, after the last message, never while one is handled: the only caller is this process's own turn. */
  private terminate(reason: ExitReason): void {
    let last = reason;
    try {
      if (this.process.alive) this.module.terminate?.(reason, this.state, this.process.context());
    } catch (error) {
      last = errorReason(error);
    }
    this.process.exit(last);
  }
}
