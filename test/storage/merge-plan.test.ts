/** The leader's arithmetic in a node connection transaction, from reports written down by hand. */
import { expect, test } from 'vitest';
import type {
  DeltaRow,
  MemberReport,
  OutsiderEntry,
  ReplicaReport,
} from '../../storage/replication/connection-messages.ts';
import { loadable } from '../../storage/replication/loadable.ts';
import type { RuleContext } from '../../storage/replication/merge.ts';
import {
  isPartition,
  isSamePlan,
  needsRows,
  planTable,
  type Reports,
  retiredNodes,
  staleMembers,
  uniteSchemas,
} from '../../storage/replication/merge-plan.ts';
import { TableMerge } from '../../storage/replication/table-merge.ts';
import { deletedDefinition, makeDefinition, type SchemaTable } from '../../storage/schema/definition.ts';
import { packTable } from '../../storage/schema/packed.ts';
import type { StorageKind, TableDefinition } from '../../storage/types.ts';

const NEWEST = Number.MAX_SAFE_INTEGER;

function tableAt(nodes: string, kind: StorageKind = 'disc_copies', rest: Partial<TableDefinition> = {}): SchemaTable {
  return makeDefinition({ name: 't', ...rest }, new Map([...nodes].map((node) => [node, kind])), 'c', 1);
}

interface Told {
  readonly view: string;
  /** Nodes that this one knows as replicas of table t; default those given to `reportsOf`. */
  readonly knows?: string;
  readonly replica?: Partial<{ loaded: boolean; fresh: boolean; digest: string; rootless: boolean }> | null;
  readonly downs?: readonly string[];
  readonly went?: readonly [string, number][];
  readonly storedHlc?: number;
  readonly acknowledged?: [string, number][];
  readonly retired?: readonly string[];
  readonly definition?: SchemaTable;
  readonly lives?: MemberReport['lives'];
}

function reportsOf(told: Record<string, Told>, replicas = Object.keys(told).join('')): Reports {
  return new Map(
    Object.entries(told).map(([node, one]): [string, MemberReport] => {
      const { loaded = true, fresh = false, digest = 'same', rootless = false } = one.replica ?? {};
      const replica: ReplicaReport = ['t', loaded, fresh, digest, 1, rootless, 'disc_copies'];
      const report: MemberReport = {
        name: `peer-${node}`,
        view: [...one.view],
        downs: [...(one.downs ?? [])],
        went: [...(one.went ?? [])],
        schema: [packTable(one.definition ?? tableAt(one.knows ?? replicas))],
        replicas: one.replica === null ? [] : [replica],
        storedHlc: one.storedHlc ?? NEWEST,
        retired: [...(one.retired ?? [])],
        acknowledged: one.acknowledged ?? [],
        lives: one.lives ?? [],
        changes: [],
        removed: [],
        withoutMajority: [],
        forced: [],
        forgetful: [],
        promised: [],
        orphans: [],
        masters: [],
        collapsed: [],
      };
      return [node, report];
    }),
  );
}

function plan(
  told: Record<string, Told>,
  stale: readonly string[] = [],
  forceFull = false,
): { sources: string; full: boolean; rows: boolean } {
  const reports = reportsOf(told);
  const made = planTable(tableAt(Object.keys(told).join('')), reports, stale, forceFull);
  const sources = made.sources.map(({ node, island }) => `${node} of ${island.join('')}`).join(', ');
  return { sources, full: made.full, rows: needsRows(made, reports, stale) };
}

test.each<[string, Record<string, Told>, boolean]>([
  ['abc: one island', { a: { view: 'abc' }, b: { view: 'abc' }, c: { view: 'abc' } }, true],
  ['a | bc: two islands', { a: { view: 'a' }, b: { view: 'bc' }, c: { view: 'bc' } }, true],
  [
    'a | b | c: three islands at once are one too many',
    { a: { view: 'a' }, b: { view: 'b' }, c: { view: 'c' } },
    false,
  ],
  ['ab | bc: they overlap', { a: { view: 'ab' }, b: { view: 'abc' }, c: { view: 'bc' } }, false],
  ['a counts b, b does not count a', { a: { view: 'ab' }, b: { view: 'b' } }, false],
  ['a counts c, which is not here', { a: { view: 'ac' }, b: { view: 'b' } }, false],
])('isPartition %s', (_, told, expected) => {
  expect(isPartition(reportsOf(told))).toBe(expected);
});

