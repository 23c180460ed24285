/**
 * A table's digest: the exclusive-or over all rows of a 64-bit mix of key and version. A row's version decides its
 * content, so equal digests mean equal replicas. It is kept up to date by each write and costs no scan. The same is kept
 * for each of 4,096 parts of the keys, so that replicas that differ can tell where: so few rows are in one part that a
 * hundred rows that differ make few others travel.
 */
import type { Row, Token } from './row.ts';

const nodeHashes = new Map<string, number>();

function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

let lastNode = '';
let lastHash = hashText('');

function hashNode(node: string): number {
  // Rows written one after the other mostly come from one node.
  if (node === lastNode) return lastHash;
  lastHash = hashOfNode(node);
  lastNode = node;
  return lastHash;
}

function hashOfNode(node: string): number {
  let hash = nodeHashes.get(node);
  if (hash === undefined) {
    hash = hashText(node);
    nodeHashes.set(node, hash);
  }
  return hash;
}

const scratch = new DataView(new ArrayBuffer(8));

function hashNumber(value: number): number {
  if (Number.isSafeInteger(value)) return Math.imul(value | 0, 0x9e3779b1) ^ Math.floor(value / 0x100000000);
  scratch.setFloat64(0, value);
  return Math.imul(scratch.getInt32(0), 0x9e3779b1) ^ scratch.getInt32(4);
}

function hashToken(token: Token): number {
  if (typeof token === 'number') return hashNumber(token);
  if (typeof token === 'string') return hashText(token);
  if (typeof token === 'bigint') return hashText(`${token}n`);
  return token === null ? 0x2545f491 : token ? 0x6c62272e : 0x07bb0142;
}

function mix(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Powers of two: of buckets half as many, each holds what two held. */
export const BUCKETS = 4096;
const BUCKETS_MIN = 256;
const ROWS_PER_BUCKET = 8;
export const OCTETS_PER_BUCKET = 8;

/** Into how many parts a table of so many rows is divided to be compared. */
export function bucketsFor(rows: number): number {
  let buckets = BUCKETS_MIN;
  while (buckets < BUCKETS && buckets * ROWS_PER_BUCKET < rows) buckets *= 2;
  return buckets;
}

/** Of the key alone: where a row is counted, of so many buckets, whatever its version. */
export function bucketOf(token: Token, buckets: number): number {
  return bucketOfHash(hashToken(token), buckets);
}

function bucketOfHash(key: number, buckets: number): number {
  return mix(key ^ 0x5bd1e995) & (buckets - 1);
}

export class Digest {
  #high = 0;
  #low = 0;
  readonly #size: number;
  /** The same for each bucket, two numbers each. */
  #buckets: Int32Array;

  constructor(buckets = BUCKETS) {
    this.#size = buckets;
    this.#buckets = new Int32Array(buckets * 2);
  }

  /** Adds a row, or takes it away: the same operation. */
  toggle(row: Row): void {
    const key = hashToken(row.token);
    this.#toggle(row, key, bucketOfHash(key, this.#size) * 2);
  }

  /** A row in place of an earlier one of the same key. */
  replace(old: Row, row: Row): void {
    const key = hashToken(row.token);
    const at = bucketOfHash(key, this.#size) * 2;
    this.#toggle(old, key, at);
    this.#toggle(row, key, at);
  }

  #toggle(row: Row, key: number, at: number): void {
    const counter = (row.hlc % 0x100000000) | 0;
    const wall = Math.floor(row.hlc / 0x100000000) | 0;
    const first = mix(key ^ Math.imul(counter, 0x27d4eb2f));
    const node = hashNode(row.node);
    const high = mix(first + wall + node);
    const low = mix(Math.imul(first, 0x165667b1) ^ Math.imul(wall + 0x3c6ef372, 0x9e3779b1) ^ node);
    this.#high ^= high;
    this.#low ^= low;
    const buckets = this.#buckets;
    (buckets[at] as number) ^= high;
    (buckets[at + 1] as number) ^= low;
  }

  /** Adds the rows of another digest with as many buckets, or takes them away. */
  add(other: Digest): void {
    this.#high ^= other.#high;
    this.#low ^= other.#low;
    for (let at = 0; at < this.#buckets.length; at++) (this.#buckets[at] as number) ^= other.#buckets[at] as number;
  }

  /** With so many buckets, or fewer than it has. */
  copy(buckets = this.#size): Digest {
    const copy = new Digest(buckets);
    copy.#high = this.#high;
    copy.#low = this.#low;
    copy.#buckets = this.#folded(buckets);
    return copy;
  }

  #folded(buckets: number): Int32Array {
    if (buckets === 1) return Int32Array.of(this.#high, this.#low);
    const folded = this.#buckets.slice(0, buckets * 2);
    for (let at = folded.length; at < this.#buckets.length; at++) {
      (folded[at & (folded.length - 1)] as number) ^= this.#buckets[at] as number;
    }
    return folded;
  }

  get text(): string {
    const high = (this.#high >>> 0).toString(16).padStart(8, '0');
    return high + (this.#low >>> 0).toString(16).padStart(8, '0');
  }

  /** The digests of so many buckets, one after the other. */
  octets(buckets: number): Uint8Array {
    const folded = this.#folded(buckets);
    const octets = new DataView(new ArrayBuffer(buckets * OCTETS_PER_BUCKET));
    for (let at = 0; at < folded.length; at++) octets.setInt32(at * 4, folded[at] as number);
    return new Uint8Array(octets.buffer);
  }
}

/** Which buckets are not alike in all of `digests` (see Digest.octets): one octet for each, 0 or 1. */
export function differingBuckets(digests: readonly Uint8Array[]): Uint8Array {
  const [first = new Uint8Array(OCTETS_PER_BUCKET), ...others] = digests;
  const differing = new Uint8Array(first.length / OCTETS_PER_BUCKET);
  for (const other of others) {
    for (let at = 0; at < first.length; at++) {
      if (first[at] !== other[at]) differing[Math.floor(at / OCTETS_PER_BUCKET)] = 1;
    }
  }
  return differing;
}
