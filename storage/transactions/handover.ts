/**
 * How a transaction that a majority decided to make without its coordinator is made in one island. Some of its members
 * hold the promise; others came to the island since, and do not. If those who hold it applied it alone, two replicas of
 * one island would differ, and whoever reads would see it come and go. So before one applies it, every member with a
 * replica of what it writes is asked, as by a coordinator: it says that it holds it and that the list leaves out nobody
 * it runs with. Who lacks it is given it, and holds it from then on, locks and all. Nobody has to go for that.
 *
 * Given are writes to tables that somebody here has kept locked since the vote: only of those is it known that nothing
 * has come between in this island. Other rows come with a merge from those who made them.
 */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import type { Waiter } from './locker.ts';
import { Kind, type Message, Outcome } from './messages.ts';
import type { OrphanHost } from './orphans.ts';
import { Prepared } from './prepared.ts';
import { type Ballot, isLower, type PackedPromise } from './promises.ts';

/** Of one decided transaction: who is ready for it. */
export class Handover {
  /** Who is to be told besides the members of the view. */
  readonly told = new Set<NodeId>();
  /** Who is known to have promised it, so that their replicas have seen it. */
  readonly voters = new Set<NodeId>();
  /** The members asked, by whom an answer is known; new whenever they change. */
  moment = 0;
  list: readonly NodeId[] = [];
  awaited = new Set<NodeId>();
  /** Members that hold it. */
  holding: NodeId[] = [];
  lacking = new Set<NodeId>();
  /** What those who lack it are given, once all have been asked. */
  given: PackedPromise | undefined = undefined;
}

type HandoverMessage = [kind: number, NodeId, n: number, moment: number, list: NodeId[], PackedPromise | null];

/** A promise that this node is given, while others' locks are in its way. */
class Taking implements Waiter {
  readonly age: number;
  readonly node: NodeId;
  readonly prepared: Prepared;
  readonly #again: (taking: Taking) => void;
  from: NodeId;
  moment: number;
  list: readonly NodeId[];

  constructor(
    prepared: Prepared,
    from: NodeId,
    moment: number,
    list: readonly NodeId[],
    again: (taking: Taking) => void,
  ) {
    this.age = prepared.age;
    this.node = prepared.node;
    this.prepared = prepared;
    this.from = from;
    this.moment = moment;
    this.list = list;
    this.#again = again;
  }

  retry(): void {
    this.#again(this);
  }
}

export class Handovers {
  readonly #node: NodeState;
  readonly #host: OrphanHost;
  readonly #taking = new Map<string, Taking>();

  constructor(node: NodeState, host: OrphanHost) {
    this.#node = node;
    this.#host = host;
  }

  /** It is decided: it will be made, as soon as every member here is ready. `told` hear of it then. */
  begin(prepared: Prepared, told: readonly NodeId[], voters: readonly NodeId[]): void {
    prepared.settling = undefined;
    prepared.handover ??= new Handover();
    for (const node of told) prepared.handover.told.add(node);
    for (const node of voters) prepared.handover.voters.add(node);
    this.goOn(prepared);
  }

  /** Somebody has made it. Where that is a member this one agreed with, all are ready who are among the `voters`. */
  onMade(prepared: Prepared, from: NodeId, voters: readonly NodeId[]): void {
    const isReady = (member: NodeId): boolean => member === from || voters.includes(member);
    const { view } = this.#node;
    const isAgreed = prepared.handover !== undefined && !prepared.isFrozen && view.has(from);
    if (isAgreed && this.#members(prepared).every(isReady)) return this.#make(prepared, [], voters);
    this.begin(prepared, [], voters);
  }

  /** Asks those who have not answered yet; whoever is in the view now. Called now and then, and when the view shrank. */
  goOn(prepared: Prepared): void {
    const handover = prepared.handover as Handover;
    if (prepared.state !== 'orphaned' || prepared.isFrozen) return;
    const list = this.#members(prepared);
    if (
      handover.moment === 0 ||
      list.length !== handover.list.length ||
      !list.every((m) => handover.list.includes(m))
    ) {
      handover.moment = this.#node.hlc.tick();
      handover.list = list;
      handover.awaited = new Set(list);
      handover.holding = [];
      handover.lacking.clear();
      handover.given = undefined;
      // They hold locks elsewhere that may be in the way of whoever is to take it.
      this.#host.refuseWaitingFor(prepared);
    }
    this.#ask(prepared, handover);
    this.#consider(prepared, handover);
  }

  /** What was agreed on before a merge is asked again after it. */
  afterMerge({ handover }: Prepared): void {
    if (handover !== undefined) handover.moment = 0;
  }

  /** The other members with a replica of something it writes. */
  #members({ writes }: Prepared): NodeId[] {
    const { self, view } = this.#node;
    return [...view].filter(
      (member) => member !== self && writes.some(({ table }) => table.definition.replicas.has(member)),
    );
  }

