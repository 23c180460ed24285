/** Kinds of trouble, and which of them a seed is about. */
import type { ProbePoint } from '../../storage/environment.ts';
import type { WorkloadName } from './workloads.ts';

export type FaultKind =
  | 'cut'
  | 'one-way cut'
  | 'overlapping cut'
  | 'isolation'
  | 'blip'
  | 'long blip'
  | 'flapping'
  | 'delay'
  | 'kill'
  | 'kill in protocol'
  | 'power loss'
  | 'orderly stop'
  | 'kill all'
  | 'short pause'
  | 'long pause'
  | 'slow disc'
  | 'full disc'
  | 'broken disc'
  | 'clock jump'
  | 'old disc'
  | 'empty disc'
  | 'removed node'
  | 'new node';

export interface Profile {
  readonly name: string;
  /** Two islands may come about. */
  readonly splits: boolean;
  readonly gapMs: readonly [number, number];
  readonly weights: Partial<Record<FaultKind, number>>;
  /** Where nodes die in a protocol; anywhere when absent. */
  readonly killPoints?: readonly ProbePoint[];
  /** How much is asked of the nodes, and for how long; drawn from the seed when absent. */
  readonly pace?: Pace;
  /** What the clients are about; everything when absent. */
  readonly workload?: WorkloadName;
}

export interface Pace {
  readonly clientsPerNode: number;
  /** A client rests so long after each answer. */
  readonly thinkMs: readonly [number, number];
  /** A transaction that takes its time between two steps takes at most this: where little is asked, conflicts come from there. */
  readonly dawdleMsMost: number;
  readonly durationMs: number;
}

export const PROFILES: readonly Profile[] = [
  { name: 'calm', splits: false, gapMs: [500, 3000], weights: { 'clock jump': 1, delay: 2 } },
  {
    name: 'deaths',
    splits: false,
    gapMs: [700, 4000],
    weights: { kill: 4, 'kill in protocol': 6, 'orderly stop': 2, 'short pause': 2, blip: 2, 'slow disc': 1 },
  },
  {
    name: 'rough links',
    splits: false,
    gapMs: [200, 1500],
    weights: { blip: 6, delay: 4, 'short pause': 3, 'clock jump': 1, 'slow disc': 1 },
  },
  {
    name: 'partitions',
    splits: true,
    gapMs: [1500, 6000],
    weights: { cut: 5, isolation: 2, blip: 1, 'long blip': 2 },
  },
  {
    name: 'crooked partitions',
    splits: true,
    gapMs: [1500, 6000],
    weights: { 'one-way cut': 4, 'overlapping cut': 4, isolation: 1, flapping: 2, 'long pause': 1 },
  },
  {
    name: 'everything',
    splits: true,
    gapMs: [800, 4000],
    weights: {
      cut: 3,
      'one-way cut': 2,
      'overlapping cut': 2,
      isolation: 1,
      blip: 2,
      'long blip': 1,
      flapping: 1,
      delay: 2,
      kill: 3,
      'kill in protocol': 4,
      'orderly stop': 1,
      'short pause': 1,
      'long pause': 1,
      'slow disc': 1,
      'clock jump': 1,
    },
  },
  {
    name: 'whole cluster',
    splits: false,
    gapMs: [3000, 8000],
    weights: { 'kill all': 3, kill: 2, 'orderly stop': 2, 'kill in protocol': 2 },
  },
  {
    name: 'schema changes',
    splits: true,
    gapMs: [800, 4000],
    workload: 'schema',
    weights: {
      cut: 2,
      'overlapping cut': 1,
      isolation: 1,
      blip: 2,
      'long blip': 1,
      delay: 1,
      kill: 3,
      'kill in protocol': 6,
      'orderly stop': 1,
      'short pause': 1,
      'long pause': 1,
    },
  },
];

/** Nodes that nobody has met yet. */
export const GROWING_PROFILES: readonly Profile[] = [
  {
    // Writers, and those they have told, die and part, while transactions write the same rows.
    name: 'dirty writers',
    splits: true,
    gapMs: [300, 2500],
    workload: 'dirty',
    weights: {
      cut: 3,
      'one-way cut': 2,
      'overlapping cut': 3,
      isolation: 1,
      flapping: 1,
      'long blip': 1,
      delay: 4,
      kill: 2,
      'kill in protocol': 8,
      'kill all': 0.5,
      'orderly stop': 1,
      'long pause': 1,
      'clock jump': 1,
    },
  },
  {
    name: 'growing',
    splits: true,
    gapMs: [1000, 4000],
    weights: { 'new node': 6, cut: 3, isolation: 2, 'kill in protocol': 2, kill: 1, 'long blip': 1 },
  },
];

/** Not drawn: asked for by name. */
export const NAMED_PROFILES: readonly Profile[] = [
  {
    // An hour in which little happens, until something does.
    name: 'long watch',
    splits: true,
    gapMs: [20_000, 120_000],
    pace: { clientsPerNode: 1, thinkMs: [2000, 18_000], dawdleMsMost: 500, durationMs: 3_600_000 },
    weights: {
      cut: 2,
      'one-way cut': 1,
      'overlapping cut': 1,
      isolation: 1,
      blip: 2,
      'long blip': 1,
      flapping: 1,
      delay: 2,
      kill: 2,
      'kill in protocol': 1,
      'orderly stop': 1,
      'short pause': 1,
      'long pause': 1,
      'slow disc': 1,
      'clock jump': 1,
    },
  },
];

/** Discs that fail are about themselves; a seed has them or not. */
export const DISC_PROFILES: readonly Profile[] = [
  {
    name: 'bad discs',
    splits: true,
    gapMs: [1500, 5000],
    weights: { 'slow disc': 3, 'full disc': 3, 'broken disc': 2, kill: 2 },
  },
  {
    name: 'power',
    splits: false,
    gapMs: [2500, 7000],
    weights: { 'power loss': 5, kill: 1, 'slow disc': 1 },
  },
  {
    name: 'old discs',
    splits: false,
    gapMs: [2500, 7000],
    weights: { 'old disc': 4, 'empty disc': 2, kill: 1, 'orderly stop': 1 },
  },
  {
    name: 'lost discs',
    splits: false,
    gapMs: [2500, 7000],
    weights: { 'empty disc': 5, kill: 1, 'orderly stop': 1 },
  },
];

/** Machines that are gone for good; another one takes the name. */
export const REMOVAL_PROFILES: readonly Profile[] = [
  {
    name: 'removals',
    splits: false,
    gapMs: [2000, 6000],
    weights: { 'removed node': 5, 'kill in protocol': 4, kill: 1, 'orderly stop': 1 },
  },
];
