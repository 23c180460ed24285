/**
 * Every transaction begun on this node: runs its function, again if it must, for as long as it may; hands it to the
 * committer once the function has returned (storage.md §4).
 */
import type { DiscFailure, NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import type { TransactionOptions } from '../types.ts';
import { Committer, type RunKeeper } from './committer.ts';
import { Confirmations } from './confirmations.ts';
import { Kind, type Message } from './messages.ts';
import { callFunction, isInside } from './nesting.ts';
import { closedError, functionFailed, nestedError, noMore, overloaded, pastDeadline } from './refusals.ts';
import { RemoteReader } from './remote-reader.ts';
import { RERUN, type RunOwner, type RunState, type TransactionFunction, TransactionRun } from './run.ts';

const BACKOFF_FIRST_MS = 0.5;
const BACKOFF_MAX_MS = 50;
/** Its outcome depends on others: their answers are waited for, and whoever is silent is lost in the end. */
const ENDING: ReadonlySet<RunState> = new Set(['voting', 'deciding', 'refusing']);

export class Coordinator implements RunOwner, RunKeeper {
  readonly node: NodeState;
  readonly #runs = new Set<TransactionRun>();
  readonly committer: Committer;
  readonly #remote: RemoteReader;
  readonly #confirmations: Confirmations;
  #inside: TransactionRun | undefined = undefined;

  constructor(node: NodeState) {
    this.node = node;
    this.committer = new Committer(node, this);
    this.#remote = new RemoteReader(node);
    this.#confirmations = new Confirmations(node, (run, error) => {
      this.finish(run);
      run.reject(error);
    });
  }

  get runningCount(): number {
    return this.#runs.size;
  }

  /** A transaction's function is being called. */
  get isInside(): boolean {
    return this.#inside !== undefined || isInside(this);
  }

  transaction(run: TransactionFunction, options: TransactionOptions, sync: boolean): Promise<unknown> {
    if (this.node.closed) return Promise.reject(closedError());
    if (this.isInside) return Promise.reject(nestedError());
    if (this.#runs.size >= this.node.limits.transactionsMax) return Promise.reject(overloaded(this.#runs.size));
    return new Promise((resolve, reject) => {
      const deadlineMs =
        this.node.environment.clock.monotonicMs() + (options.deadlineMs ?? this.node.limits.transactionDeadlineMs);
      const retries = options.retries ?? Number.POSITIVE_INFINITY;
      const begun = new TransactionRun(this, run, sync, retries, deadlineMs, resolve, reject);
      this.#runs.add(begun);
      this.begin(begun);
      this.node.wake.drain();
    });
  }

  // -- running the function -----------------------------------------------------------------------------------------

  begin(run: TransactionRun): void {
    run.state = 'running';
    run.reset();
    const outer = this.#inside;
    this.#inside = run;
    let result: unknown;
    try {
      result = callFunction(run);
    } catch (error) {
      this.#inside = outer;
      return this.#threw(run, error);
    }
    this.#inside = outer;
    if (isThenable(result)) return this.#awaitResult(run, result);
    this.#returned(run, result);
  }

  #awaitResult(run: TransactionRun, result: PromiseLike<unknown>): void {
    run.isAsync = true;
    const { generation } = run;
    result.then(
      (value) => {
        if (run.generation !== generation || run.state !== 'running') return;
        this.#returned(run, value);
        this.node.wake.drain();
      },
      (error) => {
        if (run.generation !== generation || run.state !== 'running') return;
        this.#threw(run, error);
        this.node.wake.drain();
      },
    );
  }

  #threw(run: TransactionRun, error: unknown): void {
    // A function that caught our signal and threw something else is still to be done again.
    if (run.doomed || error === RERUN) return this.again(run);
    this.fail(run, error instanceof StorageError ? error : functionFailed(error));
  }

  #returned(run: TransactionRun, value: unknown): void {
    if (run.doomed) return this.again(run);
    run.value = value;
    this.committer.commit(run);
  }

  /** The run met a lock, or needs a row from elsewhere: wait for just that, then begin anew. */
  again(run: TransactionRun): void {
    if (!this.mayRerun(run)) return;
    if (run.toFetch !== undefined) {
      run.state = 'fetching';
      return this.#remote.fetch(run, run.toFetch, (its, error) => this.fail(its, error));
    }
    run.state = 'waiting';
    const blocked = run.blockedOn;
    // An async function may get here when the lock it met is gone: nobody would wake it there.
    if (blocked === undefined || !blocked.table.locks.isInUse) return this.later(run, 0);
    if (blocked.token === undefined) blocked.table.locks.waitForTable(run);
    else blocked.table.locks.waitForRow(blocked.token, run);
  }

  /** A function called while a row it needs is being written would be called in vain: it mostly needs the same again. */
  retry(run: TransactionRun): void {
    const { taken } = run;
    if (taken === undefined) return this.begin(run);
    run.state = 'waiting';
    taken.table.locks.waitForRow(taken.token, run);
  }

  mayRerun(run: TransactionRun): boolean {
    run.reruns += 1;
    this.node.statistics.restarts += 1;
    if (this.node.closed) {
      this.fail(run, closedError());
      return false;
    }
    if (run.reruns <= run.retriesMax) return true;
    this.fail(run, noMore(run.reruns));
    return false;
  }

  /** After a while that grows with the number of runs, with some chance in it so that two do not dance. */
  later(run: TransactionRun, leastMs: number): void {
    run.state = 'waiting';
    const { clock, random } = this.node.environment;
    const limit = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(run.reruns, 10));
    run.timer = clock.after(leastMs + limit * (0.5 + random.next() / 2), () => {
      run.timer = undefined;
      run.retry();
      this.node.wake.drain();
    });
  }

  answerWritten(run: TransactionRun, failure: DiscFailure | undefined): void {
    this.committer.answerWritten(run, failure);
  }

  fail(run: TransactionRun, error: StorageError): void {
    this.node.statistics.failures += 1;
    this.#stopTimer(run);
    run.doubtful ||= run.state === 'withdrawing';
    this.#confirmations.refuse(run, error);
  }

  #stopTimer(run: TransactionRun): void {
    if (run.timer !== undefined) this.node.environment.clock.cancel(run.timer);
    run.timer = undefined;
  }

  finish(run: TransactionRun): void {
    run.state = 'done';
    run.generation += 1;
    this.#stopTimer(run);
    this.#runs.delete(run);
  }

  // -- nodes going ------------------------------------------------------------------------------------------------------

  participantLost(lost: NodeId): void {
    for (const run of this.#runs) if (run.promising?.has(lost)) run.doubtful = true;
    this.#confirmations.participantLost(lost);
    this.#remote.nodeLost(lost, (run) => this.later(run, 0));
    this.committer.participantLost(lost);
    this.node.wake.drain();
  }

  // -- bounds -----------------------------------------------------------------------------------------------------------

  sweep(nowMs: number): void {
    this.committer.sweep();
    this.#confirmations.sweep(nowMs);
    for (const run of [...this.#runs]) {
      if (run.deadlineMs <= nowMs && !ENDING.has(run.state)) this.fail(run, pastDeadline(this.node, run));
    }
  }

  close(): void {
    this.#confirmations.close();
    for (const run of [...this.#runs]) {
      if (run.state === 'deciding') continue;
      if (run.state === 'voting') this.committer.withdraw(run);
      this.fail(run, closedError());
    }
  }

  handle(from: NodeId, message: Message): boolean {
    switch (message[0]) {
      case Kind.yes:
        this.committer.onYes(from, message);
        return true;
      case Kind.vote: {
        const [, n, round, vote, reason] = message as number[] as [number, number, number, number, number];
        this.committer.onVote(from, n, round, vote, reason);
        return true;
      }
      case Kind.applied:
        this.committer.open.acknowledge(from, message[1] as number);
        return true;
      case Kind.aborted:
        this.#confirmations.onAborted(from, message[1] as number, message[2] as number);
        this.committer.onAborted(from, message[1] as number, message[2] as number);
        return true;
      case Kind.read:
        this.#remote.onRead(from, message[1] as number, message[2] as string, message[3] as never);
        return true;
      case Kind.readReply:
        this.#remote.onReply(
          from,
          message,
          (run) => this.begin(run),
          (run) => this.later(run, 0),
        );
        return true;
      default:
        return false;
    }
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
