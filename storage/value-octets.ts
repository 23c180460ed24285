/**
 * Values as MessagePack, written by hand: rows are small and many, and the general encoder takes several times as long
 * over one. The forms are those the general decoder reads back without loss: the shortest for integers of 32 bits, a
 * double for every other number, `undefined` as extension 0.
 */
import type { Value } from './types.ts';

/** Octets are cut from pieces of this size, so that a small row does not cost an allocation of its own. */
const PIECE_BYTES = 64 * 1024;
/** Texts up to this length are looked at letter by letter. */
const SHORT_TEXT = 64;

let octets = Buffer.allocUnsafeSlow(PIECE_BYTES);
let view = new DataView(octets.buffer);
let start = 0;
let at = 0;

/**
 * The octets of a prepared value: the same value gives the same octets. They belong to the caller, and share memory
 * with others made at about the same time: who keeps them for long keeps a copy.
 */
export function writeOctets(value: Value): Uint8Array {
  at = start;
  write(value);
  const written = new Uint8Array(octets.buffer, start, at - start);
  start = at;
  return written;
}

function write(value: Value): void {
  switch (typeof value) {
    case 'string':
      return writeText(value);
    case 'number':
      return writeNumber(value);
    case 'boolean':
      return writeOctet(value ? 0xc3 : 0xc2);
    case 'undefined':
      room(3);
      octets[at++] = 0xd4;
      octets[at++] = 0;
      octets[at++] = 0;
      return;
    case 'bigint':
      return writeBigint(value);
    default:
      if (value === null) writeOctet(0xc0);
      else if (Array.isArray(value)) writeArray(value as readonly Value[]);
      else if (value instanceof Uint8Array) writeBinary(value);
      else writeObject(value as Readonly<Record<string, Value>>);
  }
}

function writeArray(parts: readonly Value[]): void {
  writeHead(parts.length, 0x90, 0xdc);
  for (const part of parts) write(part);
}

function writeObject(parts: Readonly<Record<string, Value>>): void {
  const names = Object.keys(parts);
  writeHead(names.length, 0x80, 0xde);
  for (const name of names) {
    writeText(name);
    write(parts[name]);
  }
}

/** Of an array or an object: `small` takes up to 15 parts, `large` is the form with 16 bits, followed by that with 32. */
function writeHead(count: number, small: number, large: number): void {
  room(5);
  if (count < 16) octets[at++] = small | count;
  else writeCount(count, 0, large);
}

/** A count of parts or octets: `byte` is the form of 8 bits (0: there is none), `word` that of 16, then that of 32. */
function writeCount(count: number, byte: number, word: number): void {
  if (byte !== 0 && count < 0x100) {
    octets[at++] = byte;
    octets[at++] = count;
  } else if (count < 0x10000) {
    octets[at++] = word;
    view.setUint16(at, count);
    at += 2;
  } else {
    octets[at++] = word + 1;
    view.setUint32(at, count);
    at += 4;
  }
}

function writeText(text: string): void {
  const { length } = text;
  if (length <= SHORT_TEXT) {
    room(2 + length);
    const before = at;
    if (length < 32) octets[at++] = 0xa0 | length;
    else {
      octets[at++] = 0xd9;
      octets[at++] = length;
    }
    let i = 0;
    for (; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) break;
      octets[at++] = unit;
    }
    if (i === length) return;
    at = before;
  }
  const count = Buffer.byteLength(text);
  room(5 + count);
  if (count < 32) octets[at++] = 0xa0 | count;
  else writeCount(count, 0xd9, 0xda);
  octets.write(text, at);
  at += count;
}

function writeBinary(value: Uint8Array): void {
  room(5 + value.length);
  writeCount(value.length, 0xc4, 0xc5);
  octets.set(value, at);
  at += value.length;
}

function writeNumber(value: number): void {
  room(9);
  if (value >>> 0 === value) {
    if (value < 0x80) octets[at++] = value;
    else if (value < 0x100) {
      octets[at++] = 0xcc;
      octets[at++] = value;
    } else if (value < 0x10000) {
      octets[at++] = 0xcd;
      view.setUint16(at, value);
      at += 2;
    } else {
      octets[at++] = 0xce;
      view.setUint32(at, value);
      at += 4;
    }
  } else if (value >> 0 === value) writeNegative(value);
  else {
    octets[at++] = 0xcb;
    view.setFloat64(at, value);
    at += 8;
  }
}

function writeNegative(value: number): void {
  if (value >= -0x20) octets[at++] = 0x100 + value;
  else if (value >= -0x80) {
    octets[at++] = 0xd0;
    octets[at++] = 0x100 + value;
  } else if (value >= -0x8000) {
    octets[at++] = 0xd1;
    view.setInt16(at, value);
    at += 2;
  } else {
    octets[at++] = 0xd2;
    view.setInt32(at, value);
    at += 4;
  }
}

function writeBigint(value: bigint): void {
  room(9);
  const isSigned = value < 2n ** 63n;
  octets[at++] = isSigned ? 0xd3 : 0xcf;
  if (isSigned) view.setBigInt64(at, value);
  else view.setBigUint64(at, value);
  at += 8;
}

function writeOctet(value: number): void {
  room(1);
  octets[at++] = value;
}

/** Room for `count` more octets: what was written of this value so far moves to a new piece. */
function room(count: number): void {
  if (at + count <= octets.length) return;
  const used = at - start;
  const larger = Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, (used + count) * 2));
  larger.set(octets.subarray(start, at));
  octets = larger;
  view = new DataView(larger.buffer);
  start = 0;
  at = used;
}
