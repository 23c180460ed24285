import { expect, test } from 'vitest';
import { type Candidate, type RuleContext, settle, uniteSeen } from '../../storage/replication/merge.ts';
import type { StorageKind } from '../../storage/types.ts';

interface Offer {
  readonly island: string;
  readonly hlc: number;
  readonly content: string | null;
  /** Default: the first node of the island. */
  readonly writer?: string;
  /** hlc up to which it has seen writes of nodes it was written without. */
  readonly seen?: Readonly<Record<string, number>>;
  /** Replicas that its island does not know. */
  readonly strangers?: string;
  /** Lives the island knows of: [remembered, born]. */
  readonly lives?: Readonly<Record<string, [number, number]>>;
}

function candidate({ island, hlc, content, writer, seen = {}, strangers = '', lives = {} }: Offer): Candidate {
  const node = writer ?? (island[0] as string);
  return {
    hlc,
    node,
    bytes: content === null ? null : new TextEncoder().encode(content),
    island: [...island],
    keepers: [...island],
    seenByDefault: { hlc, node },
    strangers: new Set(strangers),
    // The greatest node name: whoever wrote at that moment, it was seen.
    seen: new Map(Object.entries(seen).map(([other, seenHlc]) => [other, { hlc: seenHlc, node: 'z' }])),
    lives: livesOf(lives),
  };
}

function livesOf(lives: Readonly<Record<string, [number, number]>>): Candidate['lives'] {
  return new Map(Object.entries(lives).map(([node, [remembered, born]]) => [node, { remembered, born }]));
}

function replicasAt(nodes: string, kind: StorageKind = 'disc_copies'): RuleContext['replicas'] {
  return new Map([...nodes].map((node) => [node, kind]));
}

const lastWrite: RuleContext = {
  rule: 'last_write',
  primary: undefined,
  ownedByWriter: () => false,
  replicas: replicasAt('abcd'),
  born: new Map(),
  lives: new Map(),
  newVersion: () => ({ hlc: 100, node: 'leader' }),
  call: () => ({ failure: 'no function' }),
};

function owner(...writers: string[]): RuleContext {
  return { ...lastWrite, rule: 'owner', ownedByWriter: ({ node }) => writers.includes(node) };
}

function primary(node: string | undefined): RuleContext {
  return { ...lastWrite, rule: 'primary', primary: node };
}

interface Case {
  readonly title: string;
  readonly a: Offer;
  readonly b: Offer;
  readonly context?: RuleContext;
  /** `both`: a version of its own, with the content that both have. */
  readonly winner: 'a' | 'b' | 'both';
  readonly conflict: boolean;
}

/** Two islands that parted when the row was at 4. */
const a5: Offer = { island: 'a', hlc: 5, content: 'x', seen: { b: 4 } };
const b6: Offer = { island: 'b', hlc: 6, content: 'y', seen: { a: 4 } };

