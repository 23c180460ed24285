/**
 * What two databases say to each other. A message is an array that begins with its kind; all messages of one turn to
 * one node travel together as `[hlc, message, message, …]`.
 */

export const Kind = {
  prepare: 1,
  vote: 2,
  commit: 3,
  abort: 4,
  applied: 5,
  /** The coordinator lost a participant before deciding: the shorter list. */
  prepareAgain: 6,
  /** A participant that lost the coordinator asks the others what they know. */
  ask: 7,
  tell: 8,
  read: 9,
  readReply: 10,
  tick: 11,
  /** "You are out of my island": sent when an overlapping partition is split or a disc has failed. */
  exclude: 12,
  freeze: 13,
  frozen: 14,
  refuse: 15,
  delta: 16,
  deltaRows: 17,
  stage: 18,
  staged: 19,
  merge: 20,
  merged: 21,
  mergeDone: 22,
  mergeAbort: 23,
  /** Please run the node connection transaction; answered by it happening or by refuse. */
  nudge: 24,
  mergeAsk: 26,
  mergeTell: 27,
  /** The survivor that settled an orphaned transaction tells the others. */
  resolve: 28,
  /** A member tells of itself while it serves on; then it offers, and keeps what it is given, until the freeze. */
  survey: 29,
  surveyed: 30,
  /** What changed since it was offered. */
  deltaAgain: 31,
  /** A piece arrived: the next may be sent. */
  deltaTaken: 32,
  stageTaken: 33,
  /** The leader still copies. */
  copying: 34,
  /** What are the digests of this table's buckets? */
  buckets: 35,
  bucketDigests: 36,
  /** Nodes that were removed for good, and all that never take part again. */
  removed: 37,
  /** Of a table with `majority`, see settlement.ts: a ballot over a lost coordinator's transaction, 0 where it only asks. */
  ballot: 41,
  balloted: 42,
  accept: 43,
  accepted: 44,
  /** The answer to an `abort` that asks for one. */
  aborted: 45,
  /** Of a decided orphan, see handover.ts: do you hold it, or else take it; the answer. */
  handover: 46,
  handedOver: 47,
  /** What was guarded is decided: see guards.ts. */
  unguarded: 48,
  /** Yes to many first proposals at once. A `vote` is a no, or the answer to a `prepareAgain`. */
  yes: 40,
  /** Dirty writes: as `prepare`, but they are made already, and nobody is asked. */
  dirty: 49,
  /** A member of a node connection transaction is frozen: no dirty write of it comes after this. */
  fence: 50,
} as const;

/** Lets 2^32 attempts of one life of a node have numbers of their own. */
export const NUMBERS_PER_INCARNATION = 2 ** 32;

export const Vote = { yes: 1, no: 0 } as const;

/** Why a participant said no. */
export const NoReason = {
  conflict: 1,
  /** The proposed version is not above what is overwritten; the sender's clock has caught up by reading this. */
  clock: 2,
  frozen: 3,
  notInView: 4,
  notLoaded: 5,
  stale: 6,
  disc: 7,
  overloaded: 8,
  /** The voter runs with a replica holder that the coordinator counts as lost: first they must agree. */
  view: 9,
} as const;
export type NoReason = (typeof NoReason)[keyof typeof NoReason];

/**
 * What a node knows of another's transaction. `undecided`: it is the coordinator and still collects votes. `forgotten`:
 * it may have been known in an earlier life, or until the one who asks was let go.
 */
export const Outcome = { unknown: 0, prepared: 1, committed: 2, undecided: 3, forgotten: 4 } as const;

/**
 * Proposals of one turn to the same participants: `[kind, participants, tables, n, octets]`, the octets as in
 * proposals.ts, `n` the number the first of them counts from.
 */
export type PrepareMessage = [
  kind: typeof Kind.prepare | typeof Kind.dirty,
  participants: readonly string[],
  tables: string[],
  n: number,
  octets: Uint8Array,
  /** Of dirty writes: who made them. `n` is then the place of the first among its decisions, 0 from somebody else. */
  writer?: string,
];

/**
 * Numbers in rows: `[kind, first, n, count, n, count, …]`. Of a `commit`, `first` is the place of the first in the order
 * of its coordinator's decisions, and the others follow it; a `yes` has 0 there.
 */
export type NumbersMessage = [kind: number, first: number, ...runs: number[]];

export type Message = [kind: number, ...rest: unknown[]];
