import type { Linked } from './links.ts';
import type { Process } from './process.ts';
import type { ChildSpec, ExitReason, ProcessInfo } from './types.ts';

/** One child of a supervisor. It stays known while its process is gone, unless it is temporary. */
export interface Child {
  readonly spec: ChildSpec;
  process: Process | undefined;
  restarts: number;
  /** Why it could not be started again; the next try waits in the supervisor's mailbox. */
  startFailure: ExitReason | undefined;
}

/** A supervisor's children in the order they are started. */
export class Children {
  private list: Child[] = [];
  private readonly byProcess = new Map<Linked, Child>();

  add(spec: ChildSpec): Child {
    const child: Child = { spec, process: undefined, restarts: 0, startFailure: undefined };
    this.list.push(child);
    return child;
  }

  remove(child: Child): void {
    this.gone(child);
    // The newest is looked for first: children added while it runs are the ones that come and go.
    const index = this.list.lastIndexOf(child);
    if (index >= 0) this.list.splice(index, 1);
  }

  started(child: Child, process: Process): void {
    child.process = process;
    child.startFailure = undefined;
    this.byProcess.set(process, child);
  }

  gone(child: Child): void {
    if (child.process !== undefined) this.byProcess.delete(child.process);
    child.process = undefined;
  }

  of(process: Linked | undefined): Child | undefined {
    return process === undefined ? undefined : this.byProcess.get(process);
  }

  byId(id: string): Child | undefined {
    return this.list.find((child) => child.spec.id === id);
  }

  bySerial(serial: number): Child | undefined {
    for (const child of this.byProcess.values()) if (child.process?.pid.serial === serial) return child;
    return undefined;
  }

  firstRestarting(): Child | undefined {
    return this.list.find((child) => child.startFailure !== undefined);
  }

  get size(): number {
    return this.list.length;
  }

  all(): readonly Child[] {
    return [...this.list];
  }

  /** Those that were started after `child`. */
  after(child: Child): readonly Child[] {
    return this.list.slice(this.list.indexOf(child) + 1);
  }

  info(): readonly ProcessInfo[] {
    return this.list.map((child) => child.process?.info() ?? absent(child));
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
