/**
 * A member's part of the node connection transaction (storage.md §6): while it serves on it offers what it changed and
 * keeps what the leader decided; then it stops new writes, lets the running ones end, offers what changed meanwhile,
 * and applies all of it in one disc batch when told to.
 */
import type { DiscFailure, NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { PARTITION_LEDGER } from '../schema/definition.ts';
import { unpackTable } from '../schema/packed.ts';
import type { PromisedRow } from '../transactions/guards.ts';
import { Kind, type Message } from '../transactions/messages.ts';
import type { OutsiderEntry, SchemaConflict, StagedRow, StageHead } from './connection-messages.ts';
import { doubtDowns, settleDowns } from './down-notes.ts';
import { manualConflicts } from './ledger-entries.ts';
import { LostLeader } from './lost-leader.ts';
import { reportOf } from './member-report.ts';
import { applyMerge } from './merge-apply.ts';
import { activate, establish, sharedTables, tellAwaiting } from './merged-tables.ts';
import { Offers } from './offers.ts';
import { OutlivedCommits } from './outlived-commits.ts';
import type { Change } from './recent-commits.ts';
import { Stage } from './stage.ts';

interface Membership {
  readonly id: number;
  readonly leader: NodeId;
  readonly members: readonly NodeId[];
  readonly offers: Offers;
  readonly stage: Stage;
  /** `copying`: writers go on. From `draining` on they wait. */
  phase: 'copying' | 'draining' | 'frozen' | 'staged';
  /** Since it entered its phase, or while copying since the leader last said anything. */
  sinceMs: number;
  frozenMs: number;
  /** What of this node's schema changes the leader was told. */
  schemaChanges: number;
  /**
   * Members noted as down. From the freeze on that is in doubt, on disc: killed after its vote, this node must not load a
   * table by itself on the strength of it, as the others may have made the merge and gone on.
   */
  doubted: NodeId[];
  isDoubtKept: boolean;
  /** The vote that waits for that. */
  vote: Message | undefined;
  /** Whether the merge is made, once the leader can no longer say so. */
  readonly lostLeader: LostLeader;
  /** Members whose dirty writes have all come. */
  readonly fenced: Set<NodeId>;
}

/** What the member needs of the rest of the node. */
export interface MemberHost {
  readonly node: NodeState;
  isQuiet(): boolean;
  refuseWaiting(): void;
  /** Of promises that only a majority can settle. */
  promisedRows(): PromisedRow[];
  /** A report is to be given: what this node proposes, and cannot be made as things are, must not be in it. */
  surveyed(): void;
  /** A merge was made. */
  viewChanged(): void;
  /** The definitions of the members cannot be united. */
  inConflict(conflict: SchemaConflict, members: readonly NodeId[]): void;
  /** Every member has on disc what the last node connection transaction made. */
  allApplied(): void;
  /** A member of the view is not linked, or is let go. */
  memberGone(node: NodeId, reason: 'silent' | 'dropped'): void;
  /** Answers go to the leader even when that is this node. */
  post(node: NodeId, message: Message): void;
  /** Runs `act` in a turn of its own. */
  later(act: () => void): void;
}

export class ConnectionMember {
  readonly #host: MemberHost;
  readonly #node: NodeState;
  readonly #outlived: OutlivedCommits;
  #current: Membership | undefined = undefined;
  /** The last one applied, for members that ask after losing the leader. */
  #lastApplied = { leader: '', id: 0, hlc: 0, schemaChanges: 0 };
  /** The last one voted for and given up: another member may hear later that it is made. */
  #lastGivenUp = { leader: '', id: 0 };

  constructor(host: MemberHost) {
    this.#host = host;
    this.#node = host.node;
    this.#outlived = new OutlivedCommits(host.node);
  }

  get isBusy(): boolean {
    return this.#current !== undefined;
  }

  /** All is said but whether the merge is made; other members may have made it and gone on. */
  get isStaged(): boolean {
    return this.#current?.phase === 'staged';
  }

  /** Schema changes that a leader may be making now: whether they are made does not lie with this node any more. */
  get changesUnderWay(): number {
    const current = this.#current;
    const made = this.#lastApplied.schemaChanges;
    return current?.phase === 'frozen' || current?.phase === 'staged' ? Math.max(current.schemaChanges, made) : made;
  }

  handle(from: NodeId, message: Message): boolean {
    switch (message[0]) {
      case Kind.survey:
        this.#onSurvey(from, message[1] as number, message[2] as NodeId[]);
        return true;
      case Kind.fence:
        if (message[1] === this.#current?.id) this.#current?.fenced.add(from);
        return true;
      case Kind.mergeDone:
        this.#onDone(from, message[1] as number, message[2] as NodeId[]);
        return true;
      case Kind.merge:
        this.#onMerge(from, message[1] as number);
        return true;
      case Kind.mergeAsk:
        this.#onAsk(from, message[1] as NodeId, message[2] as number);
        return true;
      case Kind.mergeTell:
        this.#onTell(from, message[1] as NodeId, message[2] as number, message[3] as boolean);
        return true;
      case Kind.buckets:
      case Kind.delta:
      case Kind.deltaAgain:
      case Kind.deltaTaken:
      case Kind.stage:
      case Kind.copying:
      case Kind.freeze:
      case Kind.mergeAbort:
        if (this.#current !== undefined && this.#current.id === message[1] && this.#current.leader === from) {
          this.#led(this.#current, message);
        }
        return true;
      default:
        return false;
    }
  }

  /** What the leader of the transaction this node is in asks for. */
  #led(current: Membership, message: Message): void {
    if (current.phase === 'copying') current.sinceMs = this.#node.environment.clock.monotonicMs();
    switch (message[0]) {
      case Kind.buckets: {
        const table = this.#node.tables.get(message[2] as string);
        if (table === undefined) return;
        const octets = table.digest.octets(message[3] as number);
        return this.#host.post(current.leader, [Kind.bucketDigests, current.id, table.name, octets]);
      }
      case Kind.delta: {
        const table = this.#node.tables.get(message[2] as string);
        const buckets = (message[4] as Uint8Array | null) ?? undefined;
        if (table !== undefined) current.offers.offer(table, message[3] as boolean, buckets);
        return;
      }
      case Kind.deltaAgain:
        return current.offers.offerTouched();
      case Kind.deltaTaken:
        return current.offers.taken();
      case Kind.stage:
        return this.#onStage(current, message);
      case Kind.freeze:
        return this.#freeze(current);
      case Kind.mergeAbort:
        this.#end();
        if (message[2] !== undefined) this.#host.inConflict(message[2] as SchemaConflict, current.members);
        return;
    }
  }

  // -- joining ------------------------------------------------------------------------------------------------------

  #onSurvey(from: NodeId, id: number, members: NodeId[]): void {
    const obstacle = this.#obstacle(members);
    if (obstacle !== undefined) return this.#host.post(from, [Kind.refuse, id, obstacle]);
    this.#host.surveyed();
    const post = (message: Message): void => this.#host.post(from, message);
    const sinceMs = this.#node.environment.clock.monotonicMs();
    this.#current = {
      id,
      leader: from,
      members,
      offers: new Offers({ node: this.#node, id, members, post, later: this.#host.later }),
      stage: new Stage(this.#node),
      phase: 'copying',
      sinceMs,
      frozenMs: sinceMs,
      schemaChanges: 0,
      doubted: [],
      isDoubtKept: false,
      vote: undefined,
      lostLeader: new LostLeader((member, isMade) => this.#host.post(member, [Kind.mergeTell, from, id, isMade])),
      fenced: new Set([this.#node.self]),
    };
    this.#node.environment.probe('connect.surveyed');
    post([Kind.surveyed, id, reportOf(this.#node, members)]);
  }

  #obstacle(members: readonly NodeId[]): string | undefined {
    const { self, view } = this.#node;
    if (this.#node.removedBy !== undefined) return 'it was removed from the cluster';
    if (this.#current !== undefined) return 'another node connection transaction is running';
    if (this.#node.outbox.failure !== undefined && view.size > 1) return 'its disc has failed';
    for (const member of members) {
      if (this.#node.retired.has(member)) return `${this.#node.nameOf(member)} was removed from the cluster`;
      if (member !== self && !this.#node.isLinked(member)) return `no link to ${this.#node.nameOf(member)}`;
    }
    for (const member of view) if (!members.includes(member)) return `it also runs with ${this.#node.nameOf(member)}`;
    return this.#node.functionObstacle([...this.#node.tables.values()].map(({ definition }) => definition));
  }

  /** Nothing of it remains: writers go on, what was staged is dropped. */
  #end(): void {
    const current = this.#current;
    if (current !== undefined) {
      const { leader, id, phase } = current;
      current.offers.end();
      doubtDowns(this.#node, current.doubted, false);
      const isMade = this.#hasApplied(leader, id);
      if (!isMade && phase === 'staged') this.#lastGivenUp = { leader, id };
      current.lostLeader.ended(isMade);
    }
    this.#current = undefined;
    for (const table of this.#node.tables.values()) if (table.locks.frozenBy !== 0) table.locks.unfreeze();
  }

  // -- freezing -----------------------------------------------------------------------------------------------------

  #freeze(current: Membership): void {
    this.#enter(current, 'draining');
    current.frozenMs = current.sinceMs;
    for (const table of sharedTables(this.#node)) table.locks.freeze(current.id);
    this.#host.refuseWaiting();
    for (const member of current.members) {
      if (member !== this.#node.self) this.#host.post(member, [Kind.fence, current.id]);
    }
    this.#doubt(current);
    this.#node.environment.probe('connect.before_lock');
    this.poll();
  }

  #doubt(current: Membership): void {
    current.doubted = doubtDowns(this.#node, current.members, true);
    const kept = (failure: DiscFailure | undefined): void => {
      this.#host.later(() => {
        current.isDoubtKept = failure === undefined;
        if (this.#current === current) this.#vote(current);
      });
    };
    if (current.doubted.length > 0) this.#node.outbox.whenWritten({ discDone: kept }, true);
    else current.isDoubtKept = true;
  }

  #vote(current: Membership): void {
    if (current.isDoubtKept && current.vote !== undefined) this.#host.post(current.leader, current.vote);
  }

  #enter(current: Membership, phase: Membership['phase']): void {
    current.phase = phase;
    current.sinceMs = this.#node.environment.clock.monotonicMs();
  }

  /** Called after every turn's messages while a freeze drains. */
  poll(): void {
    const current = this.#current;
    if (current?.phase !== 'draining' || !this.#host.isQuiet()) return;
    if (sharedTables(this.#node).some((table) => !table.locks.isDrained)) return;
    // Dirty writes that are under way would come after the digests were told.
    if (current.fenced.size < current.members.length) return;
    this.#enter(current, 'frozen');
    current.schemaChanges = this.#node.schema.made;
    this.#node.environment.probe('connect.locked');
    current.offers.offerLast();
    this.#host.post(current.leader, [
      Kind.frozen,
      current.id,
      reportOf(this.#node, current.members, this.#host.promisedRows()),
    ]);
  }

  // -- staging -------------------------------------------------------------------------------------------------------

  #onStage(current: Membership, message: Message): void {
    const [, id, head, table, rows, outsiders, last] = message as unknown as [
      number,
      number,
      StageHead | null,
      string | null,
      StagedRow[],
      OutsiderEntry[],
      boolean,
    ];
    if (table !== null) current.stage.put(table, rows, outsiders);
    if (head === null) {
      if (last) this.#node.environment.probe('connect.copied');
      return this.#host.post(current.leader, [Kind.stageTaken, id, last, current.offers.touchedKeys]);
    }
    if (current.phase !== 'frozen') return;
    // A table that this node only hears of now may need what it has not got.
    const obstacle = this.#node.functionObstacle(head.schema.map(unpackTable));
    const running = head.removed.find((one) => !this.#node.removed.has(one) && this.#node.isLinked(one));
    const refusal = running === undefined ? obstacle : `${this.#node.nameOf(running)}, which is to be removed, runs`;
    if (refusal !== undefined) return this.#host.post(current.leader, [Kind.refuse, id, refusal]);
    current.stage.head = head;
    this.#enter(current, 'staged');
    this.#node.environment.probe('connect.prepared');
    current.vote = [Kind.staged, id, current.stage.predict(head)];
    this.#vote(current);
  }

  // -- applying -------------------------------------------------------------------------------------------------------

  #onMerge(from: NodeId, id: number): void {
    const current = this.#staged(from, id);
    if (current !== undefined) this.#apply(current);
    else this.#partFrom(from);
  }

  /** It has made a merge that was given up here meanwhile: it must not count on this node, nor this node on it. */
  #partFrom(member: NodeId): void {
    this.#host.post(member, [Kind.exclude]);
    if (this.#node.view.has(member)) this.#host.memberGone(member, 'dropped');
  }

  #staged(leader: NodeId, id: number): Membership | undefined {
    const current = this.#current;
    return current?.leader === leader && current.id === id && current.phase === 'staged' ? current : undefined;
  }

  #hasApplied(leader: NodeId, id: number): boolean {
    return this.#lastApplied.leader === leader && this.#lastApplied.id === id;
  }

  #apply(current: Membership): void {
    const { id, leader, members, stage } = current;
    const head = stage.head as StageHead;
    this.#node.environment.probe('connect.before_apply');
    this.#lastApplied = { leader, id, hlc: head.hlc, schemaChanges: current.schemaChanges };
    const isAsReported = current.schemaChanges === this.#node.schema.made;
    const changes = applyMerge(this.#node, { id, leader, members, head, stage, isAsReported });
    this.#outlived.merged();
    this.#join(current, head, changes.length);
    this.#tellManual(changes);
  }

  /** Conflicts that wait for a person. Nobody waits for this to be said. */
  #tellManual(changes: readonly Change[]): void {
    if (![...this.#node.tables.values()].some(({ definition }) => definition.merge === 'manual')) return;
    const entries = changes.filter(({ table, deleted }) => table.name === PARTITION_LEDGER && !deleted);
    const rows = entries.flatMap(({ table, token }) => table.rows.get(token) ?? []);
    this.#host.later(() => {
      for (const event of manualConflicts(rows)) this.#node.emit(event);
    });
  }

  #join(current: Membership, head: StageHead, taken: number): void {
    const node = this.#node;
    const added = current.members.filter((member) => !node.view.has(member));
    node.view = new Set(current.members);
    node.storedHlc = Number.MAX_SAFE_INTEGER;
    node.mergedHlc = head.hlc;
    node.schema.join(current.schemaChanges);
    // What is noted for the new members stays until they are known to have applied the merge (see onDone).
    for (const member of current.members) node.recordUp(member);
    const overtaken = head.overtaken.filter(([member]) => member === node.self);
    const doubted = overtaken.map(([, other]) => other);
    doubtDowns(node, doubted, true);
    const loaded = activate(node, head);
    settleDowns(node);
    const acknowledge = (failure: DiscFailure | undefined): void => {
      if (failure !== undefined) return;
      this.#host.later(() => this.#host.post(current.leader, [Kind.merged, current.id]));
    };
    node.outbox.whenWritten({ discDone: acknowledge }, true);
    this.#end();
    node.environment.probe('connect.after_apply');
    const leaderName = node.nameOf(current.leader);
    for (const table of loaded) node.emit({ type: 'table_loaded', table: table.name, from: leaderName });
    for (const member of added) node.emit({ type: 'mnesia_up', node: node.nameOf(member) });
    node.emit({
      type: 'connected',
      nodes: node.namesOf(current.members),
      rowsTaken: taken,
      rowsGiven: Math.max(0, head.rows - taken),
      conflicts: head.conflicts,
      durationMs: Math.round(node.environment.clock.monotonicMs() - current.frozenMs),
    });
    tellAwaiting(node);
    this.#host.viewChanged();
    // Lost while this was being made: nobody will say so again.
    for (const member of current.members) {
      if (member !== node.self && !node.isLinked(member)) this.#host.memberGone(member, 'silent');
    }
  }

  /** Everybody has it on disc: nothing more is owed to those in the view. */
  #onDone(from: NodeId, id: number, members: NodeId[]): void {
    if (!this.#hasApplied(from, id)) return;
    this.#node.environment.probe('connect.done');
    for (const member of members) {
      if (member === this.#node.self || !this.#node.view.has(member)) continue;
      this.#node.acknowledged.note(member, this.#lastApplied.hlc);
      this.#node.changed.clear(member);
      this.#node.owed.delete(member);
    }
    this.#outlived.allApplied(members);
    establish(this.#node, new Set(members));
    this.#node.schema.done();
    this.#host.allApplied();
  }

  // -- losing somebody in the middle -------------------------------------------------------------------------------------

  nodeLost(lost: NodeId): void {
    if (this.#lastApplied.leader === lost) this.#node.schema.leaderLost();
    const current = this.#current;
    if (current === undefined) return;
    if (current.lostLeader.isLost) return this.#doesNotKnow(current, lost);
    if (current.leader !== lost) {
      if (!current.members.includes(lost)) return;
      this.#host.post(current.leader, [Kind.refuse, current.id, `it lost ${this.#node.nameOf(lost)}`]);
      if (current.phase !== 'staged') this.#end();
      return;
    }
    if (current.phase !== 'staged') return this.#end();
    const others = current.members.filter((member) => member !== this.#node.self && this.#node.isLinked(member));
    current.lostLeader.lost(others);
    if (current.lostLeader.isUnknownToAll) return this.#end();
    for (const other of others) this.#host.post(other, [Kind.mergeAsk, lost, current.id]);
  }

  #onAsk(from: NodeId, leader: NodeId, id: number): void {
    const staged = this.#staged(leader, id);
    if (staged !== undefined) return staged.lostLeader.askedBy(from);
    this.#host.post(from, [Kind.mergeTell, leader, id, this.#hasApplied(leader, id)]);
    // "Not made" is a promise of who has not voted: the leader is not to hear yes any more.
    if (this.#current?.leader === leader && this.#current.id === id) this.#end();
  }

  #onTell(from: NodeId, leader: NodeId, id: number, isMade: boolean): void {
    const current = this.#staged(leader, id);
    if (current !== undefined) {
      if (isMade) this.#apply(current);
      else this.#doesNotKnow(current, from);
    } else if (isMade && this.#lastGivenUp.leader === leader && this.#lastGivenUp.id === id) {
      this.#partFrom(from);
    }
  }

  #doesNotKnow(current: Membership, member: NodeId): void {
    current.lostLeader.doesNotKnow(member);
    if (current.lostLeader.isUnknownToAll) this.#end();
  }

  /** A leader that went silent over a living link must not keep this node frozen, nor from connecting. */
  sweep(nowMs: number): void {
    const current = this.#current;
    if (current === undefined) return;
    this.poll();
    const limitMs = this.#node.limits.connectDeadlineMs * (current.phase === 'staged' ? 4 : 2);
    if (nowMs - current.sinceMs > limitMs) this.#end();
  }
}