test('A member whose disc is older than what it acknowledged to another is stale', () => {
  const a: Told = {
    view: 'a',
    acknowledged: [
      ['b', 50],
      ['c', 50],
      ['away', 99],
    ],
  };
  expect(staleMembers(reportsOf({ a, b: { view: 'b', storedHlc: 49 }, c: { view: 'c', storedHlc: 50 } }))).toEqual([
    'b',
  ]);
  expect(staleMembers(reportsOf({ a, b: { view: 'b' } }))).toEqual([]);
});

test('Another identity under the name of a member is retired, and what a member retired stays so', () => {
  const names: Record<string, string> = { a: 'peer-a', a0: 'peer-a', b: 'peer-b', c: 'peer-c' };
  const nameOf = (node: string): string => names[node] ?? node;
  const reports = reportsOf({ a: { view: 'a' }, b: { view: 'b', retired: ['x'] } });
  expect(retiredNodes(reports, nameOf, ['a', 'a0', 'b', 'c'])).toEqual(['a0', 'x']);
});

test('A member is never retired, whatever another says of it', () => {
  const reports = reportsOf({ a: { view: 'a' }, b: { view: 'b', retired: ['a'] } });
  expect(retiredNodes(reports, (node) => `peer-${node}`, ['a', 'b'])).toEqual([]);
});

test('One replica of each island is asked, and only for what changed', () => {
  const told = { a: { view: 'a', replica: { digest: 'one' } }, b: { view: 'bc' }, c: { view: 'bc' } };
  expect(plan(told)).toEqual({ sources: 'a of a, b of bc', full: false, rows: true });
});

test('Equal replicas need no rows', () => {
  expect(plan({ a: { view: 'a' }, b: { view: 'b' } })).toEqual({ sources: 'a of a, b of b', full: false, rows: false });
});

test('Replicas of one island that differ are both asked, for everything', () => {
  const told = {
    a: { view: 'a' },
    b: { view: 'bc', replica: { digest: 'one' } },
    c: { view: 'bc', replica: { digest: 'other' } },
  };
  // While they serve, what is under way makes them differ: only the comparison of everything asks both.
  expect(plan(told)).toEqual({ sources: 'a of a, b of bc', full: false, rows: true });
  expect(plan(told, [], true)).toEqual({ sources: 'a of a, b of bc, c of bc', full: true, rows: true });
});

test('Replicas of one island that are not loaded and differ are both asked, for everything', () => {
  const told = {
    a: { view: 'ab', replica: { digest: 'one', loaded: false } },
    b: { view: 'ab', replica: { digest: 'other', loaded: false } },
  };
  expect(plan(told)).toEqual({ sources: 'a of ab, b of ab', full: true, rows: true });
});

test('What was planned holds on while only rows change, not when a table is made, loaded or forgotten', () => {
  const before = reportsOf({ a: { view: 'a' }, b: { view: 'b' } });
  const later = (b: Partial<Told>): Reports => reportsOf({ a: { view: 'a' }, b: { view: 'b', ...b } });
  expect(isSamePlan(before, later({ replica: { digest: 'new' } }))).toBe(true);
  expect(isSamePlan(before, later({ view: 'bc' }))).toBe(false);
  expect(isSamePlan(before, later({ knows: 'b' }))).toBe(false);
  expect(isSamePlan(before, later({ replica: { loaded: false } }))).toBe(false);
  expect(isSamePlan(before, later({ replica: { rootless: true } }))).toBe(false);
  expect(isSamePlan(before, later({ retired: ['x'] }))).toBe(false);
});

test('A replica that has nothing yet is not asked, and everything is fetched for it', () => {
  const told = { a: { view: 'a' }, b: { view: 'b', replica: { fresh: true, loaded: false } } };
  expect(plan(told)).toEqual({ sources: 'a of a', full: true, rows: true });
  expect(plan({ a: { view: 'a' }, b: { view: 'b', replica: null } })).toEqual({
    sources: 'a of a',
    full: true,
    rows: true,
  });
});

