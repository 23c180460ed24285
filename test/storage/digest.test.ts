import { expect, test } from 'vitest';
import { BUCKETS, bucketOf, bucketsFor, Digest, differingBuckets } from '../../storage/tables/digest.ts';
import { Row, type Token } from '../../storage/tables/row.ts';

const HLC = 1_767_225_600_000 * 4096;

function row(token: Token, hlc = HLC, node = 'a', value: unknown = 1): Row {
  return new Row(token, token, hlc, node, value as never, undefined);
}

function digestOf(...rows: Row[]): string {
  const digest = new Digest();
  for (const each of rows) digest.toggle(each);
  return digest.text;
}

test('An empty table has the digest of zeros, sixteen digits like any other', () => {
  expect(digestOf()).toBe('0000000000000000');
  expect(digestOf(row('k'))).toMatch(/^[0-9a-f]{16}$/);
});

test('The order of writes does not matter, and a row taken away leaves no trace', () => {
  const [a, b, c] = [row('a'), row('b'), row('c')];
  expect(digestOf(c, a, b)).toBe(digestOf(a, b, c));
  expect(digestOf(a, b, c, b)).toBe(digestOf(a, c));
  expect(digestOf(a, a)).toBe(digestOf());
});

test.each([
  ['another key', row('l')],
  ['the next version', row('k', HLC + 1)],
  ['a version of the next millisecond', row('k', HLC + 4096)],
  ['a version of a day later', row('k', HLC + 4096 * 86_400_000)],
  ['another writer', row('k', HLC, 'b')],
])('A row with %s has another digest', (_, other) => {
  expect(digestOf(other)).not.toBe(digestOf(row('k')));
});

test('Keys of different types that look alike have different digests', () => {
  const tokens: Token[] = [1, '1', 1n, true, false, null, 'null', 1.5, -1, 2 ** 40];
  expect(new Set(tokens.map((token) => digestOf(row(token)))).size).toBe(tokens.length);
});

test('No two of ten thousand rows, nor of their neighbouring versions, share a digest', () => {
  const seen = new Set<string>();
  for (let key = 0; key < 5_000; key++) for (let tick = 0; tick < 2; tick++) seen.add(digestOf(row(key, HLC + tick)));
  expect(seen.size).toBe(10_000);
});

test('Rows of one transaction over many keys do not cancel each other out', () => {
  const swapped = (x: Token, y: Token): string => digestOf(row(x, HLC + 1), row(y, HLC + 2));
  expect(swapped('a', 'b')).not.toBe(swapped('b', 'a'));
  expect(swapped(1, 2)).not.toBe(swapped(2, 1));
});

test('A copy goes its own way', () => {
  const digest = new Digest();
  digest.toggle(row('a'));
  const copy = digest.copy();
  copy.toggle(row('b'));
  expect([digest.text, copy.text]).toEqual([digestOf(row('a')), digestOf(row('a'), row('b'))]);
});

test.each([1, 256, BUCKETS])(
  'Of %i buckets, replicas that differ in one row differ in that of its key, and in no other',
  (buckets) => {
    const [one, other] = [new Digest(), new Digest()];
    for (let n = 0; n < 1_000; n++) for (const digest of [one, other]) digest.toggle(row(`k${n}`));
    expect(differingBuckets([one.octets(buckets), other.octets(buckets)]).includes(1)).toBe(false);
    other.replace(row('k7'), row('k7', HLC + 1));
    const differing = differingBuckets([one.octets(buckets), other.octets(buckets), one.octets(buckets)]);
    const at = bucketOf('k7', buckets);
    expect([differing.length, differing.indexOf(1), differing.lastIndexOf(1)]).toEqual([buckets, at, at]);
  },
);

test('A digest copied into fewer buckets is the one that its rows would have there', () => {
  const [many, few] = [new Digest(), new Digest(16)];
  for (let n = 0; n < 1_000; n++) for (const digest of [many, few]) digest.toggle(row(n));
  const copy = many.copy(16);
  expect(copy.text).toBe(few.text);
  expect(copy.octets(16)).toEqual(few.octets(16));
});

test('A table is compared in as many parts as leave some rows to each, within bounds', () => {
  expect([0, 2_048, 2_049, 20_000, 1_000_000].map(bucketsFor)).toEqual([256, 256, 512, 4_096, BUCKETS]);
});

test('Keys are spread over all buckets', () => {
  const counts = new Array<number>(BUCKETS).fill(0);
  for (let n = 0; n < 100 * BUCKETS; n++) counts[bucketOf(n, BUCKETS)]! += 1;
  expect(Math.min(...counts)).toBeGreaterThan(40);
  expect(Math.max(...counts)).toBeLessThan(170);
});
