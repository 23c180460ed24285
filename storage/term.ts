/**
 * Terms: the values and keys of rows, at the border where they come in.
 *
 * A value is copied, checked and deep-frozen in one pass on its way in. Copied rather than frozen in place, because the
 * caller's own object must not become read-only under its hands, a getter must be read once, and a number or an octet
 * string must be brought to the one form every replica will hold:
 * - `-0` becomes `0` (msgpack has no -0, and key 0 and key -0 must be one row); NaN and the infinities survive;
 * - an object without a prototype becomes a plain one; of an array only its elements are kept;
 * - a Uint8Array (a Buffer too) becomes a plain Uint8Array of its own. JavaScript cannot freeze octets: they are the one
 *   part of a row a reader could change, and must not.
 *
 * The order of an object's fields is kept and is part of its octets.
 */
import { Unpackr } from 'msgpackr';
import { describeKey } from './disc/key-codec.ts';
import { StorageError } from './errors.ts';
import type { DatabaseLimits, Key, Value } from './types.ts';
import { writeOctets } from './value-octets.ts';

export { checkKey, compareKeys, decodeKey, describeKey, encodeKey, type KeyToken, keyToken } from './disc/key-codec.ts';
export { writeOctets as encodeValue } from './value-octets.ts';

/** Objects and arrays inside each other. A cycle always passes it. */
export const VALUE_DEPTH_MAX = 64;

const INT64_MIN = -(2n ** 63n);
const UINT64_MAX = 2n ** 64n - 1n;
/** No part of a value takes more than this many octets for one unit of weight: a double weighs 1 and takes 9. */
const OCTETS_PER_WEIGHT_MAX = 9;

/** Where the pass stands and what it has weighed. One of each is enough: a pass never yields. */
let trail: (string | number)[] = [];
let weight = 0;
let weightMax = 0;

/** What is wrong, thrown inside a pass and turned into a StorageError where table and key are known. */
class Refusal {
  readonly what: string;
  readonly path: string;

  constructor(what: string, path: string) {
    this.what = what;
    this.path = path;
  }
}

/**
 * The frozen copy of `value` to keep in a row, or StorageError `bad_value` that names table, key and the path inside
 * the value. Nothing of the caller's is changed.
 */
export function prepareValue(
  table: string,
  key: Key,
  value: unknown,
  limits: Pick<DatabaseLimits, 'valueBytesMax'>,
): Value {
  return runPass(copyValue, table, key, value, limits.valueBytesMax);
}

/**
 * The same checks for a value nobody else holds, such as one that came over a link: it is frozen itself, not copied.
 */
export function adoptValue(
  table: string,
  key: Key,
  value: unknown,
  limits: Pick<DatabaseLimits, 'valueBytesMax'>,
): Value {
  return runPass(adoptPart, table, key, value, limits.valueBytesMax);
}

function runPass(
  pass: (value: unknown, depth: number) => Value,
  table: string,
  key: Key,
  value: unknown,
  bytesMax: number,
): Value {
  start(bytesMax);
  try {
    const kept = pass(value, 0);
    // Most values are so small that no encoding of them could be too long; only the others are measured.
    if (weight * OCTETS_PER_WEIGHT_MAX > bytesMax && writeOctets(kept).length > bytesMax) throw tooLong();
    return kept;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const where = error.path === '' ? 'it' : error.path;
    throw new StorageError(
      'bad_value',
      `The value for key ${describeKey(key)} of table "${table}" cannot be stored: ${where} ${error.what}. ` +
        'A row holds strings, numbers, bigints of 64 bits, booleans, null, undefined, Uint8Array, and arrays and plain ' +
        'objects of those. Nothing was changed.',
      { table, key, path: error.path },
    );
  }
}

function start(max: number): void {
  if (trail.length > 0) trail = [];
  weight = 0;
  weightMax = max;
}

