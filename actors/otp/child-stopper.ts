import { shutdownOf } from './child-spec.ts';
import type { Child } from './children.ts';
import type { Linked } from './links.ts';
import type { Process } from './process.ts';
import { childKilled } from './reports.ts';
import type { Timer } from './timers.ts';

interface Job {
  /** Batches stop one after the other, the children of one batch at the same time. */
  readonly batches: (readonly Child[])[];
  readonly awaited: Map<Linked, { readonly child: Child; readonly timer: Timer | undefined }>;
  readonly done: () => void;
}

/**
 * Stops children of one supervisor in order: asks with an exit signal `shutdown`, waits as long as the child's
 * specification allows, kills what did not end by then. One job at a time.
 */
export class ChildStopper {
  private readonly supervisor: Process;
  private readonly gone: (child: Child) => void;
  private job: Job | undefined;

  constructor(supervisor: Process, gone: (child: Child) => void) {
    this.supervisor = supervisor;
    this.gone = gone;
  }

  get busy(): boolean {
    return this.job !== undefined;
  }

  stop(batches: readonly (readonly Child[])[], done: () => void): void {
    this.job = { batches: [...batches], awaited: new Map(), done };
    this.advance(this.job);
  }

  /** A linked process ended: true when this job waited for it. */
  exited(process: Linked | undefined): boolean {
    const { job } = this;
    const awaited = process === undefined ? undefined : job?.awaited.get(process);
    if (job === undefined || process === undefined || awaited === undefined) return false;
    job.awaited.delete(process);
    awaited.timer?.cancel();
    this.gone(awaited.child);
    this.advance(job);
    return true;
  }

  /** The supervisor itself was killed: nobody waits any longer. */
  abandon(): void {
    for (const { timer } of this.job?.awaited.values() ?? []) timer?.cancel();
    this.job = undefined;
  }

  private advance(job: Job): void {
    while (job.awaited.size === 0) {
      const batch = job.batches.shift();
      if (batch === undefined) {
        this.job = undefined;
        job.done();
        return;
      }
      for (const child of batch) this.ask(job, child);
    }
  }

  private ask(job: Job, child: Child): void {
    const { process } = child;
    if (process === undefined || !process.alive) {
      this.gone(child);
      return;
    }
    const shutdown = shutdownOf(child.spec);
    let timer: Timer | undefined;
    if (typeof shutdown === 'number') {
      timer = this.supervisor.kernel.timers.after(shutdown, () => this.expire(child, process, shutdown));
    }
    job.awaited.set(process, { child, timer });
    // Either way the end comes back as an exit signal, and the job goes on in the supervisor's own turn.
    if (shutdown === 'brutal_kill') process.exit('killed', true);
    else process.signal(this.supervisor, 'shutdown');
  }

  private expire(child: Child, process: Process, timeoutMs: number): void {
    const { kernel, pid } = this.supervisor;
    kernel.leftover(`${child.spec.id} ${process.pid.text}`);
    kernel.log(childKilled({ node: kernel.node, pid }, child.spec.id, timeoutMs));
    process.exit('killed', true);
  }
}
