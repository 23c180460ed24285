/** Creating and deleting tables while the cluster runs: made here, then brought to the others by a connection transaction. */
import type { NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import type { Table } from '../tables/table.ts';
import type { StorageKind, TableDefinition } from '../types.ts';
import {
  firstDifference,
  lastDeleted,
  makeDefinition,
  mergeFunctionOf,
  PARTITION_LEDGER,
  type SchemaTable,
  uniteDefinitions,
} from './definition.ts';

const COOKIE_OCTETS = 8;

interface Waiting {
  readonly change: number;
  readonly deadlineMs: number;
  resolve(): void;
  reject(error: StorageError): void;
}

export class Schema {
  readonly #node: NodeState;
  readonly #changedHere: () => void;
  #waiting: Waiting[] = [];

  constructor(node: NodeState, changedHere: () => void) {
    this.#node = node;
    this.#changedHere = changedHere;
  }

  /** Every node keeps the ledger: what lost a merge must be found wherever one asks. */
  ensureLedger(): void {
    const known = this.#node.tables.get(PARTITION_LEDGER);
    if (known?.definition.replicas.has(this.#node.self)) return;
    this.#make({ name: PARTITION_LEDGER, disc_copies: [this.#node.selfName] });
  }

  async create(definition: TableDefinition): Promise<void> {
    if (this.#node.closed) throw new StorageError('closed', 'The database of this node is closed.');
    refuseReserved(definition.name);
    this.#node.environment.probe('schema.before_define');
    if (!this.#make(definition)) return;
    this.#node.environment.probe('schema.after_define');
    await this.#spread(definition.local_content ?? false);
  }

  async delete(name: string): Promise<void> {
    refuseReserved(name);
    const table = this.#node.table(name);
    const { definition } = table;
    this.#node.environment.probe('schema.before_define');
    this.#clear(table);
    this.#node.define({ ...definition, deletedAt: this.#node.hlc.tick() });
    this.#node.environment.probe('schema.after_define');
    await this.#spread(definition.localContent);
  }

  #clear(table: Table): void {
    const everybody: NodeId[] = [...table.definition.replicas.keys()];
    for (const row of [...table.rows.values()]) {
      this.#node.applyChange(table, row.key, row.token, undefined, row.hlc, row.node, everybody, 'local');
    }
    table.loaded = false;
    this.#node.changed.clearTable(table.name);
  }

  /** Returns whether anything changed. */
  #make(definition: TableDefinition): boolean {
    const node = this.#node;
    const cookie = node.environment.random.hex(COOKIE_OCTETS);
    const made = makeDefinition(definition, this.#replicas(definition), cookie, node.hlc.tick());
    const known = node.tables.get(made.name);
    this.#needFunction(made);
    if (known === undefined || known.definition.deletedAt > 0) {
      const deletedBefore = known === undefined ? 0 : lastDeleted(known.definition);
      const born = new Map(made.replicas.has(node.self) ? [[node.self, made.createdAt]] : []);
      const table = node.define({ ...made, deletedBefore, born });
      // The first replica of a new table is active at once; other nodes get theirs by the connection transaction.
      table.fresh = !table.held;
      table.loaded = table.held;
      if (table.loaded) node.emit({ type: 'table_loaded', table: table.name, from: node.selfName });
      return true;
    }
    this.#refuseDifference(known.definition, made);
    const united = uniteDefinitions(known.definition, made);
    if ([...united.replicas].every(([holder, kind]) => known.definition.replicas.get(holder) === kind)) return false;
    node.define(united);
    return true;
  }

  #needFunction(made: SchemaTable): void {
    const name = mergeFunctionOf(made);
    if (name === undefined || this.#node.mergeFunctions.get(name) !== undefined) return;
    throw new StorageError(
      'bad_definition',
      `Table "${made.name}" cannot be created: this node has no merge function "${name}". Register it with registerMergeFunction first, on every node.`,
      { table: made.name, property: 'merge' },
    );
  }

  #refuseDifference(known: SchemaTable, made: SchemaTable): void {
    const property = firstDifference(known, made);
    if (property === undefined) return;
    throw new StorageError(
      'table_exists',
      `Table "${made.name}" exists already, with another ${property}. Use it as it is, or delete it first.`,
      { table: made.name, property },
    );
  }

  #replicas(definition: TableDefinition): Map<NodeId, StorageKind> {
    const { self } = this.#node;
    const replicas = new Map<NodeId, StorageKind>();
    if (definition.local_content) {
      replicas.set(self, definition.disc_copies === undefined ? 'ram_copies' : 'disc_copies');
      return replicas;
    }
    for (const name of definition.ram_copies ?? []) replicas.set(this.#idOf(definition, name), 'ram_copies');
    for (const name of definition.disc_copies ?? []) {
      const node = this.#idOf(definition, name);
      if (replicas.get(node) === 'ram_copies') throw twice(definition.name, name);
      replicas.set(node, 'disc_copies');
    }
    if (replicas.size === 0) replicas.set(self, 'ram_copies');
    return replicas;
  }

  #idOf(definition: TableDefinition, name: string): NodeId {
    const node = this.#node.idOf(name);
    if (node !== undefined) return node;
    throw new StorageError(
      'node_not_running',
      `Table "${definition.name}" names node ${name}, which this node has never met. Link it first, or let it create its own replica.`,
      { table: definition.name, node: name },
    );
  }

  /** Waits until the nodes of the view know what was changed here. */
  #spread(localContent: boolean): Promise<void> {
    const node = this.#node;
    if (localContent) return Promise.resolve();
    // Counted even when alone: a connection transaction may be under way that has not heard of it.
    node.schemaChanges += 1;
    if (node.view.size === 1) return Promise.resolve();
    const { schemaChanges: change } = node;
    const deadlineMs = node.environment.clock.monotonicMs() + node.limits.transactionDeadlineMs;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ change, deadlineMs, resolve, reject });
      this.#changedHere();
    });
  }

  /** A connection transaction ended: what it had heard of is known everywhere. */
  settled(): void {
    const done = this.#waiting.filter(({ change }) => change <= this.#node.schemaSettled);
    this.#waiting = this.#waiting.filter(({ change }) => change > this.#node.schemaSettled);
    if (done.length > 0) this.#node.environment.probe('schema.settled');
    for (const waiting of done) waiting.resolve();
  }

  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  sweep(nowMs: number): void {
    if (this.#waiting.length === 0) return;
    // Alone there is nobody left to tell; who joins later is told then.
    if (this.#node.view.size === 1) for (const waiting of this.#waiting.splice(0)) waiting.resolve();
    const late = this.#waiting.filter(({ deadlineMs }) => deadlineMs <= nowMs);
    this.#waiting = this.#waiting.filter(({ deadlineMs }) => deadlineMs > nowMs);
    for (const waiting of late) {
      waiting.reject(
        new StorageError(
          'deadline',
          'The change of the schema is made here but could not be brought to the other nodes yet. It is tried on; see the connect_failed events for what stands in the way.',
        ),
      );
    }
  }
}

/** The ledger is the database's own: every node keeps it, and no merge may be without. */
function refuseReserved(name: string): void {
  if (name !== PARTITION_LEDGER) return;
  throw new StorageError(
    'bad_definition',
    `Table "${name}" is the database's own and can be neither created nor deleted. Use another name.`,
    { table: name, property: 'name' },
  );
}

function twice(table: string, node: string): StorageError {
  return new StorageError(
    'bad_definition',
    `Table "${table}" cannot be created: ram_copies and disc_copies both name ${node}. A node keeps one replica; name it once.`,
    { table, property: 'disc_copies', node },
  );
}