/** Checks of a part that holds no other parts; the form of it to keep. */
function checkLeaf(value: unknown): Value {
  switch (typeof value) {
    case 'string':
      weigh(value.length + 1);
      if (!isWellFormed(value)) throw refusal('is a text with half a surrogate pair, which UTF-8 cannot carry');
      return value;
    case 'number':
      weigh(1);
      // One zero and one NaN, or equal rows would differ in their octets.
      if (value === 0) return 0;
      return Number.isNaN(value) ? Number.NaN : value;
    case 'boolean':
    case 'undefined':
      weigh(1);
      return value;
    case 'bigint':
      weigh(1);
      if (value < INT64_MIN || value > UINT64_MAX) throw refusal('is a bigint of more than 64 bits');
      return value;
    case 'function':
      throw refusal('is a function');
    default:
      throw refusal('is a symbol');
  }
}

function copyValue(value: unknown, depth: number): Value {
  if (typeof value !== 'object') return checkLeaf(value);
  if (value === null) {
    weigh(1);
    return null;
  }
  if (depth >= VALUE_DEPTH_MAX) throw tooDeep(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return copyObject(value, depth);
  if (prototype === Array.prototype) return copyArray(value as readonly unknown[], depth);
  if (value instanceof Uint8Array) {
    weigh(value.length + 1);
    return new Uint8Array(value);
  }
  throw foreign(value);
}

function copyObject(source: object, depth: number): Value {
  weigh(1);
  checkNoSymbols(source);
  const copy: Record<string, Value> = {};
  for (const name in source) {
    checkName(name);
    const part: unknown = (source as Record<string, unknown>)[name];
    if (typeof part === 'object' && part !== null) {
      trail.push(name);
      copy[name] = copyValue(part, depth + 1);
      trail.pop();
    } else copy[name] = keepLeaf(part, name);
  }
  return Object.freeze(copy);
}

function copyArray(source: readonly unknown[], depth: number): Value {
  // Weighed before the loop, so that a huge length is refused at once. Each element weighs itself again.
  if (source.length > weightMax) throw tooLong();
  weigh(1);
  const copy: Value[] = [];
  for (let i = 0; i < source.length; i++) {
    const part = source[i];
    if (typeof part === 'object' && part !== null) {
      trail.push(i);
      copy.push(copyValue(part, depth + 1));
      trail.pop();
    } else {
      if (part === undefined && !(i in source)) throw refusal('is a hole in an array', i);
      copy.push(keepLeaf(part, i));
    }
  }
  return Object.freeze(copy);
}

/** Like copyValue, for containers that are ours already. */
function adoptPart(value: unknown, depth: number): Value {
  if (typeof value !== 'object') return checkLeaf(value);
  if (value === null) {
    weigh(1);
    return null;
  }
  if (depth >= VALUE_DEPTH_MAX) throw tooDeep(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (Object.isFrozen(value)) return copyValue(value, depth);
  if (prototype === Object.prototype) return adoptObject(value as Record<string, Value>, depth);
  if (prototype === Array.prototype) return adoptArray(value as Value[], depth);
  if (value instanceof Uint8Array) {
    weigh(value.length + 1);
    // A view of a receive frame would keep the frame alive and change with it.
    const alone = prototype === Uint8Array.prototype && value.length === value.buffer.byteLength;
    return alone ? value : new Uint8Array(value);
  }
  if (prototype === null) return copyObject(value, depth);
  throw foreign(value);
}

function adoptObject(parts: Record<string, Value>, depth: number): Value {
  weigh(1);
  checkNoSymbols(parts);
  for (const name in parts) {
    checkName(name);
    const part = parts[name];
    if (typeof part === 'object' && part !== null) {
      trail.push(name);
      parts[name] = adoptPart(part, depth + 1);
      trail.pop();
    } else parts[name] = keepLeaf(part, name);
  }
  return Object.freeze(parts);
}

function adoptArray(parts: Value[], depth: number): Value {
  weigh(1);
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i];
    if (typeof part === 'object' && part !== null) {
      trail.push(i);
      parts[i] = adoptPart(part, depth + 1);
      trail.pop();
    } else parts[i] = keepLeaf(part, i);
  }
  return Object.freeze(parts);
}

