/**
 * What the parts of one node share: its tables, its view, its clock, what leaves it. It knows how one change of a row is
 * applied everywhere it matters (memory, disc, changed-since sets, listeners); it decides nothing about protocols.
 */
import { changedKey, downKey, metaKey, schemaKey } from './disc/key-space.ts';
import { StoredRows } from './disc/stored-rows.ts';
import type { DiscFailure, DiscOperation, Environment, NodeId } from './environment.ts';
import { nodeRemoved, noSuchTable, readOnly, StorageError } from './errors.ts';
import { HybridClock } from './hybrid-clock.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import { Outbox } from './outbox.ts';
import { Acknowledged } from './replication/acknowledged.ts';
import { type ChangedEntry, ChangedSince, type ChangedStore } from './replication/changed-since.ts';
import { Lacking } from './replication/lacking.ts';
import { type Life, learnLives, type PackedLife, packLives } from './replication/lives.ts';
import { MergeFunctions } from './replication/merge-functions.ts';
import { RecentCommits } from './replication/recent-commits.ts';
import { mergeFunctionOf, type SchemaTable, withMoves } from './schema/definition.ts';
import { withProposed } from './schema/majorities.ts';
import { encodeTable } from './schema/packed.ts';
import { SchemaProgress } from './schema/progress.ts';
import { Proposals } from './schema/proposals.ts';
import type { Row, Token } from './tables/row.ts';
import { Table } from './tables/table.ts';
import { encodeKey, encodeValue } from './term.ts';
import { Guards } from './transactions/guards.ts';
import { type LockHolder, WakeQueue } from './transactions/locker.ts';
import type { Message } from './transactions/messages.ts';
import { Promises } from './transactions/promises.ts';
import type { DatabaseLimits, DatabaseOptions, DiscDamage, Key, SystemEvent, TableEvent, Value } from './types.ts';

export interface DownRecord {
  readonly at: number;
  readonly hlc: number;
  /** It may have gone on after that: no table is loaded on the strength of this note. */
  readonly isDoubtful: boolean;
}

export class NodeState {
  readonly environment: Environment;
  readonly self: NodeId;
  readonly selfName: string;
  readonly incarnation: number;
  readonly limits: DatabaseLimits;
  readonly hlc: HybridClock;
  readonly outbox: Outbox;
  readonly stored = new StoredRows((operation) => this.outbox.write(operation));
  readonly wake = new WakeQueue();
  readonly tables = new Map<string, Table>();
  /** Names of all nodes ever met, by id. An attribute: it may change. */
  readonly names = new Map<NodeId, string>();
  /** running_db_nodes of this node's island, itself included. */
  view = new Set<NodeId>();
  readonly downs = new Map<NodeId, DownRecord>();
  /** Identities that never take part again, as their name came back with another one; the removed ones among them. */
  readonly retired = new Set<NodeId>();
  /** Nodes that were removed for good (M8). */
  readonly removed = new Set<NodeId>();
  /** Name of the node that told this one that it was removed. */
  removedBy: string | undefined = undefined;
  readonly changed: ChangedSince;
  readonly mergeFunctions = new MergeFunctions();
  readonly recent = new RecentCommits();
  readonly promises = new Promises(this);
  /** Per coordinator: its commits up to here are applied durably by all their participants. */
  readonly watermarks = new Map<NodeId, number>();
  /** By node, a moment after it was first heard in this life: what it proposes above that is proposed to this life. */
  readonly heardSince = new Map<NodeId, number>();
  readonly primaryNodeName: () => string | undefined;
  readonly #extraDbNodes: () => readonly string[];
  readonly autoConnect: boolean;
  closed = false;
  /** The latest moment found on this node's disc when it started; unlimited once it has been merged with others. */
  storedHlc = 0;
  /** The moment of the last merge made in this life: what members sent before it has ended since. */
  mergedHlc = 0;
  /** Master nodes by table, as set on this node: with whom it may be loaded (M73). */
  readonly masters = new Map<string, readonly NodeId[]>();
  /** Lives of nodes met, this one's among them: what their votes can speak for (see lives.ts). */
  readonly lives = new Map<NodeId, Life>();
  /** Rows that other members have promised away. */
  readonly guards = new Guards(this.tables);
  readonly acknowledged = new Acknowledged();
  /** By lost node: commits of this one that it took part in and never acknowledged. It may still ask what became of them. */
  readonly owed = new Map<NodeId, Set<number>>();
  /** Rows changed in this life of the node: tells whether there is anything new to remember. */
  changes = 0;
  readonly schema = new SchemaProgress();
  /** Found at start, see start-up.ts. */
  readonly discDamage: DiscDamage[] = [];
  readonly proposals = new Proposals();
  /** Why the last node connection transaction led here was given up. */
  connectFailure = '';
  readonly statistics = { commits: 0, failures: 0, restarts: 0 };
  readonly #lacking = new Lacking(this);
  readonly #listeners = new Set<(event: SystemEvent) => void>();