  #ask({ node, n }: Prepared, { moment, list, awaited, given }: Handover): void {
    const message = [Kind.handover, node, n, moment, [this.#node.self, ...list], given ?? null];
    for (const member of awaited) this.#node.send(member, message as Message);
  }

  #consider(prepared: Prepared, handover: Handover): void {
    if (handover.awaited.size > 0) return;
    if (handover.lacking.size > 0) {
      const holders = [this.#node.self, ...handover.holding];
      const isKnown = (node: NodeId, { table }: Prepared['writes'][number]): boolean =>
        table.definition.replicas.has(node);
      const writes = prepared.writes.filter((write) => holders.some((node) => isKnown(node, write)));
      handover.awaited = new Set([...handover.lacking].filter((node) => writes.some((write) => isKnown(node, write))));
      handover.lacking.clear();
      handover.given = this.#node.promises.packed(prepared, writes);
      this.#ask(prepared, handover);
      if (handover.awaited.size > 0) return;
    }
    this.#make(prepared, [...handover.told, ...handover.list], [...handover.voters]);
  }

  #make(prepared: Prepared, tell: readonly NodeId[], voters: readonly NodeId[]): void {
    prepared.settling = undefined;
    prepared.handover = undefined;
    const { self } = this.#node;
    // Or the others would note for this one what it makes now.
    const all = [...new Set([...voters, self])];
    this.#node.environment.probe('orphan.before_settle');
    for (const node of new Set(tell)) {
      if (node !== self) this.#node.send(node, [Kind.resolve, prepared.node, prepared.n, true, all]);
    }
    this.#host.apply(prepared, all);
    this.#node.environment.probe('orphan.settled');
  }

