import { checkSpec, restartLimitOf, restartOf } from './child-spec.ts';
import { ChildStopper } from './child-stopper.ts';
import { type Child, Children } from './children.ts';
import { describeReason, errorReason, isOrderly } from './exit.ts';
import { nameTaken, type StartOutcome, spawnServer } from './gen-server.ts';
import { CHILDREN_PER_SUPERVISOR_MAX } from './limits.ts';
import { type Linked, link } from './links.ts';
import type { Envelope } from './mailbox.ts';
import { type Behaviour, type Kernel, Process } from './process.ts';
import { childRestarted, intensityReached, startFailed } from './reports.ts';
import { RestartIntensity } from './restart-intensity.ts';
import { type ChildCount, type ChildRow, isSupervisorRequest, type SupervisorRequest } from './supervisor-requests.ts';
import type { ChildSpec, ExitReason, From, Pid, ProcessInfo, SupervisorSpec } from './types.ts';

/**
 * Starts a supervisor and, in order, its children. When one of them cannot start, those already started are stopped
 * in reverse order and the supervisor ends; that takes turns, so the outcome carries the process that still ends.
 */
export function spawnSupervisor(kernel: Kernel, spec: SupervisorSpec, parent: Process | undefined): StartOutcome {
  let supervisor: SupervisorBehaviour | undefined;
  const process = new Process(kernel, { id: spec.id, parent }, (self) => {
    supervisor = new SupervisorBehaviour(self, spec);
    return supervisor;
  });
  const taken = nameTaken(process, spec.register);
  if (taken !== undefined) {
    process.exit(taken, true);
    return { ok: false, reason: taken };
  }
  if (parent !== undefined) link(parent, process);
  const reason = supervisor?.start();
  return reason === undefined ? { ok: true, process } : { ok: false, reason, process };
}

class SupervisorBehaviour implements Behaviour {
  readonly type = 'supervisor';
  private readonly process: Process;
  private readonly spec: SupervisorSpec;
  private readonly kids = new Children();
  private readonly stopper: ChildStopper;
  private readonly intensity: RestartIntensity;
  /** Exit signals that came while children were being stopped, for afterwards. */
  private deferred: { readonly from: Linked | undefined; readonly reason: ExitReason }[] = [];

  constructor(process: Process, spec: SupervisorSpec) {
    this.process = process;
    this.spec = spec;
    this.stopper = new ChildStopper(process, (child) => this.kids.gone(child));
    this.intensity = new RestartIntensity(restartLimitOf(spec));
  }

  private get dynamic(): boolean {
    return this.spec.strategy === 'simple_one_for_one';
  }

  /** The reason when a child could not start; the supervisor then ends as soon as the others are stopped. */
  start(): ExitReason | undefined {
    if (this.dynamic) return undefined;
    for (const childSpec of this.spec.children) {
      const failure = this.startOne(this.kids.add(childSpec));
      if (failure === undefined) continue;
      const detail = {
        failedToStartChild: childSpec.id,
        reason: failure,
        text: `child "${childSpec.id}" failed to start: ${describeReason(failure)}`,
      };
      const reason: ExitReason = { type: 'shutdown', detail };
      this.stopAllAndExit(reason);
      return reason;
    }
    return undefined;
  }

  handle(envelope: Envelope): void {
    if (envelope.kind === 'retry') {
      const child = this.kids.firstFailing();
      if (child?.startFailure !== undefined) this.restart(child, child.startFailure);
    } else if (envelope.kind === 'call') {
      this.request(envelope.message, envelope.from);
    } else {
      this.process.kernel.deadLetters('not_understood', 1);
    }
  }

  signal(from: Linked | undefined, reason: ExitReason): void {
    if (this.stopper.exited(from)) return;
    if (this.stopper.busy) {
      this.deferred.push({ from, reason });
      return;
    }
    const child = this.kids.of(from);
    if (child !== undefined) this.childExited(child, reason);
    // A supervisor traps exits: only its parent's word ends it. The top one has no parent but the system.
    else if (from === this.process.parent && (from !== undefined || reason !== 'normal')) this.stopAllAndExit(reason);
  }

  /**
   * Children are gone by now unless the supervisor was killed. Then they are killed with it, before its parent hears
   * of it: the parent starts successors at once, and they need the names.
   */
  ended(): void {
    this.stopper.abandon();
    for (const child of [...this.kids.all()].reverse()) child.process?.exit('killed', true);
  }

  children(): readonly ProcessInfo[] {
    return this.kids.info();
  }

  restartsOf(process: Process): number {
    return this.kids.of(process)?.restarts ?? 0;
  }

