/**
 * Transactions whose coordinator was lost before it said what became of them: the survivors settle them among each other
 * (storage.md §4, losing a node in the middle).
 */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import type { Table } from '../tables/table.ts';
import { keyToken } from '../term.ts';
import type { Key } from '../types.ts';
import { Kind, type Message, NUMBERS_PER_INCARNATION, Outcome } from './messages.ts';
import type { Prepared } from './prepared.ts';
import { hasMajority } from './replicas.ts';

/** How long a node that settles an orphan has, from each question on, ms. */
const PLEDGE_MS = 5000;

export interface OrphanHost {
  readonly prepared: ReadonlyMap<NodeId, ReadonlyMap<number, Prepared>>;
  /** Whether this node, as coordinator, is still collecting votes for a number. */
  isUndecided(n: number): boolean;
  /** Takes a node out of the view. */
  exclude(member: NodeId): void;
  apply(prepared: Prepared, voters?: readonly NodeId[]): void;
  drop(prepared: Prepared): void;
  /** Never saw it, and never will. */
  refuse(coordinator: NodeId, n: number, waiting: Prepared | undefined): void;
}

export class Orphans {
  readonly #node: NodeState;
  readonly #host: OrphanHost;

  constructor(node: NodeState, host: OrphanHost) {
    this.#node = node;
    this.#host = host;
  }

  /** Called whenever the view shrank, and now and then: a question may have gone to somebody lost meanwhile. */
  resolveAll(): void {
    for (const ofCoordinator of this.#host.prepared.values()) {
      for (const prepared of [...ofCoordinator.values()]) if (prepared.state === 'orphaned') this.#resolve(prepared);
    }
  }

  /** Whoever took part and can be reached is asked, in the view or not: the coordinator itself, if it is back. */
  #resolve(prepared: Prepared): void {
    if (this.#isFrozen(prepared)) return;
    const { self } = this.#node;
    const knowing = this.#knowing(prepared);
    // Of a promise that outlives the process the coordinator, back again, is one among those that hold it.
    const survivors = knowing.filter((node) => node !== prepared.node || prepared.isOfMajority);
    const leader = survivors.reduce((least, node) => (node < least ? node : least), self);
    if (leader !== self) {
      prepared.asked = undefined;
      this.#node.send(leader, this.#question(prepared));
      return this.#node.environment.probe('orphan.asked');
    }
    this.#lead(prepared, knowing);
  }

  #knowing({ participants }: Prepared): NodeId[] {
    return participants.filter((node) => node === this.#node.self || this.#node.isLinked(node));
  }