test('A stale replica that has served nobody is no source; one that has is, and everything is compared', () => {
  expect(plan({ a: { view: 'a' }, b: { view: 'b', replica: { loaded: false } } }, ['b'])).toMatchObject({
    sources: 'a of a',
    full: true,
  });
  expect(plan({ a: { view: 'a' }, b: { view: 'b' } }, ['b'])).toMatchObject({ sources: 'a of a, b of b', full: true });
});

const metAt = (hlc: number, rest: Partial<Told> = {}): Told => ({ view: 'a', acknowledged: [['b', hlc]], ...rest });

test.each<[string, Record<string, Told>, number | undefined]>([
  ['an island that met it after the copy was made', { a: metAt(60) }, 50],
  ['one that another one told of it', { a: metAt(60, { view: 'ac', replica: null }), c: { view: 'ac' } }, undefined],
  ['one that has not loaded the table', { a: metAt(60, { replica: { loaded: false } }) }, undefined],
  ['one whose replica is empty', { a: metAt(60, { replica: { fresh: true } }) }, undefined],
  ['one whose replica began anew', { a: metAt(60, { replica: { rootless: true } }) }, undefined],
  ['a life that had forgotten what is on the copy', { a: metAt(60, { lives: [['b', 40, 55]] }) }, undefined],
  ['a life after that of the copy', { a: metAt(60, { lives: [['b', 52, 55]] }) }, 50],
])('What an old copy has was known to %s', (_, others, copiedHlc) => {
  const reports = reportsOf({ ...others, b: { view: 'b', storedHlc: 50 } });
  const made = planTable(tableAt('ab'), reports, staleMembers(reports), false);
  expect(made.sources.find(({ node }) => node === 'b')?.copiedHlc).toBe(copiedHlc);
  expect(made.sources.filter(({ node }) => node !== 'b').every((source) => source.copiedHlc === undefined)).toBe(true);
});

test('What an old copy has may be new to a replica that was made after its node was met', () => {
  const reports = reportsOf({ a: metAt(60), b: { view: 'b', storedHlc: 50 } });
  const copiedAt = (born: number): number | undefined => {
    const made = planTable({ ...tableAt('ab'), born: new Map([['a', born]]) }, reports, ['b'], false);
    return made.sources.find(({ node }) => node === 'b')?.copiedHlc;
  };
  expect([copiedAt(60), copiedAt(61)]).toEqual([50, undefined]);
});

test('complaint 13: two nodes that did not know of each other as replicas compare everything', () => {
  expect(plan({ a: { view: 'a', knows: 'a' }, b: { view: 'b', knows: 'b' } })).toMatchObject({
    full: true,
    rows: false,
  });
});

test('A copy in memory that began anew is compared whole with the others', () => {
  expect(plan({ a: { view: 'a' }, b: { view: 'b', replica: { rootless: true, digest: 'new' } } }).full).toBe(true);
  expect(plan({ a: { view: 'a', replica: { rootless: true } } }).full).toBe(false);
});

test('Everything is asked for when the digests showed that the changes were not enough', () => {
  expect(plan({ a: { view: 'a' }, b: { view: 'b' } }, [], true).full).toBe(true);
});

test('complaint 13: definitions made apart are united, those that differ refused with table, property and both names', () => {
  const told = { a: { view: 'a', knows: 'a' }, b: { view: 'b', knows: 'b' } };
  expect([...uniteSchemas(reportsOf(told)).get('t')!.replicas.keys()]).toEqual(['a', 'b']);
  const differing = { ...told, b: { view: 'b', definition: tableAt('b', 'disc_copies', { merge: 'primary' }) } };
  expect(() => uniteSchemas(reportsOf(differing))).toThrow(
    expect.objectContaining({
      code: 'schema_conflict',
      fields: { table: 't', property: 'merge', nodes: ['peer-a', 'peer-b'] },
    }),
  );
});

test('M17 in whatever order nodes are asked, a table made anew apart outlives the deletion of the one it replaced', () => {
  const old = tableAt('ab');
  const anew = { ...tableAt('c'), cookies: ['anew'], createdAt: 5 };
  const said = [old, deletedDefinition(old, 9), anew];
  for (const [first, second, third] of [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ] as const) {
    const told = {
      a: { view: 'ab', definition: said[first] },
      b: { view: 'ab', definition: said[second] },
      c: { view: 'c', definition: said[third] },
    };
    const { cookies, deletedAt, replicas } = uniteSchemas(reportsOf(told)).get('t')!;
    expect([cookies, deletedAt, [...replicas.keys()]]).toEqual([['anew'], 0, ['c']]);
  }
});

