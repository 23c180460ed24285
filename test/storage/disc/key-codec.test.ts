/** Goal: the octets of keys sort as the keys do, and octets, tokens and keys agree on what is equal. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareOctets, KEY_DEPTH_MAX } from '../../../storage/disc/key-codec.ts';
import { StorageError } from '../../../storage/errors.ts';
import { checkKey, compareKeys, decodeKey, encodeKey, keyToken } from '../../../storage/term.ts';
import type { Key } from '../../../storage/types.ts';

const BYTES_MAX = 1024;

/** Small alphabets, so that near collisions are met: NUL, the octets the codec itself uses, both sides of U+FFFF. */
const nearText = fc.string({
  unit: fc.constantFrom('\u0000', '\u0001', 'a', 'k', 's', 'ÿ', '\uffff', '\u{10000}', '\ue000'),
  maxLength: 5,
});
const nearOctets = fc
  .array(fc.constantFrom(0, 1, 2, 7, 9, 255), { maxLength: 5 })
  .map((octets) => Uint8Array.from(octets));
const atoms: fc.Arbitrary<Key> = fc.oneof(
  fc.constantFrom(null, true, false),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(-0, 0, 5e-324, -5e-324, Number.MAX_VALUE, -Number.MAX_VALUE),
  fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n }),
  fc.constantFrom(0n, 1n, -1n, 255n, 256n, -255n, -256n, 65535n, 65536n),
  nearText,
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  nearOctets,
  fc.uint8Array({ maxLength: 20 }),
);
const keys: fc.Arbitrary<Key> = fc.oneof(
  { weight: 3, arbitrary: atoms },
  { weight: 1, arbitrary: fc.array(atoms, { maxLength: 4 }) },
  { weight: 1, arbitrary: fc.array(fc.oneof(atoms, fc.array(atoms, { maxLength: 3 })), { maxLength: 3 }) },
);

/** The order as types.ts words it, written a second time without the codec. */
function rank(key: Key): number {
  if (key === null) return 0;
  if (key === false) return 1;
  if (key === true) return 2;
  const kinds = ['number', 'bigint', 'string'];
  const kind = kinds.indexOf(typeof key);
  if (kind >= 0) return 3 + kind;
  return key instanceof Uint8Array ? 6 : 7;
}

function compareByWords(a: Key, b: Key): number {
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  if (typeof a === 'string')
    return compareLists([...a], [...(b as string)], (x, y) => x.codePointAt(0)! - y.codePointAt(0)!);
  if (a instanceof Uint8Array) return compareLists([...a], [...(b as Uint8Array)], (x, y) => x - y);
  if (Array.isArray(a)) return compareLists(a as Key[], b as Key[], compareByWords);
  return (a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0;
}

function compareLists<T>(a: readonly T[], b: readonly T[], compare: (x: T, y: T) => number): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compare(a[i] as T, b[i] as T);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

const plusZero = (key: Key): Key => (Array.isArray(key) ? key.map(plusZero) : key === 0 ? 0 : key);

describe('octets of keys', () => {
  test('every key comes back from its octets', () => {
    fc.assert(
      fc.property(keys, (key) => {
        expect(decodeKey(encodeKey(key))).toStrictEqual(plusZero(key));
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  test('octets and compareKeys sort as the words of types.ts do', () => {
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        const byWords = Math.sign(compareByWords(a, b));
        expect(Math.sign(compareOctets(encodeKey(a), encodeKey(b)))).toBe(byWords);
        expect(Math.sign(compareKeys(a, b))).toBe(byWords);
      }),
      { seed: 2, numRuns: 5000 },
    );
  });

  test('keys, their octets and their tokens agree on what is equal', () => {
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        const equal = compareByWords(a, b) === 0;
        expect(compareOctets(encodeKey(a), encodeKey(b)) === 0).toBe(equal);
        expect(new Set([keyToken(a), keyToken(b)]).size).toBe(equal ? 1 : 2);
      }),
      { seed: 3, numRuns: 5000 },
    );
  });

  test('a fixed ladder of keys stands in its order', () => {
    const ladder: Key[] = [
      null,
      false,
      true,
      -Number.MAX_VALUE,
      -1,
      -5e-324,
      0,
      5e-324,
      1,
      1.5,
      Number.MAX_VALUE,
      -(2n ** 70n),
      -256n,
      -255n,
      0n,
      1n,
      256n,
      2n ** 70n,
      '',
      '\u0000',
      '\u0000\u0000',
      '\u0001',
      'a',
      'a\u0000',
      'aa',
      'b',
      '\uffff',
      '\u{10000}',
      new Uint8Array(0),
      Uint8Array.of(0),
      Uint8Array.of(0, 255),
      Uint8Array.of(255),
      [],
      [null],
      [[], 1],
      [[null]],
    ];
    const octets = ladder.map(encodeKey);
    for (let i = 1; i < octets.length; i++) expect(compareOctets(octets[i - 1]!, octets[i]!)).toBeLessThan(0);
  });

  test('octets that are no key are refused, none by anything but a StorageError', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0, 2, 3, 5, 6, 7, 8, 9, 0x7f, 0x80, 0x81, 255), { maxLength: 12 }),
        (list) => {
          const octets = Uint8Array.from(list);
          try {
            decodeKey(octets);
          } catch (error) {
            if (!(error instanceof StorageError)) throw error;
            expect(error.code).toBe('bad_key');
          }
        },
      ),
      { seed: 4, numRuns: 3000 },
    );
    expect(() => decodeKey(new Uint8Array(5000).fill(9))).toThrow(StorageError);
  });
});