  constructor(options: DatabaseOptions) {
    this.environment = options.environment;
    this.self = options.nodeId;
    this.selfName = options.nodeName;
    this.incarnation = options.incarnation;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.hlc = new HybridClock(options.environment.clock);
    this.outbox = new Outbox(options.environment, this.hlc);
    this.primaryNodeName = options.primaryNodeName ?? (() => undefined);
    this.#extraDbNodes = options.extraDbNodes ?? (() => []);
    this.autoConnect = options.autoConnect ?? true;
    for (const [name, run] of Object.entries(options.mergeFunctions ?? {})) this.mergeFunctions.register(name, run);
    this.names.set(this.self, this.selfName);
    this.view.add(this.self);
    const changedStore: ChangedStore = {
      putChanged: (node, table, entry) => this.#putChanged(node, table, entry),
      clearChanged: (node, table, key) =>
        this.outbox.write({ type: 'del', key: changedKey(node, table, encodeKey(key)) }),
      putMarks: (marks) => this.#putMeta('changed', marks as unknown as Value),
      partedHlc: (node) =>
        this.downs.get(node)?.hlc ?? this.lives.get(this.self)?.remembered ?? Number.POSITIVE_INFINITY,
      later: (act) =>
        this.environment.endOfTurn(() => {
          if (!this.closed) act();
        }),
    };
    this.changed = new ChangedSince(changedStore, this.limits);
  }

  // -- names and events ------------------------------------------------------------------------------------------

  nameOf(node: NodeId): string {
    return this.names.get(node) ?? node;
  }

  idOf(name: string): NodeId | undefined {
    // Another node may have borne the name before, and be retired.
    for (const [node, known] of this.names) if (known === name && !this.retired.has(node)) return node;
    return undefined;
  }

  namesOf(nodes: Iterable<NodeId>): string[] {
    return [...nodes].map((node) => this.nameOf(node)).sort();
  }

  /** Names of configured nodes that neither this one nor anybody it met has ever met: nobody knows what they hold. */
  unmetNodes(): string[] {
    const configured = this.#extraDbNodes();
    if (configured.length === 0) return [];
    const met = new Set([this.selfName]);
    for (const [node, name] of this.names) if (this.lives.has(node)) met.add(name);
    return configured.filter((name) => !met.has(name));
  }

