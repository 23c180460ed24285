/**
 * The coordinator's part of every transaction begun on this node: runs the function, checks what it read, proposes its
 * writes in one round, decides, answers (storage.md §4).
 */
import type { DiscFailure, NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import { type Change, RecentCommit } from '../replication/recent-commits.ts';
import { Row } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { encodeValue } from '../term.ts';
import type { TransactionOptions } from '../types.ts';
import { checksOf, needsRound, participantsOf, tableLacking } from './checks.ts';
import { Kind, type Message, NoReason, NUMBERS_PER_INCARNATION, Vote, type WriteList } from './messages.ts';
import { callFunction, isInside } from './nesting.ts';
import { OpenCommits } from './open-commits.ts';
import {
  closedError,
  discFailed,
  doubtful,
  functionFailed,
  nestedError,
  noMore,
  outcomeUnknown,
  overloaded,
  participantOverloaded,
  pastDeadline,
} from './refusals.ts';
import { RemoteReader } from './remote-reader.ts';
import { isKeptElsewhere, tableOnNoDisc } from './replicas.ts';
import { RERUN, type RunOwner, type TransactionFunction, TransactionRun } from './run.ts';

const BACKOFF_FIRST_MS = 0.5;
const BACKOFF_MAX_MS = 50;
const VIEW_BACKOFF_MS = 10;

export class Coordinator implements RunOwner {
  readonly node: NodeState;
  readonly #runs = new Set<TransactionRun>();
  readonly #voting = new Map<number, TransactionRun>();
  readonly open: OpenCommits;
  readonly #remote: RemoteReader;
  #counter = 0;
  #inside: TransactionRun | undefined = undefined;

  constructor(node: NodeState) {
    this.node = node;
    this.open = new OpenCommits(node, (run) => {
      if (run.sync) this.#answerKept(run);
    });
    this.#remote = new RemoteReader(node);
  }

  get runningCount(): number {
    return this.#runs.size;
  }

  /** A number for one attempt, unique among all this node ever makes. */
  nextNumber(): number {
    this.#counter += 1;
    return this.node.incarnation * NUMBERS_PER_INCARNATION + this.#counter;
  }

  transaction(run: TransactionFunction, options: TransactionOptions, sync: boolean): Promise<unknown> {
    if (this.node.closed) return Promise.reject(closedError());
    if (this.#inside !== undefined || isInside(this)) return Promise.reject(nestedError());
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
    if (run.doomed || error === RERUN) return this.#again(run);
    this.fail(run, error instanceof StorageError ? error : functionFailed(error));
  }

  #returned(run: TransactionRun, value: unknown): void {
    if (run.doomed) return this.#again(run);
    run.value = value;
    this.#commit(run);
  }

  /** The run met a lock, or needs a row from elsewhere: wait for just that, then begin anew. */
  #again(run: TransactionRun): void {
    if (!this.#mayRerun(run)) return;
    if (run.toFetch !== undefined) {
      run.state = 'fetching';
      return this.#remote.fetch(run, run.toFetch);
    }
    run.state = 'waiting';
    const blocked = run.blockedOn;
    // An async function may get here when the lock it met is gone: nobody would wake it there.
    if (blocked === undefined || !blocked.table.locks.isInUse) return this.#later(run);
    if (blocked.token === undefined) blocked.table.locks.waitForTable(run);
    else blocked.table.locks.waitForRow(blocked.token, run);
  }

  #mayRerun(run: TransactionRun): boolean {
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
  #later(run: TransactionRun, leastMs = 0): void {
    run.state = 'waiting';
    const { clock, random } = this.node.environment;
    const limit = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(run.reruns, 10));
    run.timer = clock.after(leastMs + limit * (0.5 + random.next() / 2), () => {
      run.timer = undefined;
      run.retry();
      this.node.wake.drain();
    });
  }

  fail(run: TransactionRun, error: StorageError): void {
    this.node.statistics.failures += 1;
    this.#finish(run);
    run.reject(run.doubtful ? doubtful(error) : error);
  }

  #finish(run: TransactionRun): void {
    run.state = 'done';
    run.generation += 1;
    if (run.timer !== undefined) this.node.environment.clock.cancel(run.timer);
    this.#runs.delete(run);
  }

  // -- committing -----------------------------------------------------------------------------------------------------

  #commit(run: TransactionRun): void {
    if (!this.#readsHold(run)) return;
    if (!needsRound(run)) return this.#finishReading(run);
    const participants = this.#participants(run);
    if (participants === undefined || !this.#writesFree(run)) return;
    run.participants = participants;
    run.n = this.nextNumber();
    run.round = 0;
    run.version = this.node.hlc.tick();
    if (participants.length === 1) return this.#decide(run);
    this.#lock(run);
    this.#propose(run);
  }

  #finishReading(run: TransactionRun): void {
    this.node.statistics.commits += 1;
    this.#finish(run);
    run.resolve(run.value);
  }

  /** Every noted read still has its version and is not being written; otherwise the run begins anew. */
  #readsHold(run: TransactionRun): boolean {
    for (const { table, token, row, remote } of run.reads) {
      if (remote !== undefined) {
        // Lost since, it cannot say whether the row is still the same.
        if (!this.node.view.has(remote)) return this.#blocked(run, undefined, undefined);
        continue;
      }
      const writer = table.locks.writerOf(token);
      if (writer !== undefined) return this.#blocked(run, table, token);
      if (table.rows.get(token) !== row) return this.#blocked(run, undefined, undefined);
    }
    for (const { table, modifications } of run.tableReads) {
      if (table.locks.hasWriters) return this.#blocked(run, table, undefined);
      if (table.modifications !== modifications) return this.#blocked(run, undefined, undefined);
    }
    return true;
  }

  #blocked(run: TransactionRun, table: Table | undefined, token: Row['token'] | undefined): false {
    if (table === undefined) {
      // What was read has changed already; nothing to wait for.
      if (this.#mayRerun(run)) this.begin(run);
      return false;
    }
    run.blockedOn = { table, token };
    this.#again(run);
    return false;
  }

  /** Who must agree, or nothing when too few can: the run has failed then. */
  #participants(run: TransactionRun): NodeId[] | undefined {
    const { failure } = this.node.outbox;
    if (failure !== undefined && run.writes.some(({ table }) => table.onDisc)) {
      this.fail(run, discFailed(this.node, failure));
      return undefined;
    }
    try {
      return participantsOf(this.node, run);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.fail(run, error);
      return undefined;
    }
  }

  #writesFree(run: TransactionRun): boolean {
    for (const { table, token } of run.writes) {
      if (!table.held) continue;
      if (table.locks.frozenBy !== 0) return this.#blocked(run, table, undefined);
      const holder = table.locks.conflictForWrite(token, run);
      if (holder !== undefined) return this.#blocked(run, table, token);
    }
    return true;
  }

  #lock(run: TransactionRun): void {
    run.locked = true;
    for (const { table, token } of run.writes) if (table.held) table.locks.lockWrite(token, run);
    for (const { table, token, remote } of run.reads) if (remote === undefined) table.locks.lockRead(token, run);
    for (const { table } of run.tableReads) table.locks.lockTableRead(run);
  }

  #unlock(run: TransactionRun): void {
    run.locked = false;
    for (const { table, token } of run.writes) if (table.held) table.locks.unlockWrite(token, run);
    for (const { table, token, remote } of run.reads) if (remote === undefined) table.locks.unlockRead(token, run);
    for (const { table } of run.tableReads) table.locks.unlockTableRead(run);
  }

  #propose(run: TransactionRun): void {
    const { node } = this;
    node.environment.probe('commit.before_prepare');
    run.state = 'voting';
    run.sync ||= isKeptElsewhere(run);
    run.votes = new Set(run.participants);
    run.votes.delete(node.self);
    this.#voting.set(run.n, run);
    this.open.add(run);
    const writes: WriteList = [];
    for (const write of run.writes) {
      if (!write.deleted) write.bytes ??= encodeValue(write.value);
      writes.push(write.table.name, write.key, write.deleted ? null : write.bytes);
    }
    const checks = checksOf(run);
    const message: Message = [Kind.prepare, run.n, 0, run.age, run.version, run.sync, run.participants, writes, checks];
    for (const participant of run.votes) node.send(participant, message);
    node.environment.probe('commit.after_prepare_sent');
  }

  onVote(from: NodeId, n: number, round: number, vote: number, reason: number): void {
    const run = this.#voting.get(n);
    if (run === undefined || !run.participants.includes(from)) return;
    if (vote === Vote.no) return this.#refused(run, from, reason);
    if (round !== run.round) return;
    run.votes.delete(from);
    this.node.environment.probe('commit.vote_received');
    if (run.votes.size === 0) this.#decide(run);
  }

  #refused(run: TransactionRun, from: NodeId, reason: number): void {
    this.#abandon(run, from);
    this.node.environment.probe('commit.refused');
    if (reason === NoReason.overloaded) {
      return this.fail(run, participantOverloaded(this.node.nameOf(from)));
    }
    if (!this.#mayRerun(run)) return;
    if (reason === NoReason.stale) run.fetched = undefined;
    if (reason === NoReason.clock) return this.begin(run);
    // Who is in whose view is settled in the order of ticks, not of messages: no use in asking again at once.
    const isAboutView = reason === NoReason.view || reason === NoReason.notInView || reason === NoReason.frozen;
    this.#later(run, isAboutView ? VIEW_BACKOFF_MS : 0);
  }

  /** Takes a proposal back at everybody but the one who refused it. */
  #abandon(run: TransactionRun, except: NodeId | undefined): void {
    this.#voting.delete(run.n);
    this.open.remove(run);
    for (const participant of run.participants) {
      if (participant !== this.node.self && participant !== except) this.node.send(participant, [Kind.abort, run.n]);
    }
    this.#unlock(run);
  }

  // -- deciding ---------------------------------------------------------------------------------------------------------

  #decide(run: TransactionRun): void {
    const { node } = this;
    if (run.writes.length === 0) {
      if (run.state === 'voting') this.#abandon(run, undefined);
      return this.#finishReading(run);
    }
    const alone = run.participants.length === 1;
    run.state = 'deciding';
    this.#voting.delete(run.n);
    node.environment.probe('commit.decided');
    const { changes, onDisc } = this.#apply(run);
    run.unapplied.clear();
    // Locks were taken even if every other participant has been lost since.
    if (run.locked) this.#unlock(run);
    if (!alone) {
      node.recent.add(node.self, new RecentCommit(run.n, run.version, run.participants, changes));
      for (const participant of run.participants) {
        if (participant === node.self) continue;
        run.unapplied.add(participant);
        node.send(participant, [Kind.commit, run.n]);
      }
      node.environment.probe('commit.after_commit_sent');
    }
    node.statistics.commits += 1;
    if (alone && !onDisc) this.open.remove(run);
    if (onDisc) {
      run.unapplied.add(node.self);
      node.outbox.whenWritten(run, run.sync);
    } else if (!run.sync || alone) {
      this.#answer(run);
    }
  }

  #apply(run: TransactionRun): { changes: Change[]; onDisc: boolean } {
    const { node } = this;
    const changes: Change[] = [];
    let onDisc = false;
    for (const { table, key, token, value, deleted, bytes } of run.writes) {
      if (!table.held) continue;
      const row = deleted ? undefined : new Row(key, token, run.version, node.self, value, bytes);
      node.applyChange(table, key, token, row, run.version, node.self, run.participants, 'local');
      if (table.definition.replicas.size > 1) changes.push({ table, key, token, deleted });
      onDisc ||= table.onDisc;
    }
    return { changes, onDisc };
  }

  #answer(run: TransactionRun): void {
    if (run.state !== 'deciding') return;
    this.#finish(run);
    run.resolve(run.value);
  }

  /** All that were to keep the commit have it, or were lost before they said so. */
  #answerKept(run: TransactionRun): void {
    if (run.state !== 'deciding') return;
    const lost = tableOnNoDisc(run);
    if (lost === undefined) return this.#answer(run);
    this.fail(run, outcomeUnknown(lost));
  }

  /** The disc batch that holds this commit is safe, or has failed. */
  answerWritten(run: TransactionRun, failure: DiscFailure | undefined): void {
    if (failure !== undefined) {
      if (run.state !== 'deciding') return;
      // Not acknowledged here; other replicas may hold it, and then it comes back from them.
      return this.fail(run, discFailed(this.node, failure));
    }
    if (run.sync) run.keptBy.push(this.node.self);
    this.node.environment.probe('commit.on_disc');
    if (run.sync) return this.open.applied(run, this.node.self);
    this.#answer(run);
    this.open.written(run);
  }

  // -- nodes going ------------------------------------------------------------------------------------------------------

  /** Proposals that awaited the lost node are put again with the shorter list; commits no longer wait for it. */
  participantLost(lost: NodeId): void {
    this.#remote.nodeLost(lost, (run) => this.#later(run));
    for (const run of this.open.with(lost)) {
      if (run.state === 'voting') this.#shorten(run, lost);
      else this.#lostBeforeApplied(run, lost);
    }
    this.node.wake.drain();
  }

  #lostBeforeApplied(run: TransactionRun, lost: NodeId): void {
    if (run.unapplied.has(lost)) this.node.owe(lost, run.n);
    this.open.applied(run, lost);
  }

  #shorten(run: TransactionRun, lost: NodeId): void {
    run.participants = run.participants.filter((node) => node !== lost);
    if (run.writes.length === 0) {
      this.#abandon(run, undefined);
      if (this.#mayRerun(run)) this.#later(run);
      return;
    }
    run.doubtful = true;
    const lacking = tableLacking(run, run.participants);
    if (lacking !== undefined) {
      this.#abandon(run, undefined);
      return this.fail(run, outcomeUnknown(lacking));
    }
    run.round += 1;
    this.node.environment.probe('commit.shortened');
    run.votes = new Set(run.participants);
    run.votes.delete(this.node.self);
    if (run.votes.size === 0) return this.#decide(run);
    for (const participant of run.votes) {
      this.node.send(participant, [Kind.prepareAgain, run.n, run.round, run.participants]);
    }
  }

  // -- bounds -----------------------------------------------------------------------------------------------------------

  sweep(nowMs: number): void {
    for (const run of [...this.#runs]) {
      if (run.deadlineMs > nowMs || run.state === 'voting' || run.state === 'deciding') continue;
      this.fail(run, pastDeadline(run.state));
    }
  }

  isUndecided(n: number): boolean {
    return this.#voting.has(n);
  }

  /** Nothing proposed by this node is still undecided. */
  isQuiet(): boolean {
    return this.#voting.size === 0;
  }

  close(): void {
    for (const run of [...this.#runs]) {
      if (run.state === 'deciding') continue;
      if (run.state === 'voting') this.#abandon(run, undefined);
      this.fail(run, closedError());
    }
  }

  handle(from: NodeId, message: Message): boolean {
    switch (message[0]) {
      case Kind.vote:
        this.onVote(from, message[1] as number, message[2] as number, message[3] as number, message[4] as number);
        return true;
      case Kind.applied:
        this.open.onApplied(from, message[1] as number[]);
        return true;
      case Kind.read:
        this.#remote.onRead(from, message[1] as number, message[2] as string, message[3] as never);
        return true;
      case Kind.readReply:
        this.#remote.onReply(
          from,
          message,
          (run) => this.begin(run),
          (run) => this.#later(run),
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
