import { describeDestination, ExitError, errorReason } from './exit.ts';
import { CALL_TIMEOUT_MS_DEFAULT } from './limits.ts';
import type { Linked } from './links.ts';
import type { Envelope } from './mailbox.ts';
import { type Behaviour, Process } from './process.ts';
import { assertDelay, type Timer } from './timers.ts';
import type { Destination, Effect, ExitReason, HostInfo, LogRecord, Pid, ProcessInfo, WorkerContext } from './types.ts';

type Work = Extract<Effect, { type: 'run' }>['work'];

/**
 * Starts the process of one `run` effect. It begins in a turn of its own, may wait, and ends with its function;
 * `outcome` is called exactly once, however it ends.
 */
export function spawnWorker(owner: Process, name: string, work: Work, outcome: (info: HostInfo) => void): Process {
  const worker = new Process(owner.kernel, { id: name, parent: owner }, (process) => {
    return new WorkerBehaviour(process, name, work, outcome);
  });
  worker.post({ kind: 'begin' });
  return worker;
}

class WorkerBehaviour implements Behaviour {
  readonly type = 'worker';
  private readonly process: Process;
  private readonly name: string;
  private readonly work: Work;
  private readonly outcome: (info: HostInfo) => void;
  private readonly sleeps = new Set<Timer>();
  private running = false;
  private result: { readonly value: unknown } | undefined;

  constructor(process: Process, name: string, work: Work, outcome: (info: HostInfo) => void) {
    this.process = process;
    this.name = name;
    this.work = work;
    this.outcome = outcome;
  }

  handle(envelope: Envelope): void {
    if (envelope.kind === 'begin') {
      this.begin();
      return;
    }
    this.process.kernel.deadLetters('not_understood', 1);
    if (envelope.kind === 'call') {
      const error = new Error(`Worker "${this.name}" takes no calls. Call the process it works for.`);
      this.process.kernel.router.refuse(envelope.from, errorReason(error));
    }
  }

  signal(_from: Linked | undefined, reason: ExitReason): void {
    if (reason !== 'normal') this.process.exit(reason);
  }

  ended(reason: ExitReason): void {
    for (const timer of this.sleeps) timer.cancel();
    this.sleeps.clear();
    if (this.running) this.process.kernel.countAbandonedWorker();
    const { name } = this;
    const { pid } = this.process;
    if (this.result === undefined) this.outcome({ type: 'worker', name, pid, ok: false, reason });
    else this.outcome({ type: 'worker', name, pid, ok: true, value: this.result.value });
  }

  children(): readonly ProcessInfo[] {
    return [];
  }

  restartsOf(): number {
    return 0;
  }

  private begin(): void {
    this.running = true;
    let value: unknown;
    try {
      value = this.work(new Context(this.process, this.sleeps));
    } catch (error) {
      this.fail(error);
      return;
    }
    if (isThenable(value)) {
      value.then(
        (settled) => this.finish(settled),
        (error) => this.fail(error),
      );
    } else {
      this.finish(value);
    }
  }

  private finish(value: unknown): void {
    this.running = false;
    if (!this.process.alive) return;
    this.result = { value };
    this.process.exit('normal');
  }

  private fail(error: unknown): void {
    this.running = false;
    this.process.exit(errorReason(error));
  }
}

/**
 * Nothing here settles for a dead process, as in Erlang nothing runs on after death: a rejection would wake loops that
 * try again for ever.
 */
class Context implements WorkerContext {
  readonly self: Pid;
  private readonly process: Process;
  private readonly sleeps: Set<Timer>;

  constructor(process: Process, sleeps: Set<Timer>) {
    this.self = process.pid;
    this.process = process;
    this.sleeps = sleeps;
  }

  call(to: Destination, message: unknown, timeoutMs = CALL_TIMEOUT_MS_DEFAULT): Promise<unknown> {
    const { process } = this;
    const answer = new Promise<unknown>((resolve, reject) => {
      if (!process.alive) return;
      process.kernel.router.call(process, to, message, timeoutMs, (outcome) => {
        if (outcome.ok) resolve(outcome.value);
        else reject(new ExitError(outcome.reason, describeDestination(to)));
      });
    });
    // A worker that starts a call and ends before it looks at the answer must not end the program by its rejection.
    answer.catch(() => undefined);
    return answer;
  }

  send(to: Destination, message: unknown): void {
    if (this.process.alive) this.process.kernel.router.send(to, message);
  }

  log(record: LogRecord): void {
    if (this.process.alive) this.process.kernel.log(record);
  }

  sleep(delayMs: number): Promise<void> {
    const slept = new Promise<void>((resolve) => {
      if (!this.process.alive) return;
      assertDelay(delayMs, `The sleep of worker "${this.process.id}"`);
      const timer = this.process.kernel.timers.after(delayMs, () => {
        this.sleeps.delete(timer);
        resolve();
      });
      this.sleeps.add(timer);
    });
    slept.catch(() => undefined);
    return slept;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
