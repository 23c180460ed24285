/**
 * The coordinator's part of a commit: checks what the function read, proposes its writes in one round, decides, tells
 * the others, and answers (storage.md §4). What is decided here stays open until all have it (open-commits.ts).
 */
import type { DiscFailure, NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import { PARTICIPANT_BACKLOG_BYTES_MAX, TRANSACTION_BYTES_MAX } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import { type Change, RecentCommit } from '../replication/recent-commits.ts';
import { needsMajority } from '../schema/majorities.ts';
import { Row } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { encodeValue } from '../term.ts';
import { checksOf, needsRound, participantsOf, tableLacking } from './checks.ts';
import { Kind, type Message, NoReason, NUMBERS_PER_INCARNATION, Vote } from './messages.ts';
import { OpenCommits } from './open-commits.ts';
import { NO_BALLOT } from './promises.ts';
import { ProposalWriter } from './proposals.ts';
import { discFailed, outcomeUnknown, participantOverloaded, tooLarge } from './refusals.ts';
import { isKeptElsewhere, Reach, tableOnNoDisc } from './replicas.ts';
import type { TransactionRun } from './run.ts';
import { Withdrawals } from './withdrawals.ts';

/** What a write adds besides its value and a key of letters. */
const WRITE_BYTES = 16;
/** Who is in whose view is settled in the order of ticks, not of messages: no use in asking again at once. */
const VIEW_BACKOFF_MS = 10;

/** What becomes of a run that is not committed now, and of one that is. */
export interface RunKeeper {
  /** Waits for what `run.blockedOn` names, then begins anew. */
  again(run: TransactionRun): void;
  begin(run: TransactionRun): void;
  /** Begins anew once nobody else is writing the rows the last run met. */
  retry(run: TransactionRun): void;
  /** Begins anew after a pause of at least `leastMs`. */
  later(run: TransactionRun, leastMs: number): void;
  /** Counts one more run; false when there may be none, and then it has failed. */
  mayRerun(run: TransactionRun): boolean;
  fail(run: TransactionRun, error: StorageError): void;
  /** Nothing more will happen to it but its answer. */
  finish(run: TransactionRun): void;
}

export class Committer {
  readonly open: OpenCommits;
  readonly #node: NodeState;
  readonly #keeper: RunKeeper;
  readonly proposals: ProposalWriter;
  readonly reach: Reach;
  readonly #withdrawals: Withdrawals;
  readonly #voting = new Map<number, TransactionRun>();
  #counter = 0;

  constructor(node: NodeState, keeper: RunKeeper) {
    this.#node = node;
    this.#keeper = keeper;
    this.open = new OpenCommits(node, (run) => this.#answerKept(run));
    this.proposals = new ProposalWriter(node.outbox);
    this.reach = new Reach(node);
    this.#withdrawals = new Withdrawals(node, (run) => {
      const table = run.writes.find((write) => needsMajority(write.table.definition))?.table as Table;
      this.#keeper.fail(run, outcomeUnknown(table));
    });
  }

  /** A number for one attempt, unique among all this node ever makes. */
  nextNumber(): number {
    this.#counter += 1;
    return this.#node.incarnation * NUMBERS_PER_INCARNATION + this.#counter;
  }

  /** Every commit of this node up to here is applied durably by all its participants. */
  get watermark(): number {
    let oldest = this.open.oldest;
    // Proposed in the order of their versions.
    for (const { version } of this.#voting.values()) {
      if (oldest === undefined || version < oldest) oldest = version;
      break;
    }
    return oldest === undefined ? this.#node.hlc.now() : oldest - 1;
  }

  isUndecided(n: number): boolean {
    return this.#voting.has(n);
  }

  /** Nothing proposed by this node is still undecided. */
  isQuiet(): boolean {
    return this.#voting.size === 0;
  }

  // -- proposing ------------------------------------------------------------------------------------------------------

  commit(run: TransactionRun): void {
    if (!this.#readsHold(run)) return;
    if (!needsRound(run)) return this.#finishReading(run);
    const participants = this.#participants(run);
    if (participants === undefined || !this.#writesFree(run)) return;
    if (participants.length > 1) {
      const bytes = encodedBytes(run);
      if (bytes > TRANSACTION_BYTES_MAX) return this.#keeper.fail(run, tooLarge(bytes));
    }
    const slow = this.#node.outbox.congested(participants, PARTICIPANT_BACKLOG_BYTES_MAX);
    if (slow !== undefined) return this.#keeper.fail(run, participantOverloaded(this.#node.nameOf(slow)));
    run.participants = participants;
    run.n = this.nextNumber();
    run.round = 0;
    run.version = this.#node.hlc.tick();
    run.isProposed = false;
    if (participants.length === 1) return this.#decide(run);
    this.#lock(run);
    this.#propose(run);
  }

  #finishReading(run: TransactionRun): void {
    this.#node.statistics.commits += 1;
    this.#keeper.finish(run);
    run.resolve(run.value);
  }

  /** Every noted read still has its version and is not being written; otherwise the run begins anew. */
  #readsHold(run: TransactionRun): boolean {
    for (const { table, token, row, remote } of run.reads) {
      if (remote !== undefined) {
        // Lost since, or without the replica, it cannot say whether the row is still the same.
        if (this.#node.view.has(remote) && table.definition.replicas.has(remote)) continue;
        run.fetched = undefined;
        return this.#blocked(run, undefined, undefined);
      }
      const writer = table.locks.writerOf(token);
      if (writer !== undefined) return this.#blocked(run, table, token);
      if (!table.held || table.rows.get(token) !== row) return this.#blocked(run, undefined, undefined);
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
      if (this.#keeper.mayRerun(run)) this.#keeper.begin(run);
      return false;
    }
    run.blockedOn = { table, token };
    this.#keeper.again(run);
    return false;
  }

  /** Who must agree, or nothing when too few can: the run has failed then. */
  #participants(run: TransactionRun): readonly NodeId[] | undefined {
    const { failure } = this.#node.outbox;
    if (failure !== undefined && run.writes.some(({ table }) => table.onDisc)) {
      this.#keeper.fail(run, discFailed(this.#node, failure));
      return undefined;
    }
    try {
      // Again: its function may have run before writing was forbidden.
      for (const { table } of run.writes) this.#node.checkWritable(table);
      const table = soleTable(run);
      if (table !== undefined) return this.reach.writersOf(table);
      return this.reach.list(participantsOf(this.#node, run));
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      if (!this.#isBeingEstablished(run)) this.#keeper.fail(run, error);
      else if (this.#keeper.mayRerun(run)) this.#keeper.later(run, VIEW_BACKOFF_MS);
      return undefined;
    }
  }

  /** Other replicas were made a moment ago, and the lists from before still count until all are known to have them. */
  #isBeingEstablished({ writes }: TransactionRun): boolean {
    return this.#node.schema.isSpreading && writes.some(({ table }) => table.definition.formers.length > 0);
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
    const node = this.#node;
    node.environment.probe('commit.before_prepare');
    run.state = 'voting';
    run.sync ||= isKeptElsewhere(run);
    run.missing = othersThan(node.self, run);
    run.isProposed = true;
    this.#voting.set(run.n, run);
    this.proposals.send(run, node.self);
    this.#promise(run);
    node.environment.probe('commit.after_prepare_sent');
  }

  /** Where a majority must agree, this node's own vote has to outlive its process, too. */
  #promise(run: TransactionRun): void {
    const { self, promises, wake } = this.#node;
    if (!promises.isNeeded(run.writes, false)) return;
    run.missing |= 1 << run.participants.indexOf(self);
    const { n, version: hlc, age, round, sync, participants, writes } = run;
    const ballots = { ballot: NO_BALLOT, accepted: undefined };
    const promise = { n, hlc, age, round, sync, participants, writes, checks: checksOf(run), ...ballots };
    promises.keep(self, promise, (failure) => {
      if (failure === undefined) this.#accepted(self, n, round);
      wake.drain();
    });
  }

  // -- votes ----------------------------------------------------------------------------------------------------------

  /** Yes to the first proposals of these numbers. */
  onYes(from: NodeId, message: Message): void {
    for (let i = 2; i < message.length; i += 2) {
      const first = message[i] as number;
      const count = Math.min(message[i + 1] as number, this.#counter);
      for (let n = first; n < first + count; n++) this.#accepted(from, n, 0);
    }
  }

  onVote(from: NodeId, n: number, round: number, vote: number, reason: number): void {
    if (vote === Vote.yes) return this.#accepted(from, n, round);
    const run = this.#voting.get(n);
    if (run?.participants.includes(from)) this.#refused(run, from, reason);
  }

  #accepted(from: NodeId, n: number, round: number): void {
    const run = this.#voting.get(n);
    if (run === undefined || run.round !== round) return;
    const place = run.participants.indexOf(from);
    if (place < 0) return;
    run.missing &= ~(1 << place);
    // It heard of the end of the proposals before this one first.
    run.promising?.delete(from);
    this.#node.environment.probe('commit.vote_received');
    if (run.missing === 0) this.#decide(run);
  }

  #refused(run: TransactionRun, from: NodeId, reason: number): void {
    run.promising?.delete(from);
    this.#abandon(run, from);
    this.#node.environment.probe('commit.refused');
    if (isOfMajority(run)) this.#withdrawals.begin(run, from, () => this.#afterRefusal(run, from, reason));
    else this.#afterRefusal(run, from, reason);
  }

  onAborted(from: NodeId, n: number, outcome: number): void {
    this.#withdrawals.onAborted(from, n, outcome);
  }

  sweep(): void {
    this.#withdrawals.sweep();
  }

  #afterRefusal(run: TransactionRun, from: NodeId, reason: number): void {
    if (reason === NoReason.overloaded) {
      return this.#keeper.fail(run, participantOverloaded(this.#node.nameOf(from)));
    }
    if (!this.#keeper.mayRerun(run)) return;
    if (reason === NoReason.stale) run.fetched = undefined;
    if (reason === NoReason.clock) return this.#keeper.begin(run);
    if (reason === NoReason.conflict && run.taken !== undefined) return this.#keeper.retry(run);
    const isAboutView = reason === NoReason.view || reason === NoReason.notInView || reason === NoReason.frozen;
    this.#keeper.later(run, isAboutView ? VIEW_BACKOFF_MS : 0);
  }

  /** The database closes: what is undecided is taken back, and nobody is waited for. */
  withdraw(run: TransactionRun): void {
    run.doubtful ||= isOfMajority(run);
    this.#abandon(run, undefined);
  }

  /** Takes a proposal back at everybody but the one who refused it. */
  #abandon(run: TransactionRun, except: NodeId | undefined): void {
    this.#voting.delete(run.n);
    run.isProposed = false;
    this.#node.promises.forget(this.#node.self, run.n);
    // Of a majority's proposal it is made sure that nobody can make it (see Withdrawals).
    const mayBeMade = run.writes.length > 0 && !isOfMajority(run);
    for (const participant of run.participants) {
      if (participant === this.#node.self || participant === except) continue;
      this.#node.send(participant, [Kind.abort, run.n]);
      if (mayBeMade) run.promising = (run.promising ?? new Map()).set(participant, run.n);
    }
    this.#unlock(run);
  }

  // -- deciding ---------------------------------------------------------------------------------------------------------

  #decide(run: TransactionRun): void {
    const node = this.#node;
    if (run.writes.length === 0) {
      if (run.state === 'voting') this.#abandon(run, undefined);
      return this.#finishReading(run);
    }
    const alone = run.participants.length === 1;
    run.state = 'deciding';
    this.#voting.delete(run.n);
    node.environment.probe('commit.decided');
    const onDisc = this.#apply(run);
    // Locks were taken even if every other participant has been lost since.
    if (run.locked) this.#unlock(run);
    if (run.isProposed) this.#publish(run, onDisc);
    node.statistics.commits += 1;
    if (onDisc) node.outbox.whenWritten(run, run.sync);
    else if (!run.sync || alone) this.#answer(run);
  }

  #apply(run: TransactionRun): boolean {
    const node = this.#node;
    let onDisc = false;
    for (const { table, key, token, value, deleted, bytes } of run.writes) {
      if (!table.held) continue;
      onDisc ||= table.onDisc;
      // A dirty write came in between.
      if (table.isOvertaken(token, run.version, node.self)) continue;
      const row = deleted ? undefined : new Row(key, token, run.version, node.self, value, bytes);
      node.applyChange(table, key, token, row, run.version, node.self, run.participants, 'local');
    }
    return onDisc;
  }

  /** Tells the other participants, and remembers the commit until all have it. */
  #publish(run: TransactionRun, onDisc: boolean): void {
    const node = this.#node;
    run.decision = this.open.decide(run, onDisc);
    if (run.participants.length === 1) return;
    const commit = new RecentCommit(run.n, run.version, run.participants, changesOf(run));
    node.recent.add(node.self, commit);
    if (isOfMajority(run)) node.promises.ended(node.self, commit, 'made');
    for (const participant of run.participants) {
      if (participant !== node.self) node.outbox.sendNumber(participant, Kind.commit, run.decision, run.n);
    }
    node.environment.probe('commit.after_commit_sent');
  }

  #answer(run: TransactionRun): void {
    if (run.state !== 'deciding') return;
    this.#keeper.finish(run);
    run.resolve(run.value);
  }

  /** All that were to keep the commit have it, or were lost before they said so. */
  #answerKept(run: TransactionRun): void {
    if (run.state !== 'deciding') return;
    const lost = tableOnNoDisc(run);
    if (lost === undefined) return this.#answer(run);
    this.#keeper.fail(run, outcomeUnknown(lost));
  }

  /** The disc batch that holds this commit is safe, or has failed. */
  answerWritten(run: TransactionRun, failure: DiscFailure | undefined): void {
    if (failure !== undefined) {
      if (run.state !== 'deciding') return;
      // Not acknowledged here; other replicas may hold it, and then it comes back from them.
      return this.#keeper.fail(run, discFailed(this.#node, failure));
    }
    this.#node.environment.probe('commit.on_disc');
    if (!run.sync) return this.#answer(run);
    if (run.isProposed) return this.open.acknowledge(this.#node.self, run.decision);
    run.keptBy.push(this.#node.self);
    this.#answerKept(run);
  }

  // -- nodes going ------------------------------------------------------------------------------------------------------

  /** Proposals that awaited the lost node are put again with the shorter list; commits no longer wait for it. */
  participantLost(lost: NodeId): void {
    this.open.lost(lost, (n) => this.#node.owe(lost, n));
    for (const run of [...this.#voting.values()]) if (run.participants.includes(lost)) this.#shorten(run, lost);
  }

  #shorten(run: TransactionRun, lost: NodeId): void {
    run.participants = run.participants.filter((node) => node !== lost);
    if (run.writes.length === 0) {
      this.#abandon(run, undefined);
      if (this.#keeper.mayRerun(run)) this.#keeper.later(run, 0);
      return;
    }
    run.doubtful = true;
    const lacking = tableLacking(this.#node, run, run.participants);
    if (lacking !== undefined) {
      this.#abandon(run, undefined);
      return this.#keeper.fail(run, outcomeUnknown(lacking));
    }
    run.round += 1;
    this.#node.environment.probe('commit.shortened');
    run.missing = othersThan(this.#node.self, run);
    this.#promise(run);
    if (run.missing === 0) return this.#decide(run);
    for (const participant of run.participants) {
      if (participant === this.#node.self) continue;
      this.#node.send(participant, [Kind.prepareAgain, run.n, run.round, run.participants]);
    }
  }
}

/** Encodes what is written, for the proposal, and tells about how much that is, up to a little more than is allowed. */
function encodedBytes({ writes }: TransactionRun): number {
  let bytes = 0;
  for (const write of writes) {
    bytes += WRITE_BYTES;
    if (typeof write.token === 'string') bytes += 2 * write.token.length;
    if (!write.deleted) {
      write.bytes ??= encodeValue(write.value);
      bytes += write.bytes.length;
    }
    if (bytes > TRANSACTION_BYTES_MAX) break;
  }
  return bytes;
}

/** A bit for each participant but `self`. */
function othersThan(self: NodeId, { participants }: TransactionRun): number {
  return (2 ** participants.length - 1) & ~(1 << participants.indexOf(self));
}

/**
 * The one loaded table a run of the common kind writes: nobody but its replicas has a say in it, and there is no majority
 * to ask for.
 */
function soleTable({ writes, reads }: TransactionRun): Table | undefined {
  const table = writes[0]?.table;
  if (table === undefined || !table.loaded || needsMajority(table.definition) || table.definition.deletedAt > 0)
    return undefined;
  for (let i = 1; i < writes.length; i++) if (writes[i]?.table !== table) return undefined;
  for (const { remote, majority } of reads) if (remote !== undefined || majority) return undefined;
  return table;
}

function isOfMajority({ writes }: TransactionRun): boolean {
  for (const { table } of writes) if (needsMajority(table.definition)) return true;
  return false;
}

/** What the others may have to be told of: writes to replicated tables held here. */
function changesOf({ writes }: TransactionRun): readonly Change[] {
  return writes.every(isShared) ? writes : writes.filter(isShared);
}

function isShared({ table }: Change): boolean {
  return table.held && table.definition.replicas.size > 1;
}
