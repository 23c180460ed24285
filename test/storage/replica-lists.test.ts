/** Which members may give a table with `majority` other replicas. */
import { expect, test } from 'vitest';
import type { MemberReport } from '../../storage/replication/connection-messages.ts';
import { lackingMajority } from '../../storage/replication/replica-lists.ts';
import { makeDefinition, type SchemaTable } from '../../storage/schema/definition.ts';
import { packTable } from '../../storage/schema/packed.ts';

function table(...replicas: string[]): SchemaTable {
  const kinds = new Map(replicas.map((node) => [node, 'disc_copies' as const]));
  return makeDefinition({ name: 't', majority: true }, kinds, 'cookie', 1);
}

/** Islands of members, each with the list its members have. */
function lacking(becomes: SchemaTable, islands: [members: string, list: string][], retired: string[] = []): unknown {
  const reports = new Map<string, MemberReport>();
  for (const [members, list] of islands) {
    const view = [...members];
    for (const node of view) {
      reports.set(node, {
        view,
        removed: [],
        replicas: [],
        forgetful: [],
        schema: [packTable(table(...list))],
      } as unknown as MemberReport);
    }
  }
  return lackingMajority([becomes], reports, retired, [])?.nodes;
}

test('A replica is added where more than half of the old and of the new ones are', () => {
  expect(
    lacking(table('a', 'b', 'c', 'd'), [
      ['ab', 'abc'],
      ['d', 'd'],
    ]),
  ).toEqual(undefined);
  expect(
    lacking(table('a', 'b', 'c', 'd'), [
      ['a', 'abc'],
      ['d', 'd'],
    ]),
  ).toEqual(['b', 'c']);
  expect(
    lacking(table('a', 'b', 'd', 'e', 'f'), [
      ['ab', 'ab'],
      ['d', 'def'],
    ]),
  ).toEqual(['e', 'f']);
});

test('Whoever was away hears of a new list from anybody who has it', () => {
  expect(
    lacking(table('a', 'b', 'c', 'd'), [
      ['c', 'abc'],
      ['d', 'abcd'],
    ]),
  ).toEqual(undefined);
});

test('One of two replicas takes another in for one that will never return; one of three does not', () => {
  expect(
    lacking(
      table('a', 'x'),
      [
        ['a', 'ab'],
        ['x', 'x'],
      ],
      ['b'],
    ),
  ).toEqual(undefined);
  expect(
    lacking(table('a', 'x'), [
      ['a', 'ab'],
      ['x', 'x'],
    ]),
  ).toEqual(['b']);
  expect(
    lacking(
      table('a', 'c', 'x'),
      [
        ['a', 'abc'],
        ['x', 'x'],
      ],
      ['b'],
    ),
  ).toEqual(['c']);
  expect(
    lacking(
      table('a', 'c', 'x'),
      [
        ['ac', 'abc'],
        ['x', 'x'],
      ],
      ['b'],
    ),
  ).toEqual(undefined);
});

test('Half of four may go on only when some of the others will never return: they could do the same', () => {
  expect(
    lacking(table('a', 'b', 'x'), [
      ['ab', 'abcd'],
      ['x', 'x'],
    ]),
  ).toEqual(['c', 'd']);
  expect(
    lacking(
      table('a', 'b', 'd', 'x'),
      [
        ['ab', 'abcd'],
        ['x', 'x'],
      ],
      ['c'],
    ),
  ).toEqual(undefined);
});
