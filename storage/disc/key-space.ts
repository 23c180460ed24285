/**
 * Where everything lies in the one store of a node.
 *
 * One section octet, then names (one length octet, UTF-8), then what is left of the key. A name says how long it is, so
 * no two names can run into each other, whatever they contain.
 *
 * | section | key | value |
 * | --- | --- | --- |
 * | 0x01 meta | name | of the node itself: format, clock, islands |
 * | 0x02 schema | table | definition, cookie, versions |
 * | 0x03 rows | table, encoded key | record (record-codec.ts) |
 * | 0x04 down | node | mnesia_down record |
 * | 0x05 changed | node, table, encoded key | one key written since that node went down |
 * | 0x06 ledger | entry id | losing version of a merge |
 * | 0x07 promises | coordinator, encoded number | a vote that must outlive the process (transactions/promises.ts) |
 */

import type { NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';

export const SECTION_META = 0x01;
export const SECTION_SCHEMA = 0x02;
export const SECTION_ROWS = 0x03;
export const SECTION_DOWN = 0x04;
export const SECTION_CHANGED = 0x05;
export const SECTION_LEDGER = 0x06;
export const SECTION_PROMISES = 0x07;

/** Octets of a table's name, a node's id or any other name in a store key. */
export const NAME_BYTES_MAX = 255;
/** Prefixes kept ready. A node has few tables and few neighbours; past this the cache starts anew. */
const PREFIXES_MAX = 4096;

/** `from <= key < to`, as Disc.scan takes them. */
export interface KeyRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Section and name, each with its length octet: what every row key of a table starts with. */
const prefixes = new Map<string, Uint8Array>();

export function metaKey(name: string): Uint8Array {
  return prefix(SECTION_META, name).slice();
}

export function metaRange(): KeyRange {
  return sectionRange(SECTION_META);
}

export function parseMetaKey(storeKey: Uint8Array): string {
  return parseOnlyName(storeKey, SECTION_META);
}

export function schemaKey(table: string): Uint8Array {
  return prefix(SECTION_SCHEMA, table).slice();
}

export function schemaRange(): KeyRange {
  return sectionRange(SECTION_SCHEMA);
}

export function parseSchemaKey(storeKey: Uint8Array): string {
  return parseOnlyName(storeKey, SECTION_SCHEMA);
}

export function rowKey(table: string, encodedKey: Uint8Array): Uint8Array {
  // Rows written one after the other are mostly of one table.
  if (table !== lastTable) {
    lastPrefix = prefix(SECTION_ROWS, table);
    lastTable = table;
  }
  return join(lastPrefix, encodedKey);
}

let lastTable: string | undefined;
let lastPrefix: Uint8Array;

/** The rows of `table`, in the order of their keys; without a table, of all tables. */
export function rowRange(table?: string): KeyRange {
  return table === undefined ? sectionRange(SECTION_ROWS) : prefixRange(prefix(SECTION_ROWS, table));
}

export function parseRowKey(storeKey: Uint8Array): { readonly table: string; readonly encodedKey: Uint8Array } {
  const table = nameAt(storeKey, SECTION_ROWS, 1);
  return { table: table.name, encodedKey: storeKey.subarray(table.end) };
}

/** Where the encoded key begins in every row key of `table`. */
export function rowKeyPrefixBytes(table: string): number {
  return prefix(SECTION_ROWS, table).length;
}

export function downKey(node: NodeId): Uint8Array {
  return prefix(SECTION_DOWN, node).slice();
}

export function downRange(): KeyRange {
  return sectionRange(SECTION_DOWN);
}

export function parseDownKey(storeKey: Uint8Array): NodeId {
  return parseOnlyName(storeKey, SECTION_DOWN);
}

export function changedKey(node: NodeId, table: string, encodedKey: Uint8Array): Uint8Array {
  return join(prefix(SECTION_CHANGED, node, table), encodedKey);
}

/** The changed-since set of one node, or of one table at it; without a node, the sets of all. */
export function changedRange(node?: NodeId, table?: string): KeyRange {
  return node === undefined ? sectionRange(SECTION_CHANGED) : prefixRange(prefix(SECTION_CHANGED, node, table));
}

export function parseChangedKey(storeKey: Uint8Array): {
  readonly node: NodeId;
  readonly table: string;
  readonly encodedKey: Uint8Array;
} {
  const node = nameAt(storeKey, SECTION_CHANGED, 1);
  const table = nameAt(storeKey, SECTION_CHANGED, node.end);
  return { node: node.name, table: table.name, encodedKey: storeKey.subarray(table.end) };
}

export function promiseKey(coordinator: NodeId, encodedKey: Uint8Array): Uint8Array {
  return join(prefix(SECTION_PROMISES, coordinator), encodedKey);
}

export function promiseRange(): KeyRange {
  return sectionRange(SECTION_PROMISES);
}

export function parsePromiseKey(storeKey: Uint8Array): {
  readonly coordinator: NodeId;
  readonly encodedKey: Uint8Array;
} {
  const coordinator = nameAt(storeKey, SECTION_PROMISES, 1);
  return { coordinator: coordinator.name, encodedKey: storeKey.subarray(coordinator.end) };
}

export function ledgerKey(id: string): Uint8Array {
  return prefix(SECTION_LEDGER, id).slice();
}

export function ledgerRange(): KeyRange {
  return sectionRange(SECTION_LEDGER);
}

export function parseLedgerKey(storeKey: Uint8Array): string {
  return parseOnlyName(storeKey, SECTION_LEDGER);
}

/** Everything in the store. */
export function wholeRange(): KeyRange {
  return { from: Uint8Array.of(0), to: Uint8Array.of(0xff) };
}

/** Whether `name` fits in a store key; whoever takes names from outside asks this first. */
export function isStorableName(name: string): boolean {
  return name.length > 0 && name.length <= NAME_BYTES_MAX && encoder.encode(name).length <= NAME_BYTES_MAX;
}

function prefix(section: number, name: string, second?: string): Uint8Array {
  // U+0000 cannot be mistaken here: the parts are found by length on disc, this text only names them in memory.
  const id =
    second === undefined ? `${section}${name.length}:${name}` : `${section}${name.length}:${name}\u0000${second}`;
  let octets = prefixes.get(id);
  if (octets === undefined) {
    octets = join(Uint8Array.of(section), lengthAndName(name));
    if (second !== undefined) octets = join(octets, lengthAndName(second));
    if (prefixes.size >= PREFIXES_MAX) prefixes.clear();
    prefixes.set(id, octets);
  }
  return octets;
}

function lengthAndName(name: string): Uint8Array {
  if (!isStorableName(name)) {
    throw new StorageError(
      'bad_definition',
      `"${name.slice(0, 80)}" cannot name anything in the store: a name has 1 to ${NAME_BYTES_MAX} octets of UTF-8 ` +
        '(limit NAME_BYTES_MAX). Choose a shorter one.',
      { property: 'name' },
    );
  }
  const octets = encoder.encode(name);
  return join(Uint8Array.of(octets.length), octets);
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const octets = new Uint8Array(first.length + second.length);
  octets.set(first);
  octets.set(second, first.length);
  return octets;
}

function sectionRange(section: number): KeyRange {
  return { from: Uint8Array.of(section), to: Uint8Array.of(section + 1) };
}

function prefixRange(from: Uint8Array): KeyRange {
  const to = from.slice();
  // The last octet is one of UTF-8, never 0xff.
  to[to.length - 1] = (to[to.length - 1] as number) + 1;
  return { from: from.slice(), to };
}

function parseOnlyName(storeKey: Uint8Array, section: number): string {
  const { name, end } = nameAt(storeKey, section, 1);
  if (end !== storeKey.length) throw damaged(storeKey);
  return name;
}

function nameAt(storeKey: Uint8Array, section: number, at: number): { readonly name: string; readonly end: number } {
  const length = storeKey[at];
  if (storeKey[0] !== section || length === undefined || length === 0) throw damaged(storeKey);
  const end = at + 1 + length;
  if (end > storeKey.length) throw damaged(storeKey);
  try {
    return { name: decoder.decode(storeKey.subarray(at + 1, end)), end };
  } catch (error) {
    throw damaged(storeKey, error);
  }
}

function damaged(storeKey: Uint8Array, cause?: unknown): StorageError {
  const hex = Buffer.from(storeKey.subarray(0, 32)).toString('hex');
  return new StorageError(
    'disc_corrupt',
    `The store holds the key ${hex}${storeKey.length > 32 ? '…' : ''}, which is not of this program's making. ` +
      'The disc is damaged, or something else wrote to the data directory. Repair it, or set it aside and let the node copy its tables.',
    { cause },
  );
}