  private childExited(child: Child, reason: ExitReason): void {
    this.kids.gone(child);
    const restart = restartOf(child.spec);
    if (restart === 'permanent' || (restart === 'transient' && !isOrderly(reason))) {
      this.restart(child, reason);
    } else if (restart === 'temporary' || this.dynamic) {
      this.kids.remove(child);
    }
  }

  private restart(child: Child, reason: ExitReason): void {
    const { kernel, pid } = this.process;
    if (!this.intensity.add(kernel.clock.monotonicMs())) {
      const { intensity, periodMs } = restartLimitOf(this.spec);
      kernel.log(intensityReached({ node: kernel.node, pid }, this.spec.id, intensity, periodMs));
      this.stopAllAndExit('shutdown');
      return;
    }
    child.restarts += 1;
    kernel.log(childRestarted({ node: kernel.node, pid }, child.spec.id, reason, child.restarts));
    switch (this.spec.strategy) {
      case 'one_for_one':
      case 'simple_one_for_one':
        this.startAgain([child]);
        break;
      case 'rest_for_one':
        this.stopAndStartAgain(this.kids.after(child), [child]);
        break;
      case 'one_for_all':
        this.stopAndStartAgain(
          this.kids.all().filter((other) => other !== child),
          [],
        );
        break;
    }
  }

  /** Stops `affected`, last first, then starts `first` and those of `affected` that may come back, in start order. */
  private stopAndStartAgain(affected: readonly Child[], first: readonly Child[]): void {
    this.stop(oneByOne(affected), () => {
      for (const child of affected) if (restartOf(child.spec) === 'temporary') this.kids.remove(child);
      const again = new Set([...first, ...affected]);
      const all = this.spec.strategy === 'one_for_all';
      this.startAgain(this.kids.all().filter((child) => all || again.has(child)));
    });
  }

  /**
   * A child that cannot be started again is tried anew as if it had crashed once more, by a message to itself: each
   * try counts, and between tries others have their turn.
   */
  private startAgain(list: readonly Child[]): void {
    for (const child of list) {
      if (child.process !== undefined) continue;
      const failure = this.startOne(child);
      if (failure === undefined) continue;
      const tryLater = (): void => {
        this.kids.failed(child, failure);
        this.process.post({ kind: 'retry' });
      };
      if (child.process === undefined) tryLater();
      else this.stop([[child]], tryLater);
      return;
    }
  }

  private startOne(child: Child): ExitReason | undefined {
    const { kernel, pid } = this.process;
    const outcome = this.spawn(child.spec);
    if (outcome.ok) {
      this.kids.started(child, outcome.process);
      return undefined;
    }
    // A supervisor below whose start failed still stops its own children: it is waited for like any other.
    if (outcome.process?.alive) this.kids.started(child, outcome.process);
    kernel.log(startFailed({ node: kernel.node, pid }, child.spec.id, outcome.reason));
    return outcome.reason;
  }

  private spawn(spec: ChildSpec): StartOutcome {
    try {
      return spec.type === 'supervisor'
        ? spawnSupervisor(this.process.kernel, spec, this.process)
        : spawnServer(this.process.kernel, spec, this.process);
    } catch (error) {
      return { ok: false, reason: errorReason(error) };
    }
  }

  /** While it waits for children it takes nothing but exit signals. */
  private stop(batches: readonly (readonly Child[])[], done: () => void): void {
    this.process.blocked = true;
    this.stopper.stop(batches, () => {
      done();
      if (this.stopper.busy || !this.process.alive) return;
      const { deferred } = this;
      this.deferred = [];
      this.process.postpone(deferred);
      this.process.unblock();
    });
  }

  /** Children of one pattern have no order among them, so they stop at the same time. */
  private stopAllAndExit(reason: ExitReason): void {
    const all = this.kids.all();
    this.stop(this.dynamic ? [all] : oneByOne(all), () => this.process.exit(reason, true));
  }

  private request(message: unknown, from: From): void {
    if (!isSupervisorRequest(message)) {
      this.refuse(from, `A supervisor understands startChild, terminateChild and the like, this is something else.`);
    } else if (from.pid.node !== this.process.kernel.node) {
      this.refuse(from, 'A supervisor takes requests from its own node only. Ask an actor there to do it.');
    } else {
      this.carryOut(message, from);
    }
  }

  private carryOut(request: SupervisorRequest, from: From): void {
    switch (request.type) {
      case 'startChild':
        this.startChild(request.child, from);
        break;
      case 'terminateChild':
        this.terminateChild(request.child, from);
        break;
      case 'restartChild':
        this.restartChild(request.id, from);
        break;
      case 'deleteChild':
        this.deleteChild(request.id, from);
        break;
      case 'whichChildren':
        this.reply(from, this.kids.all().map(toRow));
        break;
      case 'countChildren':
        this.reply(from, this.count());
        break;
    }
  }