test('b4 a table is loadable once nobody who may have newer rows is missing', () => {
  const schema = new Map([['t', tableAt('abc')]]);
  const starting = { replica: { loaded: false } };
  const two = (downs: readonly string[]): Record<string, Told> => ({
    a: { view: 'a', downs, ...starting },
    b: { view: 'b', downs, ...starting },
  });
  expect(loadable(schema, reportsOf(two([]), 'abc'))).toEqual([]);
  expect(loadable(schema, reportsOf(two(['c']), 'abc'))).toEqual(['t']);
  expect(loadable(schema, reportsOf({ a: { view: 'a' }, b: { view: 'b', ...starting } }, 'abc'))).toEqual(['t']);
  const gone = new Map([['t', { ...tableAt('abc'), deletedAt: 5 }]]);
  expect(loadable(gone, reportsOf(two(['c']), 'abc'))).toEqual([]);
});

const context: RuleContext = {
  rule: 'last_write',
  primary: undefined,
  ownedByWriter: () => false,
  replicas: tableAt('abc').replicas,
  born: new Map(),
  lives: new Map(),
  newVersion: () => ({ hlc: 100, node: 'a' }),
  call: () => ({ failure: 'no function' }),
};

function merge(told: Record<string, Told>, offered: Record<string, DeltaRow[]>, owed: OutsiderEntry[] = []) {
  const plan = planTable(tableAt('abc'), reportsOf(told, 'abc'), [], false);
  const table = new TableMerge(plan, Object.keys(told), []);
  for (const [source, rows] of Object.entries(offered)) table.take(source, rows, source === 'a' ? owed : []);
  const { settled, losers } = table.settle(context);
  return { table, settled, losers };
}

const octets = (...bytes: number[]): Uint8Array => new Uint8Array(bytes);

test('A row written over the other one is staged for whoever has the other, and nothing goes to the ledger', () => {
  const told = { a: { view: 'a' }, b: { view: 'b', replica: { digest: 'other' } } };
  const { table, settled, losers } = merge(told, {
    a: [['k', 5, 'a', octets(5), [['b', 4, 'b']]]],
    b: [['k', 4, 'b', octets(4), [['a', 2, 'b']]]],
  });
  expect(losers).toEqual([]);
  expect(table.rowsFor('b', settled)).toEqual([['k', 5, 'a', octets(5), false]]);
  expect(table.rowsFor('a', settled)).toEqual([]);
});

test('Rows of replicas that did not know of each other have seen nothing, whatever they noted', () => {
  const told = { a: { view: 'a', knows: 'a' }, b: { view: 'b', knows: 'b', replica: { digest: 'other' } } };
  const { losers } = merge(told, { a: [['k', 5, 'a', octets(5), []]], b: [['k', 4, 'b', octets(4), []]] });
  expect(losers.map(({ key, winner, loser }) => [key, winner.hlc, loser.hlc])).toEqual([['k', 5, 4]]);
});

test('A node outside is owed the merged row with all that either side had seen of it', () => {
  const told = { a: { view: 'a' }, b: { view: 'b', replica: { digest: 'other' } } };
  const offered: Record<string, DeltaRow[]> = {
    a: [
      [
        'k',
        9,
        'a',
        octets(9),
        [
          ['b', 2, 'b'],
          ['c', 2, 'b'],
        ],
      ],
    ],
    b: [['k', 7, 'c', octets(7), [['a', 2, 'b']]]],
  };
  // Node c took part in the write at 7: b noted nothing for it.
  const { table, settled } = merge(told, offered, [
    ['c', 'k', 2, 'b', 0, 'a'],
    ['c', 'l', 3, 'b', 0, 'a'],
  ]);
  expect(table.owedFor('b', settled)).toEqual([
    ['c', 'k', 7, 'c', 0, 'a'],
    ['c', 'l', 3, 'b', 0, 'a'],
  ]);
});

