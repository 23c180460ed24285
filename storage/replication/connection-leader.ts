/**
 * The leader's part of the node connection transaction: brings two islands, a starting node and an island, or the
 * replicas of a new table, to one truth, without a restart of anything (storage.md §6).
 *
 * freeze all members → unite schemas → ask for what changed → merge → stage everywhere → compare the digests the
 * replicas will have → commit. Any failure before the commit thaws everybody and changes nothing.
 */
import type { NodeId, TimerHandle } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import { PARTITION_LEDGER, packTable, type SchemaTable, withoutNodes } from '../schema/definition.ts';
import { decodeValue } from '../term.ts';
import { Kind, type Message } from '../transactions/messages.ts';
import type {
  DeltaRow,
  FrozenReport,
  OutsiderEntry,
  PredictedDigest,
  StagedRow,
  StageHead,
} from './connection-messages.ts';
import { inPieces } from './delta.ts';
import { ledgerId, ledgerRow } from './ledger.ts';
import { type Lives, packLives } from './lives.ts';
import type { Candidate, RuleContext } from './merge.ts';
import {
  allLives,
  beganAnew,
  hasLackingReplica,
  isPartition,
  type Loser,
  loadable,
  mergedOutsiders,
  mergeTable,
  needsRows,
  planTable,
  retiredNodes,
  stagedRows,
  staleMembers,
  type TablePlan,
  uniteSchemas,
} from './merge-plan.ts';

interface Connection {
  readonly id: number;
  readonly members: readonly NodeId[];
  readonly deadline: TimerHandle;
  phase: 'freezing' | 'collecting' | 'staging' | 'committing';
  readonly reports: Map<NodeId, FrozenReport>;
  schema: Map<string, SchemaTable>;
  plans: Map<string, TablePlan>;
  readonly offered: Map<string, Map<NodeId, DeltaRow[]>>;
  readonly outsiders: Map<string, OutsiderEntry[]>;
  /** Answers awaited, as `table node` or node. */
  readonly awaited: Set<string>;
  readonly predicted: Map<NodeId, PredictedDigest[]>;
  /** Tables whose digests disagreed once: all rows are compared in the next try. */
  readonly compareAll: Set<string>;
  /** Members that lost what they had acknowledged. */
  stale: NodeId[];
  retired: NodeId[];
  hlc: number;
  giveUpAtMs: number;
}