const cases: readonly Case[] = [
  {
    title: 'the same version on both sides is no conflict',
    a: { island: 'a', hlc: 5, content: 'x', writer: 'n' },
    b: { island: 'b', hlc: 5, content: 'x', writer: 'n' },
    winner: 'a',
    conflict: false,
  },
  {
    title: 'changed on one side only: that side',
    a: { ...a5, seen: { b: 3 } },
    b: { island: 'b', hlc: 3, content: 'y' },
    winner: 'a',
    conflict: false,
  },
  { title: 'the later of two writes apart stands, with a conflict', a: a5, b: b6, winner: 'b', conflict: true },
  {
    title: 'with equal clocks the greater node stands',
    a: a5,
    b: { ...b6, hlc: 5 },
    winner: 'b',
    conflict: true,
  },
  {
    title: 'the same content written apart is no conflict: what stands has seen both, and neither has seen it',
    a: a5,
    b: { ...b6, content: 'x' },
    winner: 'both',
    conflict: false,
  },
  {
    title: 'deleted on both sides apart is no conflict',
    a: { ...a5, hlc: 7, content: null },
    b: { ...b6, content: null },
    winner: 'both',
    conflict: false,
  },
  {
    title: 'a later delete stands against a write apart, with a conflict',
    a: { ...a5, hlc: 7, content: null },
    b: b6,
    winner: 'a',
    conflict: true,
  },
  {
    title: 'a delete that has seen what it deletes stands without one',
    a: { island: 'a', hlc: 7, content: null, seen: { b: 6 } },
    b: b6,
    winner: 'a',
    conflict: false,
  },
  {
    title: 'whoever has seen the other wins, noted apart or not: the other noted it for somebody who was away',
    a: { island: 'ac', hlc: 9, content: null, seen: { b: 6, d: 4 } },
    b: { island: 'b', hlc: 6, content: 'y', seen: { c: 4, a: 6 } },
    context: owner('b'),
    winner: 'a',
    conflict: false,
  },
  {
    title: 'what counts is what was seen of the writer, not of everybody on the other side',
    a: { island: 'a', hlc: 9, content: 'x', seen: { c: 6, d: 4 } },
    b: { island: 'cd', hlc: 6, content: 'y', seen: { a: 6 } },
    winner: 'a',
    conflict: false,
  },
  {
    title: 'a member of the own island has shown all it wrote',
    a: { island: 'ab', hlc: 9, content: 'x', seen: { c: 2 } },
    b: { island: 'c', hlc: 6, content: 'y', writer: 'b', seen: { a: 4, b: 6 } },
    winner: 'a',
    conflict: false,
  },
  {
    title: 'the greater clock alone proves nothing',
    a: { island: 'a', hlc: 9, content: 'x', seen: { b: 4 } },
    b: { island: 'b', hlc: 6, content: 'y', seen: { a: 4 } },
    winner: 'a',
    conflict: true,
  },
  {
    title: 'versions that were seen by each other settle by the greater one',
    a: { island: 'a', hlc: 5, content: 'x', seen: { b: 6 } },
    b: { island: 'b', hlc: 6, content: 'y', seen: { a: 5 } },
    winner: 'b',
    conflict: false,
  },
  {
    title: 'rows of tables that never met are a conflict when they differ',
    a: { island: 'a', hlc: 4, content: 'x', strangers: 'b' },
    b: { island: 'b', hlc: 6, content: 'y', strangers: 'a' },
    winner: 'b',
    conflict: true,
  },
  {
    title: 'and none when they hold the same',
    a: { island: 'a', hlc: 4, content: 'x', strangers: 'b' },
    b: { island: 'b', hlc: 6, content: 'x', strangers: 'a' },
    winner: 'both',
    conflict: false,
  },
  {
    title: 'a writer whose replica is not known there: of those who kept its write, who is known must vouch',
    a: { island: 'a', hlc: 9, content: 'x', seen: { b: 4 }, strangers: 'c' },
    b: { island: 'bc', hlc: 6, content: 'y', writer: 'c', seen: { a: 4 } },
    winner: 'a',
    conflict: true,
  },
  {
    title: 'and it was seen when they vouch for it',
    a: { island: 'a', hlc: 9, content: 'x', seen: { b: 6 }, strangers: 'c' },
    b: { island: 'bc', hlc: 6, content: 'y', writer: 'c', seen: { a: 4 } },
    winner: 'a',
    conflict: false,
  },
  {
    title: 'what a node wrote before it had its replica is not seen because it voted later',
    a: { island: 'ac', hlc: 9, content: 'x', seen: { b: 4 } },
    b: { island: 'b', hlc: 6, content: 'y', writer: 'c', seen: { a: 4, c: 4 } },
    context: { ...lastWrite, born: new Map([['c', 7]]) },
    winner: 'a',
    conflict: true,
  },
  {
    title: 'a writer without a replica: all who kept it for the writer must have been seen',
    a: { island: 'a', hlc: 9, content: 'x', seen: { b: 7, c: 4 } },
    b: { island: 'bc', hlc: 6, content: 'y', writer: 'n', seen: { a: 5 } },
    winner: 'a',
    conflict: true,
  },
  {
    title: 'and none of them being away, it was seen',
    a: { island: 'a', hlc: 9, content: 'x', seen: { d: 4 } },
    b: { island: 'bc', hlc: 6, content: 'y', writer: 'n', seen: { a: 5 } },
    winner: 'a',
    conflict: false,
  },
  {
    title: 'a write that its writer has lost with the tail of its disc is vouched for by who kept it',
    a: { island: 'ab', hlc: 9, content: 'x', seen: { c: 4 }, lives: { b: [5, 8] } },
    b: { island: 'c', hlc: 6, content: 'y', writer: 'b', seen: { a: 4, b: 6 } },
    winner: 'a',
    conflict: true,
  },
  {
    title: 'one that it still has on its disc was seen',
    a: { island: 'ab', hlc: 9, content: 'x', seen: { c: 4 }, lives: { b: [6, 8] } },
    b: { island: 'c', hlc: 6, content: 'y', writer: 'b', seen: { a: 4, b: 6 } },
    winner: 'a',
    conflict: false,
  },
  {
    title: 'a copy in memory remembers nothing of an earlier life',
    a: { island: 'ab', hlc: 9, content: 'x', seen: { c: 4 }, lives: { b: [6, 8] } },
    b: { island: 'c', hlc: 6, content: 'y', writer: 'b', seen: { a: 4, b: 6 } },
    context: { ...lastWrite, replicas: replicasAt('abc', 'ram_copies') },
    winner: 'a',
    conflict: true,
  },
  {
    title: 'a clock that went back with the memory of its node proves nothing to those who knew it before',
    a: { island: 'a', hlc: 9, content: 'x', lives: { b: [0, 1] } },
    b: { island: 'b', hlc: 7, content: 'y', seen: { a: 4 }, lives: { b: [4, 6] } },
    context: { ...lastWrite, lives: livesOf({ b: [4, 6] }) },
    winner: 'a',
    conflict: true,
  },
  {
    title: 'owner: the earlier write of the owner stands',
    a: a5,
    b: b6,
    context: owner('a'),
    winner: 'a',
    conflict: true,
  },
  {
    title: 'owner: when both name their writer, the later',
    a: a5,
    b: b6,
    context: owner('a', 'b'),
    winner: 'b',
    conflict: true,
  },
  {
    title: 'owner: when neither does, the later',
    a: { ...a5, hlc: 7 },
    b: b6,
    context: owner(),
    winner: 'a',
    conflict: true,
  },
  {
    title: 'owner: has no say where there is no conflict',
    a: { island: 'a', hlc: 5, content: 'x' },
    b: { ...b6, seen: { a: 5 } },
    context: owner('a'),
    winner: 'b',
    conflict: false,
  },
  {
    title: 'primary: the island of the primary stands',
    a: a5,
    b: b6,
    context: primary('a'),
    winner: 'a',
    conflict: true,
  },
  { title: 'primary: somewhere else, the later', a: a5, b: b6, context: primary('c'), winner: 'b', conflict: true },
  {
    title: 'primary: unknown, the later',
    a: { ...a5, hlc: 7 },
    b: b6,
    context: primary(undefined),
    winner: 'a',
    conflict: true,
  },
];

