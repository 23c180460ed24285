/** Which lists of replicas stay in use beside the one that members of a table with `majority` make. */
import { expect, test } from 'vitest';
import type { MemberReport } from '../../storage/replication/connection-messages.ts';
import { formerLists } from '../../storage/replication/replica-lists.ts';
import { makeDefinition, type SchemaTable } from '../../storage/schema/definition.ts';
import { withFormers } from '../../storage/schema/majorities.ts';
import { packTable } from '../../storage/schema/packed.ts';

function table(...replicas: string[]): SchemaTable {
  const kinds = new Map(replicas.map((node) => [node, 'disc_copies' as const]));
  return makeDefinition({ name: 't', majority: true }, kinds, 'cookie', 1);
}

/** The lists that stay in use where members with these lists meet. */
function kept(becomes: SchemaTable, members: [members: string, has: SchemaTable][], retired: string[] = []): string[] {
  const reports = new Map<string, MemberReport>();
  for (const [nodes, has] of members) {
    for (const node of nodes) {
      reports.set(node, { replicas: [], forgetful: [], schema: [packTable(has)] } as unknown as MemberReport);
    }
  }
  const lists = formerLists(becomes, reports, { retired, removed: [], stale: [] });
  return withFormers(becomes, lists, new Set()).formers.map((list) => list.join(''));
}

test('The lists of both sides stay in use, and one that both have does not', () => {
  expect(
    kept(table('a', 'b', 'c', 'd'), [
      ['a', table('a', 'b', 'c')],
      ['d', table('d')],
    ]),
  ).toEqual(['abc', 'd']);
  expect(
    kept(table('a', 'b', 'c', 'd'), [
      ['a', table('a', 'b', 'c')],
      ['d', table('a', 'b', 'c', 'd')],
    ]),
  ).toEqual(['abc']);
});

test('A list that was not established goes, and those from before it stay', () => {
  const grown = { ...table('a', 'b', 'c', 'd'), formers: [['a', 'b', 'c']] };
  expect(
    kept(table('a', 'b', 'c', 'd', 'e'), [
      ['bc', table('a', 'b', 'c')],
      ['d', grown],
      ['e', table('e')],
    ]),
  ).toEqual(['abc', 'e']);
});

test('One of two replicas needs no longer the one that will never return; one of three does', () => {
  const two: [string, SchemaTable][] = [
    ['a', table('a', 'b')],
    ['x', table('x')],
  ];
  expect(kept(table('a', 'x'), two, ['b'])).toEqual(['a', 'x']);
  expect(kept(table('a', 'b', 'x'), two)).toEqual(['ab', 'x']);
  const three = (members: string): [string, SchemaTable][] => [
    [members, table('a', 'b', 'c')],
    ['x', table('x')],
  ];
  expect(kept(table('a', 'c', 'x'), three('a'), ['b'])).toEqual(['abc', 'x']);
  expect(kept(table('a', 'c', 'x'), three('ac'), ['b'])).toEqual(['ac', 'x']);
});

test('Half of four go on only when some of the others will never return: they could do the same', () => {
  const four: [string, SchemaTable][] = [
    ['ab', table('a', 'b', 'c', 'd')],
    ['x', table('x')],
  ];
  expect(kept(table('a', 'b', 'c', 'd', 'x'), four)).toEqual(['abcd', 'x']);
  expect(kept(table('a', 'b', 'd', 'x'), four, ['c'])).toEqual(['abd', 'x']);
  expect(kept(table('a', 'b', 'd', 'x'), [['a', table('a', 'b', 'c', 'd')]], ['c'])).toEqual(['abcd']);
  expect(kept(table('a', 'x'), [['a', table('a', 'b', 'c', 'd')]], ['b', 'c', 'd'])).toEqual(['a']);
});
