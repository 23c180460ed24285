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

/** The same question, where it is promised over the whole run: of tables of which a majority must agree. */
export const MAJORITY_PROFILES: readonly Profile[] = [
  {
    name: 'majority',
    splits: true,
    gapMs: [200, 2000],
    workload: 'majority',
    weights: {
      cut: 4,
      'one-way cut': 3,
      'overlapping cut': 4,
      isolation: 3,
      flapping: 1,
      'long blip': 1,
      kill: 3,
      'kill in protocol': 10,
      'kill all': 1,
      'orderly stop': 1,
      'long pause': 1,
      delay: 1,
      'clock jump': 1,
    },
  },
  {
    // Coordinators die with their proposals out, and so do those who settle them, while nobody reaches everybody.
    name: 'settlers',
    splits: true,
    gapMs: [200, 1200],
    workload: 'majority',
    killPoints: [
      'commit.after_prepare_sent',
      'commit.vote_received',
      'commit.decided',
      'participant.after_vote',
      'orphan.asked',
      'orphan.before_settle',
      'orphan.settled',
    ],
    weights: { 'kill in protocol': 12, 'overlapping cut': 6, cut: 3, isolation: 2, flapping: 1 },
  },
];
