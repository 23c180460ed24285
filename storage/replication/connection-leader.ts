/**
 * The leader's part of the node connection transaction: brings two islands, a starting node and an island, or the
 * replicas of a new table, to one truth, without a restart of anything (storage.md §6).
 *
 * While all write on: reports → unite schemas → ask for what changed → merge → stage at the members, in rounds, until
 * little is left. Then freeze → the last changes → compare the digests the replicas will have → commit. Any failure
 * before the commit thaws everybody and changes nothing.
 */
import type { NodeId, TimerHandle } from '../environment.ts';
import { StorageError } from '../errors.ts';
import { CONNECT_TRIES_MAX } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import { PARTITION_LEDGER, type SchemaTable, withBirths, withoutNodes } from '../schema/definition.ts';
import { withFormers } from '../schema/majorities.ts';
import { withoutRemoved } from '../schema/node-removal.ts';
import { packTable } from '../schema/packed.ts';
import { applyChanges } from '../schema/table-properties.ts';
import type { PromisedRow } from '../transactions/guards.ts';
import { Kind, type Message } from '../transactions/messages.ts';
import type { MemberReport, PredictedDigest, StageHead } from './connection-messages.ts';
import { CopyRounds } from './copy-rounds.ts';
import { withoutEarlyDepartures } from './departures.ts';
import { forgetfulAfter } from './forgetful.ts';
import { packLives } from './lives.ts';
import { beganAnew, loadable, overtakenAmong, unloadable } from './loadable.ts';
import {
  allLives,
  areAlike,
  collapsedOutside,
  isPartition,
  isSamePlan,
  lackingMembers,
  needsRows,
  planTable,
  retiredNodes,
  rowsOf,
  staleMembers,
  uniteSchemas,
} from './merge-plan.ts';
import { outdatedAt } from './outdated.ts';
import { formerLists } from './replica-lists.ts';

interface Connection {
  readonly id: number;
  readonly members: readonly NodeId[];
  /**
   * `surveying`: first reports are awaited. `copying`: nobody waits. `freezing`: writers stop; reports and last offers
   * are awaited. `staging`: the digests after the merge are.
   */
  phase: 'surveying' | 'copying' | 'freezing' | 'staging' | 'committing';
  /** Tries in one go. */
  readonly tries: number;
  readonly surveyed: Map<NodeId, MemberReport>;
  readonly frozen: Map<NodeId, MemberReport>;
  schema: Map<string, SchemaTable>;
  copy: CopyRounds | undefined;
  /** Members whose answer is awaited. */
  readonly awaited: Set<NodeId>;
  readonly predicted: Map<NodeId, PredictedDigest[]>;
  /** Tables whose digests disagreed in the last try: everything is compared in this one. */
  readonly compareAll: ReadonlySet<string>;
  /** Members that lost what they had acknowledged. */
  stale: NodeId[];
  retired: NodeId[];
  removed: NodeId[];
  hlc: number;
  progressMs: number;
  freezeDeadline: TimerHandle | undefined;
  giveUpAtMs: number;
}

const NOBODY: ReadonlySet<NodeId> = new Set();

export interface LeaderHost {
  readonly node: NodeState;
  nextNumber(): number;
  post(node: NodeId, message: Message): void;
  /** Runs `act` in a turn of its own. */
  later(act: () => void): void;
  /** A try ended without connecting; nothing changed. */
  failed(members: readonly NodeId[], error: StorageError): void;
  succeeded(members: readonly NodeId[]): void;
  /** A member gives no sign of having applied a merge. */
  memberSilent(node: NodeId): void;
}

export class ConnectionLeader {
  readonly #host: LeaderHost;
  readonly #node: NodeState;
  #connection: Connection | undefined = undefined;

  constructor(host: LeaderHost) {
    this.#host = host;
    this.#node = host.node;
  }

  get isBusy(): boolean {
    return this.#connection !== undefined;
  }

  /** A merge that not everybody has applied yet bounds this node's watermark. */
  get openHlc(): number | undefined {
    return this.#connection?.phase === 'committing' ? this.#connection.hlc : undefined;
  }

  start(members: readonly NodeId[]): void {
    this.#start([...members].sort(), 1, new Set());
  }

