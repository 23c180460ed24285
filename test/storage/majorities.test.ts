/** Who is a majority while a change of the replicas may not be known everywhere. */
import { expect, test } from 'vitest';
import { makeDefinition, type SchemaTable } from '../../storage/schema/definition.ts';
import {
  areMajority,
  isEstablishedAt,
  isNoneWithout,
  needsMajority,
  withFormers,
} from '../../storage/schema/majorities.ts';
import { packTable, unpackTable } from '../../storage/schema/packed.ts';

const NOBODY = new Set<string>();

function table(replicas: string, formers: string[], majority = true, gone = ''): SchemaTable {
  const kinds = new Map([...replicas].map((node) => [node, 'disc_copies' as const]));
  const made = makeDefinition({ name: 't', majority }, kinds, 'cookie', 1);
  return withFormers(
    made,
    formers.map((list) => [...list]),
    new Set(gone),
  );
}

test('More than half of the replicas, and of each list before them, must agree', () => {
  const moved = table('ade', ['abc']);
  expect(areMajority(moved, new Set('de'))).toBe(false);
  expect(areMajority(moved, new Set('bc'))).toBe(false);
  expect(areMajority(moved, new Set('abd'))).toBe(true);
});

test('A proposal is taken back for good when neither list has a majority that may hold it', () => {
  const moved = table('ade', ['abc']);
  expect(isNoneWithout(moved, new Set('ad'))).toBe(false);
  expect(isNoneWithout(moved, new Set('abd'))).toBe(true);
});

test('A majority that is no longer asked for is needed until enough know so, and it lies on the disc', () => {
  const before = table('abc', ['abc'], false);
  expect(needsMajority(before)).toBe(true);
  expect(unpackTable(structuredClone(packTable(before))).formers).toEqual([['a', 'b', 'c']]);
  expect(isEstablishedAt(before, new Set('a'), NOBODY)).toBe(false);
  expect(isEstablishedAt(before, new Set('ab'), NOBODY)).toBe(true);
  expect(isEstablishedAt(before, new Set('ab'), new Set('b'))).toBe(false);
});

test('Nodes that never return count in no list, and a list that is in force is none from before', () => {
  expect(table('ad', ['ab', 'da'], true, 'b').formers).toEqual([['a']]);
  expect(table('a', ['ab', 'b'], true, 'b').formers).toEqual([]);
});
