/** Goal: what enters a row is checked, normalised and frozen, and comes back from its octets as it was. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../storage/errors.ts';
import { adoptValue, decodeValue, encodeValue, prepareValue, VALUE_DEPTH_MAX } from '../../storage/term.ts';
import type { Value } from '../../storage/types.ts';

const limits = { valueBytesMax: 1 << 20 };
const prepare = (value: unknown, valueBytesMax = limits.valueBytesMax): Value =>
  prepareValue('calls', 'k', value, { valueBytesMax });

function refusalOf(run: () => unknown): StorageError {
  try {
    run();
  } catch (error) {
    if (error instanceof StorageError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const values = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.oneof(
      text,
      fc.double(),
      fc.integer(),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
      fc.boolean(),
      fc.constant(null),
      fc.constant(undefined),
      fc.uint8Array({ maxLength: 40 }),
    ),
    fc.array(tie('value'), { maxLength: 6 }),
    fc.dictionary(
      text.filter((name) => name !== '__proto__'),
      tie('value'),
      { maxKeys: 6 },
    ),
  ),
})).value;

function everyContainerFrozen(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return true;
  return Object.isFrozen(value) && Object.values(value).every(everyContainerFrozen);
}

describe('values of rows', () => {
  test('any value comes back from its octets as it was prepared, frozen to the bottom', () => {
    fc.assert(
      fc.property(values, (value) => {
        const prepared = prepare(value);
        const octets = encodeValue(prepared);
        const back = decodeValue(octets);
        expect(back).toStrictEqual(prepared);
        expect(everyContainerFrozen(prepared)).toBe(true);
        expect(everyContainerFrozen(back)).toBe(true);
        expect(encodeValue(back)).toEqual(octets);
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  test('an adopted value is the prepared one, frozen itself instead of copied', () => {
    fc.assert(
      fc.property(values, (value) => {
        const prepared = prepare(value);
        const adopted = adoptValue('calls', 'k', value, limits);
        expect(adopted).toStrictEqual(prepared);
        expect(everyContainerFrozen(adopted)).toBe(true);
      }),
      { seed: 2 },
    );
    const mine = { a: [1] };
    expect(adoptValue('calls', 'k', mine, limits)).toBe(mine);
  });

  test('the octets of a value do not depend on what was encoded before', () => {
    const octets = encodeValue(prepare({ a: 1, b: 'x' }));
    encodeValue(prepare({ b: 'x', c: [1, 2, 3] }));
    encodeValue(prepare('y'.repeat(100_000)));
    expect(encodeValue(prepare({ a: 1, b: 'x' }))).toEqual(octets);
  });

  test("the caller's object stays its own: not frozen, not shared, a getter read once", () => {
    let reads = 0;
    const inner = { n: 1 };
    const octets = Uint8Array.of(1, 2, 3);
    const mine = {
      inner,
      octets,
      get now() {
        return ++reads;
      },
    };
    const kept = prepare(mine) as { inner: { n: number }; octets: Uint8Array; now: number };
    inner.n = 2;
    octets[0] = 9;
    expect(kept).toEqual({ inner: { n: 1 }, octets: Uint8Array.of(1, 2, 3), now: 1 });
    expect(Object.isFrozen(inner)).toBe(false);
    expect(() => {
      kept.inner.n = 3;
    }).toThrow(TypeError);
  });

  test('numbers survive, and both zeros are 0', () => {
    for (const number of [Number.NaN, Infinity, -Infinity, Number.MAX_VALUE, 5e-324, 2 ** 53, -(2 ** 31), 2 ** 32]) {
      expect(decodeValue(encodeValue(prepare(number)))).toBe(number);
    }
    expect(Object.is(prepare(-0), 0)).toBe(true);
    expect(Object.is((prepare([-0]) as number[])[0], 0)).toBe(true);
  });

  test('field names that mean something to JavaScript or to the codec are only names', () => {
    const value = prepare({ constructor: 'a', toJSON: 'b', hasOwnProperty: 1, length: 2, '': 3, '7': 4 });
    expect(decodeValue(encodeValue(value))).toStrictEqual(value);
  });

  test('an object with more than 65,535 fields survives', () => {
    const value: Record<string, number> = {};
    for (let i = 0; i < 70_000; i++) value[`f${i}`] = i;
    expect(Object.keys(decodeValue(encodeValue(prepare(value, 8 << 20))) as object)).toHaveLength(70_000);
  });

  test('a Buffer and an object without a prototype become plain', () => {
    const bare: Record<string, unknown> = Object.create(null);
    bare.octets = Buffer.from([1, 2]);
    const kept = prepare(bare) as { octets: Uint8Array };
    expect(Object.getPrototypeOf(kept)).toBe(Object.prototype);
    expect(Object.getPrototypeOf(kept.octets)).toBe(Uint8Array.prototype);
    const back = decodeValue(Buffer.from(encodeValue(kept))) as { octets: Uint8Array };
    expect(Object.getPrototypeOf(back.octets)).toBe(Uint8Array.prototype);
  });

  test('a decoded value shares no memory with its octets, nor an adopted one with a receive frame', () => {
    const octets = encodeValue(prepare({ o: Uint8Array.of(7, 7) }));
    const back = decodeValue(octets) as { o: Uint8Array };
    octets.fill(0);
    expect(back.o).toEqual(Uint8Array.of(7, 7));
    const frame = Uint8Array.of(1, 2, 3, 4);
    const adopted = adoptValue('t', 1, { o: frame.subarray(1, 3) }, limits) as { o: Uint8Array };
    frame.fill(0);
    expect(adopted.o).toEqual(Uint8Array.of(2, 3));
  });
});

describe('values that are refused', () => {
  class Call {
    n = 1;
  }
  const withSymbol = { ok: 1, [Symbol('s')]: 2 };
  const cycle: Record<string, unknown> = { a: [] };
  (cycle.a as unknown[]).push({ back: cycle });
  const protoField = JSON.parse('{"x":{"__proto__":1}}') as unknown;
  // biome-ignore lint/suspicious/noSparseArray: the hole is what is refused
  const hole = [1, , 3];

  test.each([
    ['a function', { a: { b: [0, 1, 2, () => 1] } }, 'a.b[3]', 'is a function'],
    ['a symbol', { a: Symbol('s') }, 'a', 'is a symbol'],
    ['a field named by a symbol', { in: withSymbol }, 'in', 'named by a symbol'],
    ['a class instance', [new Call()], '[0]', 'an instance of Call'],
    ['a Map', { m: new Map() }, 'm', 'an instance of Map'],
    ['a Set', { m: new Set() }, 'm', 'an instance of Set'],
    ['a Date', { 'at time': new Date(0) }, '["at time"]', 'an instance of Date'],
    ['another typed array', { m: new Uint16Array(2) }, 'm', 'an instance of Uint16Array'],
    ['an ArrayBuffer', { m: new ArrayBuffer(2) }, 'm', 'an instance of ArrayBuffer'],
    ['a bigint over 64 bits', { n: 2n ** 64n }, 'n', 'more than 64 bits'],
    ['a bigint under int64', { n: -(2n ** 63n) - 1n }, 'n', 'more than 64 bits'],
    ['half a surrogate pair', { n: '\ud800' }, 'n', 'half a surrogate'],
    ['half a surrogate pair in a name', { '\ud800': 1 }, '["\\ud800"]', 'half a surrogate'],
    ['the field __proto__', protoField, 'x.__proto__', 'field name'],
    ['a hole in an array', { h: hole }, 'h[1]', 'a hole'],
  ])('%s is refused with table, key and path', (_what, value, path, words) => {
    const error = refusalOf(() => prepare(value));
    expect(error.code).toBe('bad_value');
    expect(error.fields).toMatchObject({ table: 'calls', key: 'k', path });
    expect(error.message).toContain(words);
    expect(error.message).toContain('key "k" of table "calls"');
  });

  test('a cycle is told from a value that is only too deep', () => {
    expect(refusalOf(() => prepare(cycle)).message).toContain('refers to itself');
    let deep: unknown = 1;
    for (let i = 0; i < VALUE_DEPTH_MAX; i++) deep = [deep];
    expect(decodeValue(encodeValue(prepare(deep)))).toStrictEqual(deep);
    const error = refusalOf(() => prepare([deep]));
    expect(error.message).toContain('VALUE_DEPTH_MAX');
    expect(error.fields.path).toBe('[0]'.repeat(VALUE_DEPTH_MAX));
  });

  test('the length limit holds to the octet, and a value that repeats itself ends early', () => {
    const octets = encodeValue('é'.repeat(100)).length;
    expect(prepare('é'.repeat(100), octets)).toHaveLength(100);
    expect(refusalOf(() => prepare('é'.repeat(100), octets - 1)).message).toContain('valueBytesMax');
    let bomb: unknown[] = [1];
    for (let i = 0; i < 40; i++) bomb = [bomb, bomb];
    expect(refusalOf(() => prepare(bomb)).message).toContain('valueBytesMax');
    const sparse: unknown[] = [];
    sparse.length = 4_000_000_000;
    expect(refusalOf(() => prepare(sparse)).message).toContain('valueBytesMax');
  });

  test('after a refusal the next value is judged afresh', () => {
    refusalOf(() => prepare({ a: { b: () => 1 } }));
    expect(refusalOf(() => prepare({ c: () => 1 })).fields.path).toBe('c');
    expect(prepare({ ok: true })).toEqual({ ok: true });
  });

  test('octets that hold no value are refused whole', () => {
    const good = encodeValue(prepare({ a: [1, 'two'], b: Uint8Array.of(1, 2, 3) }));
    for (let length = 0; length < good.length; length++) {
      expect(refusalOf(() => decodeValue(good.subarray(0, length))).code).toBe('bad_value');
    }
    expect(refusalOf(() => decodeValue(Uint8Array.from([...good, 0]))).code).toBe('bad_value');
    // A timestamp, which no row holds, and 20,000 arrays inside each other.
    expect(refusalOf(() => decodeValue(Uint8Array.of(0xd6, 0xff, 0, 0, 0, 1))).code).toBe('bad_value');
    expect(refusalOf(() => decodeValue(new Uint8Array(20_000).fill(0x91))).code).toBe('bad_value');
  });

  test('random octets decode to a value or are refused, and nothing else happens', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (octets) => {
        try {
          expect(everyContainerFrozen(decodeValue(octets))).toBe(true);
        } catch (error) {
          if (!(error instanceof StorageError)) throw error;
        }
      }),
      { seed: 3, numRuns: 2000 },
    );
  });
});