  #start(members: readonly NodeId[], tries: number, compareAll: ReadonlySet<string>): void {
    const id = this.#host.nextNumber();
    const connection: Connection = {
      id,
      members,
      phase: 'surveying',
      tries,
      surveyed: new Map(),
      frozen: new Map(),
      schema: new Map(),
      copy: undefined,
      awaited: new Set(members),
      predicted: new Map(),
      compareAll,
      stale: [],
      retired: [],
      removed: [],
      hlc: 0,
      progressMs: this.#node.environment.clock.monotonicMs(),
      freezeDeadline: undefined,
      giveUpAtMs: 0,
    };
    this.#connection = connection;
    this.#toAll(connection, [Kind.survey, id, [...members]]);
  }

  #toAll(connection: Connection, message: Message): void {
    for (const member of connection.members) this.#host.post(member, message);
  }

  #awaitedText({ phase, awaited, copy }: Connection): string {
    const nodes = phase === 'copying' ? (copy?.awaited ?? []) : awaited;
    return this.#node.namesOf(new Set(nodes)).join(', ') || 'nobody';
  }

  #error(code: 'deadline' | 'node_not_running' | 'aborted' | 'disc_corrupt', why: string): StorageError {
    return new StorageError(code, `The node connection transaction was given up: ${why}. It is tried again by itself.`);
  }

  handle(from: NodeId, message: Message): boolean {
    const connection = this.#connection;
    switch (message[0]) {
      case Kind.surveyed:
      case Kind.bucketDigests:
      case Kind.deltaRows:
      case Kind.stageTaken:
      case Kind.frozen:
      case Kind.staged:
      case Kind.merged:
      case Kind.refuse:
        if (connection?.id !== message[1] || !connection?.members.includes(from)) return true;
        this.#on(connection, from, message);
        return true;
      default:
        return false;
    }
  }

  #on(connection: Connection, from: NodeId, message: Message): void {
    connection.progressMs = this.#node.environment.clock.monotonicMs();
    switch (message[0]) {
      case Kind.surveyed:
        return this.#onSurveyed(connection, from, message[2] as MemberReport);
      case Kind.bucketDigests:
        return connection.copy?.onBucketDigests(from, message[2] as string, message[3] as Uint8Array);
      case Kind.deltaRows:
        return connection.copy?.onDeltaRows(from, message);
      case Kind.stageTaken:
        return connection.copy?.onStageTaken(from, message[2] as boolean, message[3] as number);
      case Kind.frozen:
        return this.#onFrozen(connection, from, message[2] as MemberReport);
      case Kind.staged:
        return this.#onStaged(connection, from, message[2] as PredictedDigest[]);
      case Kind.merged:
        if (this.#node.isLinked(from)) this.#node.acknowledged.note(from, connection.hlc);
        return this.#awaitNoMore(connection, from);
      case Kind.refuse:
        return this.#abort(this.#error('aborted', `${this.#node.nameOf(from)} refused: ${message[2] as string}`));
    }
  }

  // -- copying, while all write on -------------------------------------------------------------------------------------

  #onSurveyed(connection: Connection, from: NodeId, report: MemberReport): void {
    connection.surveyed.set(from, report);
    connection.awaited.delete(from);
    if (connection.awaited.size > 0) return;
    if (!isPartition(connection.surveyed)) return this.#abort(this.#error('aborted', 'views were still changing'));
    try {
      connection.schema = uniteSchemas(connection.surveyed);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      return this.#abort(error);
    }
    const proposed = [...connection.surveyed.values()].flatMap(({ changes }) => changes);
    applyChanges(connection.schema, proposed);
    const obstacle = this.#node.functionObstacle(connection.schema.values());
    if (obstacle !== undefined) return this.#abort(this.#error('aborted', `${this.#node.selfName}: ${obstacle}`));
    connection.stale = staleMembers(connection.surveyed);
    connection.hlc = this.#node.hlc.tick();
    this.#retire(connection);
    this.#copy(connection);
  }

  #retire(connection: Connection): void {
    const holders = new Set([...connection.schema.values()].flatMap(({ replicas }) => [...replicas.keys()]));
    connection.retired = retiredNodes(connection.surveyed, (node) => this.#node.nameOf(node), holders);
    connection.removed = [...new Set([...connection.surveyed.values()].flatMap(({ removed }) => removed))].sort();
    const gone = new Set(connection.retired);
    const removed = new Set(connection.removed);
    for (const [name, table] of connection.schema) {
      const left = withoutRemoved(withoutNodes(table, gone), removed, connection.hlc);
      connection.schema.set(name, withoutEarlyDepartures(left, connection.surveyed));
    }
  }

  #copy(connection: Connection): void {
    connection.phase = 'copying';
    const { id, members, surveyed, stale, compareAll, hlc } = connection;
    const copy = new CopyRounds({
      node: this.#node,
      id,
      members,
      hlc,
      lives: allLives(surveyed),
      nameOf: (node) => surveyed.get(node)?.name ?? this.#node.nameOf(node),
      post: this.#host.post,
      later: this.#host.later,
      copied: () => this.#freeze(connection),
    });
    connection.copy = copy;
    const inLoadOrder = [...connection.schema.values()].sort((a, b) => b.loadOrder - a.loadOrder);
    for (const definition of inLoadOrder) {
      if (definition.localContent) continue;
      const isForced = compareAll.has(definition.name);
      const outdated = outdatedAt(definition, surveyed, stale);
      const plan = planTable(definition, surveyed, outdated, isForced);
      const full = plan.full && (isForced || needsRows(plan, surveyed, outdated));
      copy.add(
        plan,
        lackingMembers(definition, surveyed, outdated),
        full,
        areAlike(plan, surveyed),
        rowsOf(plan, surveyed),
      );
    }
    copy.begin();
  }

  // -- the freeze ------------------------------------------------------------------------------------------------------

  #freeze(connection: Connection): void {
    connection.phase = 'freezing';
    const limitMs = this.#node.limits.connectDeadlineMs;
    connection.freezeDeadline = this.#node.environment.clock.after(limitMs, () => {
      this.#abort(
        this.#error('deadline', `it was not done within ${limitMs} ms; awaited: ${this.#awaitedText(connection)}`),
      );
    });
    for (const member of connection.members) connection.awaited.add(member);
    this.#toAll(connection, [Kind.freeze, connection.id]);
  }

  #onFrozen(connection: Connection, from: NodeId, report: MemberReport): void {
    if (connection.phase !== 'freezing') return;
    connection.frozen.set(from, report);
    connection.awaited.delete(from);
    if (connection.awaited.size > 0) return;
    if (!isSamePlan(connection.surveyed, connection.frozen)) {
      return this.#again(connection, connection.compareAll, 'tables were being made or loaded meanwhile');
    }
    connection.phase = 'staging';
    connection.copy?.stageRest();
    const lacking = connection.copy?.makeRoom() ?? 0;
    if (lacking > 0) return this.#ledgerFull(lacking);
    const head = this.#headOf(connection);
    this.#node.environment.probe('connect.before_prepare');
    for (const member of connection.members) connection.awaited.add(member);
    this.#toAll(connection, [Kind.stage, connection.id, head, null, [], [], true]);
  }

  /** The merge is not made: nobody loses anything, and both sides go on. */
  #ledgerFull(lacking: number): void {
    const limit = this.#node.limits.ledgerEntriesMax;
    const entries = this.#node.tables.get(PARTITION_LEDGER)?.rows.size ?? 0;
    this.#node.emit({ type: 'ledger_full', entries, limit });
    const advice = 'settle entries with restoreFromLedger or acceptLedgerEntry, or raise ledgerEntriesMax';
    this.#abort(this.#error('aborted', `the ledger has no room for ${lacking} of its conflicts: ${advice}`));
  }

  #headOf(connection: Connection): StageHead {
    const { schema, frozen, copy } = connection;
    connection.hlc = this.#node.hlc.tick();
    const gone = new Set([...connection.retired, ...connection.removed]);
    const loaded = loadable(schema, frozen);
    const outdated = (table: SchemaTable): NodeId[] => outdatedAt(table, frozen, connection.stale);
    const made = (table: SchemaTable): SchemaTable => {
      const lacking = lackingMembers(table, frozen, outdated(table));
      const born = withBirths(table, new Map(lacking.map((member) => [member, connection.hlc])));
      return withFormers(born, formerLists(table, frozen, connection), NOBODY);
    };
    return {
      schema: [...schema.values()].map((table) => packTable(made(table))),
      loaded,
      unloaded: unloadable(schema, frozen, loaded),
      rootless: beganAnew(schema, frozen),
      forgetful: forgetfulAfter(schema, frozen, connection.stale, gone),
      hlc: connection.hlc,
      overtaken: overtakenAmong(frozen),
      conflicts: copy?.conflicts ?? 0,
      rows: copy?.rows ?? 0,
      reset: [...schema].map(([name, table]): [string, NodeId[]] => [name, outdated(table)]),
      retired: connection.retired,
      removed: connection.removed,
      lives: packLives(allLives(frozen)),
      collapsed: collapsedOutside(frozen),
      guarded: [...frozen].flatMap(([holder, { orphans }]) =>
        orphans.map((row): [NodeId, PromisedRow] => [holder, row]),
      ),
    };
  }

  #onStaged(connection: Connection, from: NodeId, predicted: PredictedDigest[]): void {
    if (connection.phase !== 'staging') return;
    connection.predicted.set(from, predicted);
    connection.awaited.delete(from);
    if (connection.awaited.size > 0) return;
    const differing = this.#differingTables(connection);
    if (differing.length === 0) return this.#commit(connection);
    if (differing.some((table) => connection.compareAll.has(table))) {
      return this.#abort(this.#error('disc_corrupt', `replicas of ${differing.join(', ')} would still differ`));
    }
    const compareAll = new Set([...connection.compareAll, ...differing]);
    this.#again(connection, compareAll, `replicas of ${differing.join(', ')} would differ`);
  }

  /** Tables whose replicas would not be equal after this merge. */
  #differingTables(connection: Connection): string[] {
    const digests = new Map<string, string>();
    const differing = new Set<string>();
    for (const predicted of connection.predicted.values()) {
      for (const [table, digest] of predicted) {
        const known = digests.get(table);
        if (known === undefined) digests.set(table, digest);
        else if (known !== digest) differing.add(table);
      }
    }
    return [...differing].sort();
  }

  // -- ending ------------------------------------------------------------------------------------------------------------

  #commit(connection: Connection): void {
    connection.phase = 'committing';
    connection.giveUpAtMs = this.#node.environment.clock.monotonicMs() + this.#node.limits.connectDeadlineMs;
    this.#endCopy(connection);
    for (const member of connection.members) connection.awaited.add(member);
    const { self } = this.#node;
    const decided: Message = [Kind.merge, connection.id];
    for (const member of connection.members) if (member !== self) this.#host.post(member, decided);
    // Once it has left: the others apply it while this node does.
    if (connection.members.includes(self)) this.#afterSending(() => this.#host.post(self, decided));
    connection.copy?.tellFailures();
  }

  /** What a turn sends may leave one turn later (see Outbox). */
  #afterSending(act: () => void): void {
    this.#host.later(() => this.#host.later(act));
  }

  #endCopy({ copy, freezeDeadline }: Connection): void {
    copy?.end();
    if (freezeDeadline !== undefined) this.#node.environment.clock.cancel(freezeDeadline);
  }

  /** It has applied the decided merge, or is lost. */
  #awaitNoMore(connection: Connection, member: NodeId): void {
    connection.awaited.delete(member);
    if (connection.phase !== 'committing' || connection.awaited.size > 0) return;
    const present = connection.members.filter((member) => this.#node.view.has(member));
    for (const member of present) this.#host.post(member, [Kind.mergeDone, connection.id, present]);
    this.#connection = undefined;
    this.#host.succeeded(connection.members);
  }

  /** Thaws everybody and begins anew at once, because what was planned no longer fits. */
  #again(connection: Connection, compareAll: ReadonlySet<string>, why: string): void {
    if (connection.tries >= CONNECT_TRIES_MAX) return this.#abort(this.#error('aborted', why));
    this.#endCopy(connection);
    this.#toAll(connection, [Kind.mergeAbort, connection.id]);
    this.#start(connection.members, connection.tries + 1, compareAll);
  }

  #abort(error: StorageError): void {
    const connection = this.#connection;
    if (connection === undefined || connection.phase === 'committing') return;
    this.#connection = undefined;
    this.#endCopy(connection);
    const { table = '', property = '', nodes = [] } = error.fields;
    const conflict = error.code === 'schema_conflict' ? [[table, property, nodes]] : [];
    this.#toAll(connection, [Kind.mergeAbort, connection.id, ...conflict]);
    this.#host.failed(connection.members, error);
  }

  nodeLost(lost: NodeId): void {
    const connection = this.#connection;
    if (connection === undefined || !connection.members.includes(lost)) return;
    if (connection.phase === 'committing') this.#awaitNoMore(connection, lost);
    else this.#abort(this.#error('node_not_running', `${this.#node.nameOf(lost)} was lost`));
  }

  /** Copying may take its time as long as it goes on; who does not say that it applied a decided merge is given up. */
  sweep(nowMs: number): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    if (connection.phase === 'committing') {
      if (nowMs < connection.giveUpAtMs) return;
      for (const member of [...connection.awaited]) this.#host.memberSilent(member);
      return;
    }
    const limitMs = this.#node.limits.connectDeadlineMs;
    if (nowMs - connection.progressMs > limitMs) {
      const why = `nothing was heard for ${limitMs} ms; awaited: ${this.#awaitedText(connection)}`;
      return this.#abort(this.#error('deadline', why));
    }
    if (connection.phase === 'copying') this.#toAll(connection, [Kind.copying, connection.id]);
  }

  close(): void {
    if (this.#connection !== undefined) this.#endCopy(this.#connection);
    this.#connection = undefined;
  }
}