  subscribe(listener: (event: SystemEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event: SystemEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.listenerFailed(error);
      }
    }
  }

  /** A listener's fault stops neither a commit half-way nor the other listeners: it is thrown in a turn of its own. */
  readonly listenerFailed = (error: unknown): void => {
    this.environment.clock.after(0, () => {
      throw error;
    });
  };

  // -- sending ---------------------------------------------------------------------------------------------------

  send(node: NodeId, message: Message): void {
    this.outbox.send(node, message);
  }

  isLinked(node: NodeId): boolean {
    return this.environment.links.isUp(node);
  }

  // -- tables ----------------------------------------------------------------------------------------------------

  table(name: string): Table {
    const table = this.tables.get(name);
    if (table === undefined || table.definition.deletedAt > 0) throw noSuchTable(name);
    return table;
  }

  /** The table, when writes to it are allowed. */
  writable(name: string): Table {
    const table = this.table(name);
    this.checkWritable(table);
    return table;
  }

  checkWritable({ name, definition }: Table): void {
    if (definition.accessMode === 'read_only') throw readOnly(name);
    if (this.removedBy !== undefined) throw nodeRemoved(this.selfName, this.removedBy);
  }

  /** Puts a definition in force, in memory and on disc. */
  define(definition: SchemaTable): Table {
    let table = this.tables.get(definition.name);
    if (table === undefined) {
      table = new Table(definition, this.self, this.wake);
      this.tables.set(definition.name, table);
    } else {
      table.definition = definition;
    }
    this.outbox.write({
      type: 'put',
      key: schemaKey(definition.name),
      value: encodeTable(definition),
    });
    return table;
  }

  /** The definition as it is to become. */
  proposed({ name, definition }: Table): SchemaTable {
    const moves = this.proposals.moves.get(name);
    if (moves === undefined) return definition;
    return withProposed(withMoves(definition, moves), definition);
  }

  /** Puts a definition in force for a table that is known, and makes this node's replica what it says. */
  redefine(table: Table, definition: SchemaTable): void {
    const before = table.kind;
    this.define(definition);
    const after = table.kind;
    if (before === after || definition.deletedAt > 0 || before === undefined) return;
    this.stored.dropTombstones(table);
    for (const row of table.rows.values()) {
      if (before === 'disc_copies') this.stored.drop(table, row.key, row.token);
      if (after === 'disc_copies') this.stored.put(table, row);
    }
    if (after !== undefined) return this.changed.store(table);
    this.changed.clearTable(table.name);
    table.clear();
    table.loaded = false;
    table.fresh = true;
  }

  /** A local replica ready to be read, or the reason why there is none. */
  readable(name: string): Table {
    const table = this.table(name);
    if (!table.loaded) throw this.notLoaded(table);
    return table;
  }

  notLoaded(table: Table): StorageError {
    const others = [...table.definition.replicas.keys()].filter((node) => node !== this.self);
    const awaited = this.namesOf(others.filter((node) => !this.view.has(node)));
    const { name } = table;
    const why = table.held
      ? `it waits for ${awaited.join(', ') || 'the node connection transaction'}, which may hold newer rows`
      : `this node keeps no replica of it (${this.namesOf(others).join(', ')} do)`;
    return new StorageError(
      'table_not_loaded',
      `Table "${name}" is not loaded here: ${why}. Start the awaited nodes, wait with waitForTables, or call forceLoadTable.`,
      { table: name, nodes: awaited },
    );
  }

  /** Nodes of the view that take writes to `table`. */
  addWriters(table: Table, into: NodeId[]): void {
    for (const node of table.definition.replicas.keys()) {
      if (this.view.has(node) && !into.includes(node)) into.push(node);
    }
  }

  // -- changes ---------------------------------------------------------------------------------------------------

  /**
   * Applies one change of a row that a transaction or a merge decided. `row` undefined deletes. Replica holders that
   * are not among `participants` have it noted in their changed-since sets; of a merge, whoever knows tells what outsiders
   * lack. `encoded`: what the disc is told, if that was made before. `isDirty`: nobody voted for it.
   */
  applyChange(
    table: Table,
    key: Key,
    token: Token,
    row: Row | undefined,
    hlc: number,
    node: NodeId,
    participants: readonly NodeId[],
    origin: TableEvent['origin'],
    encoded?: DiscOperation,
    isDirty = false,
  ): void {
    const old = row === undefined ? table.remove(token, hlc, node) : table.put(row);
    this.changes += 1;
    table.touched?.set(token, { key, deletedHlc: row === undefined ? hlc : 0, deletedNode: node });
    if (table.onDisc) {
      // A delete that nobody else took part in is told by the changed-since sets, from the same batch on.
      const isAwaited = (origin === 'merge' || participants.length > 1) && table.definition.replicas.size > 1;
      if (row !== undefined) this.stored.put(table, row, isDirty, encoded);
      else if (isAwaited) this.stored.bury(table, token, { key, hlc, node }, isDirty);
      else this.stored.drop(table, key, token);
    }
    row?.keep();
    if (origin !== 'merge' && !this.#lacking.reachesAll(table, participants)) {
      this.#lacking.note(table, participants, { key, token, row, old, hlc, node, isDirty });
    }
    table.notify(key, row, old, hlc, node, origin, this.listenerFailed);
  }

  /** The content of a row, for a merge function to be given later; undefined where none will ask. */
  baseOf(table: Table, row: Row | undefined): Uint8Array | null | undefined {
    return mergeFunctionOf(table.definition) === undefined ? undefined : (row?.bytes ?? null);
  }

  /** Why this node can take no part in merges of these tables. */
  functionObstacle(definitions: Iterable<SchemaTable>): string | undefined {
    return this.mergeFunctions.obstacle(definitions, (event) => this.emit(event));
  }

  /** Gives up all rows of this node's replica; whether others have them is not its business any more. */
  discardRows(table: Table, origin: TableEvent['origin']): void {
    const everybody = [...table.definition.replicas.keys()];
    for (const { key, token, hlc, node } of [...table.rows.values()]) {
      this.applyChange(table, key, token, undefined, hlc, node, everybody, origin);
    }
    if (table.onDisc) this.stored.dropTombstones(table);
  }

  #putChanged(node: NodeId, table: string, entry: ChangedEntry): void {
    const { seenHlc, seenNode, deletedHlc, deletedNode, base } = entry;
    const value = encodeValue([seenHlc, seenNode, deletedHlc, deletedNode, ...(base === undefined ? [] : [base])]);
    this.outbox.write({ type: 'put', key: changedKey(node, table, encodeKey(entry.key)), value });
  }

  // -- what is known of other nodes, on disc ----------------------------------------------------------------------

  recordDown(node: NodeId): void {
    this.noteDown(node, { at: this.environment.clock.wallMs(), hlc: this.hlc.tick(), isDoubtful: false });
  }

  noteDown(node: NodeId, record: DownRecord): void {
    this.downs.set(node, record);
    this.outbox.write({ type: 'put', key: downKey(node), value: encodeValue({ ...record }) });
  }

  recordUp(node: NodeId): void {
    if (!this.downs.delete(node)) return;
    this.outbox.write({ type: 'del', key: downKey(node) });
  }

  /** A node that lost its data directory has a new identity; the old one will not return. */
  retire(node: NodeId): void {
    if (this.retired.has(node)) return;
    this.retired.add(node);
    this.recordUp(node);
    this.changed.clear(node);
    this.owed.delete(node);
    this.acknowledged.forget(node);
    this.#putMeta('retired', [...this.retired]);
  }

  /** They will not return: nothing is owed to them, and nobody waits for them. */
  remove(nodes: readonly NodeId[]): void {
    const added = nodes.filter((node) => !this.removed.has(node) && node !== this.self);
    if (added.length === 0) return;
    for (const node of added) {
      this.removed.add(node);
      this.retire(node);
    }
    for (const [table, masters] of this.masters) {
      if (masters.some((node) => this.removed.has(node))) {
        this.setMasters(
          table,
          masters.filter((node) => !this.removed.has(node)),
        );
      }
    }
    this.#putMeta('removed', [...this.removed]);
    for (const node of added) this.emit({ type: 'node_removed', node: this.nameOf(node) });
  }

  /** This node itself was removed, as another one says. */
  wasRemoved(by: NodeId): void {
    if (this.removedBy !== undefined) return;
    this.removedBy = this.nameOf(by);
    this.#putMeta('removed_by', this.removedBy);
    this.tellRemoved(this.removedBy);
  }

  tellRemoved(by: string): void {
    const { message } = nodeRemoved(this.selfName, by);
    this.emit({ type: 'removed_from_cluster', node: by, message });
  }

  persistNames(): void {
    this.#putMeta('names', Object.fromEntries(this.names));
  }

  persistWatermarks(): void {
    this.#putMeta('watermarks', Object.fromEntries(this.watermarks));
    this.#putMeta('clock', this.hlc.now());
  }

  setMasters(table: string, nodes: readonly NodeId[]): void {
    if (nodes.length === 0) this.masters.delete(table);
    else this.masters.set(table, nodes);
    this.#putMeta('masters', Object.fromEntries(this.masters) as Value);
  }

  /** Resolves once what was written in this turn is on the disc's medium. */
  synced(): Promise<void> {
    return new Promise((resolve, reject) => {
      const discDone = (failure: DiscFailure | undefined): void => {
        if (failure === undefined) resolve();
        else reject(new StorageError(failure.code === 'disc_closed' ? 'closed' : failure.code, failure.message));
      };
      this.outbox.whenWritten({ discDone }, true);
    });
  }

  learnLives(told: readonly PackedLife[]): void {
    learnLives(this.lives, told);
    this.#putMeta('lives', packLives(this.lives) as unknown as Value);
  }

  owe(node: NodeId, n: number): void {
    const numbers = this.owed.get(node);
    if (numbers === undefined) this.owed.set(node, new Set([n]));
    else numbers.add(n);
  }

  #putMeta(name: string, value: Value): void {
    this.outbox.write({ type: 'put', key: metaKey(name), value: encodeValue(value) });
  }

  /** The lock holder of something that has no age of its own. */
  oldest(): LockHolder {
    return { age: 0, node: this.self };
  }
}
