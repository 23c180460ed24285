/** The calls of a database that change its tables and nodes, rather than rows. */
import type { NodeState } from './node-state.ts';
import type { Loader } from './replication/loader.ts';
import type { NodeRemoval } from './schema/node-removal.ts';
import { userProperty } from './schema/properties.ts';
import type { Replicas } from './schema/replicas.ts';
import type { Schema } from './schema/schema.ts';
import type { TableProperties } from './schema/table-properties.ts';
import type {
  AccessMode,
  CopyOptions,
  MergeRule,
  RemoveNodeOptions,
  StorageKind,
  TableDefinition,
  Value,
} from './types.ts';

export interface SchemaParts {
  readonly node: NodeState;
  readonly loader: Loader;
  readonly schema: Schema;
  readonly replicas: Replicas;
  readonly properties: TableProperties;
  readonly removal: NodeRemoval;
}

export abstract class SchemaCalls {
  protected abstract readonly parts: SchemaParts;

  /**
   * Makes the table, or takes part in it when it exists with an identical definition. Resolves when every running node
   * has it on its disc.
   * @throws StorageError `bad_definition`, `table_exists`, `node_not_running`, `deadline`
   */
  createTable(definition: TableDefinition): Promise<void> {
    return this.parts.schema.create(definition);
  }

  /**
   * Deletes this table, on nodes that are away too; one of the same name that was never united with it stays.
   * @throws StorageError `no_such_table`, `bad_definition`, `no_majority` where a majority must agree, `deadline`
   */
  deleteTable(name: string): Promise<void> {
    return this.parts.schema.delete(name);
  }

  // -- replicas -----------------------------------------------------------------------------------------------------------

  /**
   * Gives `nodeName` a replica of the table, rows and all, while writes go on (M18). Resolves when it takes part in every
   * commit; whatever fails leaves all as it was.
   * @throws StorageError `no_such_table`, `table_exists`, `bad_definition`, `node_not_running`, `deadline`
   */
  addTableCopy(table: string, nodeName: string, kind: StorageKind, options: CopyOptions = {}): Promise<void> {
    return this.parts.replicas.add(table, nodeName, kind, options);
  }

  /** Removes the replica at `nodeName`; all replicas must run. Of the last one, deletes the table (M19). */
  async delTableCopy(table: string, nodeName: string, options: CopyOptions = {}): Promise<void> {
    const { node } = this.parts;
    const { replicas } = node.table(table).definition;
    if (replicas.size > 1 || node.idOf(nodeName) !== [...replicas.keys()][0]) {
      return this.parts.replicas.remove(table, nodeName, options);
    }
    return this.deleteTable(table);
  }

  /** The replica at `from` is at `to` instead, in one step (M19). */
  moveTableCopy(table: string, from: string, to: string, options: CopyOptions = {}): Promise<void> {
    return this.parts.replicas.move(table, from, to, options);
  }

  /** Keeps the replica at `nodeName` on disc from now on, or in memory only (M20). */
  changeTableCopyType(table: string, nodeName: string, kind: StorageKind, options: CopyOptions = {}): Promise<void> {
    return this.parts.replicas.changeType(table, nodeName, kind, options);
  }

  // -- properties: each call resolves when it is in force at every running node, and on its disc ------------------------------

  /** From then on writes to a `read_only` table fail with `read_only` on every node (M22). */
  changeTableAccessMode(table: string, mode: AccessMode, options: CopyOptions = {}): Promise<void> {
    return this.parts.properties.change(table, 'access_mode', mode, options);
  }

  /** A higher number is loaded earlier (M23). */
  changeTableLoadOrder(table: string, order: number, options: CopyOptions = {}): Promise<void> {
    return this.parts.properties.change(table, 'load_order', order, options);
  }

  /** Of a table with `majority` it takes one to change it, back too (M74). @throws StorageError `no_majority` */
  changeTableMajority(table: string, majority: boolean, options: CopyOptions = {}): Promise<void> {
    return this.parts.properties.change(table, 'majority', majority, options);
  }

  /** `ownerField` for the rule `owner`. A merge under way uses one of the two rules for the whole table. */
  changeTableMergeRule(
    table: string,
    rule: MergeRule,
    { ownerField, ...options }: CopyOptions & { readonly ownerField?: string } = {},
  ): Promise<void> {
    const wanted = ownerField === undefined ? [rule] : [rule, ownerField];
    return this.parts.properties.change(table, 'merge', wanted, options);
  }

  /** A value of the program's own, kept with the definition (M25). */
  writeTableProperty(table: string, name: string, value: Value, options: CopyOptions = {}): Promise<void> {
    return this.parts.properties.change(table, userProperty(name), value, options);
  }

  /** Undefined where there is none. */
  readTableProperty(table: string, name: string): Value {
    return this.parts.node.table(table).definition.userProperties.get(name);
  }

  deleteTableProperty(table: string, name: string, options: CopyOptions = {}): Promise<void> {
    return this.parts.properties.change(table, userProperty(name), undefined, options);
  }

  // -- nodes ----------------------------------------------------------------------------------------------------------------

  /**
   * Removes a node that is down for good from the cluster (M8): its replicas leave every table, a table that only it held
   * is deleted, and nobody waits for it or keeps anything for it. If it comes back it is refused; its name may come back
   * with an empty data directory.
   * @throws StorageError `node_running`, `node_not_running` when it was never met, `no_majority`, `deadline`
   */
  removeNode(nodeName: string, options: RemoveNodeOptions = {}): Promise<void> {
    return this.parts.removal.remove(nodeName, options);
  }
}
