import { expect, test } from 'vitest';
import {
  deletedDefinition,
  firstDifference,
  isSuperseded,
  makeDefinition,
  type SchemaTable,
  uniteDefinitions,
  withoutNodes,
} from '../../storage/schema/definition.ts';
import { type PackedTable, packTable, unpackTable } from '../../storage/schema/packed.ts';
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
  ['a majority and merge primary', { majority: true, merge: 'primary' }, 'merge'],
  ['a majority and a merge function', { majority: true, merge: { function: 'f' } }, 'merge'],
  ['majority of local content', { local_content: true, majority: true }, 'majority'],
])('A definition with %s is refused, naming the property', (_, definition, property) => {
  expect(() => made(definition as Partial<TableDefinition>)).toThrow(
    expect.objectContaining({ code: 'bad_definition', fields: expect.objectContaining({ property }) }),
  );
});

test('A definition comes back from its packed form as it was', () => {
  const table = made(
    { merge: 'owner', owner_field: 'at', load_order: 3, user_properties: { colour: ['red'] } },
    { b: 'ram_copies', a: 'disc_copies' },
  );
  expect(unpackTable(packTable(table))).toEqual(table);
  expect(packTable(table).replicas.map(([node]) => node)).toEqual(['a', 'b']);
});

test('A definition stored before a property was thought of has the default of that property', () => {
  const later = ['accessMode', 'userProperties', 'histories', 'dead', 'moves', 'born'];
  const older = Object.fromEntries(Object.entries(packTable(made({}))).filter(([field]) => !later.includes(field)));
  expect(unpackTable(older as unknown as PackedTable)).toEqual(made({}));
});

test.each<[string, Partial<TableDefinition>]>([
  ['local_content', { local_content: true }],
  ['merge', { merge: 'primary' }],
  ['merge', { owner_field: 'at' }],
  ['load_order', { load_order: 1 }],
  ['majority', { majority: true }],
  ['access_mode', { access_mode: 'read_only' }],
  ['user_properties.colour', { user_properties: { colour: 'red' } }],
])('Two definitions that differ in %s differ by that name', (property, definition) => {
  expect(firstDifference(made({}), made(definition))).toBe(property);
});

test('complaint 13: replicas and cookies may differ, and so may anything of a deleted table', () => {
  expect(firstDifference(made({}), made({}, { b: 'ram_copies' }, 'c2'))).toBeUndefined();
  expect(firstDifference(made({}), deletedDefinition(made({ majority: true }), 20))).toBeUndefined();
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
  expect([united.cookies, united.createdAt]).toEqual([['c1', 'c2'], 5]);
  expect(packTable(uniteDefinitions(theirs, ours))).toEqual(packTable(united));
});

test('A deleted table stays deleted, and so does whatever it was united with; a table of another identity stands', () => {
  const deleted = deletedDefinition({ ...made({}), cookies: ['c1', 'c2'] }, 20);
  const united = made({}, { b: 'disc_copies' }, 'c2', 15);
  const apart = made({}, { b: 'disc_copies' }, 'c3', 15);
  for (const [ours, theirs] of [
    [deleted, united],
    [united, deleted],
  ] as const) {
    expect(uniteDefinitions(ours, theirs)).toEqual(deleted);
  }
  for (const [ours, theirs] of [
    [deleted, apart],
    [apart, deleted],
  ] as const) {
    expect(uniteDefinitions(ours, theirs)).toEqual({ ...apart, dead: deleted.dead });
  }
});

test('M17 a table made anew remembers the deletion: one of the old identity neither stands against it nor differs from it', () => {
  const old = made({}, { a: 'disc_copies', b: 'disc_copies' }, 'c1', 10);
  const anew = { ...made({ majority: true }, { a: 'disc_copies' }, 'c2', 25), dead: deletedDefinition(old, 20).dead };
  const apart = made({ majority: true }, { b: 'disc_copies' }, 'c3', 15);
  expect(firstDifference(anew, old)).toBeUndefined();
  expect([uniteDefinitions(anew, old), uniteDefinitions(old, anew)]).toEqual([anew, anew]);
  expect([isSuperseded(old, anew), isSuperseded(anew, old), isSuperseded(apart, anew)]).toEqual([true, false, false]);
  expect([...uniteDefinitions(apart, anew).replicas.keys()].sort()).toEqual(['a', 'b']);
  expect(uniteDefinitions(apart, anew).dead).toEqual(anew.dead);
});

test("Two sides that deleted each other's table have none", () => {
  const ours = { ...made({}, undefined, 'c1'), dead: new Map([['c2', 20]]) };
  const theirs = { ...made({}, undefined, 'c2'), dead: new Map([['c1', 30]]) };
  expect([uniteDefinitions(ours, theirs).deletedAt, uniteDefinitions(theirs, ours).deletedAt]).toEqual([30, 30]);
});

test('Of two deletions the later is kept', () => {
  const [early, late] = [20, 30].map((at) => deletedDefinition(made({}), at));
  expect(uniteDefinitions(early!, late!)).toEqual(late);
  expect(uniteDefinitions(late!, early!)).toEqual(late);
});

test('Retired nodes leave a definition, but never the last replica', () => {
  const table = made({}, { a: 'disc_copies', b: 'disc_copies' });
  expect([...withoutNodes(table, new Set(['a'])).replicas.keys()]).toEqual(['b']);
  expect(withoutNodes(table, new Set(['a', 'b']))).toBe(table);
  expect(withoutNodes(table, new Set(['x']))).toBe(table);
});
