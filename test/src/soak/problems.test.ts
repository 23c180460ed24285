import { expect, test } from 'vitest';
import { problemsOf } from '../../../src/soak/main.ts';
import type { RoundResult } from '../../../src/soak/soak.ts';

function round(at: number, residentMiB: number, files: number): RoundResult {
  return {
    round: at,
    operations: 10,
    acknowledged: 10,
    refused: 0,
    unknown: 0,
    conflicts: 0,
    split: false,
    restMs: 1,
    violations: [],
    checked: {},
    resources: [{ residentBytes: residentMiB * 2 ** 20, files }],
  };
}

test('memory and files that stay level are no problem', () => {
  const rounds = Array.from({ length: 20 }, (_, at) => round(at, 150 + (at % 3) * 10, 40 + (at % 2)));
  expect(problemsOf({ rounds, steady: 0 })).toEqual([]);
});

test('memory that grows with the rounds is named', () => {
  const rounds = Array.from({ length: 20 }, (_, at) => round(at, 150 + at * 10, 40));
  expect(problemsOf({ rounds, steady: 0 })).toEqual(['peer1, which lived through all rounds, grew by 140 MiB']);
});

test('files that are never closed are named', () => {
  const rounds = Array.from({ length: 20 }, (_, at) => round(at, 150, 40 + at));
  expect(problemsOf({ rounds, steady: 0 })).toEqual([
    'peer1, which lived through all rounds, holds 14 more open files',
  ]);
});

test('what a checker found and a run without a round are problems', () => {
  const broken = { ...round(1, 100, 10), violations: [{ checker: 'bank sum', text: 'the sum is 599' }] };
  expect(problemsOf({ rounds: [broken], steady: 0 })).toEqual(['round 1: bank sum: the sum is 599']);
  expect(problemsOf({ rounds: [], steady: undefined })).toEqual(['no round was finished']);
});