test('A row offered again replaces the offer before, and who had been told of that one hears of it', () => {
  const told = { a: { view: 'a' }, b: { view: 'b', replica: { digest: 'other' } } };
  const { table, settled } = merge(told, { a: [['k', 5, 'a', octets(5), [['b', 2, 'b']]]] });
  expect(table.rowsFor('b', settled)).toEqual([['k', 5, 'a', octets(5), false]]);
  expect(table.rowsFor('a', settled)).toEqual([]);
  // b writes it too, later: a conflict now, which b's row wins; what was staged at b is taken back.
  table.take('b', [['k', 6, 'b', octets(6), [['a', 2, 'b']]]], []);
  const again = table.settle(context);
  expect(again.losers.map(({ loser }) => loser.hlc)).toEqual([5]);
  expect(table.rowsFor('a', again.settled)).toEqual([['k', 6, 'b', octets(6), false]]);
  expect(table.rowsFor('b', again.settled)).toEqual([['k', 0, '', null, false]]);
  // And a over that: the loser is another one, the earlier entry of the ledger is taken back.
  table.take('a', [['k', 7, 'a', octets(7), [['b', 2, 'b']]]], []);
  const last = table.settle(context);
  expect([last.losers.map(({ loser }) => loser.hlc), last.revoked.map(({ loser }) => loser.hlc)]).toEqual([[6], [5]]);
  expect(table.rowsFor('b', last.settled)).toEqual([['k', 7, 'a', octets(7), false]]);
  expect(table.conflicts).toBe(1);
});

test('A key that its only source no longer has is taken back where it was staged', () => {
  const told = { a: { view: 'a' }, b: { view: 'b', replica: null } };
  const { table, settled } = merge(told, { a: [['k', 5, 'a', octets(5), []]] });
  expect(table.rowsFor('b', settled)).toEqual([['k', 5, 'a', octets(5), false]]);
  table.take('a', [['k', 0, '', null, []]], []);
  expect(table.rowsFor('b', table.settle(context).settled)).toEqual([['k', 0, '', null, false]]);
});

test('With several sources nothing is merged before all have spoken', () => {
  const plan = planTable(tableAt('abc'), reportsOf({ a: { view: 'a' }, b: { view: 'b' } }, 'abc'), [], false);
  const table = new TableMerge(plan, ['a', 'b'], []);
  table.expect('a');
  table.expect('b');
  table.take('a', [['k', 5, 'a', octets(5), []]], []);
  expect(table.ready).toBe(0);
  table.complete('a');
  table.complete('b');
  expect(table.ready).toBe(1);
});

test('A key is merged as soon as every source that has not offered it has said all, one that may still come waits', () => {
  const plan = planTable(tableAt('abc'), reportsOf({ a: { view: 'a' }, b: { view: 'b' } }, 'abc'), [], false);
  const table = new TableMerge(plan, ['a', 'b'], []);
  table.expect('a');
  table.expect('b');
  table.take('b', [['late', 4, 'b', octets(4), []]], []);
  table.complete('b');
  table.take('a', [['k', 5, 'a', octets(5), []]], []);
  expect(table.ready).toBe(1);
  expect(table.settle(context).settled.map(({ row }) => row[0])).toEqual(['k']);
  table.take('a', [['late', 6, 'a', octets(6), [['b', 4, 'b']]]], []);
  table.complete('a');
  expect(table.settle(context).settled.map(({ row }) => row.slice(0, 2))).toEqual([['late', 6]]);
  expect(table.ready).toBe(0);
});

test('A key that the merge function could not decide is named once, and no more when a later offer decides it', () => {
  const told = { a: { view: 'a' }, b: { view: 'b', replica: { digest: 'other' } } };
  const plan = planTable(tableAt('abc'), reportsOf(told, 'abc'), [], false);
  const table = new TableMerge(plan, ['a', 'b'], []);
  const byFunction: RuleContext = { ...context, rule: { function: 'f' } };
  // A key that is an object: each offer has one of its own.
  const offer = (source: string, hlc: number): void =>
    table.take(source, [[['k', 1], hlc, source, octets(hlc), [[source === 'a' ? 'b' : 'a', 2, 'b']]]], []);
  for (const hlc of [5, 7]) {
    offer('a', hlc);
    offer('b', hlc + 1);
    table.settle(byFunction);
  }
  expect([...table.failures.values()]).toEqual([{ key: ['k', 1], reason: 'no function' }]);
  offer('a', 9);
  table.settle({ ...byFunction, call: () => ({ bytes: octets(1) }) });
  expect(table.failures.size).toBe(0);
});
