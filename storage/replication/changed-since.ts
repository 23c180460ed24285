/**
 * Changed-since sets: for each node that may lack writes, the keys written since, by table; on disc, so that they
 * outlive a restart.
 *
 * An entry is *apart* when the other node took no part in the write (it was out of the view), else *unacknowledged*:
 * the node took part, and whether it applied the write is not known. Two nodes that both changed a key apart have a
 * conflict; an unacknowledged write was seen by both sides, so there the greater version simply stands.
 */
import type { NodeId } from '../environment.ts';
import type { Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import type { Key } from '../types.ts';

export interface ChangedEntry {
  readonly key: Key;
  readonly apart: boolean;
  /** Version of the delete when the key was deleted; hlc 0: it was written. */
  readonly deletedHlc: number;
  readonly deletedNode: NodeId;
}

/** Where entries of disc tables are kept besides memory. */
export interface ChangedStore {
  putChanged(node: NodeId, table: string, entry: ChangedEntry): void;
  clearChanged(node: NodeId, table: string, key: Key): void;
}

type TableEntries = Map<Token, ChangedEntry>;

export class ChangedSince {
  readonly #sets = new Map<NodeId, Map<string, TableEntries>>();
  readonly #store: ChangedStore;

  constructor(store: ChangedStore) {
    this.#store = store;
  }

  /** Notes one write. A key noted as apart stays so until cleared. */
  add(node: NodeId, table: Table, token: Token, entry: ChangedEntry): void {
    const entries = this.#entries(node, table.name);
    const known = entries.get(token);
    if (known !== undefined) {
      const apart = known.apart || entry.apart;
      // Entries may be told in any order: a delete noted already is not replaced by an earlier one.
      const older = entry.deletedHlc > 0 && known.deletedHlc > entry.deletedHlc;
      if (apart === known.apart && (older || known.deletedHlc === entry.deletedHlc)) return;
      if (older) entry = { ...known, apart };
      else if (apart !== entry.apart) entry = { ...entry, apart };
    }
    entries.set(token, entry);
    if (table.onDisc) this.#store.putChanged(node, table.name, entry);
  }

  /** At start, from disc: not written again. */
  restore(node: NodeId, table: string, token: Token, entry: ChangedEntry): void {
    this.#entries(node, table).set(token, entry);
  }

  get(node: NodeId, table: string): ReadonlyMap<Token, ChangedEntry> | undefined {
    return this.#sets.get(node)?.get(table);
  }

  has(node: NodeId, table: string, token: Token): boolean {
    return this.#sets.get(node)?.get(table)?.has(token) ?? false;
  }

  nodes(): NodeId[] {
    return [...this.#sets.keys()].sort();
  }

  tables(node: NodeId): string[] {
    return [...(this.#sets.get(node)?.keys() ?? [])].sort();
  }

  size(node: NodeId): number {
    let size = 0;
    for (const entries of this.#sets.get(node)?.values() ?? []) size += entries.size;
    return size;
  }

  clear(node: NodeId): void {
    const tables = this.#sets.get(node);
    if (tables === undefined) return;
    this.#sets.delete(node);
    for (const [table, entries] of tables) {
      for (const entry of entries.values()) this.#store.clearChanged(node, table, entry.key);
    }
  }

  /** Forgets a table that was deleted. */
  clearTable(table: string): void {
    for (const [node, tables] of this.#sets) {
      const entries = tables.get(table);
      if (entries === undefined) continue;
      tables.delete(table);
      for (const entry of entries.values()) this.#store.clearChanged(node, table, entry.key);
    }
  }

  #entries(node: NodeId, table: string): TableEntries {
    let tables = this.#sets.get(node);
    if (tables === undefined) {
      tables = new Map();
      this.#sets.set(node, tables);
    }
    let entries = tables.get(table);
    if (entries === undefined) {
      entries = new Map();
      tables.set(table, entries);
    }
    return entries;
  }
}
