import { expect, test } from 'vitest';
import {
  firstDifference,
  isSuperseded,
  makeDefinition,
  packTable,
  type SchemaTable,
  uniteDefinitions,
  unpackTable,
  withoutNodes,
} from '../../storage/schema/definition.ts';
import type { StorageKind, TableDefinition } from '../../storage/types.ts';

function made(
  definition: Partial<TableDefinition>,
  replicas: Record<string, StorageKind> = { a: 'disc_copies' },
  cookie = 'c1',
  createdAt = 10,
): SchemaTable {
  return makeDefinition({ name: 't', ...definition }, new Map(Object.entries(replicas)), cookie, createdAt);
}

test('A definition without options has the defaults', () => {
  expect(made({})).toMatchObject({
    localContent: false,
    merge: 'last_write',
    loadOrder: 0,
    majority: false,
    deletedAt: 0,
  });
});

test.each<[string, object, string]>([
  ['an empty name', { name: '' }, 'name'],
  ['a name of 129 characters', { name: 'n'.repeat(129) }, 'name'],
  ['a name that is a number', { name: 5 }, 'name'],
  ['an unknown merge rule', { merge: 'newest' }, 'merge'],
  ['merge owner without an owner field', { merge: 'owner' }, 'owner_field'],
  ['half a load order', { load_order: 0.5 }, 'load_order'],
  ['majority of local content', { local_content: true, majority: true }, 'majority'],
])('A definition with %s is refused, naming the property', (_, definition, property) => {
  expect(() => made(definition as Partial<TableDefinition>)).toThrow(
    expect.objectContaining({ code: 'bad_definition', fields: expect.objectContaining({ property }) }),
  );
});

test('A definition comes back from its packed form as it was', () => {
  const table = made(
    { merge: 'owner', owner_field: 'at', load_order: 3, majority: true },
    { b: 'ram_copies', a: 'disc_copies' },
  );
  expect(unpackTable(packTable(table))).toEqual(table);
  expect(packTable(table)[2].map(([node]) => node)).toEqual(['a', 'b']);
});

test.each<[keyof SchemaTable, Partial<TableDefinition>]>([
  ['localContent', { local_content: true }],
  ['merge', { merge: 'primary' }],
  ['ownerField', { owner_field: 'at' }],
  ['loadOrder', { load_order: 1 }],
  ['majority', { majority: true }],
])('Two definitions that differ in %s differ by that name', (property, definition) => {
  expect(firstDifference(made({}), made(definition))).toBe(property);
});

test('complaint 13: replicas and cookies may differ, and so may anything of a deleted table', () => {
  expect(firstDifference(made({}), made({}, { b: 'ram_copies' }, 'c2'))).toBeUndefined();
  expect(firstDifference(made({}), { ...made({ majority: true }), deletedAt: 20 })).toBeUndefined();
});

test('United definitions have all replicas, disc where one of them says so, and the smaller cookie', () => {
  const ours = made({}, { a: 'disc_copies', b: 'ram_copies', c: 'disc_copies' }, 'c2');
  const theirs = made({}, { b: 'disc_copies', c: 'ram_copies', d: 'ram_copies' }, 'c1', 5);
  const united = uniteDefinitions(ours, theirs);
  expect(Object.fromEntries(united.replicas)).toEqual({
    a: 'disc_copies',
    b: 'disc_copies',
    c: 'disc_copies',
    d: 'ram_copies',
  });
  expect([united.cookie, united.createdAt]).toEqual(['c1', 5]);
  expect(packTable(uniteDefinitions(theirs, ours))).toEqual(packTable(united));
});

test('A deleted table stays deleted, unless it was made anew after that', () => {
  const deleted = { ...made({}, { a: 'disc_copies' }, 'c1', 10), deletedAt: 20 };
  const older = made({}, { b: 'disc_copies' }, 'c2', 15);
  const newer = made({}, { b: 'disc_copies' }, 'c3', 25);
  for (const [living, winner] of [
    [older, deleted],
    [newer, { ...newer, deletedBefore: 20 }],
  ] as const) {
    expect(uniteDefinitions(deleted, living)).toEqual(winner);
    expect(uniteDefinitions(living, deleted)).toEqual(winner);
  }
});

test('M17 a table made anew remembers the deletion: one made before it neither stands against it nor differs from it', () => {
  const anew = { ...made({ majority: true }, { a: 'disc_copies' }, 'c2', 25), deletedBefore: 20 };
  const old = made({}, { a: 'disc_copies', b: 'disc_copies' }, 'c1', 10);
  const apart = made({ majority: true }, { b: 'disc_copies' }, 'c3', 21);
  expect(firstDifference(anew, old)).toBeUndefined();
  expect([uniteDefinitions(anew, old), uniteDefinitions(old, anew)]).toEqual([anew, anew]);
  expect([isSuperseded(old, anew), isSuperseded(anew, old), isSuperseded(apart, anew)]).toEqual([true, false, false]);
  expect([...uniteDefinitions(apart, anew).replicas.keys()].sort()).toEqual(['a', 'b']);
  expect(uniteDefinitions(apart, anew).deletedBefore).toBe(20);
});

test('Of two deletions the later is kept', () => {
  const [early, late] = [20, 30].map((deletedAt) => ({ ...made({}), deletedAt }));
  expect(uniteDefinitions(early!, late!)).toBe(late);
  expect(uniteDefinitions(late!, early!)).toBe(late);
});

test('Retired nodes leave a definition, but never the last replica', () => {
  const table = made({}, { a: 'disc_copies', b: 'disc_copies' });
  expect([...withoutNodes(table, new Set(['a'])).replicas.keys()]).toEqual(['b']);
  expect(withoutNodes(table, new Set(['a', 'b']))).toBe(table);
  expect(withoutNodes(table, new Set(['x']))).toBe(table);
});
