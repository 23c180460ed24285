/**
 * A member's part of the node connection transaction (storage.md §6): stops new writes, lets the running ones end,
 * offers what it changed, keeps what the leader decided until told to apply it, applies it in one disc batch.
 */
import type { DiscFailure, NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import {
  firstDifference,
  isSuperseded,
  packTable,
  type SchemaTable,
  uniteDefinitions,
  unpackTable,
  withoutNodes,
} from '../schema/definition.ts';
import { Digest } from '../tables/digest.ts';
import { isNewer, Row, type Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { keyToken } from '../term.ts';
import { Kind, type Message } from '../transactions/messages.ts';
import type {
  DeltaRow,
  FrozenReport,
  OutsiderEntry,
  PredictedDigest,
  ReplicaReport,
  StagedRow,
  StageHead,
} from './connection-messages.ts';
import { collectDelta, collectOutsiders, inPieces } from './delta.ts';
import { packLives } from './lives.ts';
import { RecentCommit } from './recent-commits.ts';

interface Stage {
  head: StageHead;
  rows: Map<string, StagedRow[]>;
  outsiders: Map<string, OutsiderEntry[]>;
}

interface Freeze {
  readonly id: number;
  readonly leader: NodeId;
  readonly members: readonly NodeId[];
  readonly sinceMs: number;
  phase: 'draining' | 'frozen' | 'staged';
  stage: Stage | undefined;
  /** What of this node's schema changes the leader was told. */
  schemaChanges: number;
  /** While the leader is lost after staging: members that have not said yet whether they applied. */
  asked: Set<NodeId> | undefined;
}

/** What the member needs of the rest of the node. */
export interface MemberHost {
  readonly node: NodeState;
  isQuiet(): boolean;
  refuseWaiting(): void;
  viewChanged(added: readonly NodeId[]): void;
  /** A member of the new view is not linked. */
  memberGone(node: NodeId): void;
  /** Answers go to the leader even when that is this node. */
  post(node: NodeId, message: Message): void;
  downNotes(): NodeId[];
}

export class ConnectionMember {
  readonly #host: MemberHost;
  readonly #node: NodeState;
  #freeze: Freeze | undefined = undefined;
  /** The last one applied, for members that ask after losing the leader. */
  #lastApplied = { leader: '', id: 0 };

  constructor(host: MemberHost) {
    this.#host = host;
    this.#node = host.node;
  }

  get isFrozen(): boolean {
    return this.#freeze !== undefined;
  }

  handle(from: NodeId, message: Message): boolean {
    switch (message[0]) {
      case Kind.freeze:
        this.#onFreeze(from, message[1] as number, message[2] as NodeId[]);
        return true;
      case Kind.delta:
        this.#onDelta(from, message[1] as number, message[2] as string, message[3] as boolean);
        return true;
      case Kind.stage:
        this.#onStage(from, message);
        return true;
      case Kind.merge:
        this.#onMerge(from, message[1] as number);
        return true;
      case Kind.mergeDone:
        this.#onDone(from, message[1] as number, message[2] as NodeId[]);
        return true;
      case Kind.mergeAbort:
        if (this.#freeze !== undefined && this.#freeze.id === message[1] && this.#freeze.leader === from) this.#thaw();
        return true;
      case Kind.mergeAsk:
        this.#onAsk(from, message[1] as NodeId, message[2] as number);
        return true;
      case Kind.mergeTell:
        this.#onTell(from, message[1] as number, message[2] as boolean);
        return true;
      default:
        return false;
    }
  }

  // -- freezing -----------------------------------------------------------------------------------------------------

  #onFreeze(from: NodeId, id: number, members: NodeId[]): void {
    const obstacle = this.#freezeObstacle(members);
    if (obstacle !== undefined) return this.#host.post(from, [Kind.refuse, id, obstacle]);
    const sinceMs = this.#node.environment.clock.monotonicMs();
    this.#freeze = {
      id,
      leader: from,
      members,
      sinceMs,
      phase: 'draining',
      stage: undefined,
      schemaChanges: 0,
      asked: undefined,
    };
    for (const table of this.#node.tables.values()) if (!table.definition.localContent) table.locks.freeze(id);
    this.#host.refuseWaiting();
    this.#node.environment.probe('connect.before_lock');
    this.poll();
  }

  #freezeObstacle(members: readonly NodeId[]): string | undefined {
    const { self, view } = this.#node;
    if (this.#freeze !== undefined) return 'another node connection transaction is running';
    if (this.#node.outbox.failure !== undefined && view.size > 1) return 'its disc has failed';
    for (const member of members) {
      if (member !== self && !this.#node.isLinked(member)) return `no link to ${this.#node.nameOf(member)}`;
    }
    for (const member of view) if (!members.includes(member)) return `it also runs with ${this.#node.nameOf(member)}`;
    return undefined;
  }

  /** Called after every turn's messages while a freeze drains. */
  poll(): void {
    const freeze = this.#freeze;
    if (freeze?.phase !== 'draining' || !this.#host.isQuiet()) return;
    for (const table of this.#node.tables.values()) {
      if (!table.definition.localContent && table.locks.isBusy) return;
    }
    freeze.phase = 'frozen';
    freeze.schemaChanges = this.#node.schemaChanges;
    this.#node.environment.probe('connect.locked');
    this.#host.post(freeze.leader, [Kind.frozen, freeze.id, this.#report()]);
  }

  #report(): FrozenReport {
    const shared = [...this.#node.tables.values()].filter((table) => !table.definition.localContent);
    const replicas: ReplicaReport[] = shared
      .filter((table) => table.held && table.definition.deletedAt === 0)
      .map((table) => [table.name, table.loaded, table.fresh, table.digest.text, table.rows.size, table.rootless]);
    return {
      name: this.#node.selfName,
      view: [...this.#node.view].sort(),
      downs: this.#host.downNotes(),
      storedHlc: this.#node.storedHlc,
      retired: [...this.#node.retired],
      acknowledged: [...this.#node.acknowledged],
      lives: packLives(this.#node.lives),
      schema: shared.map((table) => packTable(table.definition)),
      replicas,
    };
  }

  #thaw(): void {
    this.#freeze = undefined;
    for (const table of this.#node.tables.values()) if (table.locks.frozenBy !== 0) table.locks.unfreeze();
  }

  // -- offering ------------------------------------------------------------------------------------------------------

  #onDelta(from: NodeId, id: number, tableName: string, full: boolean): void {
    const freeze = this.#freeze;
    const table = this.#node.tables.get(tableName);
    if (freeze === undefined || freeze.id !== id || freeze.leader !== from || table === undefined) return;
    const others = freeze.members.filter((member) => !this.#node.view.has(member));
    const rows = collectDelta(this.#node, table, others, full);
    const outsiders = collectOutsiders(this.#node, table, freeze.members);
    for (const { piece, last } of inPieces(rows, (row: DeltaRow) => row[3]?.length ?? 0)) {
      this.#host.post(from, [Kind.deltaRows, id, tableName, piece, last ? outsiders : [], last]);
    }
  }

  // -- staging -------------------------------------------------------------------------------------------------------

  #onStage(from: NodeId, message: Message): void {
    const [, id, head, table, rows, outsiders, last] = message as unknown as [
      number,
      number,
      StageHead | null,
      string | null,
      StagedRow[],
      OutsiderEntry[],
      boolean,
    ];
    const freeze = this.#freeze;
    if (freeze === undefined || freeze.id !== id || freeze.leader !== from || freeze.phase === 'draining') return;
    if (head !== null) freeze.stage = { head, rows: new Map(), outsiders: new Map() };
    const { stage } = freeze;
    if (stage === undefined) return;
    if (table !== null) {
      stage.rows.set(table, (stage.rows.get(table) ?? []).concat(rows));
      if (outsiders.length > 0) stage.outsiders.set(table, outsiders);
    }
    if (!last) return;
    freeze.phase = 'staged';
    this.#node.environment.probe('connect.prepared');
    this.#host.post(from, [Kind.staged, id, this.#predict(stage)]);
  }

  /** The digests this node's replicas will have: equal everywhere, or the merge is not made. */
  #predict(stage: Stage): PredictedDigest[] {
    const predicted: PredictedDigest[] = [];
    for (const packed of stage.head.schema) {
      const definition = unpackTable(packed);
      if (definition.localContent || definition.deletedAt > 0 || !definition.replicas.has(this.#node.self)) continue;
      const table = this.#node.tables.get(definition.name);
      const own = this.#isReset(stage, table, definition) ? undefined : table;
      const digest = own?.digest.copy() ?? new Digest();
      for (const [key, hlc, node, bytes, ruled] of stage.rows.get(definition.name) ?? []) {
        const token = keyToken(key);
        const old = own?.rows.get(token);
        if (old !== undefined && !ruled && !isNewer(hlc, node, old.hlc, old.node)) continue;
        if (old !== undefined) digest.toggle(old);
        if (bytes !== null) digest.toggle(new Row(key, token, hlc, node, undefined, bytes));
      }
      predicted.push([definition.name, digest.text]);
    }
    return predicted;
  }

  /**
   * This node's rows are given up: its disc had lost what it acknowledged, and it has served nobody since; or they are
   * of a table that the others have deleted.
   */
  #isReset(stage: Stage, table: Table | undefined, theirs: SchemaTable): boolean {
    if (table === undefined || isSuperseded(table.definition, theirs)) return true;
    return stage.head.reset.includes(this.#node.self) && !table.loaded;
  }

  // -- applying -------------------------------------------------------------------------------------------------------

  #onMerge(from: NodeId, id: number): void {
    const freeze = this.#freeze;
    if (freeze === undefined || freeze.id !== id || freeze.leader !== from || freeze.phase !== 'staged') {
      // Given up here meanwhile: the leader must not count on this node.
      this.#host.post(from, [Kind.exclude]);
      return;
    }
    this.#apply(freeze, freeze.stage as Stage);
  }

  #apply(freeze: Freeze, stage: Stage): void {
    const node = this.#node;
    node.environment.probe('connect.before_apply');
    this.#lastApplied = { leader: freeze.leader, id: freeze.id };
    for (const retired of stage.head.retired) node.retire(retired);
    node.learnLives(stage.head.lives);
    const strangers = this.#strangers(freeze, stage);
    const remade = this.#applySchema(stage);
    const changes = [];
    let taken = 0;
    for (const [name, rows] of stage.rows) {
      const table = node.tables.get(name);
      if (table === undefined || !table.held || table.definition.deletedAt > 0 || remade.has(name)) continue;
      for (const row of rows) {
        const applied = this.#applyRow(table, row);
        if (applied === undefined) continue;
        taken += 1;
        changes.push(applied);
      }
    }
    node.hlc.witness(stage.head.hlc);
    node.recent.add(freeze.leader, new RecentCommit(freeze.id, stage.head.hlc, freeze.members, changes));
    this.#noteOutsiders(stage);
    this.#oweEverything(strangers);
    this.#join(freeze, stage, taken);
  }

  /** Holders of a table that this node only hears of now and that are not here: what was written so far knew nothing of them. */
  #strangers({ members }: Freeze, { head }: Stage): [name: string, holders: NodeId[]][] {
    const strangers: [name: string, holders: NodeId[]][] = [];
    for (const packed of head.schema) {
      const { name, replicas } = unpackTable(packed);
      const known = this.#node.tables.get(name);
      if (known === undefined || known.rows.size === 0) continue;
      const holders = [...replicas.keys()].filter(
        (one) => !members.includes(one) && !known.definition.replicas.has(one),
      );
      if (holders.length > 0) strangers.push([name, holders]);
    }
    return strangers;
  }

  #oweEverything(strangers: readonly [name: string, holders: readonly NodeId[]][]): void {
    for (const [name, holders] of strangers) {
      const table = this.#node.tables.get(name) as Table;
      for (const { key, token, node } of table.rows.values()) {
        const entry = { key, seenHlc: 0, seenNode: '', deletedHlc: 0, deletedNode: node };
        for (const holder of holders) this.#node.changed.add(holder, table, token, entry);
      }
    }
  }

  /** Returns the tables that were deleted and made anew here while this transaction ran: nothing of it concerns them. */
  #applySchema(stage: Stage): Set<string> {
    const remade = new Set<string>();
    for (const packed of stage.head.schema) {
      const theirs = unpackTable(packed);
      const table = this.#node.tables.get(theirs.name);
      if (table !== undefined) {
        if (isSuperseded(theirs, table.definition)) remade.add(theirs.name);
        else if (this.#isReset(stage, table, theirs)) this.#discard(table);
        if (isSuperseded(table.definition, theirs)) this.#begin(table);
      }
      this.#applyDefinition(table, theirs);
    }
    return remade;
  }

  #discard(table: Table): void {
    const everybody = [...table.definition.replicas.keys()];
    for (const row of [...table.rows.values()]) {
      this.#node.applyChange(table, row.key, row.token, undefined, row.hlc, row.node, everybody, 'merge');
    }
  }

  /** It has nothing any more of the table that was deleted; what is made anew in its place comes from the others. */
  #begin(table: Table): void {
    table.loaded = false;
    table.fresh = true;
    this.#node.changed.clearTable(table.name);
  }

  #applyDefinition(table: Table | undefined, theirs: SchemaTable): void {
    if (table === undefined) {
      this.#node.define(theirs);
      return;
    }
    // Made while this transaction ran: it stays, and is brought to the others by the next one.
    const united =
      firstDifference(table.definition, theirs) === undefined ? uniteDefinitions(table.definition, theirs) : theirs;
    this.#node.define(withoutNodes(united, this.#node.retired));
  }

  #applyRow(
    table: Table,
    [key, hlc, node, bytes, ruled]: StagedRow,
  ): { table: Table; key: DeltaRow[0]; token: Token; deleted: boolean } | undefined {
    const token = keyToken(key);
    const current = table.rows.get(token);
    if (current === undefined && bytes === null) return undefined;
    if (current !== undefined && !ruled && !isNewer(hlc, node, current.hlc, current.node)) return undefined;
    if (current?.hlc === hlc && current.node === node) return undefined;
    const row = bytes === null ? undefined : new Row(key, token, hlc, node, undefined, bytes);
    // Nobody is marked as lacking it here: what outsiders lack was told by those who know (noteOutsiders).
    this.#node.applyChange(table, key, token, row, hlc, node, [...table.definition.replicas.keys()], 'merge');
    return { table, key, token, deleted: row === undefined };
  }

  #noteOutsiders(stage: Stage): void {
    for (const [name, entries] of stage.outsiders) {
      const table = this.#node.tables.get(name);
      if (table === undefined || !table.held) continue;
      for (const entry of entries) this.#noteOutsider(table, entry);
    }
  }

  /** Members tell what they know in any order, so the merged row says whether the key is there; if not, a delete stays. */
  #noteOutsider(table: Table, [outsider, key, seenHlc, seenNode, deletedHlc, deletedNode]: OutsiderEntry): void {
    const { changed } = this.#node;
    const token = keyToken(key);
    const known = changed.get(outsider, table.name)?.get(token);
    const isThere = table.rows.has(token);
    const entry = { key, seenHlc, seenNode, deletedHlc: isThere ? 0 : deletedHlc, deletedNode };
    if (isThere || deletedHlc > 0 || known === undefined) changed.addSeen(outsider, table, token, entry);
    else changed.addSeen(outsider, table, token, { ...known, seenHlc, seenNode });
  }

  #join(freeze: Freeze, stage: Stage, taken: number): void {
    const node = this.#node;
    const added = freeze.members.filter((member) => !node.view.has(member));
    node.view = new Set(freeze.members);
    node.storedHlc = Number.MAX_SAFE_INTEGER;
    node.schemaSettled = freeze.schemaChanges;
    // What is noted for the new members stays until they are known to have applied the merge (see onDone).
    for (const member of freeze.members) node.recordUp(member);
    const loaded: Table[] = [];
    for (const name of stage.head.loaded) {
      const table = node.tables.get(name);
      if (table === undefined || !table.held) continue;
      if (!table.loaded) loaded.push(table);
      table.loaded = true;
      table.fresh = false;
      table.rootless = stage.head.rootless.includes(name);
    }
    const acknowledge = (failure: DiscFailure | undefined): void => {
      if (failure === undefined) this.#host.post(freeze.leader, [Kind.merged, freeze.id]);
    };
    node.outbox.whenWritten({ discDone: acknowledge }, true);
    this.#thaw();
    node.environment.probe('connect.after_apply');
    const leaderName = node.nameOf(freeze.leader);
    for (const table of loaded) node.emit({ type: 'table_loaded', table: table.name, from: leaderName });
    for (const member of added) node.emit({ type: 'mnesia_up', node: node.nameOf(member) });
    const durationMs = Math.round(node.environment.clock.monotonicMs() - freeze.sinceMs);
    node.emit({
      type: 'connected',
      nodes: node.namesOf(freeze.members),
      rowsTaken: taken,
      rowsGiven: [...stage.rows.values()].reduce((sum, rows) => sum + rows.length, 0) - taken,
      conflicts: stage.head.conflicts,
      durationMs,
    });
    this.#host.viewChanged(added);
    // Lost while this was being made: nobody will say so again.
    for (const member of freeze.members) {
      if (member !== node.self && !node.isLinked(member)) this.#host.memberGone(member);
    }
  }

  /** Everybody has it on disc: nothing more is owed to those in the view. */
  #onDone(from: NodeId, id: number, members: NodeId[]): void {
    if (this.#lastApplied.leader !== from || this.#lastApplied.id !== id) return;
    this.#node.environment.probe('connect.done');
    for (const member of members) {
      if (member === this.#node.self || !this.#node.view.has(member)) continue;
      this.#node.changed.clear(member);
      this.#node.owed.delete(member);
    }
  }

  // -- losing somebody in the middle -------------------------------------------------------------------------------------

  nodeLost(lost: NodeId): void {
    const freeze = this.#freeze;
    if (freeze === undefined) return;
    if (freeze.asked !== undefined) {
      freeze.asked.delete(lost);
      if (freeze.asked.size === 0) this.#thaw();
      return;
    }
    if (freeze.leader !== lost) {
      if (!freeze.members.includes(lost)) return;
      this.#host.post(freeze.leader, [Kind.refuse, freeze.id, `it lost ${this.#node.nameOf(lost)}`]);
      if (freeze.phase !== 'staged') this.#thaw();
      return;
    }
    if (freeze.phase !== 'staged') return this.#thaw();
    const others = freeze.members.filter((member) => member !== this.#node.self && this.#node.isLinked(member));
    if (others.length === 0) return this.#thaw();
    freeze.asked = new Set(others);
    for (const other of others) this.#host.post(other, [Kind.mergeAsk, lost, freeze.id]);
  }

  #onAsk(from: NodeId, leader: NodeId, id: number): void {
    const applied = this.#lastApplied.leader === leader && this.#lastApplied.id === id;
    this.#host.post(from, [Kind.mergeTell, id, applied]);
    // "Not applied" is a promise: what is staged here is given up.
    if (!applied && this.#freeze?.leader === leader && this.#freeze.id === id) this.#thaw();
  }

  #onTell(from: NodeId, id: number, applied: boolean): void {
    const freeze = this.#freeze;
    if (freeze === undefined || freeze.id !== id || freeze.asked === undefined) return;
    if (applied) return this.#apply(freeze, freeze.stage as Stage);
    freeze.asked.delete(from);
    if (freeze.asked.size === 0) this.#thaw();
  }

  /** A leader that went silent over a living link must not keep this node frozen. */
  sweep(nowMs: number): void {
    const freeze = this.#freeze;
    if (freeze === undefined) return;
    this.poll();
    const limitMs = this.#node.limits.connectDeadlineMs * (freeze.phase === 'staged' ? 4 : 2);
    if (nowMs - freeze.sinceMs > limitMs) this.#thaw();
  }
}
