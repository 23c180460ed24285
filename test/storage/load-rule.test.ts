import { expect, test } from 'vitest';
import { awaitedHolders, type LoadOpinion } from '../../storage/replication/load-rule.ts';
import { makeDefinition, type SchemaTable } from '../../storage/schema/definition.ts';
import type { StorageKind } from '../../storage/types.ts';

function table(replicas: Record<string, StorageKind>, localContent = false): SchemaTable {
  const definition = { name: 't', local_content: localContent };
  return makeDefinition(definition, new Map(Object.entries(replicas)), 'c', 1);
}

function member(node: string, downs: readonly string[] = [], loaded = false): LoadOpinion {
  return { node, downs, loaded };
}

const three = table({ a: 'disc_copies', b: 'disc_copies', c: 'disc_copies' });

test('b4 the only replica is here: load', () => {
  expect(awaitedHolders(table({ a: 'disc_copies' }), [member('a')])).toEqual([]);
});

test('M24 a local_content table is always loaded', () => {
  expect(awaitedHolders(table({ a: 'disc_copies', b: 'disc_copies' }, true), [member('a')])).toEqual([]);
});

test('b4 a holder that was not seen going down may be newer: wait for it', () => {
  expect(awaitedHolders(three, [member('a', ['b'])])).toEqual(['c']);
  expect(awaitedHolders(three, [member('a')])).toEqual(['b', 'c']);
});

test('M73 master nodes override who is waited for: one of them is enough, and without one nobody else is', () => {
  const chosen = (node: string, masters: string[], loaded = false): LoadOpinion => ({
    ...member(node),
    loaded,
    masters,
  });
  expect(awaitedHolders(three, [chosen('a', ['a'])])).toEqual([]);
  expect(awaitedHolders(three, [chosen('a', ['c', 'b'])])).toEqual(['b', 'c']);
  expect(awaitedHolders(three, [chosen('a', ['b']), member('b')])).toEqual([]);
  expect(awaitedHolders(three, [chosen('a', ['b']), member('c', ['a', 'b'])])).toEqual(['b']);
  expect(awaitedHolders(three, [chosen('a', ['b'], true)])).toEqual([]);
  expect(awaitedHolders(three, [chosen('x', ['b']), member('a')])).toEqual(['b', 'c']);
});

test('b4 all others were seen going down before: load', () => {
  expect(awaitedHolders(three, [member('a', ['b', 'c'])])).toEqual([]);
});

test('b4 somebody has it loaded already: take it from there', () => {
  expect(awaitedHolders(three, [member('a'), member('b', [], true)])).toEqual([]);
});

test('b4.5 all disc holders are here: load, whoever went down last', () => {
  expect(awaitedHolders(three, [member('a'), member('b', ['a']), member('c', ['a', 'b'])])).toEqual([]);
});

test('Who was seen going down by another that it did not see go has stale knowledge: the other is believed', () => {
  // c went first, then a; b ran on alone, so only its notes count.
  expect(awaitedHolders(three, [member('a', ['c']), member('b', ['c', 'a'])])).toEqual([]);
  // b went first and knows nothing of the end of c; a does not either.
  expect(awaitedHolders(three, [member('a', ['b']), member('b')])).toEqual(['c']);
  // What stale a claims of c is not believed against b, which saw a go.
  expect(awaitedHolders(three, [member('a', ['c']), member('b', ['a'])])).toEqual(['c']);
});

test('Two that saw each other go down were apart: both are believed, and either may hold somebody up', () => {
  expect(awaitedHolders(three, [member('a', ['b', 'c']), member('b', ['a'])])).toEqual(['c']);
  expect(awaitedHolders(three, [member('a', ['b', 'c']), member('b', ['a', 'c'])])).toEqual([]);
});

test('A node with a copy in memory waits for every disc holder', () => {
  const mixed = table({ r: 'ram_copies', a: 'disc_copies' });
  expect(awaitedHolders(mixed, [member('r', ['a'])])).toEqual(['a']);
  expect(awaitedHolders(mixed, [member('r'), member('a')])).toEqual([]);
});

test('Copies in memory are never waited for', () => {
  expect(awaitedHolders(table({ a: 'ram_copies', b: 'ram_copies' }), [member('a')])).toEqual([]);
  expect(awaitedHolders(table({ a: 'disc_copies', b: 'ram_copies' }), [member('a')])).toEqual([]);
});

test('A replica that is loaded speaks only for those it knows: of a table made twice, apart, the others wait as before', () => {
  const made = (node: string, knows: string, loaded: boolean, downs: readonly string[] = []): LoadOpinion => ({
    ...member(node, downs, loaded),
    knows: new Set(knows),
  });
  const four = table({ a: 'disc_copies', b: 'disc_copies', c: 'disc_copies', x: 'disc_copies' });
  expect(awaitedHolders(four, [made('x', 'x', true), made('a', 'abc', false)])).toEqual(['b', 'c']);
  expect(awaitedHolders(four, [made('x', 'x', true), made('a', 'abc', false, ['b', 'c'])])).toEqual([]);
  expect(awaitedHolders(four, [made('x', 'x', true), made('b', 'abc', true), made('a', 'abc', false)])).toEqual([]);
  expect(awaitedHolders(four, [made('x', 'xa', true), made('a', 'abcx', false)])).toEqual([]);
});

test('A replica that is loaded does not speak for one made apart from it that is away, whoever tells of that', () => {
  const said = (node: string, knows: string, loaded = false): LoadOpinion => ({
    ...member(node, [], loaded),
    knows: new Set(knows),
  });
  const two = table({ a: 'disc_copies', x: 'disc_copies' });
  expect(awaitedHolders(two, [said('x', 'x', true), said('n', 'a')])).toEqual(['a']);
  expect(awaitedHolders(two, [said('x', 'x', true), said('n', 'a'), said('a', 'a', true)])).toEqual([]);
  expect(awaitedHolders(two, [{ ...said('x', 'x', true), masters: ['x'] }, said('n', 'a')])).toEqual([]);
  // x was cut off when a was given its replica: of the two that went on apart both may.
  expect(awaitedHolders(two, [said('x', 'x', true), said('n', 'ax')])).toEqual([]);
});