function keepLeaf(value: unknown, name: string | number): Value {
  // The small kinds first: most fields of most rows end here without a call.
  if (typeof value === 'boolean' || value === null) {
    weigh(1);
    return value;
  }
  trail.push(name);
  const kept = checkLeaf(value);
  trail.pop();
  return kept;
}

function weigh(more: number): void {
  weight += more;
  if (weight > weightMax) throw tooLong();
}

function checkName(name: string): void {
  weigh(name.length + 1);
  if (name === '__proto__') throw refusal('is a field name that cannot be stored', name);
  if (!isWellFormed(name)) throw refusal('is a field name with half a surrogate pair', name);
}

function checkNoSymbols(value: object): void {
  if (Object.getOwnPropertySymbols(value).length > 0) throw refusal('has a field named by a symbol');
}

function isWellFormed(text: string): boolean {
  // In every engine this runs on, but not yet in the library declarations of ES2023.
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

function refusal(what: string, last?: string | number): Refusal {
  return new Refusal(what, pathText(last === undefined ? trail : [...trail, last]));
}

function tooLong(): Refusal {
  return new Refusal(`is longer than ${weightMax} octets (limit valueBytesMax)`, '');
}

function tooDeep(value: object): Refusal {
  return refusal(
    refersToItself(value)
      ? 'refers to itself'
      : `lies deeper than ${VALUE_DEPTH_MAX} objects and arrays (limit VALUE_DEPTH_MAX)`,
  );
}

/** Only asked once a value is refused anyway: whether `value` can be met again below itself. */
function refersToItself(value: object): boolean {
  const seen = new Set<object>();
  const waiting: object[] = [value];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const part of Object.values(next)) {
      if (part === value) return true;
      if (typeof part !== 'object' || part === null || ArrayBuffer.isView(part) || seen.has(part)) continue;
      seen.add(part);
      waiting.push(part);
    }
  }
  return false;
}

function foreign(value: object): Refusal {
  const name = (value as { constructor?: { name?: unknown } }).constructor?.name;
  const advice = typeof name === 'string' ? ADVICE[name] : undefined;
  return refusal(`is an instance of ${typeof name === 'string' && name !== '' ? name : 'a class'}${advice ?? ''}`);
}

const ADVICE: Record<string, string | undefined> = {
  Date: ' (store its milliseconds or its ISO 8601 text)',
  Map: ' (store a plain object, or an array of pairs)',
  Set: ' (store an array)',
  ArrayBuffer: ' (store a Uint8Array over it)',
};

/** `a.b[3]["odd name"]`. */
function pathText(path: readonly (string | number)[]): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${JSON.stringify(step)}]`;
  }
  return text;
}

// No records and no shared structures: the octets of a value depend on that value alone, on every node and for ever.
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, copyBuffers: true, int64AsType: 'bigint' });

/**
 * The deep-frozen value `octets` hold; it shares no memory with them. Octets that hold none, or something no row may
 * hold, are refused with StorageError `bad_value`; the caller knows where they came from and says so.
 */
export function decodeValue(octets: Uint8Array): Value {
  // A view of our own: the decoder leaves a mark on what it reads, and gives Buffers out of a Buffer.
  const source = new Uint8Array(octets.buffer, octets.byteOffset, octets.byteLength);
  try {
    const value: unknown = unpackr.unpack(source);
    // No part weighs more than the octets it took, so this also ends a forged value that repeats itself.
    start(octets.length);
    return adoptPart(value, 0);
  } catch (error) {
    const why = error instanceof Refusal ? `${error.path} ${error.what}`.trim() : String((error as Error).message);
    throw new StorageError(
      'bad_value',
      `${octets.length} octets do not hold the value of a row: ${why}. They were damaged, or not written by this program.`,
      { cause: error instanceof Refusal ? undefined : error },
    );
  }
}
