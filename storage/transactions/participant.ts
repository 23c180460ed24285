/**
 * The participant's part: votes on what coordinators propose, keeps what it voted yes to until the outcome is known,
 * and settles with the other survivors what a lost coordinator left behind (storage.md §4, losing a node in the middle).
 */
import type { DiscFailure, NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { isNewer, Row } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import type { PromisedRow } from './guards.ts';
import { KnownLists } from './known-lists.ts';
import { isOlder } from './locker.ts';
import { Kind, type Message, NoReason, Outcome, type PrepareMessage, Vote } from './messages.ts';
import { Orphans } from './orphans.ts';
import { Applied, hasCome, isPast, Prepared } from './prepared.ts';
import type { PromisedProposal } from './promises.ts';
import { ProposalReader } from './proposals.ts';

/** How many refusals made to survivors are remembered per coordinator. */
const REFUSALS_MAX = 10_000;
/** A coordinator may have this many transactions prepared or waiting here. */
const PREPARED_MAX = 50_000;

export interface ParticipantHost {
  /** Whether this node, as coordinator, is still collecting votes for a number. */
  isUndecided(n: number): boolean;
  /** Takes a node out of the view. */
  exclude(member: NodeId): void;
}

export class Participant {
  readonly #node: NodeState;
  readonly #prepared = new Map<NodeId, Map<number, Prepared>>();
  readonly #orphans: Orphans;
  readonly #refused = new Map<NodeId, Set<number>>();
  readonly #applied = new Map<NodeId, Applied>();
  readonly #lists = new KnownLists();
  /** The last that was found to leave nobody out. */
  #whole: { definition: unknown; view: unknown; size: number; participants: unknown } | undefined;

  constructor(node: NodeState, host: ParticipantHost) {
    this.#node = node;
    this.#orphans = new Orphans(node, {
      ...host,
      prepared: this.#prepared,
      apply: (prepared, voters) => void this.#apply(prepared, voters),
      drop: (prepared) => void this.#drop(prepared),
      overtake: (prepared) => this.#overtake(prepared),
      unpack: (coordinator, promise) => this.#unpack(coordinator, promise),
      hold: (prepared) => this.#hold(prepared),
      refuseWaitingFor: (prepared) => this.#refuseWaitingFor(prepared),
      refuse: (coordinator, n, waiting) => this.#refuse(coordinator, n, waiting),
    });
  }

  get preparedCount(): number {
    let count = 0;
    for (const prepared of this.#prepared.values()) count += prepared.size;
    return count;
  }

  onPrepares(from: NodeId, message: PrepareMessage): void {
    const participants = this.#lists.get(message[1]);
    const nowMs = this.#node.environment.clock.monotonicMs();
    const all = new ProposalReader(message, this.#node.tables).all(
      (n, version, age, sync, writes, checks, isUnknown) =>
        new Prepared(this, from, participants, nowMs, n, version, age, sync, writes, checks, isUnknown),
    );
    for (const prepared of all) this.#onPrepare(from, prepared);
  }

  #onPrepare(from: NodeId, prepared: Prepared): void {
    if (!this.#node.view.has(from)) return this.#no(prepared, NoReason.notInView);
    // Its coordinator had to end it before the merge, and forgot it: nobody would ever end it here.
    if (prepared.hlc <= this.#node.mergedHlc) return this.#no(prepared, NoReason.clock);
    if (prepared.isUnknown) return this.#no(prepared, NoReason.notLoaded);
    if (this.#refused.get(from)?.has(prepared.n)) return this.#no(prepared, NoReason.conflict);
    let ofCoordinator = this.#prepared.get(from);
    if (ofCoordinator === undefined) {
      ofCoordinator = new Map();
      this.#prepared.set(from, ofCoordinator);
    }
    if (ofCoordinator.size >= PREPARED_MAX) return this.#no(prepared, NoReason.overloaded);
    ofCoordinator.set(prepared.n, prepared);
    this.#node.environment.probe('participant.before_vote');
    this.consider(prepared);
  }

  /** Promises of an earlier life of this process, its own proposals among them. */
  restore(): void {
    for (const { coordinator, promise } of this.#node.promises.restored) this.#hold(this.#unpack(coordinator, promise));
    this.#node.promises.restored = [];
  }

  #unpack(coordinator: NodeId, promise: PromisedProposal): Prepared {
    const nowMs = this.#node.environment.clock.monotonicMs();
    const { n, hlc, age, sync, participants, writes, checks, round, ballot, accepted } = promise;
    const prepared = new Prepared(this, coordinator, participants, nowMs, n, hlc, age, sync, writes, checks, false);
    prepared.isOfMajority = true;
    prepared.round = round;
    prepared.ballot = ballot;
    prepared.accepted = accepted;
    return prepared;
  }

  #hold(prepared: Prepared): void {
    const ofCoordinator = this.#prepared.get(prepared.node) ?? new Map<number, Prepared>();
    this.#prepared.set(prepared.node, ofCoordinator.set(prepared.n, prepared));
    this.#lock(prepared);
    prepared.state = 'orphaned';
  }

  /** Says yes, once the promise is where it has to be. */
  #promise(prepared: Prepared): void {
    const { promises } = this.#node;
    if (!promises.isNeeded(prepared.writes, true)) return this.#yes(prepared);
    prepared.isKept = false;
    promises.keep(prepared.node, prepared, (failure) => {
      prepared.isKept = failure === undefined;
      if (prepared.isKept && prepared.state === 'prepared') this.#yes(prepared);
    });
  }

  /** Votes, or lets the transaction wait for a younger one that stands in its way. */
  consider(prepared: Prepared): void {
    // Lost while it waited: nobody would hear this vote, so there must be no promise behind it.
    if (!this.#node.view.has(prepared.node)) return void this.#drop(prepared);
    const refusal = this.#obstacle(prepared);
    if (refusal === undefined) {
      this.#lock(prepared);
      this.#unreserve(prepared);
      prepared.state = 'prepared';
      this.#promise(prepared);
    } else if (refusal !== 'wait') {
      this.#no(prepared, refusal);
    } else if (!prepared.hasReserved) {
      // Where it does not wait younger ones could come and go for ever, and each stand in its way in turn.
      prepared.hasReserved = true;
      for (const { table, token } of prepared.writes) if (table.held) table.locks.reserve(token, prepared);
      this.#node.environment.probe('participant.waiting');
    }
  }

  #unreserve(prepared: Prepared): void {
    if (!prepared.hasReserved) return;
    prepared.hasReserved = false;
    for (const { table, token } of prepared.writes) if (table.held) table.locks.unreserve(token, prepared);
  }

  #yes({ node, n, round }: Prepared): void {
    if (round === 0) this.#node.outbox.sendNumber(node, Kind.yes, 0, n);
    else this.#node.send(node, [Kind.vote, n, round, Vote.yes, 0]);
    this.#node.environment.probe('participant.after_vote');
  }

  #no(prepared: Prepared, reason: NoReason): void {
    this.#unreserve(prepared);
    prepared.state = 'done';
    this.#prepared.get(prepared.node)?.delete(prepared.n);
    const refuse = (): void => {
      this.#node.send(prepared.node, [Kind.vote, prepared.n, prepared.round, Vote.no, reason]);
    };
    // A yes that is taken back must be gone for ever before the coordinator may count on it.
    if (this.#node.promises.forget(prepared.node, prepared.n)) this.#once(prepared.sync, refuse);
    else refuse();
    this.#node.environment.probe('participant.refused');
  }

  /** Once what was written in this turn is with the operating system, or on the medium. */
  #once(isSynced: boolean, act: () => void): void {
    const discDone = (failure: DiscFailure | undefined): void => {
      if (failure === undefined) act();
    };
    this.#node.outbox.whenWritten({ discDone }, isSynced);
  }

  #obstacle(prepared: Prepared): NoReason | 'wait' | undefined {
    for (const { table, token } of prepared.writes) {
      // Also of one that it does not hold: its coordinator may be past the merge by which this node will.
      if (table.locks.frozenBy !== 0) return NoReason.frozen;
      // Also of a table that this node holds no longer: the coordinator may not have heard where it went.
      if (this.#leavesOut(table, prepared.participants)) return NoReason.view;
      // The coordinator has not heard of it.
      if (table.definition.accessMode === 'read_only') return NoReason.view;
      if (!table.held) continue;
      if (!table.loaded) return NoReason.notLoaded;
      if (table.onDisc && this.#node.outbox.failure !== undefined) return NoReason.disc;
      const holder = table.locks.conflictForWrite(token, prepared);
      if (holder !== undefined) {
        // One that a majority is to settle may hold its rows for long.
        if (!isOlder(prepared, holder) || holder.outlivesMerges) return NoReason.conflict;
        // A lock on the whole table has no row to wait at: nobody would ever wake that place.
        if (table.locks.isHeld(token)) table.locks.waitForRow(token, prepared);
        else table.locks.waitForTable(prepared);
        return 'wait';
      }
      const row = table.rows.get(token);
      if (row !== undefined && !isNewer(prepared.hlc, prepared.node, row.hlc, row.node)) return NoReason.clock;
    }
    return prepared.checks.length === 0 ? undefined : this.#checkObstacle(prepared);
  }

  /**
   * Whether a replica this node runs with is not among `participants`. A commit made without it would leave two
   * replicas of one island different; the coordinator tries again until both agree who is lost.
   */
  #leavesOut({ definition }: Table, participants: readonly NodeId[]): boolean {
    const { view } = this.#node;
    const last = this.#whole;
    // A view only shrinks as it is; to grow it is replaced.
    if (
      last?.definition === definition &&
      last.participants === participants &&
      last.view === view &&
      last.size === view.size
    ) {
      return false;
    }
    for (const member of view) {
      if (definition.replicas.has(member) && !participants.includes(member)) return true;
    }
    this.#whole = { definition, view, size: view.size, participants };
    return false;
  }

  #checkObstacle(prepared: Prepared): NoReason | undefined {
    for (const { table, token, hlc, node, digest } of prepared.checks) {
      if (table.locks.frozenBy !== 0) return NoReason.frozen;
      if (!table.held) {
        // Others check it, unless its replicas have moved and the coordinator has not heard of it.
        if (!prepared.participants.some((holder) => table.definition.replicas.has(holder))) return NoReason.stale;
        continue;
      }
      if (!table.loaded) return NoReason.notLoaded;
      if (digest !== undefined) {
        if (table.locks.hasWritersBut(prepared)) return NoReason.conflict;
        if (table.digest.text !== digest) return NoReason.stale;
        continue;
      }
      const row = table.rows.get(token);
      if ((row?.hlc ?? 0) !== hlc || (row?.node ?? '') !== node) return NoReason.stale;
      const writer = table.locks.writerOf(token);
      if (writer !== undefined && writer !== prepared) return NoReason.conflict;
    }
    return undefined;
  }

  #lock(prepared: Prepared): void {
    for (const { table, token } of prepared.writes) if (table.held) table.locks.lockWrite(token, prepared);
    for (const { table, token, digest } of prepared.checks) {
      if (!table.held) continue;
      if (digest === undefined) table.locks.lockRead(token, prepared);
      else table.locks.lockTableRead(prepared);
    }
  }

  #unlock(prepared: Prepared): void {
    if (prepared.isGuarded) this.#orphans.tellOver(prepared);
    for (const { table, token } of prepared.writes) if (table.held) table.locks.unlockWrite(token, prepared);
    for (const { table, token, digest } of prepared.checks) {
      if (!table.held) continue;
      if (digest === undefined) table.locks.unlockRead(token, prepared);
      else table.locks.unlockTableRead(prepared);
    }
  }

  onPrepareAgain(from: NodeId, n: number, round: number, participants: NodeId[]): void {
    const prepared = this.#prepared.get(from)?.get(n);
    if (prepared === undefined) {
      // Settled here meanwhile without the coordinator: made, or given up.
      const made = this.#wasMade(from, n);
      this.#node.send(from, [Kind.vote, n, round, made ? Vote.yes : Vote.no, made ? 0 : NoReason.conflict]);
      return;
    }
    // Whoever settles it without the coordinator counts on what this node said so far.
    if (prepared.state === 'orphaned') return;
    prepared.round = round;
    prepared.participants = participants;
    if (prepared.state !== 'prepared') return;
    for (const { table } of prepared.writes) {
      if (!this.#leavesOut(table, participants)) continue;
      // The coordinator has not decided yet, so the yes can be taken back.
      this.#unlock(prepared);
      return this.#no(prepared, NoReason.view);
    }
    this.#promise(prepared);
  }

  onCommits(from: NodeId, message: Message): void {
    const prepared = this.#prepared.get(from);
    let decision = message[1] as number;
    for (let i = 2; i < message.length; i += 2) {
      const first = message[i] as number;
      const count = Math.min(message[i + 1] as number, PREPARED_MAX);
      for (let n = first; n < first + count; n++) this.#onCommit(from, n, decision++, prepared?.get(n));
    }
  }

  #onCommit(from: NodeId, n: number, decision: number, prepared: Prepared | undefined): void {
    if (prepared?.state === 'orphaned' && !prepared.isOfMajority && !this.#node.view.has(from)) {
      this.#orphans.made(prepared, from, [], prepared.participants);
      // Given up here, as below.
      this.#node.send(from, [Kind.exclude]);
    } else if (prepared?.state === 'prepared' || prepared?.state === 'orphaned') {
      const onDisc = this.#apply(prepared);
      this.appliedFrom(from).add(decision, prepared.sync && onDisc);
      this.#node.environment.probe('participant.after_apply');
    } else if (this.#wasMade(from, n)) {
      // Made here already, without the coordinator: it still waits to hear so.
      this.appliedFrom(from).add(decision, true);
    } else if (!this.#node.view.has(from)) {
      // Given up here: the coordinator must not count on this replica any more. A member's is from before it was met.
      this.#node.send(from, [Kind.exclude]);
    }
  }

  /** What this node has made of `coordinator`'s, told to it once it is on the medium. */
  appliedFrom(coordinator: NodeId): Applied {
    let applied = this.#applied.get(coordinator);
    if (applied === undefined) {
      applied = new Applied(this.#node, coordinator);
      this.#applied.set(coordinator, applied);
    }
    return applied;
  }

  #wasMade(coordinator: NodeId, n: number): boolean {
    return this.#node.recent.has(coordinator, n) || this.#node.promises.endOf(coordinator, n) === 'made';
  }

  /** The coordinator takes it back. `isAsked`: it must know that no majority can be found that makes it all the same. */
  onAbort(from: NodeId, n: number, isAsked: boolean): void {
    const prepared = this.#prepared.get(from)?.get(n);
    // Whoever settles it may have decided already.
    const isHeldFast =
      prepared?.accepted?.commit === true ||
      prepared?.handover !== undefined ||
      this.#node.promises.endOf(from, n) === 'overtaken';
    const wasOnDisc = prepared !== undefined && !isHeldFast && this.#takeBack(prepared);
    if (!isAsked) return;
    const outcome = isHeldFast ? Outcome.undecided : this.#wasMade(from, n) ? Outcome.committed : Outcome.unknown;
    if (outcome === Outcome.unknown) this.#refuse(from, n, undefined);
    const answer = (): void => this.#node.send(from, [Kind.aborted, n, outcome]);
    if (wasOnDisc) this.#once(prepared?.sync ?? false, answer);
    else answer();
  }

  /**
   * `voters`: those that are known to have voted yes, and so have seen the versions written. Tells whether any of it
   * goes to this node's disc.
   */
  #apply(prepared: Prepared, voters: readonly NodeId[] = prepared.participants): boolean {
    const node = this.#node;
    node.environment.probe('participant.before_apply');
    const { writes, hlc } = prepared;
    let onDisc = false;
    let isHeld = true;
    for (const write of writes) {
      const { table, key, token, bytes } = write;
      if (!table.held) {
        isHeld = false;
        continue;
      }
      onDisc ||= table.onDisc;
      // A dirty write came in between.
      if (table.isOvertaken(token, hlc, prepared.node)) continue;
      // A merge may have brought it since, or what came after it.
      if (prepared.state === 'orphaned' && isPast(node, prepared, write)) continue;
      const row = bytes === undefined ? undefined : new Row(key, token, hlc, prepared.node, undefined, bytes);
      node.applyChange(table, key, token, row, hlc, prepared.node, voters, 'remote');
    }
    if (!isHeld) prepared.changes = writes.filter(({ table }) => table.held);
    node.recent.add(prepared.node, prepared);
    if (prepared.isOfMajority) node.promises.ended(prepared.node, prepared, 'made');
    this.#unlock(prepared);
    prepared.state = 'done';
    this.#prepared.get(prepared.node)?.delete(prepared.n);
    return onDisc;
  }

  syncApplied(): void {
    for (const applied of this.#applied.values()) applied.sync();
  }

  /** What was promised to those who settle it holds on. */
  #takeBack(prepared: Prepared): boolean {
    const wasOnDisc = this.#drop(prepared);
    const { node, n, ballot } = prepared;
    if (ballot[0] > 0) this.#node.promises.vow(node, n, prepared, () => undefined);
    return wasOnDisc;
  }

  /** Tells whether anything of it has to leave the disc. */
  #drop(prepared: Prepared): boolean {
    this.#release(prepared);
    return this.#node.promises.forget(prepared.node, prepared.n);
  }

  #release(prepared: Prepared): void {
    this.#unreserve(prepared);
    if (prepared.state === 'prepared' || prepared.state === 'orphaned') this.#unlock(prepared);
    prepared.state = 'done';
    this.#prepared.get(prepared.node)?.delete(prepared.n);
  }

  #overtake(prepared: Prepared): void {
    const { promises } = this.#node;
    this.#release(prepared);
    promises.ended(prepared.node, prepared, hasCome(prepared) ? 'made' : 'overtaken');
    promises.linger(prepared.node, prepared.n);
  }

  // -- a coordinator is lost ----------------------------------------------------------------------------------------

  /** Its undecided transactions are settled among the survivors: all prepared means it may have said yes to its caller. */
  coordinatorLost(coordinator: NodeId): void {
    this.#refused.delete(coordinator);
    this.#applied.delete(coordinator);
    for (const prepared of [...(this.#prepared.get(coordinator)?.values() ?? [])]) {
      // Nobody is told anything by a transaction that only asks.
      if (prepared.state === 'waiting' || prepared.writes.length === 0) void this.#drop(prepared);
      else if (prepared.state === 'prepared') prepared.state = 'orphaned';
    }
    this.resolveOrphans();
  }

  /** "Never saw it" is a promise: should the prepare still arrive, the vote is no. */
  #refuse(coordinator: NodeId, n: number, waiting: Prepared | undefined): void {
    if (waiting !== undefined) this.#no(waiting, NoReason.conflict);
    let refused = this.#refused.get(coordinator);
    if (refused === undefined) {
      refused = new Set();
      this.#refused.set(coordinator, refused);
    }
    if (refused.size >= REFUSALS_MAX) refused.delete(refused.values().next().value as number);
    refused.add(n);
  }

  /** Called whenever the view shrank, and now and then. */
  resolveOrphans(): void {
    this.#orphans.resolveAll();
  }

  afterMerge(): void {
    this.#orphans.afterMerge();
  }

  promisedRows(): PromisedRow[] {
    return this.#orphans.promisedRows();
  }

  // -- bounds ----------------------------------------------------------------------------------------------------------

  /** An older transaction waits for a younger one, but not for ever. */
  sweep(nowMs: number): void {
    for (const prepared of this.#waiting()) {
      if (nowMs - prepared.sinceMs > this.#node.limits.lockWaitMs) this.#no(prepared, NoReason.conflict);
    }
  }

  /** A freeze begins: what only waits is sent back, what is prepared will be decided. */
  refuseWaiting(): void {
    for (const prepared of this.#waiting()) this.#no(prepared, NoReason.frozen);
  }

  #refuseWaitingFor(holder: Prepared): void {
    for (const prepared of this.#waiting()) {
      const isBehind = prepared.writes.some(
        ({ table, token }) => table.locks.conflictForWrite(token, prepared) === holder,
      );
      if (isBehind) this.#no(prepared, NoReason.conflict);
    }
  }

  #waiting(): Prepared[] {
    const all = [...this.#prepared.values()].flatMap((ofCoordinator) => [...ofCoordinator.values()]);
    return all.filter(({ state }) => state === 'waiting');
  }

  handle(from: NodeId, message: Message): boolean {
    switch (message[0]) {
      case Kind.prepare:
        this.onPrepares(from, message as unknown as PrepareMessage);
        return true;
      case Kind.commit:
        this.onCommits(from, message);
        return true;
      case Kind.abort:
        this.onAbort(from, message[1] as number, message[2] === true);
        return true;
      case Kind.prepareAgain:
        this.onPrepareAgain(from, message[1] as number, message[2] as number, message[3] as NodeId[]);
        return true;
      default:
        return this.#orphans.handle(from, message);
    }
  }
}
