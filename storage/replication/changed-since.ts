/**
 * Changed-since sets: for each node that may lack writes, the keys written since, by table; on disc, so that they
 * outlive a restart.
 *
 * An entry keeps what the row has *seen* of that node: the version the key had when it was first noted. The node had
 * voted for everything up to there, so its own writes up to there are below the row; any write of its own since has a
 * greater version. Later writes made without it do not move this threshold. Whether two versions are in conflict or
 * one came after the other is decided by these thresholds alone (merge.ts).
 *
 * A set that grew past its limit *collapses* to "everything from this version on": only deletes are still noted one by
 * one, until they are too many as well. Then what is not there counts as deleted. What a row of such a set has seen is
 * not known any more; the other side's set tells (merge.ts). That one may hold what was written by both just before
 * they parted, so of those rows it is kept.
 */
import type { NodeId } from '../environment.ts';
import { TICKS_PER_MS } from '../hybrid-clock.ts';
import { isNewer, type Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { keyToken } from '../term.ts';
import type { Key, Version } from '../types.ts';

/** In place of a threshold: what the row has seen of that node is not known any more. Below every version. */
export const SEEN_UNKNOWN = -1;

export interface ChangedEntry {
  readonly key: Key;
  /** Of the node's own writes the row has seen those up to this version; hlc 0: none; SEEN_UNKNOWN. */
  readonly seenHlc: number;
  readonly seenNode: NodeId;
  /** The content at that version, null where there was none: kept only where a merge function may ask for it. */
  readonly base?: Uint8Array | null | undefined;
  /** Version of the delete when the key was deleted; hlc 0: it was written. */
  readonly deletedHlc: number;
  readonly deletedNode: NodeId;
  /** Made without the node while it still ran with this one, so that it had no vote in it: the version of the last such change. Not on disc. */
  readonly without?: Version | undefined;
}

export interface Collapsed {
  /** The node has all rows below this version. */
  readonly sinceHlc: number;
  /** Deletes are not noted any more either: of what the node has, all that is not here was deleted. */
  readonly forgotDeletes: boolean;
}

/** As it travels and lies on disc. */
export type PackedCollapsed = [node: NodeId, table: string, sinceHlc: number, forgotDeletes: boolean];

/** What the disc must know besides the entries. */
export interface ChangedMarks {
  readonly collapsed: PackedCollapsed[];
  /** Sets that are cleared: entries of theirs that are still on disc mean nothing. */
  readonly spent: [node: NodeId, table: string][];
}

/** Where entries of disc tables are kept besides memory. */
export interface ChangedStore {
  putChanged(node: NodeId, table: string, entry: ChangedEntry): void;
  clearChanged(node: NodeId, table: string, key: Key): void;
  putMarks(marks: ChangedMarks): void;
  /** When the node was noted down; of one that was not, when this node itself had ended. */
  partedHlc(node: NodeId): number;
  /** Runs `act` in a turn of its own. */
  later(act: () => void): void;
}

export interface ChangedLimits {
  readonly changedKeysMax: number;
  readonly changedDeletesMax: number;
  readonly changedBytesMax: number;
}

class ChangedSet {
  entries = new Map<Token, ChangedEntry>();
  /** Of keys and base contents. */
  octets = 0;
  collapsed: Collapsed | undefined = undefined;

  set(token: Token, known: ChangedEntry | undefined, entry: ChangedEntry): void {
    this.octets += octetsOf(entry) - (known === undefined ? 0 : octetsOf(known));
    this.entries.set(token, entry);
  }

  /** Returns what is given up. */
  reduce(isKept: (entry: ChangedEntry) => boolean): ReadonlyMap<Token, ChangedEntry> {
    const given = this.entries;
    this.entries = new Map();
    this.octets = 0;
    for (const [token, entry] of given) {
      if (!isKept(entry)) continue;
      given.delete(token);
      this.set(token, undefined, entry);
    }
    return given;
  }
}

/** Entries that mean nothing any more and are still on disc. */
interface Spent {
  readonly node: NodeId;
  readonly table: string;
  /** The whole set was cleared, and not only reduced. */
  isWhole: boolean;
  readonly entries: Iterator<ChangedEntry>;
}

/** Long before this, every write that both had part in was known to be on the media of both. */
const JUST_BEFORE_HLC = 10_000 * TICKS_PER_MS;
/** Entries taken off the disc in one turn. */
const SLICE = 500;

export class ChangedSince {
  readonly #sets = new Map<NodeId, Map<string, ChangedSet>>();
  readonly #store: ChangedStore;
  readonly #limits: ChangedLimits;
  #spent: Spent[] = [];
  #isSweeping = false;
  /** The disc may hold marks. */
  #isMarked = true;
  /** While the disc is read: `node table` of entries that mean nothing. */
  readonly #void = new Set<string>();

  constructor(store: ChangedStore, limits: ChangedLimits) {
    this.#store = store;
    this.#limits = limits;
  }

  /** Notes a write that the node had no part in: what the row had seen of it before, it has still. */
  add(node: NodeId, table: Table, token: Token, entry: ChangedEntry): void {
    const set = this.#set(node, table.name);
    const known = set.entries.get(token);
    this.#put(
      node,
      table,
      token,
      set,
      known === undefined ? firstOf(node, set, entry) : { ...entry, ...seenOf(known) },
    );
  }

  /** Notes what the row is known to have seen of the node: it voted for it, or others tell. The greater one holds. */
  addSeen(node: NodeId, table: Table, token: Token, entry: ChangedEntry): void {
    const set = this.#set(node, table.name);
    const known = set.entries.get(token);
    const isLess = known !== undefined && !isNewer(entry.seenHlc, entry.seenNode, known.seenHlc, known.seenNode);
    this.#put(node, table, token, set, isLess ? { ...entry, ...seenOf(known) } : entry);
  }

  #put(node: NodeId, table: Table, token: Token, set: ChangedSet, entry: ChangedEntry): void {
    const known = set.entries.get(token);
    if (known !== undefined) {
      // Entries may be told in any order: a delete noted already is not replaced by an earlier one.
      if (entry.deletedHlc > 0 && known.deletedHlc > entry.deletedHlc) {
        entry = { ...entry, deletedHlc: known.deletedHlc, deletedNode: known.deletedNode };
      }
      const isSeenAlike = known.seenHlc === entry.seenHlc && known.seenNode === entry.seenNode;
      if (isSeenAlike && known.deletedHlc === entry.deletedHlc) {
        if (entry.without !== undefined) set.set(token, known, entry);
        return;
      }
    }
    if (table.touched?.has(token) === false) table.touched.set(token, entry);
    if (this.#spent.length > 0) this.#sweepWhole(node, table.name);
    if (set.collapsed !== undefined) {
      this.#lower(set, versionOf(table, token, entry));
      if (known === undefined && !this.#isExact(node, entry)) return;
    }
    set.set(token, known, entry);
    if (table.onDisc) this.#store.putChanged(node, table.name, entry);
  }

  /** At start, from disc: not written again. */
  restore(node: NodeId, table: string, token: Token, entry: ChangedEntry): void {
    if (this.#void.has(`${node} ${table}`)) return this.#store.clearChanged(node, table, entry.key);
    const set = this.#set(node, table);
    if (set.collapsed !== undefined && !this.#isExact(node, entry)) this.#store.clearChanged(node, table, entry.key);
    else set.set(token, undefined, entry);
  }

  get(node: NodeId, table: string): ReadonlyMap<Token, ChangedEntry> | undefined {
    return this.#sets.get(node)?.get(table)?.entries;
  }

  has(node: NodeId, table: string, token: Token): boolean {
    return this.#sets.get(node)?.get(table)?.entries.has(token) ?? false;
  }

  /** The latest delete of this key that any node may lack. */
  lastDelete(table: string, token: Token): Version | undefined {
    let last: Version | undefined;
    for (const tables of this.#sets.values()) {
      const { deletedHlc: hlc = 0, deletedNode: node = '' } = tables.get(table)?.entries.get(token) ?? {};
      if (hlc > 0 && (last === undefined || isNewer(hlc, node, last.hlc, last.node))) last = { hlc, node };
    }
    return last;
  }

  collapsed(node: NodeId, table: string): Collapsed | undefined {
    return this.#sets.get(node)?.get(table)?.collapsed;
  }

  nodes(): NodeId[] {
    return [...this.#sets.keys()].sort();
  }

  tables(node: NodeId): string[] {
    return [...(this.#sets.get(node)?.keys() ?? [])].sort();
  }

  size(node: NodeId): number {
    let size = 0;
    for (const { entries } of this.#sets.get(node)?.values() ?? []) size += entries.size;
    return size;
  }

  clear(node: NodeId): void {
    const tables = this.#sets.get(node);
    if (tables === undefined) return;
    this.#sets.delete(node);
    for (const [table, set] of tables) this.#discard(node, table, set);
    this.#putMarks();
  }

  /** The table is kept on disc from now on, or no longer: so are its entries. */
  store(table: Table): void {
    for (const [node, tables] of this.#sets) {
      for (const entry of tables.get(table.name)?.entries.values() ?? []) {
        if (table.onDisc) this.#store.putChanged(node, table.name, entry);
        else this.#store.clearChanged(node, table.name, entry.key);
      }
    }
  }

  /** Forgets a table that was deleted, or that this node no longer holds. */
  clearTable(table: string): void {
    for (const [node, tables] of this.#sets) {
      const set = tables.get(table);
      if (set === undefined) continue;
      tables.delete(table);
      this.#discard(node, table, set);
    }
    this.#putMarks();
  }

  // -- collapsing ------------------------------------------------------------------------------------------------------

  /** Called with the clock: sets past their limit collapse, but for those of a table that is being copied. */
  bound(tables: ReadonlyMap<string, Table>): void {
    for (const [node, sets] of this.#sets) {
      for (const [name, set] of sets) {
        const table = tables.get(name);
        if (!this.#isTooLarge(set)) continue;
        if (table?.loaded && table.touched === undefined) this.#collapse(node, table);
      }
    }
  }

  #isTooLarge({ entries, octets, collapsed }: ChangedSet): boolean {
    const { changedKeysMax, changedDeletesMax, changedBytesMax } = this.#limits;
    return entries.size > (collapsed === undefined ? changedKeysMax : changedDeletesMax) || octets > changedBytesMax;
  }

  #collapse(node: NodeId, table: Table): void {
    const set = this.#set(node, table.name);
    let sinceHlc = set.collapsed?.sinceHlc ?? Number.MAX_SAFE_INTEGER;
    for (const [token, entry] of set.entries) sinceHlc = Math.min(sinceHlc, versionOf(table, token, entry));
    this.#reduce(node, table.name, set, (entry) => this.#isExact(node, entry));
    set.collapsed = { sinceHlc, forgotDeletes: set.collapsed?.forgotDeletes ?? false };
    if (this.#isTooLarge(set)) this.#reduce(node, table.name, set, ({ deletedHlc }) => deletedHlc > 0);
    if (this.#isTooLarge(set)) {
      this.#reduce(node, table.name, set, () => false);
      set.collapsed = { sinceHlc, forgotDeletes: true };
    }
    this.#putMarks();
  }

  /** Whether an entry outlives that its set collapses. */
  #isExact(node: NodeId, { deletedHlc, seenHlc }: ChangedEntry): boolean {
    return deletedHlc > 0 || seenHlc > this.#store.partedHlc(node) - JUST_BEFORE_HLC;
  }

  /** Others have collapsed what they kept for this node: so does this one, which was given rows by them. */
  unite(node: NodeId, table: Table, told: Collapsed): void {
    const set = this.#set(node, table.name);
    const { collapsed } = set;
    set.collapsed = {
      sinceHlc: Math.min(told.sinceHlc, collapsed?.sinceHlc ?? Number.MAX_SAFE_INTEGER),
      forgotDeletes: told.forgotDeletes || (collapsed?.forgotDeletes ?? false),
    };
    if (collapsed === undefined) this.#collapse(node, table);
    else this.#putMarks();
  }

  /** Rows of the table were found damaged: that one is not there says nothing. */
  distrust(table: string): void {
    for (const tables of this.#sets.values()) {
      const set = tables.get(table);
      if (set?.collapsed !== undefined) set.collapsed = { ...set.collapsed, forgotDeletes: false };
    }
    this.#putMarks();
  }

  #lower(set: ChangedSet, hlc: number): void {
    const collapsed = set.collapsed as Collapsed;
    if (hlc >= collapsed.sinceHlc) return;
    set.collapsed = { ...collapsed, sinceHlc: hlc };
    this.#putMarks();
  }

  /** Every collapsed set. */
  packed(): PackedCollapsed[] {
    const packed: PackedCollapsed[] = [];
    for (const [node, tables] of this.#sets) {
      for (const [table, { collapsed }] of tables) {
        if (collapsed !== undefined) packed.push([node, table, collapsed.sinceHlc, collapsed.forgotDeletes]);
      }
    }
    return packed;
  }

  /** At start, before any entry; `isKept`: of tables that are on disc. */
  restoreMarks({ collapsed, spent }: ChangedMarks, isKept: (table: string) => boolean): void {
    for (const [node, table] of spent) this.#void.add(`${node} ${table}`);
    for (const [node, table, sinceHlc, forgotDeletes] of collapsed) {
      if (isKept(table)) this.#set(node, table).collapsed = { sinceHlc, forgotDeletes };
    }
  }

  /** All entries were read. */
  restored(): void {
    if (this.#void.size === 0) return;
    this.#void.clear();
    this.#putMarks();
  }

  // -- the disc, bit by bit ----------------------------------------------------------------------------------------------

  #putMarks(): void {
    const spent = this.#spent
      .filter(({ isWhole }) => isWhole)
      .map(({ node, table }): [NodeId, string] => [node, table]);
    const marks = { collapsed: this.packed(), spent };
    if (marks.collapsed.length === 0 && spent.length === 0 && !this.#isMarked) return;
    this.#isMarked = marks.collapsed.length > 0 || spent.length > 0;
    this.#store.putMarks(marks);
  }

  #reduce(node: NodeId, table: string, set: ChangedSet, isKept: (entry: ChangedEntry) => boolean): void {
    this.#sweepLater({ node, table, isWhole: false, entries: set.reduce(isKept).values() });
  }

  #discard(node: NodeId, table: string, { entries }: ChangedSet): void {
    for (const spent of this.#spent) spent.isWhole ||= spent.node === node && spent.table === table;
    if (entries.size > SLICE) return this.#sweepLater({ node, table, isWhole: true, entries: entries.values() });
    for (const entry of entries.values()) this.#store.clearChanged(node, table, entry.key);
  }

  #sweepLater(spent: Spent): void {
    this.#spent.push(spent);
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    this.#store.later(() => this.#sweep());
  }

  #sweep(): void {
    const [spent] = this.#spent;
    if (spent !== undefined && this.#sweepSome(spent, SLICE)) {
      this.#spent.shift();
      if (spent.isWhole) this.#putMarks();
    }
    this.#isSweeping = this.#spent.length > 0;
    if (this.#isSweeping) this.#store.later(() => this.#sweep());
  }

  /** Whether that was all. */
  #sweepSome({ node, table, entries }: Spent, most: number): boolean {
    for (let count = 0; count < most; count++) {
      const { value, done } = entries.next();
      if (done) return true;
      // Noted anew meanwhile.
      if (!this.has(node, table, keyToken(value.key))) this.#store.clearChanged(node, table, value.key);
    }
    return false;
  }

  /** The node is lost again before its old set has gone from the disc: now it goes at once. */
  #sweepWhole(node: NodeId, table: string): void {
    const isMeant = (spent: Spent): boolean => spent.isWhole && spent.node === node && spent.table === table;
    const meant = this.#spent.filter(isMeant);
    if (meant.length === 0) return;
    for (const spent of meant) this.#sweepSome(spent, Number.POSITIVE_INFINITY);
    this.#spent = this.#spent.filter((spent) => !isMeant(spent));
    this.#putMarks();
  }

  #set(node: NodeId, table: string): ChangedSet {
    let tables = this.#sets.get(node);
    if (tables === undefined) {
      tables = new Map();
      this.#sets.set(node, tables);
    }
    let set = tables.get(table);
    if (set === undefined) {
      set = new ChangedSet();
      tables.set(table, set);
    }
    return set;
  }
}

function seenOf({ seenHlc, seenNode, base }: ChangedEntry): Pick<ChangedEntry, 'seenHlc' | 'seenNode' | 'base'> {
  return { seenHlc, seenNode, base };
}

/**
 * The first note of a key: what it had before it may have been noted in a set that has collapsed. What the node wrote
 * itself is all that the row has seen of it, whatever was noted.
 */
function firstOf(node: NodeId, { collapsed }: ChangedSet, entry: ChangedEntry): ChangedEntry {
  if (collapsed === undefined || (entry.seenHlc > 0 && entry.seenNode === node)) return entry;
  const isKnown = entry.seenHlc === 0 ? !collapsed.forgotDeletes : entry.seenHlc < collapsed.sinceHlc;
  return isKnown ? entry : { ...entry, seenHlc: SEEN_UNKNOWN, seenNode: '', base: undefined };
}

/** Of the write that is noted. */
function versionOf(table: Table, token: Token, { deletedHlc }: ChangedEntry): number {
  return deletedHlc > 0 ? deletedHlc : (table.rows.get(token)?.hlc ?? 0);
}

function octetsOf({ key, base }: ChangedEntry): number {
  return octetsOfKey(key) + (base?.length ?? 0);
}

function octetsOfKey(key: Key): number {
  if (typeof key === 'string') return key.length;
  if (key instanceof Uint8Array) return key.length;
  if (Array.isArray(key)) return key.reduce((sum: number, part: Key) => sum + octetsOfKey(part), 0);
  return 8;
}