  #lead(prepared: Prepared, knowing: readonly NodeId[]): void {
    const { self } = this.#node;
    prepared.agreed = [];
    prepared.denied = [];
    prepared.asked = new Set(knowing.filter((node) => node !== self));
    if (prepared.asked.size === 0) return this.#allPrepared(prepared, [self]);
    for (const node of prepared.asked) this.#node.send(node, this.#question(prepared));
    this.#node.environment.probe('orphan.asked');
  }

  /** What outlives merges is not settled in the middle of one: the others count on what was reported. */
  #isFrozen(prepared: Prepared): boolean {
    return prepared.isOfMajority && prepared.writes.some(({ table }) => table.locks.frozenBy !== 0);
  }

  /**
   * After a merge: a row as new as the proposal, or another than the one it read, says that a majority has gone on, with
   * the transaction or without it; its rows have come with the merge or never will.
   */
  afterMerge(): void {
    for (const ofCoordinator of this.#host.prepared.values()) {
      for (const prepared of [...ofCoordinator.values()]) {
        if (prepared.outlivesMerges && this.#isOvertaken(prepared)) this.#host.drop(prepared);
      }
    }
  }

  #isOvertaken({ writes, checks, hlc }: Prepared): boolean {
    if (writes.some(({ table, token }) => (table.rows.get(token)?.hlc ?? 0) >= hlc)) return true;
    return checks.some(({ table, token, digest, hlc: met }) => {
      return table.held && digest === undefined && (table.rows.get(token)?.hlc ?? 0) !== met;
    });
  }

  /** Its first write goes along: a coordinator that has restarted since knows its own disc. */
  #question({ node, n, hlc, writes }: Prepared): Message {
    return [Kind.ask, node, n, writes[0]?.table.name, writes[0]?.key, hlc];
  }

  /**
   * Nobody asked knows the outcome: all hold it prepared, so the coordinator may have said yes to its caller. Where a
   * majority is needed to write, it is needed to settle too: until then the rows stay locked.
   */
  #allPrepared(prepared: Prepared, agreeing: readonly NodeId[]): void {
    if (prepared.isOfMajority) return this.#judge(prepared, agreeing);
    // Presumed: of the others nobody knows whether they voted for it.
    this.#settle(prepared, true, agreeing, [...agreeing, prepared.node]);
  }

  /**
   * A majority that holds it makes it; a majority of which one never promised, and never will, drops it: without that one
   * the coordinator cannot have decided. Fewer may not do either, and the rows stay locked.
   */
  #judge(prepared: Prepared, agreeing: readonly NodeId[]): void {
    if (!prepared.isKept) return;
    const { denied } = prepared;
    const heard = [...agreeing, ...denied];
    const tables = tablesOfMajority(prepared);
    for (const table of tables) if (!hasMajority(table, denied.length > 0 ? heard : agreeing)) return;
    if (denied.length > 0) return this.#settle(prepared, false, agreeing);
    for (const member of this.#leftOut(prepared)) this.#host.exclude(member);
    this.#settle(prepared, true, agreeing, [...agreeing, prepared.node]);
  }

  /** Replicas this node runs with by now that took no part in it. */
  #leftOut(prepared: Prepared): NodeId[] {
    const tables = [...tablesOfMajority(prepared)];
    const isLeftOut = (member: NodeId): boolean =>
      !prepared.participants.includes(member) && tables.some(({ definition }) => definition.replicas.has(member));
    return [...this.#node.view].filter(isLeftOut);
  }

  #settle(prepared: Prepared, commit: boolean, tell: readonly NodeId[], voters?: readonly NodeId[]): void {
    this.#node.environment.probe('orphan.before_settle');
    for (const node of tell) {
      if (node === this.#node.self) continue;
      this.#node.send(node, [Kind.resolve, prepared.node, prepared.n, commit, voters ?? prepared.participants]);
    }
    if (commit) this.#host.apply(prepared, voters);
    else this.#host.drop(prepared);
    this.#node.environment.probe('orphan.settled');
  }

  onAsk(from: NodeId, message: Message): void {
    const [, coordinator, n, table, key, version] = message as [number, NodeId, number, string, Key, number];
    let outcome: number = Outcome.unknown;
    if (this.#host.prepared.get(coordinator)?.get(n)?.outlivesMerges) {
      outcome = this.#pledged(from, this.#host.prepared.get(coordinator)?.get(n) as Prepared);
    } else if (coordinator === this.#node.self) {
      const isOwed = this.#node.owed.get(from)?.has(n) ?? false;
      outcome = isOwed ? Outcome.committed : this.#ownOutcome(n, table, key, version);
    } else if (this.#node.recent.has(coordinator, n)) {
      outcome = Outcome.committed;
    } else {
      const prepared = this.#host.prepared.get(coordinator)?.get(n);
      if (prepared?.state === 'orphaned') outcome = Outcome.prepared;
      // Still led by its coordinator here, which may yet have the yes taken back: no promise to others meanwhile.
      else if (prepared?.state === 'prepared') outcome = Outcome.undecided;
      else this.#host.refuse(coordinator, n, prepared);
      // Who asks has lost the coordinator only now: this node, asking before, was told to wait.
      if (prepared?.state === 'orphaned' && prepared.asked === undefined) this.#resolve(prepared);
    }
    this.#node.send(from, [Kind.tell, coordinator, n, outcome]);
  }

  /** One that leads is promised that nobody else is helped to settle it while its answer is awaited. */
  #pledged(from: NodeId, prepared: Prepared): number {
    const { self, environment } = this.#node;
    if (!prepared.isKept || this.#isFrozen(prepared)) return Outcome.undecided;
    if (from < self) {
      const nowMs = environment.clock.monotonicMs();
      const { pledge } = prepared;
      if (pledge !== undefined && pledge.to !== from && pledge.untilMs > nowMs && this.#node.isLinked(pledge.to)) {
        return Outcome.undecided;
      }
      prepared.pledge = { to: from, untilMs: nowMs + PLEDGE_MS };
      prepared.asked = undefined;
    } else if (prepared.asked === undefined) this.#resolve(prepared);
    return Outcome.prepared;
  }

  /** What this node decided as coordinator; of an earlier life only its disc can tell. */
  #ownOutcome(n: number, table: string, key: Key, version: number): number {
    if (this.#node.recent.has(this.#node.self, n)) return Outcome.committed;
    if (Math.floor(n / NUMBERS_PER_INCARNATION) !== this.#node.incarnation) {
      const row = this.#node.tables.get(table)?.rows.get(keyToken(key));
      return row?.hlc === version && row.node === this.#node.self ? Outcome.committed : Outcome.forgotten;
    }
    return this.#host.isUndecided(n) ? Outcome.undecided : Outcome.unknown;
  }

  onTell(from: NodeId, coordinator: NodeId, n: number, outcome: number): void {
    const prepared = this.#host.prepared.get(coordinator)?.get(n);
    if (prepared?.state !== 'orphaned') return;
    if (this.#isFrozen(prepared)) return;
    const others = prepared.participants.filter((node) => node !== this.#node.self && node !== from);
    if (outcome === Outcome.committed) return this.#takeCommitted(prepared, others);
    // The coordinator itself knows; of the others a majority must have been heard where one must agree.
    const isFinal = outcome === Outcome.unknown && (!prepared.isOfMajority || from === coordinator);
    if (isFinal) return this.#settle(prepared, false, others);
    const isEmpty = outcome === Outcome.unknown || outcome === Outcome.forgotten;
    // The one that was to settle it has nothing to settle.
    if (prepared.asked === undefined && isEmpty && prepared.isOfMajority) {
      return this.#lead(prepared, this.#knowing(prepared));
    }
    if (prepared.asked === undefined) return;
    // Somebody is still led by the coordinator, or is it: until it has spoken nobody else may.
    if (outcome === Outcome.undecided) prepared.asked = undefined;
    if (prepared.asked === undefined) return;
    prepared.asked.delete(from);
    (outcome === Outcome.prepared ? prepared.agreed : prepared.denied).push(from);
    if (prepared.asked.size === 0) this.#allPrepared(prepared, [this.#node.self, ...prepared.agreed]);
  }

  /** Where this node already runs with replicas that took no part, the rows come to all of them by the next merge. */
  #takeCommitted(prepared: Prepared, others: readonly NodeId[]): void {
    if (prepared.isOfMajority && this.#leftOut(prepared).length > 0) return;
    this.#settle(prepared, true, others);
  }

  /** An end is only good for those who were asked with the same list: a shorter one may have been decided since. */
  onResolve(coordinator: NodeId, n: number, commit: boolean, voters: NodeId[]): void {
    const prepared = this.#host.prepared.get(coordinator)?.get(n);
    if (prepared?.state !== 'orphaned' || this.#isFrozen(prepared)) return;
    if (!commit && voters.length !== prepared.participants.length) return;
    this.#settle(prepared, commit, [], voters);
  }

  handle(from: NodeId, message: Message): boolean {
    switch (message[0]) {
      case Kind.ask:
        this.onAsk(from, message);
        return true;
      case Kind.tell:
        this.onTell(from, message[1] as NodeId, message[2] as number, message[3] as number);
        return true;
      case Kind.resolve:
        this.onResolve(message[1] as NodeId, message[2] as number, message[3] as boolean, message[4] as NodeId[]);
        return true;
      default:
        return false;
    }
  }
}

/** Tables of which a majority must hold it: those it writes and, if there are any, those it read. */
function tablesOfMajority({ writes, checks }: Prepared): Set<Table> {
  const tables = new Set<Table>();
  for (const { table } of writes) if (table.definition.majority) tables.add(table);
  if (tables.size > 0) for (const { table } of checks) if (table.definition.majority) tables.add(table);
  return tables;
}
