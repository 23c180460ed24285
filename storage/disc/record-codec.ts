/**
 * A row on the disc: its version, whether it is a tombstone, and the octets of its value.
 *
 * | octets | what |
 * | --- | --- |
 * | 4 | check over all that follows, little endian |
 * | 1 | flags: 0x01 deleted, 0x02 dirty; the others are 0 |
 * | 8 | hlc, a double, little endian |
 * | 1 + n | node id, length first |
 * | rest | the value as `encodeValue` gave it; nothing for a tombstone |
 *
 * LevelDB guards its log with checksums but does not look at those of its tables when it reads, so each record carries
 * a check of its own: a row that rotted is named, not served.
 */
import { StorageError } from '../errors.ts';
import type { Key, Version } from '../types.ts';
import { describeKey } from './key-codec.ts';
import { NAME_BYTES_MAX } from './key-space.ts';

export interface StoredRecord {
  readonly version: Version;
  readonly deleted: boolean;
  /** Nobody voted for it: no other replica is known to have seen what it overwrote. */
  readonly isDirty?: boolean;
  /** What `encodeValue` gave; empty when deleted. */
  readonly value: Uint8Array;
}

const FLAG_DELETED = 0x01;
const FLAG_DIRTY = 0x02;
const CHECK_BYTES = 4;
const HLC_AT = CHECK_BYTES + 1;
const NODE_AT = HLC_AT + 8;
/** Node ids met, so that a million rows of one node share one string. */
const NODES_KEPT_MAX = 256;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const octetsOfNode = new Map<string, Uint8Array>();
let lastNode: { readonly octets: Uint8Array; readonly id: string } | undefined;

const NO_OCTETS = new Uint8Array(0);

/** Records are cut from pieces of this size, so that a small one does not cost an allocation of its own. */
const PIECE_BYTES = 64 * 1024;
let piece = new Uint8Array(PIECE_BYTES);
let pieceAt = 0;

/** Doubles pass through these eight octets: cheaper than a view over every record. */
const doubleOctets = new Uint8Array(8);
const double = new DataView(doubleOctets.buffer);

/** The octets belong to the caller, and share memory with others made at about the same time. */
export function encodeRecord(record: StoredRecord): Uint8Array {
  const node = nodeOctets(record.version.node);
  const value = record.deleted ? NO_OCTETS : record.value;
  const valueAt = NODE_AT + 1 + node.length;
  const octets = take(valueAt + value.length);
  octets[CHECK_BYTES] = (record.deleted ? FLAG_DELETED : 0) | (record.isDirty === true ? FLAG_DIRTY : 0);
  double.setFloat64(0, record.version.hlc, true);
  for (let i = 0; i < 8; i++) octets[HLC_AT + i] = doubleOctets[i] as number;
  octets[NODE_AT] = node.length;
  for (let i = 0; i < node.length; i++) octets[NODE_AT + 1 + i] = node[i] as number;
  octets.set(value, valueAt);
  const check = checkOf(octets, CHECK_BYTES);
  octets[0] = check;
  octets[1] = check >>> 8;
  octets[2] = check >>> 16;
  octets[3] = check >>> 24;
  return octets;
}

function take(count: number): Uint8Array {
  if (count > PIECE_BYTES / 8) return new Uint8Array(count);
  if (pieceAt + count > PIECE_BYTES) {
    piece = new Uint8Array(PIECE_BYTES);
    pieceAt = 0;
  }
  const octets = piece.subarray(pieceAt, pieceAt + count);
  pieceAt += count;
  return octets;
}

/**
 * The record `octets` hold; its value is a view of them. `table` and `key` only name it in the StorageError
 * `disc_corrupt` that a damaged record is answered with.
 */
export function decodeRecord(octets: Uint8Array, table: string, key: Key): StoredRecord {
  const nodeLength = octets[NODE_AT];
  const valueAt = NODE_AT + 1 + (nodeLength ?? 0);
  if (nodeLength === undefined || octets.length < valueAt) throw corrupt(table, key, 'it ends too early');
  const check = octets[0]! | (octets[1]! << 8) | (octets[2]! << 16) | (octets[3]! << 24) | 0;
  if (check !== checkOf(octets, CHECK_BYTES)) throw corrupt(table, key, 'its check does not fit its content');
  const flags = octets[CHECK_BYTES] as number;
  if ((flags & ~(FLAG_DELETED | FLAG_DIRTY)) !== 0) throw corrupt(table, key, `it has unknown flags ${flags}`);
  for (let i = 0; i < 8; i++) doubleOctets[i] = octets[HLC_AT + i] as number;
  const hlc = double.getFloat64(0, true);
  const node = nodeOf(octets.subarray(NODE_AT + 1, valueAt));
  const deleted = (flags & FLAG_DELETED) !== 0;
  const isDirty = (flags & FLAG_DIRTY) !== 0;
  return { version: { hlc, node }, deleted, isDirty, value: deleted ? NO_OCTETS : octets.subarray(valueAt) };
}

function nodeOctets(node: string): Uint8Array {
  let octets = octetsOfNode.get(node);
  if (octets === undefined) {
    octets = encoder.encode(node);
    if (octets.length > NAME_BYTES_MAX) {
      throw new StorageError(
        'bad_definition',
        `The node id "${node.slice(0, 80)}" is longer than ${NAME_BYTES_MAX} octets.`,
        {
          node,
        },
      );
    }
    if (octetsOfNode.size >= NODES_KEPT_MAX) octetsOfNode.clear();
    octetsOfNode.set(node, octets);
  }
  return octets;
}

function nodeOf(octets: Uint8Array): string {
  if (lastNode !== undefined && sameOctets(lastNode.octets, octets)) return lastNode.id;
  const id = decoder.decode(octets);
  // Through the map, so that rows of several nodes in turn still share one string for each.
  for (const known of octetsOfNode.keys()) {
    if (known !== id) continue;
    lastNode = { octets: octets.slice(), id: known };
    return known;
  }
  nodeOctets(id);
  lastNode = { octets: octets.slice(), id };
  return id;
}

function sameOctets(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * Murmur3, 32 bits: twice as fast over a hundred octets as a call of the platform's CRC, and any change within one
 * word of four octets is always seen, since every step is a bijection.
 */
export function checkOf(octets: Uint8Array, from: number): number {
  const length = octets.length;
  const wordsEnd = from + ((length - from) & ~3);
  let hash = 0;
  let at = from;
  for (; at < wordsEnd; at += 4) {
    hash ^= mixed(octets[at]! | (octets[at + 1]! << 8) | (octets[at + 2]! << 16) | (octets[at + 3]! << 24));
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let shift = 0; at < length; at++, shift += 8) tail |= octets[at]! << shift;
  hash ^= mixed(tail);
  hash ^= length - from;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function mixed(word: number): number {
  const first = Math.imul(word, 0xcc9e2d51);
  return Math.imul((first << 15) | (first >>> 17), 0x1b873593);
}

function corrupt(table: string, key: Key, what: string): StorageError {
  return new StorageError(
    'disc_corrupt',
    `The record of key ${describeKey(key)} of table "${table}" on the disc is damaged: ${what}. ` +
      'The row has to come from another replica; look at the disc of this node.',
    { table, key },
  );
}