export interface LeaderHost {
  readonly node: NodeState;
  nextNumber(): number;
  post(node: NodeId, message: Message): void;
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
    const id = this.#host.nextNumber();
    const deadlineMs = this.#node.limits.connectDeadlineMs;
    const deadline = this.#node.environment.clock.after(deadlineMs, () => {
      this.#abort(this.#error('deadline', `it was not done within ${deadlineMs} ms; awaited: ${this.#awaitedText()}`));
    });
    this.#connection = {
      id,
      members: [...members].sort(),
      deadline,
      phase: 'freezing',
      reports: new Map(),
      schema: new Map(),
      plans: new Map(),
      offered: new Map(),
      outsiders: new Map(),
      awaited: new Set(members),
      predicted: new Map(),
      compareAll: new Set(),
      stale: [],
      retired: [],
      hlc: 0,
      giveUpAtMs: 0,
    };
    for (const member of this.#connection.members) this.#host.post(member, [Kind.freeze, id, [...members]]);
  }

  #awaitedText(): string {
    return [...(this.#connection?.awaited ?? [])].map((awaited) => this.#node.nameOf(awaited)).join(', ') || 'nobody';
  }

  #error(code: 'deadline' | 'node_not_running' | 'aborted' | 'disc_corrupt', why: string): StorageError {
    return new StorageError(code, `The node connection transaction was given up: ${why}. It is tried again by itself.`);
  }

  handle(from: NodeId, message: Message): boolean {
    const connection = this.#connection;
    const isOurs = connection !== undefined && message[1] === connection.id && connection.members.includes(from);
    switch (message[0]) {
      case Kind.frozen:
        if (isOurs) this.#onFrozen(connection, from, message[2] as FrozenReport);
        return true;
      case Kind.refuse:
        if (isOurs) this.#abort(this.#error('aborted', `${this.#node.nameOf(from)} refused: ${message[2] as string}`));
        return true;
      case Kind.deltaRows:
        if (isOurs) this.#onDeltaRows(connection, from, message);
        return true;
      case Kind.staged:
        if (isOurs) this.#onStaged(connection, from, message[2] as PredictedDigest[]);
        return true;
      case Kind.merged:
        if (isOurs) this.#onMerged(connection, from);
        return true;
      default:
        return false;
    }
  }

  // -- collecting ------------------------------------------------------------------------------------------------------

  #onFrozen(connection: Connection, from: NodeId, report: FrozenReport): void {
    connection.reports.set(from, report);
    connection.awaited.delete(from);
    if (connection.awaited.size > 0) return;
    if (!isPartition(connection.reports)) return this.#abort(this.#error('aborted', 'views were still changing'));
    try {
      connection.schema = uniteSchemas(connection.reports);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      return this.#abort(error);
    }
    connection.stale = staleMembers(connection.reports);
    this.#retire(connection);
    this.#collect(connection);
  }

  #retire(connection: Connection): void {
    const holders = new Set([...connection.schema.values()].flatMap(({ replicas }) => [...replicas.keys()]));
    connection.retired = retiredNodes(connection.reports, (node) => this.#node.nameOf(node), holders);
    const gone = new Set(connection.retired);
    for (const [name, table] of connection.schema) connection.schema.set(name, withoutNodes(table, gone));
  }

  #collect(connection: Connection): void {
    connection.phase = 'collecting';
    connection.plans.clear();
    connection.offered.clear();
    connection.outsiders.clear();
    for (const definition of connection.schema.values()) {
      if (definition.localContent) continue;
      const plan = planTable(
        definition,
        connection.reports,
        connection.stale,
        connection.compareAll.has(definition.name),
      );
      connection.plans.set(definition.name, plan);
      connection.offered.set(definition.name, new Map());
      const rowsNeeded =
        connection.compareAll.has(definition.name) || needsRows(plan, connection.reports, connection.stale);
      // Even equal replicas may owe something to nodes that are still away: that is always told.
      for (const { node } of plan.sources) this.#ask(connection, definition.name, node, plan.full && rowsNeeded);
      for (const { source, full } of plan.leftovers) this.#ask(connection, definition.name, source.node, full);
    }
    if (connection.awaited.size === 0) this.#stage(connection);
  }

  #ask(connection: Connection, table: string, node: NodeId, full: boolean): void {
    connection.awaited.add(`${table} ${node}`);
    this.#host.post(node, [Kind.delta, connection.id, table, full]);
  }

  #onDeltaRows(connection: Connection, from: NodeId, message: Message): void {
    const [, , table, rows, outsiders, last] = message as unknown as [
      number,
      number,
      string,
      DeltaRow[],
      OutsiderEntry[],
      boolean,
    ];
    const offered = connection.offered.get(table);
    if (connection.phase !== 'collecting' || offered === undefined) return;
    const earlier = offered.get(from);
    if (earlier === undefined) offered.set(from, rows);
    else for (const row of rows) earlier.push(row);
    if (outsiders.length > 0) {
      connection.outsiders.set(table, (connection.outsiders.get(table) ?? []).concat(outsiders));
    }
    if (!last) return;
    connection.awaited.delete(`${table} ${from}`);
    if (connection.awaited.size === 0) this.#stage(connection);
  }

  // -- staging ----------------------------------------------------------------------------------------------------------

  #stage(connection: Connection): void {
    connection.phase = 'staging';
    connection.hlc = this.#node.hlc.tick();
    const losers: Loser[] = [];
    const staged = new Map<string, StagedRow[]>();
    const lives = allLives(connection.reports);
    for (const [name, plan] of connection.plans) {
      const offered = connection.offered.get(name) as Map<NodeId, DeltaRow[]>;
      const someLack = hasLackingReplica(plan, connection.reports, connection.stale);
      const merged = mergeTable(plan, offered, this.#ruleContext(plan.definition, lives), losers);
      staged.set(name, stagedRows(plan, merged, someLack));
      const outsiders = connection.outsiders.get(name);
      if (outsiders !== undefined) connection.outsiders.set(name, mergedOutsiders(outsiders, merged));
    }
    this.#addLosers(connection, staged, losers);
    this.#node.environment.probe('connect.before_prepare');
    this.#sendStage(connection, staged, losers.length);
  }

  #ruleContext(definition: SchemaTable, lives: Lives): RuleContext {
    const primaryName = this.#node.primaryNodeName();
    const field = definition.ownerField;
    return {
      rule: definition.merge,
      replicas: definition.replicas,
      lives,
      primary: primaryName === undefined ? undefined : this.#node.idOf(primaryName),
      ownedByWriter: (candidate: Candidate): boolean => {
        if (candidate.bytes === null || field === undefined) return false;
        const value = decodeValue(candidate.bytes);
        if (typeof value !== 'object' || value === null) return false;
        return (value as Record<string, unknown>)[field] === this.#node.nameOf(candidate.node);
      },
    };
  }

  #addLosers(connection: Connection, staged: Map<string, StagedRow[]>, losers: readonly Loser[]): void {
    if (losers.length === 0) return;
    const rows = staged.get(PARTITION_LEDGER) ?? [];
    const known = new Set(rows.map(([id]) => id));
    const ours = this.#node.tables.get(PARTITION_LEDGER)?.rows;
    for (const loser of losers) {
      // A conflict met again, after a merge that was only half made, has its entry already.
      const id = ledgerId(loser);
      if (known.has(id) || ours?.has(id)) continue;
      known.add(id);
      const nameOf = (node: NodeId): string => connection.reports.get(node)?.name ?? this.#node.nameOf(node);
      rows.push(ledgerRow(loser, connection.hlc, this.#node.self, nameOf));
    }
    staged.set(PARTITION_LEDGER, rows);
  }

  #sendStage(connection: Connection, staged: ReadonlyMap<string, StagedRow[]>, conflicts: number): void {
    const head: StageHead = {
      schema: [...connection.schema.values()].map(packTable),
      loaded: loadable(connection.schema, connection.reports),
      rootless: beganAnew(connection.schema, connection.reports),
      hlc: connection.hlc,
      conflicts,
      reset: connection.stale,
      retired: connection.retired,
      lives: packLives(allLives(connection.reports)),
    };
    const pieces: Message[] = [[Kind.stage, connection.id, head, null, [], [], false]];
    for (const [table, rows] of staged) {
      const outsiders = connection.outsiders.get(table) ?? [];
      if (rows.length === 0 && outsiders.length === 0) continue;
      for (const { piece, last } of inPieces(rows, (row: StagedRow) => row[3]?.length ?? 0)) {
        pieces.push([Kind.stage, connection.id, null, table, piece, last ? outsiders : [], false]);
      }
    }
    pieces.push([Kind.stage, connection.id, null, null, [], [], true]);
    connection.predicted.clear();
    for (const member of connection.members) connection.awaited.add(member);
    for (const member of connection.members) for (const piece of pieces) this.#host.post(member, piece);
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
    for (const table of differing) connection.compareAll.add(table);
    this.#collect(connection);
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

  // -- committing --------------------------------------------------------------------------------------------------------

  #commit(connection: Connection): void {
    connection.phase = 'committing';
    connection.giveUpAtMs = this.#node.environment.clock.monotonicMs() + this.#node.limits.connectDeadlineMs;
    this.#node.environment.clock.cancel(connection.deadline);
    for (const member of connection.members) connection.awaited.add(member);
    for (const member of connection.members) this.#host.post(member, [Kind.merge, connection.id]);
  }

  #onMerged(connection: Connection, from: NodeId): void {
    connection.awaited.delete(from);
    if (this.#node.isLinked(from)) this.#node.noteAcknowledged(from, connection.hlc);
    if (connection.phase !== 'committing' || connection.awaited.size > 0) return;
    const present = connection.members.filter((member) => this.#node.view.has(member));
    for (const member of present) this.#host.post(member, [Kind.mergeDone, connection.id, present]);
    this.#connection = undefined;
    this.#host.succeeded(connection.members);
  }

  #abort(error: StorageError): void {
    const connection = this.#connection;
    if (connection === undefined || connection.phase === 'committing') return;
    this.#connection = undefined;
    this.#node.environment.clock.cancel(connection.deadline);
    for (const member of connection.members) this.#host.post(member, [Kind.mergeAbort, connection.id]);
    this.#host.failed(connection.members, error);
  }

  nodeLost(lost: NodeId): void {
    const connection = this.#connection;
    if (connection === undefined || !connection.members.includes(lost)) return;
    if (connection.phase === 'committing') this.#onMerged(connection, lost);
    else this.#abort(this.#error('node_not_running', `${this.#node.nameOf(lost)} was lost`));
  }

  /** Who does not say that it applied a decided merge is not counted on any more. */
  sweep(nowMs: number): void {
    const connection = this.#connection;
    if (connection?.phase !== 'committing' || nowMs < connection.giveUpAtMs) return;
    for (const member of [...connection.awaited]) this.#host.memberSilent(member);
  }

  close(): void {
    if (this.#connection !== undefined) this.#node.environment.clock.cancel(this.#connection.deadline);
    this.#connection = undefined;
  }
}