  #onHandedOver(from: NodeId, coordinator: NodeId, n: number, moment: number, outcome: number): void {
    const prepared = this.#host.prepared.get(coordinator)?.get(n);
    const handover = prepared?.handover;
    if (prepared?.state !== 'orphaned' || handover === undefined || prepared.isFrozen) return;
    if (handover.moment !== moment || !handover.awaited.delete(from)) return;
    // Newer rows are in this island: what ended it there ends it here.
    if (outcome === Outcome.undecided) return this.#host.overtake(prepared);
    if (outcome === Outcome.unknown) handover.lacking.add(from);
    else handover.voters.add(from);
    if (outcome === Outcome.prepared) handover.holding.push(from);
    this.#consider(prepared, handover);
  }

  // -- being asked ----------------------------------------------------------------------------------------------------

  /** Where it cannot be said yet nothing is answered: the question comes again. */
  #onHandover(from: NodeId, [, coordinator, n, moment, list, given]: HandoverMessage): void {
    const { view, recent, promises } = this.#node;
    if (!view.has(from)) return;
    const answer = (outcome: number): void => this.#node.send(from, [Kind.handedOver, coordinator, n, moment, outcome]);
    if (recent.has(coordinator, n) || promises.endOf(coordinator, n) === 'made') return answer(Outcome.committed);
    const prepared = this.#host.prepared.get(coordinator)?.get(n);
    if (prepared?.state === 'orphaned') {
      if (!prepared.isKept || prepared.isFrozen || this.#leavesOut(prepared, list)) return;
      prepared.settling = undefined;
      prepared.handover ??= new Handover();
      return answer(Outcome.prepared);
    }
    if (prepared !== undefined) return;
    if (promises.endOf(coordinator, n) === 'overtaken') return answer(Outcome.undecided);
    if (given === null) return answer(Outcome.unknown);
    const name = `${coordinator} ${n}`;
    const waiting = this.#taking.get(name);
    if (waiting !== undefined) {
      waiting.from = from;
      waiting.moment = moment;
      waiting.list = list;
      // A merge since may have guarded its rows.
      this.#node.guards.given(from, waiting.prepared);
      return this.#makeWay(waiting.prepared);
    }
    const taken = this.#host.unpack(coordinator, promises.unpacked(given));
    this.#node.guards.given(from, taken);
    const taking = new Taking(taken, from, moment, list, (again) => this.#take(name, again));
    this.#taking.set(name, taking);
    this.#take(name, taking);
  }

  #leavesOut(prepared: Prepared, list: readonly NodeId[]): boolean {
    return this.#members(prepared).some((member) => !list.includes(member));
  }

  /**
   * Two that are being made and cannot both be: of one only those know who hold it, all others have forgotten. No answer
   * binds anybody then, and of two versions the greater stands, as it would where the table begins anew.
   */
  #makeWay(later: Prepared): void {
    for (const { table, token } of later.writes) {
      const held = table.locks.conflictForWrite(token, later);
      if (!(held instanceof Prepared) || held.state !== 'orphaned' || held.isFrozen) continue;
      if (held.handover !== undefined && held.hlc < later.hlc) this.#host.overtake(held);
    }
  }

  #take(name: string, taking: Taking): void {
    const { prepared, from, moment, list } = taking;
    const { node: coordinator, n, writes } = prepared;
    this.#makeWay(prepared);
    if (writes.some(({ table, token }) => (table.rows.get(token)?.hlc ?? 0) >= prepared.hlc)) {
      this.#taking.delete(name);
      return this.#node.send(from, [Kind.handedOver, coordinator, n, moment, Outcome.undecided]);
    }
    for (const { table, token } of writes) {
      if (!table.held || table.locks.frozenBy !== 0) continue;
      if (table.locks.conflictForWrite(token, prepared) === undefined) continue;
      if (table.locks.isHeld(token)) table.locks.waitForRow(token, taking);
      else table.locks.waitForTable(taking);
      return;
    }
    this.#taking.delete(name);
    const { view, promises, outbox } = this.#node;
    if (!view.has(from) || prepared.isFrozen || this.#leavesOut(prepared, list)) return;
    if (this.#host.prepared.get(coordinator)?.has(n)) return;
    if (writes.some(({ table }) => table.held && (!table.loaded || (table.onDisc && outbox.failure !== undefined))))
      return;
    const vow = promises.vowOf(coordinator, n);
    const ballot: Ballot = [moment, from];
    prepared.ballot = vow === undefined || isLower(vow.ballot, ballot) ? ballot : vow.ballot;
    prepared.accepted = { ballot, commit: true };
    prepared.handover = new Handover();
    this.#host.hold(prepared);
    const kept = (): void => {
      prepared.isKept = true;
      this.#node.send(from, [Kind.handedOver, coordinator, n, moment, Outcome.prepared]);
    };
    if (!promises.isNeeded(writes, true)) return kept();
    prepared.isKept = false;
    promises.keep(coordinator, prepared, (failure) => {
      if (failure === undefined) kept();
    });
  }

  handle(from: NodeId, message: Message): boolean {
    switch (message[0]) {
      case Kind.handover:
        this.#onHandover(from, message as unknown as HandoverMessage);
        return true;
      case Kind.handedOver: {
        const [, coordinator, n, moment, outcome] = message as [number, NodeId, number, number, number];
        this.#onHandedOver(from, coordinator, n, moment, outcome);
        return true;
      }
      default:
        return false;
    }
  }
}
