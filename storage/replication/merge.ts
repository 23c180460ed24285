/**
 * Who wins when two islands hold different versions of a key (storage.md §6). Pure: the same input gives the same
 * winner on whichever node it is asked.
 *
 * A version that has *seen* the other one was written over it, and wins without further ado. If neither has seen the
 * other they are in conflict, and the table's rule decides. What a version has seen is known as one threshold per node:
 * of that node's own writes to the key, it has seen those up to there.
 */
import type { NodeId } from '../environment.ts';
import { ruleText } from '../schema/definition.ts';
import { isNewer } from '../tables/row.ts';
import type { Key, MergeRule, StorageKind, Version } from '../types.ts';
import { SEEN_UNKNOWN } from './changed-since.ts';
import { isForgotten, type Lives } from './lives.ts';

export const NOTHING_SEEN: Version = { hlc: 0, node: '' };

export interface SeenVersion extends Version {
  /** The content at that version, null where there was none; kept only where the table's rule is a function. */
  readonly base?: Uint8Array | null | undefined;
}

export interface Candidate {
  readonly hlc: number;
  readonly node: NodeId;
  /** null: deleted. */
  readonly bytes: Uint8Array | null;
  /** Node ids of the island that offers it. */
  readonly island: readonly NodeId[];
  /** Of its island those that have just this: all, unless some of them offer what they have by themselves. */
  readonly keepers: readonly NodeId[];
  /** Of whom nothing else is said, it has seen all writes up to here. */
  readonly seenByDefault: Version;
  /** Thresholds of nodes it was written without. */
  readonly seen: ReadonlyMap<NodeId, SeenVersion>;
  /** Nodes whose replica its island does not know: nothing was noted for them, and they voted for nothing. */
  readonly strangers: ReadonlySet<NodeId>;
  /** Lives of nodes that its island knows of. */
  readonly lives: Lives;
  /** A merge function made it of versions that are in the ledger. */
  readonly isMade?: boolean;
}

export interface Verdict {
  readonly winner: Candidate;
  /** Neither had seen the other, and the contents differ: what belongs into the ledger. */
  readonly losers: readonly Candidate[];
  /** What decided a conflict, as the ledger names it. */
  readonly rule: string;
  /** A function made one of both: nothing is left to be decided by anybody. */
  readonly isSettled: boolean;
  /** Why the table's function could not decide. */
  readonly failure?: string;
}

/** What a merge function returned: octets of a value, null to delete; or why it could not. */
export type Called = { readonly bytes: Uint8Array | null } | { readonly failure: string };

export interface RuleContext {
  readonly rule: MergeRule;
  /** Whether the value octets of a candidate name its writer as owner. */
  ownedByWriter(candidate: Candidate): boolean;
  readonly primary: NodeId | undefined;
  /** Calls the table's merge function. */
  call(key: Key, a: Candidate, b: Candidate): Called;
  /** A version above all that was offered, for what is made of two. */
  newVersion(): Version;
  /** Replicas of the table, and since when they have taken part. */
  readonly replicas: ReadonlyMap<NodeId, StorageKind>;
  readonly born: ReadonlyMap<NodeId, number>;
  /** The lives that the members of both islands know of. */
  readonly lives: Lives;
}

