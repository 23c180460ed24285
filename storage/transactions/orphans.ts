/**
 * Transactions whose coordinator was lost before it said what became of them: the survivors settle them among each other
 * (storage.md §4, losing a node in the middle). Where a majority must agree they do it otherwise: settlement.ts.
 */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { keyToken } from '../term.ts';
import type { Key } from '../types.ts';
import type { PromisedRow } from './guards.ts';
import { Kind, type Message, NUMBERS_PER_INCARNATION, Outcome } from './messages.ts';
import type { Prepared } from './prepared.ts';
import type { PromisedProposal } from './promises.ts';
import { Settlement } from './settlement.ts';

const NOBODY: readonly NodeId[] = [];

export interface OrphanHost {
  readonly prepared: ReadonlyMap<NodeId, ReadonlyMap<number, Prepared>>;
  /** Whether this node, as coordinator, is still collecting votes for a number. */
  isUndecided(n: number): boolean;
  apply(prepared: Prepared, voters?: readonly NodeId[]): void;
  drop(prepared: Prepared): void;
  /** It is not held any more, as newer rows have come, and whether it was made is not known. */
  overtake(prepared: Prepared): void;
  /** As it was promised, not held yet. */
  unpack(coordinator: NodeId, promise: PromisedProposal): Prepared;
  /** Takes its locks, which are free, and keeps it as an orphan. */
  hold(prepared: Prepared): void;
  /** Whoever waits for its rows to vote is sent back: what they hold meanwhile may be in its way elsewhere. */
  refuseWaitingFor(prepared: Prepared): void;
  /** Takes a node out of the view. */
  exclude(member: NodeId): void;
  /** Never saw it, and never will. */
  refuse(coordinator: NodeId, n: number, waiting: Prepared | undefined): void;
}

export class Orphans {
  readonly #node: NodeState;
  readonly #host: OrphanHost;
  readonly #settlement: Settlement;

  constructor(node: NodeState, host: OrphanHost) {
    this.#node = node;
    this.#host = host;
    this.#settlement = new Settlement(node, host);
  }

  /** Called whenever the view shrank, and now and then: a question may have gone to somebody lost meanwhile. */
  resolveAll(): void {
    for (const ofCoordinator of this.#host.prepared.values()) {
      for (const prepared of [...ofCoordinator.values()]) {
        if (prepared.state !== 'orphaned') continue;
        if (prepared.isOfMajority) this.#settlement.resolve(prepared);
        else this.#resolve(prepared);
      }
    }
  }

  /** Whoever took part and can be reached is asked, in the view or not: the coordinator itself, if it is back. */
  #resolve(prepared: Prepared): void {
    if (prepared.elsewhere !== undefined) return this.#askMembers(prepared);
    const { self } = this.#node;
    const knowing = prepared.participants.filter(
      (node) => node === self || (this.#node.isLinked(node) && !prepared.forgot.includes(node)),
    );
    const survivors = knowing.filter((node) => node !== prepared.node);
    const leader = survivors.reduce((least, node) => (node < least ? node : least), self);
    if (leader !== self) {
      prepared.asked = undefined;
      this.#node.send(leader, this.#question(prepared));
      return this.#node.environment.probe('orphan.asked');
    }
    prepared.agreed = NOBODY;
    prepared.asked = new Set(knowing.filter((node) => node !== self));
    if (prepared.asked.size === 0) return this.#allPrepared(prepared, [self]);
    for (const node of prepared.asked) this.#node.send(node, this.#question(prepared));
    this.#node.environment.probe('orphan.asked');
  }

  /** What outlives merges and was overtaken by this one is no longer held. */
  afterMerge(): void {
    for (const ofCoordinator of this.#host.prepared.values()) {
      for (const prepared of [...ofCoordinator.values()]) {
        if (!prepared.outlivesMerges) continue;
        // Its members were told of it in this merge.
        prepared.isGuarded = true;
        if (this.#settlement.afterMerge(prepared)) this.#host.overtake(prepared);
      }
    }
  }

  /** What the other members of a merge are to guard. */
  promisedRows(): PromisedRow[] {
    const rows: PromisedRow[] = [];
    for (const ofCoordinator of this.#host.prepared.values()) {
      for (const { outlivesMerges, writes, age, node } of ofCoordinator.values()) {
        if (outlivesMerges) for (const { table, key } of writes) rows.push([table.name, key, age, node]);
      }
    }
    return rows;
  }

  /** It is decided, or held no longer. */
  tellOver({ writes }: Prepared): void {
    const rows = writes.map(({ table, key }): [string, Key] => [table.name, key]);
    const { mergedHlc, self, view } = this.#node;
    for (const member of view) {
      if (member !== self) this.#node.send(member, [Kind.unguarded, mergedHlc, rows]);
    }
  }

  /** Its first write goes along: a coordinator that has restarted since knows its own disc. */
  #question({ node, n, hlc, writes }: Prepared): Message {
    return [Kind.ask, node, n, writes[0]?.table.name, writes[0]?.key, hlc];
  }

  /** Nobody asked knows the outcome: all hold it prepared, so the coordinator may have said yes to its caller. */
  #allPrepared(prepared: Prepared, agreeing: readonly NodeId[]): void {
    // Presumed: of the others nobody knows whether they voted for it.
    this.#settle(prepared, true, agreeing, [...agreeing, prepared.node]);
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

