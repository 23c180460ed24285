/**
 * A generation of the turn log: its records as they are in the file, one behind the other, and where in them the last
 * operation on each key is. A record holds the operations of all writes that share a batch; a batch too large to be
 * written in one turn of the event loop is several records of one number, and counts with the last of them only.
 *
 * | octets | what |
 * | --- | --- |
 * | 4 | length of what follows the check, little endian |
 * | 4 | CRC-32 over all that follows, little endian |
 * | 8 | sequence number, a double, little endian: batches are numbered without a gap |
 * | 0 or 1 | 2, where the batch goes on in the next record |
 * | rest | operations: type (0 del, 1 put), length and octets of the key; for a put length and octets of the value |
 *
 * Lengths of keys and values are written seven bits an octet, the low ones first.
 *
 * Nothing is kept per operation but two small numbers in a Map. Objects and arrays that live as long as a generation
 * would cost the garbage collector more than all the rest of a write.
 */
import { crc32 } from 'node:zlib';
import type { DiscOperation } from '../environment.ts';
import { compareOctets } from './key-codec.ts';

const RECORD_HEAD_BYTES = 16;
const GOES_ON = 2;
/** Octets that the length of a key or value takes at most. */
const LENGTH_BYTES_MAX = 5;
/** Below this, a loop beats the call that copies a typed array. */
const COPY_BY_LOOP_BYTES = 24;

export class Generation {
  #octets: Uint8Array;
  #view: DataView;
  #end = 0;
  /** Where the records end of the batch that is being written. */
  #tail = 0;
  /** By hash of the key: where its operation begins, or in the rare case those of all keys that share the hash. */
  readonly #places = new Map<number, number | number[]>();
  /** Operations of that batch, and how many of them count. */
  #fresh: number[] = [];
  #kept = 0;
  /** Where the text ends that `#textAt` was asked for last. */
  #textEnd = 0;

  /** `capacity` octets are taken at once; it grows when they do not suffice. */
  constructor(capacity: number) {
    this.#octets = new Uint8Array(capacity);
    this.#view = new DataView(this.#octets.buffer);
  }

  /** Octets of all records. */
  get bytes(): number {
    return this.#end;
  }

  /** The next record of a batch, for the file. `keep` or `drop` must follow the last before anything else is done here. */
  encode(sequence: number, writes: readonly (readonly DiscOperation[])[], isLast: boolean): Uint8Array {
    const start = this.#tail;
    this.#reserve(start + RECORD_HEAD_BYTES + 1);
    let at = start + RECORD_HEAD_BYTES;
    if (!isLast) this.#octets[at++] = GOES_ON;
    for (const operations of writes) {
      for (const operation of operations) {
        this.#fresh.push(at);
        at = this.#write(operation, at);
      }
    }
    this.#seal(start, at, sequence);
    this.#tail = at;
    return this.#octets.subarray(start, at);
  }