describe('tokens', () => {
  test('a number or text is its own token, unless the text starts with NUL', () => {
    expect(keyToken(7)).toBe(7);
    expect(Object.is(keyToken(-0), 0)).toBe(true);
    expect(keyToken('')).toBe('');
    expect(keyToken('peer')).toBe('peer');
    expect(keyToken('\u0000s')).not.toBe('\u0000s');
  });

  test('octets and arrays with the same content have one token', () => {
    expect(keyToken([1, Uint8Array.of(2)])).toBe(keyToken([1, Uint8Array.of(2)]));
    expect(keyToken([1])).not.toBe(keyToken(1));
  });
});

describe('checkKey', () => {
  test('a good key is kept: primitives as they are, octets and arrays as a copy of our own', () => {
    for (const key of ['a', 1, 1n, true, null]) expect(checkKey('t', key, BYTES_MAX)).toBe(key);
    const mine = [1, [Uint8Array.of(1)]] as const;
    const kept = checkKey('t', mine, BYTES_MAX) as typeof mine;
    mine[1][0][0] = 9;
    expect(kept).toEqual([1, [Uint8Array.of(1)]]);
    expect(Object.isFrozen(kept) && Object.isFrozen(kept[1])).toBe(true);
    expect(Object.is(checkKey('t', -0, BYTES_MAX), 0)).toBe(true);
  });

  let tooDeep: unknown = 1;
  for (let i = 0; i <= KEY_DEPTH_MAX; i++) tooDeep = [tooDeep];
  const cycle: unknown[] = [];
  cycle.push(cycle);

  test.each([
    ['undefined', undefined],
    ['NaN', Number.NaN],
    ['an infinity', Infinity],
    ['an infinity in an array', [Infinity]],
    ['an object', {}],
    ['an object in an array', [{}]],
    ['a Date', new Date(0)],
    ['a symbol', Symbol('s')],
    ['half a surrogate pair', '\udc00'],
    ['half a surrogate pair in an array', ['\udc00']],
    ['a hole', new Array(2)],
    ['arrays too deep', tooDeep],
    ['a cycle', cycle],
    ['a huge bigint', 1n << 100_000n],
  ])('%s is refused as bad_key with the table', (_what, key) => {
    try {
      checkKey('calls', key, BYTES_MAX);
    } catch (error) {
      expect(error).toBeInstanceOf(StorageError);
      expect(error).toMatchObject({ code: 'bad_key', fields: { table: 'calls' } });
      return;
    }
    throw new Error('the key was not refused');
  });

  test('the length limit holds to the octet', () => {
    fc.assert(
      fc.property(keys, fc.integer({ min: 1, max: 40 }), (key, bytesMax) => {
        const fits = encodeKey(key).length <= bytesMax;
        const small = typeof key === 'number' || typeof key === 'boolean' || key === null;
        let refused = false;
        try {
          checkKey('t', key, bytesMax);
        } catch (error) {
          if (!(error instanceof StorageError)) throw error;
          refused = true;
        }
        if (!small) expect(refused).toBe(!fits);
      }),
      { seed: 5, numRuns: 2000 },
    );
  });
});