  /**
   * Somebody has made it. Where that is nobody this node runs with, a member of this island may have taken its vote back and
   * hold it no longer: two replicas of one island would differ. So the members are asked first, and whoever lacks it is let go;
   * it is given it when they meet again.
   */
  made(prepared: Prepared, from: NodeId, tell: readonly NodeId[], voters: readonly NodeId[]): void {
    if (this.#node.view.has(from)) return this.#settle(prepared, true, tell, voters);
    prepared.elsewhere ??= { tell, voters };
    this.#askMembers(prepared);
  }

  #askMembers(prepared: Prepared): void {
    const { elsewhere, state } = prepared;
    if (elsewhere === undefined || state !== 'orphaned') return;
    const members = this.#membersBut(prepared, elsewhere.voters);
    if (members.length === 0) return this.#settle(prepared, true, elsewhere.tell, elsewhere.voters);
    for (const member of members) this.#node.send(member, this.#question(prepared));
    this.#node.environment.probe('orphan.asked');
  }

  /** Who runs with this node, has a replica of what it writes, and is not known to have voted for it. */
  #membersBut({ writes }: Prepared, voters: readonly NodeId[]): NodeId[] {
    const { self, view } = this.#node;
    return [...view].filter(
      (member) =>
        member !== self &&
        !voters.includes(member) &&
        writes.some(({ table }) => table.definition.replicas.has(member)),
    );
  }

  #onMember(
    prepared: Prepared,
    { tell, voters }: NonNullable<Prepared['elsewhere']>,
    from: NodeId,
    outcome: number,
  ): void {
    if (outcome === Outcome.undecided || !this.#node.view.has(from)) return;
    if (outcome === Outcome.prepared || outcome === Outcome.committed) {
      prepared.elsewhere = { tell: [...tell, from], voters: [...voters, from] };
    } else this.#host.exclude(from);
    this.#askMembers(prepared);
  }

  #onAsk(from: NodeId, message: Message): void {
    const [, coordinator, n, table, key, version] = message as [number, NodeId, number, string, Key, number];
    let outcome: number = Outcome.unknown;
    if (coordinator === this.#node.self) {
      const isOwed = this.#node.owed.get(from)?.has(n) ?? false;
      outcome = isOwed ? Outcome.committed : this.#ownOutcome(n, table, key, version);
    } else if (this.#node.recent.has(coordinator, n)) {
      outcome = Outcome.committed;
    } else {
      const prepared = this.#host.prepared.get(coordinator)?.get(n);
      if (prepared?.state === 'orphaned') outcome = Outcome.prepared;
      // Still led by its coordinator here, which may yet have the yes taken back: no promise to others meanwhile.
      else if (prepared?.state === 'prepared') outcome = Outcome.undecided;
      else if (this.#node.view.has(from)) this.#host.refuse(coordinator, n, prepared);
      // What a node lacked that was let go is forgotten as soon as the others have it: made or not, it is not known here.
      else outcome = Outcome.forgotten;
      // Who asks has lost the coordinator only now: this node, asking before, was told to wait.
      if (prepared?.state === 'orphaned' && prepared.asked === undefined) this.#resolve(prepared);
    }
    this.#node.send(from, [Kind.tell, coordinator, n, outcome]);
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

  #onTell(from: NodeId, coordinator: NodeId, n: number, outcome: number): void {
    const prepared = this.#host.prepared.get(coordinator)?.get(n);
    if (prepared?.state !== 'orphaned' || prepared.isOfMajority) return;
    const others = prepared.participants.filter((node) => node !== this.#node.self && node !== from);
    // Whom the coordinator left out of the list before it decided has not voted, and this node may not have heard of it.
    const voters = [this.#node.self, from, prepared.node];
    if (prepared.elsewhere !== undefined) return this.#onMember(prepared, prepared.elsewhere, from, outcome);
    if (outcome === Outcome.committed) return this.made(prepared, from, others, voters);
    if (outcome === Outcome.unknown) return this.#settle(prepared, false, others);
    if (outcome === Outcome.forgotten) {
      prepared.forgot = [...prepared.forgot, from];
      if (prepared.asked === undefined) return this.#resolve(prepared);
    }
    if (prepared.asked === undefined) return;
    // Somebody is still led by the coordinator, or is it: until it has spoken nobody else may.
    if (outcome === Outcome.undecided) prepared.asked = undefined;
    if (prepared.asked === undefined) return;
    prepared.asked.delete(from);
    if (outcome === Outcome.prepared) prepared.agreed = [...prepared.agreed, from];
    if (prepared.asked.size === 0) this.#allPrepared(prepared, [this.#node.self, ...prepared.agreed]);
  }

  /** An end is only good for those who were asked with the same list: a shorter one may have been decided since. */
  #onResolve(from: NodeId, coordinator: NodeId, n: number, commit: boolean, voters: NodeId[]): void {
    const prepared = this.#host.prepared.get(coordinator)?.get(n);
    if (prepared?.state !== 'orphaned') return;
    if (prepared.isOfMajority) return this.#settlement.onResolve(prepared, from, commit, voters);
    if (commit) return this.made(prepared, from, [], voters);
    if (voters.length === prepared.participants.length) this.#settle(prepared, false, [], voters);
  }

  handle(from: NodeId, message: Message): boolean {
    switch (message[0]) {
      case Kind.unguarded:
        this.#node.guards.told(from, message[1] as number, message[2] as [string, Key][], this.#node.mergedHlc);
        return true;
      case Kind.ask:
        this.#onAsk(from, message);
        return true;
      case Kind.tell:
        this.#onTell(from, message[1] as NodeId, message[2] as number, message[3] as number);
        return true;
      case Kind.resolve: {
        const [, coordinator, n, commit, voters] = message as [number, NodeId, number, boolean, NodeId[]];
        this.#onResolve(from, coordinator, n, commit, voters);
        return true;
      }
      default:
        return this.#settlement.handle(from, message);
    }
  }
}
