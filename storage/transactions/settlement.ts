/**
 * What becomes of a transaction over tables with `majority` whose coordinator was lost. Two who settle it, each with some
 * of the replicas, must come to the same end, and to that of the coordinator if it had decided. So it is agreed on like a
 * single decree: the coordinator's proposal is the lowest ballot, and a yes to it an acceptance that only a promise to a
 * higher one ends. Whoever settles takes a higher ballot, hears from more than half of the replicas what they have
 * accepted, chooses what may have been decided already (settling.ts), has it accepted by more than half, and tells.
 */
import type { DiscFailure, NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { areEverybody, areMajority, listsOf, needsMajority } from '../schema/majorities.ts';
import type { Table } from '../tables/table.ts';
import { Handovers } from './handover.ts';
import { Kind, type Message, NUMBERS_PER_INCARNATION, Outcome } from './messages.ts';
import type { OrphanHost } from './orphans.ts';
import { hasCome, isPast, type Prepared } from './prepared.ts';
import { type Accepted, type Ballot, isLower, NO_BALLOT } from './promises.ts';
import { type Quorums, type Reply, Settling } from './settling.ts';

/** How long one try may take; and so long nobody else begins one where it was promised help, ms. */
const SETTLE_MS = 2000;

type BallotMessage = [
  kind: number,
  NodeId,
  n: number,
  moment: number,
  version: number,
  tables: string[],
  participants: NodeId[],
  tablesRead: string[],
];
type Told = [round: number, NodeId[], moment: number, by: NodeId, commit: boolean, counts: boolean];
type AcceptMessage = [kind: number, NodeId, n: number, moment: number, commit: boolean];

export class Settlement {
  readonly #node: NodeState;
  readonly #host: OrphanHost;
  readonly #handovers: Handovers;

  constructor(node: NodeState, host: OrphanHost) {
    this.#node = node;
    this.#host = host;
    this.#handovers = new Handovers(node, host);
  }

  /** Called when the coordinator is lost, and now and then while it is not settled. */
  resolve(prepared: Prepared): void {
    if (!prepared.isKept || prepared.isFrozen) return;
    if (prepared.handover !== undefined) return this.#handovers.goOn(prepared);
    const { settling } = prepared;
    if (settling !== undefined && this.#goesOn(prepared, settling)) return;
    if (prepared.state !== 'orphaned') return;
    if (this.#isHelping(prepared)) return;
    const { self } = this.#node;
    const leader = this.#reached(prepared.participants).reduce((least, node) => (node < least ? node : least), self);
    if (leader === self) this.#lead(prepared);
    else this.#ask(prepared, leader, NO_BALLOT);
    this.#node.environment.probe('orphan.asked');
  }

  /** Ends a try in which nothing more will be heard. */
  #goesOn(prepared: Prepared, settling: Settling): boolean {
    for (const node of settling.awaited) if (!this.#isReached(node)) settling.awaited.delete(node);
    const isLate = this.#node.environment.clock.monotonicMs() - settling.sinceMs >= SETTLE_MS;
    if (isLate && settling.choice === undefined) settling.awaited.clear();
    this.#consider(prepared, settling);
    if (!isLate) return prepared.settling === settling;
    prepared.settling = undefined;
    return false;
  }

  #isHelping({ ballot: [, by], helpedMs }: Prepared): boolean {
    const nowMs = this.#node.environment.clock.monotonicMs();
    return by !== this.#node.self && nowMs - helpedMs < SETTLE_MS && this.#node.isLinked(by);
  }

  #isReached(node: NodeId): boolean {
    return node === this.#node.self || this.#node.isLinked(node);
  }

  #reached(nodes: readonly NodeId[]): NodeId[] {
    return nodes.filter((node) => this.#isReached(node));
  }

  #ask(prepared: Prepared, node: NodeId, [moment]: Ballot): void {
    const written = prepared.writes.filter(({ table }) => needsMajority(table.definition));
    const names = [...new Set(written.map(({ table }) => table.name))];
    const read = [...tablesOfMajority(prepared)].map(({ name }) => name).filter((name) => !names.includes(name));
    this.#node.send(node, [
      Kind.ballot,
      prepared.node,
      prepared.n,
      moment,
      prepared.hlc,
      names,
      [...prepared.participants],
      read,
    ]);
  }

  // -- settling -------------------------------------------------------------------------------------------------------

  #lead(prepared: Prepared): void {
    const { self, environment, hlc } = this.#node;
    const ballot: Ballot = [hlc.tick(), self];
    const asked = this.#reached(electorate(prepared));
    const settling = new Settling(ballot, environment.clock.monotonicMs(), asked);
    prepared.ballot = ballot;
    prepared.settling = settling;
    for (const node of asked) if (node !== self) this.#ask(prepared, node, ballot);
    this.#keep(prepared, () => {
      if (prepared.settling === settling) this.#heard(prepared, settling, self, this.#own(prepared));
    });
  }

  /** On this node's disc first, where the promise is. */
  #keep(prepared: Prepared, kept: () => void): void {
    const { promises, wake } = this.#node;
    if (!promises.isNeeded(prepared.writes, prepared.node !== this.#node.self)) return kept();
    promises.keep(prepared.node, prepared, (failure) => {
      if (failure !== undefined || prepared.state !== 'orphaned' || prepared.isFrozen) return;
      kept();
      wake.drain();
    });
  }

  #heard(prepared: Prepared, settling: Settling, from: NodeId, reply: Reply): void {
    settling.awaited.delete(from);
    settling.replies.set(from, reply);
    this.#consider(prepared, settling);
  }

  #consider(prepared: Prepared, settling: Settling): void {
    if (settling.awaited.size > 0 || settling.choice !== undefined) return;
    const choice = settling.judge(quorumsOf(prepared, this.#node.retired));
    // Too few have met: its rows stay locked until more have.
    if (choice === undefined) prepared.settling = undefined;
    else this.#choose(prepared, settling, choice);
  }

  #choose(prepared: Prepared, settling: Settling, commit: boolean): void {
    const { self } = this.#node;
    settling.choice = commit;
    prepared.accepted = { ballot: settling.ballot, commit };
    const message: Message = [Kind.accept, prepared.node, prepared.n, settling.ballot[0], commit];
    for (const node of settling.sure()) if (node !== self) this.#node.send(node, message);
    this.#keep(prepared, () => this.#accepted(prepared, settling, self));
  }

  #accepted(prepared: Prepared, settling: Settling, from: NodeId): void {
    if (prepared.settling !== settling) return;
    settling.accepting.push(from);
    if (!settling.isDecided(quorumsOf(prepared, this.#node.retired))) return;
    const voters = [...settling.those('holds'), prepared.node];
    this.#end(prepared, settling.choice as boolean, [...settling.replies.keys()], voters);
  }

  #end(prepared: Prepared, commit: boolean, tell: readonly NodeId[], voters: readonly NodeId[]): void {
    if (commit) return this.#handovers.begin(prepared, tell, voters);
    prepared.settling = undefined;
    this.#node.environment.probe('orphan.before_settle');
    for (const node of tell) {
      if (node !== this.#node.self)
        this.#node.send(node, [Kind.resolve, prepared.node, prepared.n, false, [...voters]]);
    }
    this.#forsake(prepared);
    this.#node.environment.probe('orphan.settled');
  }

  /** Whoever settles it again must hear how it ended: who accepted otherwise, by a lower ballot, may still be there. */
  #forsake(prepared: Prepared): void {
    const { self, hlc, promises } = this.#node;
    this.#host.drop(prepared);
    const ballot: Ballot = [hlc.tick(), self];
    const vow = { hlc: prepared.hlc, participants: prepared.participants, ballot, accepted: { ballot, commit: false } };
    promises.vow(prepared.node, prepared.n, vow, () => undefined);
  }

  // -- being asked ----------------------------------------------------------------------------------------------------

  #onBallot(from: NodeId, message: BallotMessage): void {
    const [, coordinator, n, moment, hlc, tables, participants, read] = message;
    const prepared = this.#host.prepared.get(coordinator)?.get(n);
    if (prepared?.state === 'orphaned') return this.#promise(from, prepared, [moment, from]);
    const outcome = this.#outcomeOf(from, coordinator, n, hlc, tables);
    const counts = ![...tables, ...read].some((name) => this.#hasForgotten(this.#node.tables.get(name)));
    const vow = this.#node.promises.vowOf(coordinator, n);
    const accepted = vow?.accepted;
    const ballot: Ballot = [moment, from];
    const answer = (what: number): void => {
      const [at, by] = accepted?.ballot ?? NO_BALLOT;
      const told: unknown[] = [0, [], at, by, accepted?.commit ?? false, counts];
      this.#node.send(from, [Kind.balloted, coordinator, n, moment, what, ...told]);
    };
    if (outcome !== Outcome.unknown) return answer(outcome);
    if (vow !== undefined && moment > 0 && isLower(ballot, vow.ballot)) return answer(Outcome.undecided);
    // A yes that was taken back a moment ago may come back with the process until the disc has heard of it.
    const discDone = (failure: DiscFailure | undefined): void => {
      if (failure === undefined) answer(outcome);
    };
    if (moment > 0) this.#node.promises.vow(coordinator, n, { hlc, participants, ballot, accepted }, discDone);
    else this.#node.outbox.whenWritten({ discDone }, false);
  }

  #promise(from: NodeId, prepared: Prepared, ballot: Ballot): void {
    const [moment] = ballot;
    const isQuestion = moment === 0;
    if (!prepared.isKept || prepared.isFrozen || (!isQuestion && isLower(ballot, prepared.ballot))) {
      const { node, n } = prepared;
      return this.#node.send(from, [Kind.balloted, node, n, moment, Outcome.undecided, 0, [], 0, '', false, false]);
    }
    const reply = (): void => {
      const { node, n, round, participants, accepted } = prepared;
      const [at, by] = accepted?.ballot ?? NO_BALLOT;
      const told: unknown[] = [round, [...participants], at, by, accepted?.commit ?? false, this.#counts(prepared)];
      this.#node.send(from, [Kind.balloted, node, n, moment, Outcome.prepared, ...told]);
    };
    if (isQuestion) {
      reply();
      // Who asks leaves it to this node.
      return this.resolve(prepared);
    }
    prepared.ballot = ballot;
    prepared.settling = undefined;
    prepared.helpedMs = this.#node.environment.clock.monotonicMs();
    this.#keep(prepared, () => {
      if (prepared.ballot === ballot) reply();
    });
  }

  /** What this node knows of a transaction that it does not hold, or still holds for its coordinator. */
  #outcomeOf(from: NodeId, coordinator: NodeId, n: number, version: number, tables: readonly string[]): number {
    const { self, promises, recent, owed, incarnation } = this.#node;
    const prepared = this.#host.prepared.get(coordinator)?.get(n);
    const end = promises.endOf(coordinator, n);
    if (end === 'made' || recent.has(coordinator, n)) return Outcome.committed;
    // Led by its coordinator, which may yet take it back; or met by newer rows, which whoever asks will meet too.
    if (prepared?.state === 'prepared' || end === 'overtaken') return Outcome.undecided;
    if (coordinator === self) {
      if (this.#host.isUndecided(n)) return Outcome.undecided;
      if (owed.get(from)?.has(n)) return Outcome.committed;
      if (Math.floor(n / NUMBERS_PER_INCARNATION) === incarnation) return Outcome.unknown;
    }
    this.#host.refuse(coordinator, n, prepared);
    return this.#isSure(coordinator, version, tables) ? Outcome.unknown : Outcome.forgotten;
  }

  /** What it holds is worth nothing while it has forgotten what else it had promised. */
  #counts(prepared: Prepared): boolean {
    return ![...tablesOfMajority(prepared)].some((table) => this.#hasForgotten(table));
  }

  #hasForgotten(table: Table | undefined): boolean {
    return table?.forgetful.has(this.#node.self) ?? false;
  }

  #own(prepared: Prepared): Reply {
    const { round, participants, accepted } = prepared;
    return { knows: 'holds', counts: this.#counts(prepared), round, participants, accepted };
  }

  /** Whether "never said yes" can be told by memory: by that of the disc, or because it was proposed to this very life. */
  #isSure(coordinator: NodeId, version: number, names: readonly string[]): boolean {
    const { self, tables, environment, heardSince } = this.#node;
    const since = heardSince.get(coordinator);
    if (coordinator !== self && since !== undefined && since < version) return true;
    if (environment.disc.loss !== undefined) return false;
    const known = names.flatMap((name) => tables.get(name) ?? []);
    if (coordinator !== self && known.every(({ held }) => !held)) return true;
    return known.some(({ onDisc }) => onDisc);
  }

  #onBalloted(from: NodeId, message: Message): void {
    const [, coordinator, n, moment, outcome] = message as [number, NodeId, number, number, number];
    const prepared = this.#host.prepared.get(coordinator)?.get(n);
    if (prepared?.state !== 'orphaned' || prepared.isFrozen) return;
    if (outcome === Outcome.committed) {
      // Whom the coordinator left out of the list before it decided has not voted, and this node may not have heard of it.
      return this.#end(prepared, true, this.#reached(prepared.participants), [from, prepared.node]);
    }
    const { settling } = prepared;
    if (moment === 0) {
      // The one that was to settle it has nothing to settle.
      if (settling === undefined && (outcome === Outcome.unknown || outcome === Outcome.forgotten))
        this.#lead(prepared);
      return;
    }
    if (settling === undefined || settling.ballot[0] !== moment) return;
    if (outcome === Outcome.undecided) {
      prepared.settling = undefined;
      return;
    }
    const [round, participants, at, by, commit, counts] = message.slice(5) as Told;
    const knows = outcome === Outcome.prepared ? 'holds' : outcome === Outcome.unknown ? 'refused' : 'unsure';
    const accepted = at === 0 ? undefined : { ballot: [at, by] as const, commit };
    this.#heard(prepared, settling, from, { knows, counts, round, participants, accepted });
  }

  #onAccept(from: NodeId, [, coordinator, n, moment, commit]: AcceptMessage): void {
    const ballot: Ballot = [moment, from];
    const prepared = this.#host.prepared.get(coordinator)?.get(n);
    if (prepared?.state !== 'orphaned') return this.#vow(coordinator, n, { ballot, commit });
    if (!prepared.isKept || prepared.isFrozen || isLower(ballot, prepared.ballot)) return;
    prepared.ballot = ballot;
    prepared.accepted = { ballot, commit };
    this.#keep(prepared, () => {
      if (prepared.ballot === ballot) this.#node.send(from, [Kind.accepted, coordinator, n, moment]);
    });
  }

  /** Accepts what it does not hold: then it counts for whoever settles it next. */
  #vow(coordinator: NodeId, n: number, accepted: Accepted): void {
    const { ballot } = accepted;
    const vow = this.#node.promises.vowOf(coordinator, n);
    if (vow === undefined || isLower(ballot, vow.ballot)) return;
    this.#node.promises.vow(coordinator, n, { ...vow, ballot, accepted }, (failure) => {
      if (failure === undefined) this.#node.send(ballot[1], [Kind.accepted, coordinator, n, ballot[0]]);
    });
  }

  #onAccepted(from: NodeId, [, coordinator, n, moment]: [number, NodeId, number, number]): void {
    const prepared = this.#host.prepared.get(coordinator)?.get(n);
    const settling = prepared?.settling;
    if (prepared?.state !== 'orphaned' || prepared.isFrozen || settling?.ballot[0] !== moment) return;
    this.#accepted(prepared, settling, from);
  }

  /**
   * Whatever began before a merge is not gone on with after it. Tells whether nothing is left to be done. A row of the
   * proposal that has come says that it was made; then what it writes to tables that nobody who brought it holds is made here.
   */
  afterMerge(prepared: Prepared): boolean {
    prepared.settling = undefined;
    this.#handovers.afterMerge(prepared);
    if (!this.#isOvertaken(prepared)) return false;
    const left = prepared.writes.some((write) => write.table.held && !isPast(this.#node, prepared, write));
    if (!left || !hasCome(prepared)) return true;
    this.#handovers.begin(prepared, this.#reached(prepared.participants), [prepared.node]);
    return false;
  }

  /** It is decided. */
  onResolve(prepared: Prepared, from: NodeId, commit: boolean, voters: readonly NodeId[]): void {
    if (commit) this.#handovers.onMade(prepared, from, voters);
    else if (!prepared.isFrozen) this.#end(prepared, false, [], voters);
  }

  /**
   * A row as new as the proposal, or a newer one than it read, says that a majority has gone on, with
   * the transaction or without it; its rows have come with the merge or never will.
   */
  #isOvertaken({ writes, checks, hlc }: Prepared): boolean {
    if (writes.some(({ table, token }) => (table.rows.get(token)?.hlc ?? 0) >= hlc)) return true;
    if (writes.every(({ table }) => table.definition.deletedAt > 0)) return true;
    return checks.some(({ table, token, digest, hlc: met }) => {
      if (!table.held || digest !== undefined) return false;
      const there = table.rows.get(token) ?? table.tombstones.get(token);
      if (there !== undefined) return there.hlc > met;
      // Who has forgotten the row it read may have met those who never had it.
      return met > 0 && !this.#hasForgotten(table);
    });
  }

  handle(from: NodeId, message: Message): boolean {
    switch (message[0]) {
      case Kind.ballot:
        this.#onBallot(from, message as unknown as BallotMessage);
        return true;
      case Kind.balloted:
        this.#onBalloted(from, message);
        return true;
      case Kind.accept:
        this.#onAccept(from, message as AcceptMessage);
        return true;
      case Kind.accepted:
        this.#onAccepted(from, message as [number, NodeId, number, number]);
        return true;
      default:
        return this.#handovers.handle(from, message);
    }
  }
}

/** Tables of which a majority must hold it: those it writes and those it read. */
function tablesOfMajority({ writes, checks }: Prepared): Set<Table> {
  const tables = new Set<Table>();
  for (const { table } of writes) if (needsMajority(table.definition)) tables.add(table);
  for (const { table } of checks) if (needsMajority(table.definition)) tables.add(table);
  return tables;
}

/** Who is asked: those who took part, and the other replicas, whose word counts for those who are away. */
function electorate(prepared: Prepared): NodeId[] {
  const replicas = [...tablesOfMajority(prepared)].flatMap(({ definition }) => listsOf(definition).flat());
  return [...new Set([...prepared.participants, ...replicas])];
}

function quorumsOf(prepared: Prepared, retired: ReadonlySet<NodeId>): Quorums {
  const tables = [...tablesOfMajority(prepared)];
  const others = new Set(
    prepared.writes.map(({ table }) => table).filter(({ definition }) => !needsMajority(definition)),
  );
  return {
    // Whose word counts is told in what they say: this node may know it no better than they.
    isMajority: (nodes) => tables.every(({ definition }) => areMajority(definition, new Set(nodes))),
    isEverybody: (nodes) => {
      const heard = new Set([...nodes, ...retired]);
      return tables.every(({ definition }) => areEverybody(definition, heard));
    },
    keepAll: (nodes) =>
      [...others].every(({ definition }) => {
        const keeping = prepared.participants.filter((node) => definition.replicas.has(node));
        return keeping.length === 0 || keeping.some((node) => nodes.includes(node));
      }),
  };
}
