/**
 * Keys as octets whose bytewise order is the order of the keys, and as tokens for JavaScript Maps.
 *
 * null < false < true < numbers < bigints < strings (by code point) < octets < arrays (element by element, a prefix
 * first). One tag octet, then:
 * - a number: its IEEE double, sign bit flipped when positive, all bits flipped when negative;
 * - a bigint: sign octet, length of the magnitude (two octets), magnitude; the last two inverted when negative;
 * - a string (UTF-8) or octets: each 0x00 written as 0x00 0xff, ended by 0x00;
 * - an array: its elements, ended by 0x00, which no tag is.
 *
 * Two keys are equal exactly when their octets are, and exactly when their tokens are. -0 is 0.
 */
import { StorageError } from '../errors.ts';
import type { Key } from '../types.ts';

/** Identity of a key in a Map or Set (which compare octets and arrays by reference, hence not the key itself). */
export type KeyToken = string | number | bigint | boolean | null;

/** Arrays inside arrays in a key. */
export const KEY_DEPTH_MAX = 8;
/** Octets of a bigint's magnitude: its length is written in two octets. */
const BIGINT_BYTES_MAX = 0xffff;

const TAG_NULL = 0x02;
const TAG_FALSE = 0x03;
const TAG_TRUE = 0x04;
const TAG_NUMBER = 0x05;
const TAG_BIGINT = 0x06;
const TAG_STRING = 0x07;
const TAG_OCTETS = 0x08;
const TAG_ARRAY = 0x09;
const END = 0x00;
const ESCAPE = 0xff;

const SIGN_NEGATIVE = 0x7f;
const SIGN_ZERO = 0x80;
const SIGN_POSITIVE = 0x81;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Keys are written here and then copied out at their exact length. Grows to the longest key met. */
let scratch = new Uint8Array(2048);
let view = new DataView(scratch.buffer);

/**
 * Identity of `key` in a Map. The token of a number or a string is itself, so the common case is two typeof checks;
 * what is not a primitive becomes a string that starts with U+0000, and strings that start so are moved out of its way.
 */
export function keyToken(key: Key): KeyToken {
  if (typeof key === 'number') return key === 0 ? 0 : key;
  if (typeof key === 'string') return key.charCodeAt(0) === 0 ? `\u0000s${key}` : key;
  if (key === null || typeof key === 'boolean' || typeof key === 'bigint') return key;
  const octets = encodeKey(key);
  return `\u0000k${Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString('latin1')}`;
}

/**
 * The key to keep for `key`: itself when it is a primitive, a frozen copy when it is octets or an array, whose owner
 * could change it later. StorageError `bad_key` when it is no key, or its octets are more than `bytesMax`.
 */
export function checkKey(table: string, key: unknown, bytesMax: number): Key {
  if (typeof key === 'string') {
    // Three octets are the most a UTF-16 unit takes; only a key that might be too long is measured.
    if (!isWellFormed(key))
      throw badKey(table, key, 'it is a text with half a surrogate pair, which UTF-8 cannot carry');
    if (key.length * 3 + 2 > bytesMax && encodedTooLong(key, bytesMax)) throw tooLong(table, key, bytesMax);
    return key;
  }
  if (typeof key === 'number') {
    if (Number.isFinite(key)) return key === 0 ? 0 : key;
    throw badKey(table, key, `${key} has no place in the order of keys`);
  }
  if (key === null || typeof key === 'boolean') return key;
  const what = whyNoKey(key, 0, bytesMax);
  if (what !== undefined) throw badKey(table, key, what);
  if (encodedTooLong(key as Key, bytesMax)) throw tooLong(table, key, bytesMax);
  return ownKey(key as Key);
}