  private startChild(wanted: ChildSpec | { readonly args: unknown }, from: From): void {
    let spec: ChildSpec;
    try {
      spec = this.dynamic ? this.fillPattern(wanted) : asSpec(wanted);
      checkSpec(spec);
    } catch (error) {
      this.process.kernel.router.refuse(from, errorReason(error));
      return;
    }
    if (this.kids.size >= CHILDREN_PER_SUPERVISOR_MAX) {
      this.refuse(from, `"${this.spec.id}" has ${CHILDREN_PER_SUPERVISOR_MAX} children already. Stop some first.`);
      return;
    }
    if (!this.dynamic && this.kids.withId(spec.id) !== undefined) {
      this.refuse(from, `"${this.spec.id}" has a child "${spec.id}" already. Use restartChild, or another id.`);
      return;
    }
    const child = this.kids.add(spec);
    this.startAsked(child, from, () => this.kids.remove(child));
  }

  private startAsked(child: Child, from: From, onFailure: () => void): void {
    const failure = this.startOne(child);
    if (failure === undefined) {
      this.reply(from, child.process?.pid);
      return;
    }
    const failed = (): void => {
      onFailure();
      this.process.kernel.router.refuse(from, failure);
    };
    if (child.process === undefined) failed();
    else this.stop([[child]], failed);
  }

  private fillPattern(wanted: ChildSpec | { readonly args: unknown }): ChildSpec {
    const pattern = this.spec.children[0];
    if (
      pattern === undefined ||
      typeof wanted !== 'object' ||
      wanted === null ||
      'id' in wanted ||
      !('args' in wanted)
    ) {
      throw new TypeError(`"${this.spec.id}" starts children of one pattern. Pass { args } and nothing else.`);
    }
    return pattern.type === 'supervisor' ? pattern : { ...pattern, args: wanted.args };
  }

  private terminateChild(which: string | Pid, from: From): void {
    const child = this.find(which);
    if (child === undefined || (this.dynamic && typeof which === 'string')) {
      this.refuse(from, `"${this.spec.id}" has no such child.${this.dynamic ? ' Name it by its pid.' : ''}`);
      return;
    }
    this.stop([[child]], () => {
      if (this.dynamic || restartOf(child.spec) === 'temporary') this.kids.remove(child);
      this.reply(from, 'ok');
    });
  }

  private restartChild(id: string, from: From): void {
    const child = this.stopped(id, from);
    if (child !== undefined) this.startAsked(child, from, () => this.kids.gone(child));
  }

  private deleteChild(id: string, from: From): void {
    const child = this.stopped(id, from);
    if (child === undefined) return;
    this.kids.remove(child);
    this.reply(from, 'ok');
  }

  /** A child that is known and not running, or the refusal. */
  private stopped(id: string, from: From): Child | undefined {
    const child = this.dynamic ? undefined : this.kids.withId(id);
    let problem: string | undefined;
    if (child === undefined) problem = `"${this.spec.id}" has no child "${id}".`;
    else if (child.process !== undefined) problem = `Child "${id}" is running. Use terminateChild first.`;
    else if (child.startFailure !== undefined) problem = `Child "${id}" is being restarted. Repeat later.`;
    if (problem === undefined) return child;
    this.refuse(from, problem);
    return undefined;
  }

  private find(which: string | Pid): Child | undefined {
    if (typeof which === 'string') return this.kids.withId(which);
    return this.kids.withPid(which);
  }

  private count(): ChildCount {
    const all = this.kids.all();
    const supervisors = all.filter((child) => child.spec.type === 'supervisor').length;
    return {
      specs: this.dynamic ? 1 : all.length,
      active: all.filter((child) => child.process !== undefined).length,
      supervisors,
      workers: all.length - supervisors,
    };
  }

  private reply(from: From, value: unknown): void {
    this.process.kernel.router.reply(from, value);
  }

  private refuse(from: From, problem: string): void {
    this.process.kernel.router.refuse(from, errorReason(new Error(problem)));
  }
}

function oneByOne(children: readonly Child[]): readonly (readonly Child[])[] {
  return children.map((child) => [child]).reverse();
}

function asSpec(wanted: ChildSpec | { readonly args: unknown }): ChildSpec {
  if (typeof wanted === 'object' && wanted !== null && 'id' in wanted) return wanted;
  throw new TypeError(
    'startChild needs a whole child specification with an id. Only simple_one_for_one takes { args }.',
  );
}

function toRow(child: Child): ChildRow {
  return {
    id: child.spec.id,
    pid: child.startFailure !== undefined ? 'restarting' : child.process?.pid,
    type: child.spec.type ?? 'worker',
    restart: restartOf(child.spec),
  };
}