  /** The batch is in the file: makes up to `count` more of its operations count. Returns whether all do. */
  keep(count: number): boolean {
    const end = Math.min(this.#fresh.length, this.#kept + count);
    while (this.#kept < end) this.#note(this.#fresh[this.#kept++] as number);
    if (end < this.#fresh.length) return false;
    this.#end = this.#tail;
    this.#begin();
    return true;
  }

  drop(): void {
    this.#begin();
  }

  #begin(): void {
    this.#tail = this.#end;
    this.#fresh = [];
    this.#kept = 0;
  }

  /** Takes the batch that begins at `at` of a file, if all of it is there. Returns where it ends and its number. */
  restore(octets: Uint8Array, at: number): { readonly end: number; readonly sequence: number } | undefined {
    const end = endOfBatch(octets, at);
    if (end === undefined) return undefined;
    this.#reserve(this.#end + end - at);
    this.#octets.set(octets.subarray(at, end), this.#end);
    return { end, sequence: sequenceAt(this.#view, this.#end) };
  }

  /** Makes the batch count that `restore` took last, of `length` octets. */
  keepRestored(length: number): void {
    const end = this.#end + length;
    for (let at = this.#end; at < end; ) {
      const recordEnd = at + 8 + this.#view.getUint32(at, true);
      let place = at + RECORD_HEAD_BYTES;
      if (this.#octets[place] === GOES_ON) place++;
      for (; place < recordEnd; place = this.#endOfOperation(place)) this.#note(place);
      at = recordEnd;
    }
    this.#end = end;
    this.#begin();
  }

  /** The last operation on `key`. Its octets are this generation's. */
  get(key: Uint8Array): DiscOperation | undefined {
    const found = this.#places.get(hashOf(key, 0, key.length));
    if (found === undefined) return undefined;
    for (const place of Array.isArray(found) ? found : [found]) {
      const operation = this.#read(place);
      if (compareOctets(operation.key, key) === 0) return operation;
    }
    return undefined;
  }

  /** The last operation on each key. Their octets are this generation's. */
  *operations(): Generator<DiscOperation> {
    for (const found of this.#places.values()) {
      if (!Array.isArray(found)) yield this.#read(found);
      else for (const place of found) yield this.#read(place);
    }
  }

  // -- writing -----------------------------------------------------------------------------------------------------

  #write(operation: DiscOperation, at: number): number {
    const { key } = operation;
    const value = operation.type === 'put' ? operation.value : undefined;
    const needed = at + 1 + 2 * LENGTH_BYTES_MAX + key.length + (value?.length ?? 0);
    this.#reserve(needed);
    this.#octets[at] = value === undefined ? 0 : 1;
    const end = this.#writeText(key, at + 1);
    return value === undefined ? end : this.#writeText(value, end);
  }

  #writeText(source: Uint8Array, at: number): number {
    const octets = this.#octets;
    const { length } = source;
    let rest = length;
    for (; rest > 0x7f; rest >>>= 7) octets[at++] = (rest & 0x7f) | 0x80;
    octets[at++] = rest;
    if (length < COPY_BY_LOOP_BYTES) for (let i = 0; i < length; i++) octets[at + i] = source[i] as number;
    else octets.set(source, at);
    return at + length;
  }

  #seal(start: number, end: number, sequence: number): void {
    this.#view.setUint32(start, end - start - 8, true);
    this.#view.setFloat64(start + 8, sequence, true);
    this.#view.setUint32(start + 4, crc32(this.#octets.subarray(start + 8, end)), true);
  }

  #reserve(needed: number): void {
    if (needed > this.#octets.length) this.#grow(needed);
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(needed, 2 * this.#octets.length));
    grown.set(this.#octets);
    this.#octets = grown;
    this.#view = new DataView(grown.buffer);
  }

  // -- places ------------------------------------------------------------------------------------------------------

  #note(place: number): void {
    const from = this.#textAt(place + 1);
    const to = this.#textEnd;
    const hash = hashOf(this.#octets, from, to);
    const found = this.#places.get(hash);
    if (found === undefined || (!Array.isArray(found) && this.#isKeyOf(found, from, to))) {
      this.#places.set(hash, place);
    } else if (!Array.isArray(found)) {
      this.#places.set(hash, [found, place]);
    } else {
      const at = found.findIndex((other) => this.#isKeyOf(other, from, to));
      found[at < 0 ? found.length : at] = place;
    }
  }

  #isKeyOf(place: number, from: number, to: number): boolean {
    const octets = this.#octets;
    const at = this.#textAt(place + 1);
    if (this.#textEnd - at !== to - from) return false;
    for (let i = from, j = at; i < to; i++, j++) if (octets[i] !== octets[j]) return false;
    return true;
  }

  #read(place: number): DiscOperation {
    const isPut = this.#octets[place] === 1;
    const from = this.#textAt(place + 1);
    const key = this.#octets.subarray(from, this.#textEnd);
    if (!isPut) return { type: 'del', key };
    const valueFrom = this.#textAt(this.#textEnd);
    return { type: 'put', key, value: this.#octets.subarray(valueFrom, this.#textEnd) };
  }

  #endOfOperation(place: number): number {
    this.#textAt(place + 1);
    if (this.#octets[place] === 1) this.#textAt(this.#textEnd);
    return this.#textEnd;
  }

  /** Where the text begins whose length is at `at`. */
  #textAt(at: number): number {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const octet = this.#octets[at++] as number;
      length |= (octet & 0x7f) << shift;
      if (octet < 0x80) break;
    }
    this.#textEnd = at + length;
    return at;
  }
}

/** What generations, the older first, say of each key: the last word, in key order. */
export function sortedOperations(generations: readonly Generation[]): DiscOperation[] {
  const found: DiscOperation[] = [];
  for (const [at, generation] of generations.entries()) {
    const newer = generations.slice(at + 1);
    for (const operation of generation.operations()) {
      if (!newer.some((other) => other.get(operation.key) !== undefined)) found.push(operation);
    }
  }
  return found.sort((a, b) => compareOctets(a.key, b.key));
}

/** Those of `operations`, which are sorted, with `from <= key < to`. */
export function operationsBetween(
  operations: readonly DiscOperation[],
  from: Uint8Array,
  to: Uint8Array,
): readonly DiscOperation[] {
  const start = firstAtLeast(operations, from);
  return operations.slice(start, Math.max(start, firstAtLeast(operations, to)));
}

function firstAtLeast(operations: readonly DiscOperation[], key: Uint8Array): number {
  let low = 0;
  let high = operations.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareOctets((operations[middle] as DiscOperation).key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The end of the batch whose first record is at `at`; undefined when its records are not all there. */
function endOfBatch(octets: Uint8Array, at: number): number | undefined {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  for (let record = at; ; ) {
    const end = endOfRecord(octets, record);
    if (end === undefined || sequenceAt(view, record) !== sequenceAt(view, at)) return undefined;
    const first = record + RECORD_HEAD_BYTES;
    if (first === end || octets[first] !== GOES_ON) return end;
    record = end;
  }
}

function sequenceAt(view: DataView, at: number): number {
  return view.getFloat64(at + 8, true);
}

/** The end of the record at `at`; undefined when there is none that is whole. */
function endOfRecord(octets: Uint8Array, at: number): number | undefined {
  if (at + RECORD_HEAD_BYTES > octets.length) return undefined;
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  const end = at + 8 + view.getUint32(at, true);
  if (end < at + RECORD_HEAD_BYTES || end > octets.length) return undefined;
  return view.getUint32(at + 4, true) === crc32(octets.subarray(at + 8, end)) ? end : undefined;
}

/** Thirty bits, so that a Map takes it without making an object of it. */
function hashOf(octets: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ (octets[i] as number), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 2;
}
