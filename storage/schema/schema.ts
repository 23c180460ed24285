/** Creating and deleting tables while the cluster runs: made here, then brought to the others by a connection transaction. */
import type { NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import type { Table } from '../tables/table.ts';
import { noMajority } from '../transactions/refusals.ts';
import { hasMajority } from '../transactions/replicas.ts';
import type { StorageKind, TableDefinition } from '../types.ts';
import {
  deletedDefinition,
  makeDefinition,
  mergeFunctionOf,
  PARTITION_LEDGER,
  type SchemaTable,
  uniteDefinitions,
} from './definition.ts';
import { needsMajority, withProposed } from './majorities.ts';
import type { PendingChanges, SchemaChange } from './pending.ts';
import { differenceFromDeclared } from './properties.ts';

const COOKIE_OCTETS = 8;

/** The change is made here already, and has only to be brought to the others. */
const MADE: SchemaChange = {
  publish: () => undefined,
  make: () => undefined,
  obstacle: () => undefined,
  late: (timeoutMs, cause) =>
    new StorageError(
      'deadline',
      `The change of the schema is made here but could not be brought to the other nodes within ${timeoutMs} ms: ${cause} It is tried on.`,
    ),
};

export class Schema {
  readonly #node: NodeState;
  readonly #pending: PendingChanges;

  constructor(node: NodeState, pending: PendingChanges) {
    this.#node = node;
    this.#pending = pending;
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
    // Known here already, it may still be on its way to others.
    if (!this.#make(definition) && !this.#node.schema.isSpreading) return;
    this.#node.environment.probe('schema.after_define');
    await this.#spread(definition.local_content ?? false);
  }

  async delete(name: string): Promise<void> {
    refuseReserved(name);
    const table = this.#node.table(name);
    const { definition } = table;
    if (needsMajority(definition) && !hasMajority(table, [...this.#node.view], this.#node.unmetNodes().length)) {
      throw noMajority(this.#node, table);
    }
    this.#node.environment.probe('schema.before_define');
    this.#clear(table);
    this.#node.define(deletedDefinition(definition, this.#node.hlc.tick()));
    this.#node.environment.probe('schema.after_define');
    await this.#spread(definition.localContent);
  }

  #clear(table: Table): void {
    this.#node.discardRows(table, 'local');
    table.loaded = false;
    table.fresh = true;
    table.forgetful.clear();
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
      const dead = known?.definition.dead ?? made.dead;
      const born = new Map(made.replicas.has(node.self) ? [[node.self, made.createdAt]] : []);
      const table = node.define({ ...made, dead, born });
      // The first replica of a new table is active at once; other nodes get theirs by the connection transaction.
      table.fresh = !table.held;
      table.loaded = table.held;
      if (table.loaded) node.emit({ type: 'table_loaded', table: table.name, from: node.selfName });
      return true;
    }
    this.#refuseDifference(known.definition, made);
    // Declared anew it is the table there is, as it was changed since.
    const declared = { ...known.definition, replicas: made.replicas, moves: made.moves };
    const united = uniteDefinitions(known.definition, declared);
    if ([...united.replicas].every(([holder, kind]) => known.definition.replicas.get(holder) === kind)) return false;
    node.define(withProposed(united, known.definition));
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
    const property = differenceFromDeclared(known, made);
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

  /** Waits until every running node has what was changed here. */
  async #spread(localContent: boolean): Promise<void> {
    if (!localContent) await this.#pending.propose(MADE, {});
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
