import { samePid } from './exit.ts';
import type { Linked } from './links.ts';
import type { Process } from './process.ts';
import type { ChildSpec, ExitReason, Pid, ProcessInfo } from './types.ts';

/** One child of a supervisor. It stays known while its process is gone, unless it is temporary. */
export interface Child {
  readonly spec: ChildSpec;
  process: Process | undefined;
  restarts: number;
  /** Why it could not be started again; the next try waits in the supervisor's mailbox. */
  startFailure: ExitReason | undefined;
}

/**
 * A supervisor's children in the order they are started. A dynamic supervisor has tens of thousands that come and go,
 * so nothing here that happens per child looks at the others.
 */
export class Children {
  private readonly list = new Set<Child>();
  private readonly byProcess = new Map<Linked, Child>();
  private readonly bySerial = new Map<number, Child>();
  private readonly failing = new Set<Child>();

  add(spec: ChildSpec): Child {
    const child: Child = { spec, process: undefined, restarts: 0, startFailure: undefined };
    this.list.add(child);
    return child;
  }

  remove(child: Child): void {
    this.gone(child);
    this.list.delete(child);
  }

  started(child: Child, process: Process): void {
    this.gone(child);
    child.process = process;
    this.byProcess.set(process, child);
    this.bySerial.set(process.pid.serial, child);
  }

  /** It has no process and is not waiting for another try either. */
  gone(child: Child): void {
    if (child.process !== undefined) {
      this.byProcess.delete(child.process);
      this.bySerial.delete(child.process.pid.serial);
    }
    child.process = undefined;
    child.startFailure = undefined;
    this.failing.delete(child);
  }

  /** It could not be started again and waits for the next try. */
  failed(child: Child, reason: ExitReason): void {
    this.gone(child);
    child.startFailure = reason;
    this.failing.add(child);
  }

  of(process: Linked | undefined): Child | undefined {
    return process === undefined ? undefined : this.byProcess.get(process);
  }

  withId(id: string): Child | undefined {
    for (const child of this.list) if (child.spec.id === id) return child;
    return undefined;
  }

  withPid(pid: Pid): Child | undefined {
    const child = this.bySerial.get(pid.serial);
    return child?.process !== undefined && samePid(child.process.pid, pid) ? child : undefined;
  }

  firstFailing(): Child | undefined {
    for (const child of this.failing) return child;
    return undefined;
  }

  get size(): number {
    return this.list.size;
  }

  all(): readonly Child[] {
    return [...this.list];
  }

  /** Those that were started after `child`. */
  after(child: Child): readonly Child[] {
    const all = this.all();
    return all.slice(all.indexOf(child) + 1);
  }

  info(): readonly ProcessInfo[] {
    return this.all().map((child) => child.process?.info() ?? absent(child));
  }
}

function absent(child: Child): ProcessInfo {
  return {
    pid: child.startFailure ? 'restarting' : 'undefined',
    id: child.spec.id,
    name: undefined,
    type: child.spec.type ?? 'worker',
    restarts: child.restarts,
    mailbox: 0,
    handled: 0,
    children: [],
  };
}