test.each(cases)('$title', ({ a, b, context = lastWrite, winner, conflict }) => {
  const [one, other] = [candidate(a), candidate(b)];
  const verdict = settle('k', one, other, context);
  const made = { hlc: 100, node: 'leader', bytes: one.bytes };
  if (winner === 'both') expect(verdict.winner).toMatchObject(made);
  else expect(verdict.winner).toBe(winner === 'a' ? one : other);
  expect(verdict.losers).toEqual(conflict ? [winner === 'a' ? other : one] : []);
});

test.each(cases)(
  'Asked the other way round the same version wins: $title',
  ({ a, b, context = lastWrite, conflict }) => {
    const [one, other] = [
      settle('k', candidate(a), candidate(b), context),
      settle('k', candidate(b), candidate(a), context),
    ];
    const version = ({ winner }: typeof one): unknown[] => [winner.hlc, winner.node, winner.bytes];
    expect(version(other)).toEqual(version(one));
    expect([one, other].map(({ losers }) => losers.length)).toEqual(conflict ? [1, 1] : [0, 0]);
  },
);

const octets = (content: string): Uint8Array => new TextEncoder().encode(content);

function byFunction(called: ReturnType<RuleContext['call']>): RuleContext {
  return { ...lastWrite, rule: { function: 'f' }, call: () => called };
}

