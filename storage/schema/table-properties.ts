/**
 * Properties of tables, changed while they are in use (M22, M23, M25, M74): proposed here, made on all nodes by the next
 * node connection transaction.
 */
import type { NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import type { Table } from '../tables/table.ts';
import { decodeValue, encodeValue, prepareValue } from '../term.ts';
import { noMajority } from '../transactions/refusals.ts';
import { hasMajority } from '../transactions/replicas.ts';
import type { CopyOptions, Value } from '../types.ts';
import { PARTITION_LEDGER, type SchemaTable } from './definition.ts';
import { needsMajority } from './majorities.ts';
import type { PendingChanges } from './pending.ts';
import {
  checkProperty,
  isSameValue,
  type PropertyChange,
  type PropertyName,
  propertyOf,
  withChange,
} from './properties.ts';

/** A change as it travels; `value` null deletes. */
export type PackedChange = readonly [
  table: string,
  property: string,
  value: Uint8Array | null,
  hlc: number,
  node: NodeId,
];

export function packChange({ table, property, value, hlc, node }: PropertyChange): PackedChange {
  return [table, property, value === undefined ? null : encodeValue(value), hlc, node];
}

/** The definitions with what all members propose: of two changes of one property the later one holds. */
export function applyChanges(schema: Map<string, SchemaTable>, packed: readonly PackedChange[]): void {
  const inOrder = [...packed].sort(([, , , a, one], [, , , b, other]) => a - b || (one < other ? -1 : 1));
  for (const [name, property, value, hlc, node] of inOrder) {
    const table = schema.get(name);
    if (table === undefined || table.deletedAt > 0) continue;
    const change = { table: name, property: property as PropertyName, hlc, node };
    schema.set(name, withChange(table, { ...change, value: value === null ? undefined : decodeValue(value) }));
  }
}

export class TableProperties {
  readonly #node: NodeState;
  readonly #pending: PendingChanges;

  constructor(node: NodeState, pending: PendingChanges) {
    this.#node = node;
    this.#pending = pending;
  }

  async change(name: string, property: PropertyName, wanted: Value, options: CopyOptions): Promise<void> {
    const node = this.#node;
    if (node.closed) throw new StorageError('closed', 'The database of this node is closed.');
    const table = this.#changeable(name, property);
    checkProperty(table.definition, property, wanted);
    this.#needFunction(table, property, wanted);
    const value = wanted === undefined ? undefined : prepareValue(name, property, wanted, node.limits);
    if (isSameValue(propertyOf(table.definition, property), value) && !node.schema.isSpreading) return;
    const change = { table: name, property, value, hlc: node.hlc.tick(), node: node.self };
    const make = (): void => void node.define(withChange(table.definition, change));
    if (table.definition.localContent) return make();
    await this.#pending.propose(
      {
        publish: () => node.proposals.changes.push(change),
        make,
        obstacle: () => this.#obstacle(table),
        late: (ms, cause) =>
          new StorageError('deadline', `${property} of table "${name}" was not changed within ${ms} ms: ${cause}`, {
            table: name,
            property,
          }),
      },
      options,
    );
  }

  #changeable(name: string, property: PropertyName): Table {
    if (name !== PARTITION_LEDGER) return this.#node.table(name);
    const why = `Table "${name}" is the database's own and cannot be changed.`;
    throw new StorageError('bad_definition', why, { table: name, property });
  }

  #needFunction({ name }: Table, property: PropertyName, wanted: Value): void {
    if (property !== 'merge') return;
    const [rule] = wanted as [string | { function: string }];
    if (typeof rule === 'string' || this.#node.mergeFunctions.get(rule.function) !== undefined) return;
    const why = `Table "${name}" was not changed: this node has no merge function "${rule.function}". Register it with registerMergeFunction first, on every node.`;
    throw new StorageError('bad_definition', why, { table: name, property });
  }

  /** What a majority has agreed on, only a majority may change. */
  #obstacle(table: Table): StorageError | undefined {
    if (!needsMajority(table.definition) || hasMajority(table, [...this.#node.view])) return undefined;
    return noMajority(this.#node, table);
  }
}
