import { expect, test } from 'vitest';
import { type Candidate, ChangeKind, type RuleContext, settle } from '../../storage/replication/merge.ts';

const { unchanged, unacknowledged, apart, foreign } = ChangeKind;
const ABSENT = 0;

function side(island: string, kind: Candidate['kind'], hlc: number, content: string | null, node = island): Candidate {
  const bytes = content === null ? null : new TextEncoder().encode(content);
  return { kind, hlc, node, bytes, island: [island] };
}

const lastWrite: RuleContext = { rule: 'last_write', primary: undefined, ownedByWriter: () => false };

function owner(...writers: string[]): RuleContext {
  return { ...lastWrite, rule: 'owner', ownedByWriter: ({ node }) => writers.includes(node) };
}

function primary(node: string | undefined): RuleContext {
  return { ...lastWrite, rule: 'primary', primary: node };
}

interface Case {
  readonly title: string;
  readonly a: Candidate;
  readonly b: Candidate;
  readonly context?: RuleContext;
  readonly winner: 'a' | 'b';
  readonly conflict: boolean;
}

const cases: readonly Case[] = [
  {
    title: 'the same version on both sides is no conflict',
    a: side('a', apart, 5, 'x', 'n'),
    b: side('b', apart, 5, 'x', 'n'),
    winner: 'a',
    conflict: false,
  },
  {
    title: 'changed on one side only: that side',
    a: side('a', apart, 5, 'x'),
    b: side('b', unchanged, 3, 'y'),
    winner: 'a',
    conflict: false,
  },
  {
    title: 'the later of two writes apart stands, with a conflict',
    a: side('a', apart, 5, 'x'),
    b: side('b', apart, 6, 'y'),
    winner: 'b',
    conflict: true,
  },
  {
    title: 'with equal clocks the greater node stands',
    a: side('a', apart, 5, 'x'),
    b: side('b', apart, 5, 'y'),
    winner: 'b',
    conflict: true,
  },
  {
    title: 'the same content written apart is no conflict, the later version stands',
    a: side('a', apart, 5, 'x'),
    b: side('b', apart, 6, 'x'),
    winner: 'b',
    conflict: false,
  },
  {
    title: 'deleted on both sides apart is no conflict',
    a: side('a', apart, 7, null),
    b: side('b', apart, 6, null),
    winner: 'a',
    conflict: false,
  },
  {
    title: 'a later delete stands against a write apart, with a conflict',
    a: side('a', apart, 7, null),
    b: side('b', apart, 6, 'y'),
    winner: 'a',
    conflict: true,
  },
  {
    title: 'a delete apart stands against what it deleted, without one',
    a: side('a', apart, 7, null),
    b: side('b', unchanged, 6, 'y'),
    winner: 'a',
    conflict: false,
  },
  {
    title: 'a side that never had the key has nothing to say',
    a: side('a', apart, ABSENT, null),
    b: side('b', unchanged, 6, 'y'),
    winner: 'b',
    conflict: false,
  },
  {
    title: 'the same the other way round',
    a: side('a', foreign, 6, 'y'),
    b: side('b', foreign, ABSENT, null),
    winner: 'a',
    conflict: false,
  },
  {
    title: 'a write both took part in is no conflict: the greater version',
    a: side('a', unacknowledged, 9, 'x'),
    b: side('b', apart, 6, 'y'),
    winner: 'a',
    conflict: false,
  },
  {
    title: 'two unacknowledged writes are none either',
    a: side('a', unacknowledged, 4, 'x'),
    b: side('b', unacknowledged, 6, 'y'),
    winner: 'b',
    conflict: false,
  },
  {
    title: 'rows of tables that never met are a conflict when they differ',
    a: side('a', foreign, 4, 'x'),
    b: side('b', foreign, 6, 'y'),
    winner: 'b',
    conflict: true,
  },
  {
    title: 'and none when they hold the same',
    a: side('a', foreign, 4, 'x'),
    b: side('b', foreign, 6, 'x'),
    winner: 'b',
    conflict: false,
  },
  {
    title: 'foreign against apart is a conflict',
    a: side('a', foreign, 8, 'x'),
    b: side('b', apart, 6, 'y'),
    winner: 'a',
    conflict: true,
  },
  {
    title: 'owner: the earlier write of the owner stands',
    a: side('a', apart, 5, 'x'),
    b: side('b', apart, 6, 'y'),
    context: owner('a'),
    winner: 'a',
    conflict: true,
  },
  {
    title: 'owner: when both name their writer, the later',
    a: side('a', apart, 5, 'x'),
    b: side('b', apart, 6, 'y'),
    context: owner('a', 'b'),
    winner: 'b',
    conflict: true,
  },
  {
    title: 'owner: when neither does, the later',
    a: side('a', apart, 7, 'x'),
    b: side('b', apart, 6, 'y'),
    context: owner(),
    winner: 'a',
    conflict: true,
  },
  {
    title: 'owner: has no say where there is no conflict',
    a: side('a', unchanged, 5, 'x'),
    b: side('b', apart, 6, 'y'),
    context: owner('a'),
    winner: 'b',
    conflict: false,
  },
  {
    title: 'primary: the island of the primary stands',
    a: side('a', apart, 5, 'x'),
    b: side('b', apart, 6, 'y'),
    context: primary('a'),
    winner: 'a',
    conflict: true,
  },
  {
    title: 'primary: somewhere else, the later',
    a: side('a', apart, 5, 'x'),
    b: side('b', apart, 6, 'y'),
    context: primary('c'),
    winner: 'b',
    conflict: true,
  },
  {
    title: 'primary: unknown, the later',
    a: side('a', apart, 7, 'x'),
    b: side('b', apart, 6, 'y'),
    context: primary(undefined),
    winner: 'a',
    conflict: true,
  },
];

test.each(cases)('$title', ({ a, b, context = lastWrite, winner, conflict }) => {
  expect(settle(a, b, context)).toEqual({ winner: winner === 'a' ? a : b, conflict });
});

test.each(cases)(
  'Asked the other way round the same version wins: $title',
  ({ a, b, context = lastWrite, conflict }) => {
    const [one, other] = [settle(a, b, context), settle(b, a, context)];
    const version = ({ winner }: typeof one): unknown[] => [winner.hlc, winner.node, winner.bytes];
    expect(version(other)).toEqual(version(one));
    expect(other.conflict).toBe(conflict);
  },
);
