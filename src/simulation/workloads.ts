/**
 * What the clients of a seed are about: everything, or one question asked as hard as possible. `unmet`: those of a node
 * that has met nobody ask it only for what takes a majority, which it must refuse.
 */

import type { Pace } from './fault-profiles.ts';
import type { OperationKind } from './history.ts';
import type { SeededRandom } from './seeded-random.ts';

export type WorkloadName = 'mixed' | 'lists' | 'majority' | 'schema' | 'unmet' | 'dirty';

type Weights = readonly (readonly [OperationKind, number])[];

const MIXED: Weights = [
  ['register-write', 14],
  ['register-read', 8],
  ['register-delete', 5],
  ['counter', 10],
  ['transfer', 10],
  ['bank-read', 5],
  ['append', 12],
  ['skew', 4],
  ['list-read', 9],
  ['majority-read', 2],
  ['list-abort', 1],
  ['pair-write', 8],
  ['pair-delete', 1],
  ['pair-read', 8],
  ['claim', 3],
  ['abort', 2],
  ['dirty-write', 3],
  ['dirty-delete', 1],
  ['local-write', 1],
  ['create-table', 0.3],
];

export const WEIGHTS: Readonly<Record<WorkloadName, Weights>> = {
  mixed: MIXED,
  // One operation in fifteen changes the schema.
  schema: [
    ...MIXED,
    ['add-copy', 2],
    ['del-copy', 1.5],
    ['move-copy', 1],
    ['change-copy', 1],
    ['delete-table', 0.5],
    ['declare-table', 1.5],
  ],
  lists: [
    ['append', 10],
    ['skew', 10],
    ['list-read', 12],
    ['majority-read', 1],
    ['list-abort', 1],
    ['counter', 1],
  ],
  majority: [
    ['append', 10],
    ['skew', 10],
    ['majority-read', 8],
    ['list-read', 2],
    ['list-abort', 1],
  ],
  unmet: [
    ['append', 4],
    ['skew', 2],
    ['majority-read', 2],
    ['list-abort', 1],
  ],
  // Dirty operations and transactions on the same few rows.
  dirty: [
    ['dirty-write', 12],
    ['dirty-delete', 4],
    ['overlap', 6],
    ['register-write', 1],
    ['register-read', 1],
  ],
};

/** Fewer keys, more conflicts. */
export const KEYS: Readonly<Record<WorkloadName, readonly number[]>> = {
  mixed: [3, 4, 10, 30],
  lists: [3, 6, 20],
  majority: [2, 3, 8],
  schema: [3, 4, 10, 30],
  unmet: [3],
  dirty: [2, 3, 8],
};

/**
 * Many small transactions at once, for a short time; where a majority is asked for fewer, since what breaks there breaks
 * between two faults that meet, not between two transactions.
 */
export function hardPace(workload: WorkloadName, random: SeededRandom): Pace {
  if (workload === 'majority') {
    return {
      clientsPerNode: random.integer(1, 3),
      thinkMs: [0.2, random.pick([20, 60, 200])],
      dawdleMsMost: 15,
      durationMs: random.between(8000, 20_000),
    };
  }
  return {
    clientsPerNode: random.integer(2, 8),
    thinkMs: [0.2, random.pick([10, 40, 150])],
    dawdleMsMost: 15,
    durationMs: random.between(4000, 16_000),
  };
}
