/**
 * Changed-since sets: for each node that may lack writes, the keys written since, by table; on disc, so that they
 * outlive a restart.
 *
 * An entry keeps what the row has *seen* of that node: the version the key had when it was first noted. The node had
 * voted for everything up to there, so its own writes up to there are below the row; any write of its own since has a
 * greater version. Later writes made without it do not move this threshold. Whether two versions are in conflict or
 * one came after the other is decided by these thresholds alone (merge.ts).
 */
import type { NodeId } from '../environment.ts';
import { isNewer, type Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import type { Key } from '../types.ts';

export interface ChangedEntry {
  readonly key: Key;
  /** Of the node's own writes the row has seen those up to this version; hlc 0: none. */
  readonly seenHlc: number;
  readonly seenNode: NodeId;
  /** The content at that version, null where there was none: kept only where a merge function may ask for it. */
  readonly base?: Uint8Array | null | undefined;
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

  /** Notes a write that the node had no part in: what the row had seen of it before, it has still. */
  add(node: NodeId, table: Table, token: Token, entry: ChangedEntry): void {
    const known = this.#entries(node, table.name).get(token);
    this.#put(node, table, token, known, known === undefined ? entry : { ...entry, ...seenOf(known) });
  }

  /** Notes what the row is known to have seen of the node: it voted for it, or others tell. The greater one holds. */
  addSeen(node: NodeId, table: Table, token: Token, entry: ChangedEntry): void {
    const known = this.#entries(node, table.name).get(token);
    const isLess = known !== undefined && !isNewer(entry.seenHlc, entry.seenNode, known.seenHlc, known.seenNode);
    this.#put(node, table, token, known, isLess ? { ...entry, ...seenOf(known) } : entry);
  }

  #put(node: NodeId, table: Table, token: Token, known: ChangedEntry | undefined, entry: ChangedEntry): void {
    if (known !== undefined) {
      // Entries may be told in any order: a delete noted already is not replaced by an earlier one.
      if (entry.deletedHlc > 0 && known.deletedHlc > entry.deletedHlc) {
        entry = { ...entry, deletedHlc: known.deletedHlc, deletedNode: known.deletedNode };
      }
      const isSeenAlike = known.seenHlc === entry.seenHlc && known.seenNode === entry.seenNode;
      if (isSeenAlike && known.deletedHlc === entry.deletedHlc) return;
    }
    this.#entries(node, table.name).set(token, entry);
    if (table.touched?.has(token) === false) table.touched.set(token, entry);
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

  /** The table is kept on disc from now on, or no longer: so are its entries. */
  store(table: Table): void {
    for (const [node, tables] of this.#sets) {
      for (const entry of tables.get(table.name)?.values() ?? []) {
        if (table.onDisc) this.#store.putChanged(node, table.name, entry);
        else this.#store.clearChanged(node, table.name, entry.key);
      }
    }
  }

  /** Forgets a table that was deleted, or that this node no longer holds. */
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

function seenOf({ seenHlc, seenNode, base }: ChangedEntry): Pick<ChangedEntry, 'seenHlc' | 'seenNode' | 'base'> {
  return { seenHlc, seenNode, base };
}