function sameOctets(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function newest<V extends Version>(a: V, b: V): V {
  return isNewer(b.hlc, b.node, a.hlc, a.node) ? b : a;
}

function least(a: Version, b: Version): Version {
  return isNewer(b.hlc, b.node, a.hlc, a.node) ? a : b;
}

function byRule(a: Candidate, b: Candidate, context: RuleContext): Candidate {
  if (context.rule === 'primary' && context.primary !== undefined) {
    const primary = context.primary;
    const ours = a.island.includes(primary);
    if (ours !== b.island.includes(primary)) return ours ? a : b;
  }
  if (context.rule === 'owner') {
    const ours = context.ownedByWriter(a);
    if (ours !== context.ownedByWriter(b)) return ours ? a : b;
  }
  return newest(a, b);
}

export function thresholdOf(candidate: Candidate, node: NodeId): Version {
  return candidate.seen.get(node) ?? (candidate.strangers.has(node) ? NOTHING_SEEN : candidate.seenByDefault);
}

/** Whether the votes of the other version's writer say anything of that write to the candidate's island. */
function isVotedFor({ lives, strangers }: Candidate, { hlc, node }: Version, { replicas, born }: RuleContext): boolean {
  const kind = replicas.get(node);
  if (kind === undefined || strangers.has(node) || hlc <= (born.get(node) ?? 0)) return false;
  return !isForgotten(lives.get(node), hlc, kind === 'ram_copies');
}

/**
 * Whether `island` may never have had it. What one of its members had all of them have seen, unless a copy in memory has
 * forgotten it since. A member that is noted for having voted for just this has it while it runs on: one that died may have
 * done so before it heard of the commit, whatever else it had on its disc.
 */
export function isOwedTo(
  { hlc, node: writer, seen, strangers }: Candidate,
  island: readonly NodeId[],
  { replicas, lives }: Pick<RuleContext, 'replicas' | 'lives'>,
): boolean {
  const hasVoted = (node: NodeId): boolean => {
    const known = seen.get(node);
    return known?.hlc === hlc && known.node === writer && hlc > (lives.get(node)?.born ?? 0);
  };
  const isNoted = (node: NodeId): boolean => strangers.has(node) || (seen.has(node) && !hasVoted(node));
  const holders = island.filter((node) => replicas.has(node));
  const mayForget = holders.some((node) => replicas.get(node) === 'ram_copies');
  return mayForget ? holders.some(isNoted) : holders.every(isNoted);
}

/** Whether `candidate` was written over `other`, as far as its island can tell. */
function hasSeen(candidate: Candidate, other: Candidate, context: RuleContext): boolean {
  const { replicas, lives } = context;
  const writer = other.node;
  const known = candidate.lives.get(writer);
  const newestBorn = lives.get(writer)?.born ?? 0;
  // Of a life that the island has not met yet: its clock may have gone back with its memory.
  if (known !== undefined && newestBorn > known.born && other.hlc > newestBorn) return false;
  let threshold = thresholdOf(candidate, writer);
  if (!isVotedFor(candidate, other, context)) {
    // Those who kept it for the writer must vouch: all of them that the candidate's island knows.
    const vouching = other.keepers.filter((node) => replicas.has(node) && !candidate.strangers.has(node));
    threshold = vouching.length === 0 ? NOTHING_SEEN : candidate.seenByDefault;
    for (const node of vouching) threshold = least(threshold, thresholdOf(candidate, node));
  }
  // Its island remembers no more what it had seen. The other one remembers what it has not told.
  if (threshold.hlc === SEEN_UNKNOWN) return !isOwedTo(other, candidate.island, context);
  return !isNewer(other.hlc, other.node, threshold.hlc, threshold.node);
}

export function settle(key: Key, a: Candidate, b: Candidate, context: RuleContext): Verdict {
  const rule = ruleText(context.rule);
  const standing = (winner: Candidate): Verdict => ({ winner, losers: [], rule, isSettled: true });
  if (a.hlc === b.hlc && a.node === b.node) return standing(a);
  const aHasSeen = hasSeen(a, b, context);
  const bHasSeen = hasSeen(b, a, context);
  if (aHasSeen !== bHasSeen) return standing(aHasSeen ? a : b);
  if (aHasSeen) return standing(newest(a, b));
  // Whoever has written over one of them has not seen the other: what stands for both is a version of its own.
  if (sameOctets(a.bytes, b.bytes)) return standing({ ...newest(a, b), ...context.newVersion() });
  if (typeof context.rule === 'object') return byFunction(key, a, b, context);
  const winner = byRule(a, b, context);
  return { winner, losers: [winner === a ? b : a], rule, isSettled: false };
}

function byFunction(key: Key, a: Candidate, b: Candidate, context: RuleContext): Verdict {
  const called = context.call(key, a, b);
  const latest = newest(a, b);
  const other = latest === a ? b : a;
  if ('failure' in called) {
    return { winner: latest, losers: [other], rule: 'last_write', isSettled: false, failure: called.failure };
  }
  const rule = ruleText(context.rule);
  for (const [one, another] of [
    [latest, other],
    [other, latest],
  ] as const) {
    if (sameOctets(one.bytes, called.bytes)) return { winner: one, losers: [another], rule, isSettled: false };
  }
  const version = context.newVersion();
  const winner = { ...latest, ...version, bytes: called.bytes, isMade: true };
  const losers = [a, b].filter(({ isMade }) => !isMade);
  return { winner, losers, rule, isSettled: true };
}

/** What the merged row has seen: all that either side had is below it, or in the ledger. */
export function uniteSeen(winner: Candidate, other: Candidate): Candidate {
  const seen = new Map<NodeId, Version>();
  for (const node of [...winner.seen.keys(), ...other.seen.keys(), ...winner.strangers, ...other.strangers]) {
    seen.set(node, newest(thresholdOf(winner, node), thresholdOf(other, node)));
  }
  const strangers = new Set<NodeId>();
  return { ...winner, seen, strangers, seenByDefault: newest(winner.seenByDefault, other.seenByDefault) };
}