function whyNoKey(key: unknown, depth: number, bytesMax: number): string | undefined {
  switch (typeof key) {
    case 'string':
      return isWellFormed(key) ? undefined : 'it holds a text with half a surrogate pair, which UTF-8 cannot carry';
    case 'number':
      return Number.isFinite(key) ? undefined : `it holds ${key}, which has no place in the order of keys`;
    case 'boolean':
      return undefined;
    case 'bigint': {
      const bits = BigInt(Math.min(bytesMax, BIGINT_BYTES_MAX) * 8);
      return (key < 0n ? -key : key) >> bits === 0n ? undefined : `it holds a bigint of more than ${bits} bits`;
    }
    case 'object': {
      if (key === null || key instanceof Uint8Array) return undefined;
      if (!Array.isArray(key)) return 'it is, or holds, an object that is neither an array nor a Uint8Array';
      if (depth >= KEY_DEPTH_MAX) return `its arrays lie deeper than ${KEY_DEPTH_MAX} (limit KEY_DEPTH_MAX)`;
      if (key.length > bytesMax) return `it holds an array of ${key.length} elements (limit keyBytesMax ${bytesMax})`;
      for (const part of key) {
        const what = whyNoKey(part, depth + 1, bytesMax);
        if (what !== undefined) return what;
      }
      return undefined;
    }
    default:
      return `it is, or holds, ${typeof key === 'undefined' ? 'undefined' : `a ${typeof key}`}`;
  }
}

/** Whether the octets of `key` are more than `bytesMax`; a long string is not encoded to find out. */
function encodedTooLong(key: Key, bytesMax: number): boolean {
  if (typeof key === 'string' && key.length + 2 > bytesMax) return true;
  if (key instanceof Uint8Array && key.length + 2 > bytesMax) return true;
  return encodeKey(key).length > bytesMax;
}

function ownKey(key: Key): Key {
  if (key instanceof Uint8Array) return new Uint8Array(key);
  if (!Array.isArray(key)) return key === 0 ? 0 : key;
  return Object.freeze((key as readonly Key[]).map(ownKey));
}

function badKey(table: string | undefined, key: unknown, what: string): StorageError {
  return new StorageError(
    'bad_key',
    `${describeKey(key)} cannot be a key${table === undefined ? '' : ` of table "${table}"`}: ${what}. ` +
      'A key is a string, a finite number, a bigint, a boolean, null, a Uint8Array, or an array of those.',
    { table, key },
  );
}

function tooLong(table: string, key: unknown, bytesMax: number): StorageError {
  return badKey(table, key, `it is longer than ${bytesMax} octets (limit keyBytesMax)`);
}

