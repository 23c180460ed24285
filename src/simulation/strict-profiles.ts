/** Faults for the seeds that ask one question hard: are transactions strictly serializable? */
import type { Profile } from './fault-profiles.ts';

/** One question, asked hard: many small transactions over lists, in short seeds. */
export const STRICT_PROFILES: readonly Profile[] = [
  {
    name: 'lists',
    splits: false,
    gapMs: [300, 2000],
    workload: 'lists',
    weights: {
      kill: 3,
      'kill in protocol': 6,
      'orderly stop': 1,
      'short pause': 2,
      blip: 2,
      delay: 2,
      'clock jump': 1,
    },
  },
  {
    name: 'islands',
    splits: true,
    gapMs: [800, 3000],
    workload: 'lists',
    weights: {
      cut: 3,
      'overlapping cut': 2,
      'one-way cut': 1,
      'kill in protocol': 3,
      blip: 1,
      'long pause': 1,
      delay: 1,
    },
  },
];