test('manual: the later stands for now, and what lost waits for a person', () => {
  const verdict = settle('k', candidate(a5), candidate(b6), { ...lastWrite, rule: 'manual' });
  expect(verdict).toMatchObject({ winner: { node: 'b' }, losers: [{ node: 'a' }], rule: 'manual', isSettled: false });
});

test('A function that makes a third value of both makes a new version, and both it was made of are settled losers', () => {
  const verdict = settle('k', candidate(a5), candidate(b6), byFunction({ bytes: octets('both') }));
  expect(verdict.winner).toMatchObject({ hlc: 100, node: 'leader', bytes: octets('both') });
  expect(verdict.losers.map(({ node }) => node)).toEqual(['a', 'b']);
  expect([verdict.rule, verdict.isSettled]).toEqual(['function:f', true]);
});

test('A function that chooses one of both leaves that one as it is, even the earlier; the other is a loser like any', () => {
  const verdict = settle('k', candidate(a5), candidate(b6), byFunction({ bytes: octets('x') }));
  expect(verdict).toMatchObject({ winner: { hlc: 5, node: 'a' }, losers: [{ node: 'b' }], isSettled: false });
});

test('A function that fails leaves the decision to last_write, and says why', () => {
  const verdict = settle('k', candidate(a5), candidate(b6), byFunction({ failure: 'why' }));
  expect(verdict).toMatchObject({ winner: { node: 'b' }, rule: 'last_write', failure: 'why', isSettled: false });
});

test('A function is not asked where one version was written over the other', () => {
  const context = { ...byFunction({ failure: 'asked' }) };
  expect(settle('k', candidate({ ...a5, seen: { b: 6 } }), candidate(b6), context)).toMatchObject({ losers: [] });
});

test('What a function made is settled with a third side by the function again; only what somebody wrote is a loser', () => {
  const context = byFunction({ bytes: octets('all three') });
  const first = settle('k', candidate(a5), candidate(b6), context).winner;
  const third = candidate({ island: 'c', hlc: 8, content: 'z', seen: { a: 4, b: 4 } });
  const verdict = settle('k', { ...first, seen: new Map([['c', { hlc: 4, node: 'z' }]]) }, third, context);
  expect([verdict.winner.hlc, verdict.losers.map(({ node }) => node)]).toEqual([100, ['c']]);
});

test('A merged row has seen what either side had seen: a third side that lost to one of them loses without a conflict', () => {
  const third = candidate({ island: 'c', hlc: 7, content: 'z', seen: { a: 4, b: 4 } });
  const a = candidate({ ...a5, seen: { b: 4, c: 4 } });
  const b = candidate({ island: 'b', hlc: 8, content: 'y', seen: { a: 4, c: 7 } });
  expect(settle('k', a, third, lastWrite).losers).toHaveLength(1);
  // By its rule the earlier one stands, and yet it has been laid beside all that b had seen.
  const { winner } = settle('k', a, b, owner('a'));
  expect(winner).toBe(a);
  expect(settle('k', uniteSeen(winner, b), third, lastWrite)).toMatchObject({ winner: { node: 'a' }, losers: [] });
});