function isWellFormed(text: string): boolean {
  // In every engine this runs on, but not yet in the library declarations of ES2023.
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

/** A key as one reads it in a message, never long. */
export function describeKey(key: unknown): string {
  let text: string;
  if (typeof key === 'string') text = JSON.stringify(key.slice(0, 80));
  else if (typeof key === 'bigint') text = `${key.toString().slice(0, 80)}n`;
  else if (key instanceof Uint8Array) text = `<octets ${Buffer.from(key.subarray(0, 32)).toString('hex')}>`;
  else if (Array.isArray(key))
    text = `[${key.slice(0, 8).map((part) => (Array.isArray(part) ? '[…]' : describeKey(part)))}]`;
  else if (typeof key === 'object' && key !== null) text = 'an object';
  else text = String(key);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** The octets of a key that passed `checkKey`. They belong to the caller. */
export function encodeKey(key: Key): Uint8Array {
  return scratch.slice(0, write(key, 0, 0));
}

function write(key: Key, at: number, depth: number): number {
  reserve(at, 9);
  switch (typeof key) {
    case 'string':
      return writeString(key, at);
    case 'number':
      return writeNumber(key, at);
    case 'boolean':
      scratch[at] = key ? TAG_TRUE : TAG_FALSE;
      return at + 1;
    case 'bigint':
      return writeBigint(key, at);
    default: {
      if (key === null) {
        scratch[at] = TAG_NULL;
        return at + 1;
      }
      if (key instanceof Uint8Array) return writeOctets(key, at);
      if (!Array.isArray(key)) throw badKey(undefined, key, 'it is not of a kind a key can be');
      if (depth >= KEY_DEPTH_MAX) throw badKey(undefined, key, `its arrays lie deeper than ${KEY_DEPTH_MAX}`);
      scratch[at] = TAG_ARRAY;
      let next = at + 1;
      for (const part of key as readonly Key[]) next = write(part, next, depth + 1);
      reserve(next, 1);
      scratch[next] = END;
      return next + 1;
    }
  }
}

function writeNumber(key: number, at: number): number {
  scratch[at] = TAG_NUMBER;
  // Adding 0 turns -0 into 0.
  view.setFloat64(at + 1, key + 0);
  const high = view.getInt32(at + 1);
  if (high < 0) {
    view.setInt32(at + 1, ~high);
    view.setInt32(at + 5, ~view.getInt32(at + 5));
  } else view.setInt32(at + 1, high ^ 0x80000000);
  return at + 9;
}

function writeBigint(key: bigint, at: number): number {
  scratch[at] = TAG_BIGINT;
  if (key === 0n) {
    scratch[at + 1] = SIGN_ZERO;
    return at + 2;
  }
  const negative = key < 0n;
  const hex = (negative ? -key : key).toString(16);
  const length = (hex.length + 1) >> 1;
  if (length > BIGINT_BYTES_MAX) throw badKey(undefined, 'a bigint', `it has more than ${BIGINT_BYTES_MAX} octets`);
  const padded = hex.padStart(length * 2, '0');
  const flip = negative ? 0xff : 0;
  reserve(at, 4 + length);
  scratch[at + 1] = negative ? SIGN_NEGATIVE : SIGN_POSITIVE;
  scratch[at + 2] = (length >> 8) ^ flip;
  scratch[at + 3] = (length & 0xff) ^ flip;
  for (let i = 0; i < length; i++) scratch[at + 4 + i] = Number.parseInt(padded.slice(i * 2, i * 2 + 2), 16) ^ flip;
  return at + 4 + length;
}

function writeString(key: string, at: number): number {
  const length = key.length;
  reserve(at, length * 3 + 2);
  scratch[at] = TAG_STRING;
  let next = at + 1;
  for (let i = 0; i < length; i++) {
    const unit = key.charCodeAt(i);
    // Everything but plain ASCII goes the slow way, from the start.
    if (unit === 0 || unit > 0x7f) return writeOctets(encoder.encode(key), at, TAG_STRING);
    scratch[next++] = unit;
  }
  scratch[next] = END;
  return next + 1;
}

function writeOctets(octets: Uint8Array, at: number, tag = TAG_OCTETS): number {
  reserve(at, octets.length * 2 + 2);
  scratch[at] = tag;
  let next = at + 1;
  for (const octet of octets) {
    scratch[next++] = octet;
    if (octet === 0) scratch[next++] = ESCAPE;
  }
  scratch[next] = END;
  return next + 1;
}

function reserve(at: number, more: number): void {
  if (at + more <= scratch.length) return;
  const larger = new Uint8Array(Math.max(scratch.length * 2, at + more));
  larger.set(scratch);
  scratch = larger;
  view = new DataView(scratch.buffer);
}

/** The key `octets` hold; octets that hold none are refused with StorageError `bad_key`. */
export function decodeKey(octets: Uint8Array): Key {
  const reader: Reader = {
    octets,
    view: new DataView(octets.buffer, octets.byteOffset, octets.byteLength),
    at: 0,
  };
  const key = read(reader, 0);
  if (reader.at !== octets.length) throw damaged(octets);
  return key;
}

interface Reader {
  readonly octets: Uint8Array;
  readonly view: DataView;
  at: number;
}

function read(reader: Reader, depth: number): Key {
  const { octets } = reader;
  switch (octets[reader.at++]) {
    case TAG_NULL:
      return null;
    case TAG_FALSE:
      return false;
    case TAG_TRUE:
      return true;
    case TAG_NUMBER:
      return readNumber(reader);
    case TAG_BIGINT:
      return readBigint(reader);
    case TAG_STRING:
      return readString(reader);
    case TAG_OCTETS:
      return readOctets(reader);
    case TAG_ARRAY: {
      if (depth >= KEY_DEPTH_MAX) throw damaged(octets);
      const parts: Key[] = [];
      while (octets[reader.at] !== END) parts.push(read(reader, depth + 1));
      reader.at++;
      return Object.freeze(parts);
    }
    default:
      throw damaged(octets);
  }
}

function readNumber(reader: Reader): number {
  const { at, view: source } = reader;
  if (at + 8 > reader.octets.length) throw damaged(reader.octets);
  let high = source.getInt32(at);
  let low = source.getInt32(at + 4);
  if (high < 0) high ^= 0x80000000;
  else {
    high = ~high;
    low = ~low;
  }
  view.setInt32(0, high);
  view.setInt32(4, low);
  reader.at = at + 8;
  const number = view.getFloat64(0);
  if (!Number.isFinite(number)) throw damaged(reader.octets);
  return number === 0 ? 0 : number;
}

function readBigint(reader: Reader): bigint {
  const { octets } = reader;
  const sign = octets[reader.at++];
  if (sign === SIGN_ZERO) return 0n;
  if (sign !== SIGN_NEGATIVE && sign !== SIGN_POSITIVE) throw damaged(octets);
  const flip = sign === SIGN_NEGATIVE ? 0xff : 0;
  const length = (((octets[reader.at] ?? 0) ^ flip) << 8) | ((octets[reader.at + 1] ?? 0) ^ flip);
  const from = reader.at + 2;
  reader.at = from + length;
  if (length === 0 || reader.at > octets.length || octets[from] === flip) throw damaged(octets);
  let hex = '0x';
  for (let i = from; i < reader.at; i++) hex += ((octets[i] as number) ^ flip).toString(16).padStart(2, '0');
  return sign === SIGN_NEGATIVE ? -BigInt(hex) : BigInt(hex);
}

function readString(reader: Reader): string {
  const octets = readOctets(reader);
  try {
    return decoder.decode(octets);
  } catch (error) {
    throw damaged(reader.octets, error);
  }
}

function readOctets(reader: Reader): Uint8Array {
  const { octets } = reader;
  const from = reader.at;
  let escapes = 0;
  let end = from;
  for (; ; end++) {
    if (end >= octets.length) throw damaged(octets);
    if (octets[end] !== 0) continue;
    if (octets[end + 1] !== ESCAPE) break;
    escapes++;
    end++;
  }
  reader.at = end + 1;
  if (escapes === 0) return octets.slice(from, end);
  const plain = new Uint8Array(end - from - escapes);
  for (let i = from, to = 0; i < end; i++) {
    plain[to++] = octets[i] as number;
    if (octets[i] === 0) i++;
  }
  return plain;
}

function damaged(octets: Uint8Array, cause?: unknown): StorageError {
  const hex = Buffer.from(octets.subarray(0, 24)).toString('hex');
  return new StorageError(
    'bad_key',
    `${octets.length} octets (${hex}${octets.length > 24 ? '…' : ''}) do not hold a key. They were damaged, or not written by this program.`,
    { cause },
  );
}

/** Negative, zero or positive, as the octets of `a` and `b` compare. */
export function compareKeys(a: Key, b: Key): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b || 0;
  if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b);
  return compareOctets(encodeKey(a), encodeKey(b));
}

/** By code point, which is the order of UTF-8. UTF-16 would put U+10000 before U+FFFF. */
function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left === right) continue;
    const leftIsPair = (left & 0xf800) === 0xd800;
    const rightIsPair = (right & 0xf800) === 0xd800;
    if (leftIsPair !== rightIsPair) return leftIsPair ? 1 : -1;
    return left - right;
  }
  return a.length - b.length;
}

/** Bytewise, a prefix first: the order of LevelDB. */
export function compareOctets(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
