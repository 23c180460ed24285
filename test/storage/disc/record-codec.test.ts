/** Goal: a row comes back from the disc as it went, or is named as damaged; no two store keys collide. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareOctets, decodeKey, encodeKey } from '../../../storage/disc/key-codec.ts';
import {
  changedKey,
  changedRange,
  downKey,
  downRange,
  isStorableName,
  type KeyRange,
  ledgerKey,
  ledgerRange,
  metaKey,
  metaRange,
  parseChangedKey,
  parseDownKey,
  parseLedgerKey,
  parseMetaKey,
  parseRowKey,
  parseSchemaKey,
  rowKey,
  rowRange,
  schemaKey,
  schemaRange,
  wholeRange,
} from '../../../storage/disc/key-space.ts';
import { decodeRecord, encodeRecord } from '../../../storage/disc/record-codec.ts';
import { StorageError } from '../../../storage/errors.ts';

const records = fc.record({
  version: fc.record({ hlc: fc.nat({ max: Number.MAX_SAFE_INTEGER }), node: fc.string({ maxLength: 20 }) }),
  deleted: fc.boolean(),
  isDirty: fc.boolean(),
  value: fc.uint8Array({ maxLength: 100 }),
});

describe('records', () => {
  test('a record comes back as it was, a tombstone without a value', () => {
    fc.assert(
      fc.property(records, (record) => {
        const back = decodeRecord(encodeRecord(record), 'calls', 1);
        expect(back).toEqual({ ...record, value: record.deleted ? new Uint8Array(0) : record.value });
      }),
      { seed: 1 },
    );
  });

  test('records made one after the other, of any size, leave each other alone', () => {
    const made = Array.from({ length: 2000 }, (_, i) => {
      const value = new Uint8Array(i % 500 === 499 ? 40_000 : i % 97).fill(i);
      const record = {
        version: { hlc: 7.5e15 + i, node: 'a1b2c3d4e5f6' },
        deleted: false,
        isDirty: i % 3 === 0,
        value,
      };
      return { record, octets: encodeRecord(record) };
    });
    for (const { record, octets } of made) expect(decodeRecord(octets, 'calls', 1)).toEqual(record);
  });

  test('a record read from inside a larger buffer is the same', () => {
    const record = {
      version: { hlc: 7.5e15, node: 'a1b2c3d4e5f6' },
      deleted: false,
      isDirty: true,
      value: Uint8Array.of(1, 2, 3),
    };
    const octets = encodeRecord(record);
    const larger = new Uint8Array(octets.length + 10).fill(0xaa);
    larger.set(octets, 5);
    expect(decodeRecord(larger.subarray(5, 5 + octets.length), 'calls', 1)).toEqual(record);
  });

  test('one rotten bit anywhere, or a lost end, is found and named with table and key', () => {
    const octets = encodeRecord({
      version: { hlc: 7.5e15, node: 'a1b2c3d4e5f6' },
      deleted: false,
      value: Uint8Array.from({ length: 53 }, (_, i) => i),
    });
    const damaged: Uint8Array[] = [];
    for (let bit = 0; bit < octets.length * 8; bit++) {
      const copy = octets.slice();
      copy[bit >> 3]! ^= 1 << (bit & 7);
      damaged.push(copy);
    }
    for (let length = 0; length < octets.length; length++) damaged.push(octets.slice(0, length));
    for (const copy of damaged) {
      let error: unknown;
      try {
        decodeRecord(copy, 'calls', ['a', 1]);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(StorageError);
      expect(error).toMatchObject({ code: 'disc_corrupt', fields: { table: 'calls', key: ['a', 1] } });
      expect((error as StorageError).message).toContain('["a",1] of table "calls"');
    }
  });
});

describe('the key space', () => {
  const names = fc.oneof(
    fc.constantFrom('a', 'aa', 'a\u0000', '\u0001a', '\u0001', 'calls'),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
  );
  const encodedKeys = fc
    .oneof(fc.string({ maxLength: 5 }), fc.integer(), fc.uint8Array({ maxLength: 4 }))
    .map(encodeKey);
  const places = fc.oneof(
    names.map((name) => ({ id: ['meta', name], key: metaKey(name) })),
    names.map((name) => ({ id: ['schema', name], key: schemaKey(name) })),
    names.map((name) => ({ id: ['down', name], key: downKey(name) })),
    names.map((name) => ({ id: ['ledger', name], key: ledgerKey(name) })),
    fc.tuple(names, encodedKeys).map(([t, k]) => ({ id: ['row', t, [...k].join()], key: rowKey(t, k) })),
    fc
      .tuple(names, names, encodedKeys)
      .map(([n, t, k]) => ({ id: ['changed', n, t, [...k].join()], key: changedKey(n, t, k) })),
  );
  const within = (key: Uint8Array, range: KeyRange): boolean =>
    compareOctets(range.from, key) <= 0 && compareOctets(key, range.to) < 0;

  test('two places never share a store key', () => {
    fc.assert(
      fc.property(places, places, (a, b) => {
        expect(compareOctets(a.key, b.key) === 0).toBe(JSON.stringify(a.id) === JSON.stringify(b.id));
      }),
      { seed: 2, numRuns: 5000 },
    );
  });

  test('each key is in its own ranges and in no other', () => {
    fc.assert(
      fc.property(places, names, names, ({ id, key }, name, other) => {
        const [section, first, second] = id;
        expect(within(key, metaRange())).toBe(section === 'meta');
        expect(within(key, schemaRange())).toBe(section === 'schema');
        expect(within(key, downRange())).toBe(section === 'down');
        expect(within(key, ledgerRange())).toBe(section === 'ledger');
        expect(within(key, rowRange())).toBe(section === 'row');
        expect(within(key, rowRange(name))).toBe(section === 'row' && first === name);
        expect(within(key, changedRange())).toBe(section === 'changed');
        expect(within(key, changedRange(name))).toBe(section === 'changed' && first === name);
        expect(within(key, changedRange(name, other))).toBe(
          section === 'changed' && first === name && second === other,
        );
        expect(within(key, wholeRange())).toBe(true);
      }),
      { seed: 3, numRuns: 2000 },
    );
  });

  test('every store key is read back into its parts', () => {
    const encodedKey = encodeKey(['x', 1]);
    expect(parseMetaKey(metaKey('format'))).toBe('format');
    expect(parseSchemaKey(schemaKey('calls'))).toBe('calls');
    expect(parseDownKey(downKey('a1'))).toBe('a1');
    expect(parseLedgerKey(ledgerKey('12-0'))).toBe('12-0');
    const row = parseRowKey(rowKey('calls', encodedKey));
    expect([row.table, decodeKey(row.encodedKey)]).toEqual(['calls', ['x', 1]]);
    const changed = parseChangedKey(changedKey('a1', 'calls', encodedKey));
    expect([changed.node, changed.table, decodeKey(changed.encodedKey)]).toEqual(['a1', 'calls', ['x', 1]]);
  });

  test('a store key that is not ours is disc_corrupt, a name that does not fit bad_definition', () => {
    const strange = [
      Uint8Array.of(),
      Uint8Array.of(3),
      Uint8Array.of(3, 0),
      Uint8Array.of(3, 9, 65),
      Uint8Array.of(3, 1, 255),
    ];
    for (const key of strange)
      expect(() => parseRowKey(key)).toThrow(expect.objectContaining({ code: 'disc_corrupt' }));
    expect(() => parseMetaKey(schemaKey('a'))).toThrow(StorageError);
    for (const name of ['', 'é'.repeat(128)]) {
      expect(isStorableName(name)).toBe(false);
      expect(() => schemaKey(name)).toThrow(expect.objectContaining({ code: 'bad_definition' }));
    }
    expect(isStorableName('é'.repeat(127))).toBe(true);
  });
});
