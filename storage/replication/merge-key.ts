/**
 * From what the sources of a table offer of one key: the row that every replica gets, the losers that go to the ledger,
 * and what nodes outside are owed of it. Pure.
 */
import type { NodeId } from '../environment.ts';
import { lastDeleted, ruleText, type SchemaTable } from '../schema/definition.ts';
import { isNewer } from '../tables/row.ts';
import type { Key, Version } from '../types.ts';
import type { DeltaRow, OutsiderEntry } from './connection-messages.ts';
import {
  type Candidate,
  isOwedTo,
  type RuleContext,
  type SeenVersion,
  settle,
  thresholdOf,
  uniteSeen,
  type Verdict,
} from './merge.ts';
import type { Source, TablePlan } from './merge-plan.ts';

export interface Loser {
  readonly table: string;
  readonly key: Key;
  /** What decided: the table's merge rule, or that the table was deleted. */
  readonly rule: string;
  readonly winner: Candidate;
  readonly loser: Candidate;
  /** Nothing is left to be decided by anybody. */
  readonly isSettled: boolean;
}

/** What one merge of a key came to. */
export interface MergedKey {
  /** With what it has seen, united from all that was offered. Undefined: no source has anything to say of the key. */
  readonly winner: Candidate | undefined;
  readonly losers: readonly Loser[];
  /** It stands against a greater version. */
  readonly ruled: boolean;
  /** Why the table's merge function could not decide. */
  readonly failure: string | undefined;
}

/**
 * Merges what the sources offer of one key; `offers` by the place of the source in the plan. `isCompared`: a source that
 * says nothing of the key has nothing.
 */
export function mergeKey(
  { definition, sources }: TablePlan,
  offers: readonly (DeltaRow | undefined)[],
  context: RuleContext,
  isCompared = false,
): MergedKey {
  let united: Candidate | undefined;
  let copied: Candidate | undefined;
  let ruled = false;
  let failure: string | undefined;
  const losers: Loser[] = [];
  for (const [index, source] of sources.entries()) {
    const offer = offers[index];
    if (offer === undefined) continue;
    const candidate = candidateOf(source, offer);
    if (candidate.hlc <= (source.copiedHlc ?? 0)) {
      copied = candidate;
      continue;
    }
    if (united === undefined) {
      united = candidate;
      continue;
    }
    const [key] = offer;
    const { winner, losers: lost, rule, isSettled, failure: why }: Verdict = settle(key, united, candidate, context);
    for (const loser of lost) losers.push({ table: definition.name, key, rule, winner, loser, isSettled });
    failure ??= why;
    for (const { hlc, node } of [united, candidate]) ruled ||= isNewer(hlc, node, winner.hlc, winner.node);
    united = uniteSeen(uniteSeen(winner, united), candidate);
  }
  if (copied !== undefined) return { ...overCopied(copied, united, context, isCompared), losers, failure };
  const silent = isCompared ? deleterOf(sources, offers) : undefined;
  if (silent === undefined || united === undefined || united.bytes === null) {
    return { winner: united, losers, ruled, failure };
  }
  if (!isOwedTo(united, silent.island, context)) {
    return { winner: deleted(united, context), losers, ruled: true, failure };
  }
  // Written on this side, and perhaps deleted on that one.
  const gone: Version = { hlc: silent.forgotDeletesHlc as number, node: silent.node };
  const loser = { ...united, ...gone, bytes: null, island: silent.island };
  const [key] = offers.find((offer) => offer !== undefined) as DeltaRow;
  losers.push({ table: definition.name, key, rule: ruleText(context.rule), winner: united, loser, isSettled: false });
  return { winner: united, losers, ruled, failure };
}

/**
 * What became of a row that an old copy of a disc had: what the others have was written over it. Where they have nothing
 * it was deleted, and the version of that may be forgotten.
 */
function overCopied(
  copied: Candidate,
  standing: Candidate | undefined,
  context: RuleContext,
  isCompared: boolean,
): { readonly winner: Candidate; readonly ruled: boolean } {
  if (standing !== undefined) {
    const { hlc, node } = standing;
    return { winner: standing, ruled: isNewer(copied.hlc, copied.node, hlc, node) };
  }
  if (!isCompared || copied.bytes === null) return { winner: copied, ruled: false };
  return { winner: deleted(copied, context), ruled: true };
}

/** As it was there once, it was deleted since, at a version that nobody remembers. */
function deleted(candidate: Candidate, context: RuleContext): Candidate {
  const version = context.newVersion();
  return { ...candidate, ...version, bytes: null, seenByDefault: version };
}

/** A source that has forgotten its deletes and says nothing of the key, as all of its island. */
function deleterOf(sources: readonly Source[], offers: readonly (DeltaRow | undefined)[]): Source | undefined {
  return sources.find(
    ({ forgotDeletesHlc, island }) =>
      forgotDeletesHlc !== undefined &&
      sources.every(({ node }, index) => offers[index] === undefined || !island.includes(node)),
  );
}

/** A row of a deleted table belongs into the ledger, unless whoever deleted the table had it. */
export function leftoverLoser(definition: SchemaTable, source: Source, row: DeltaRow): Loser | undefined {
  const [key, hlc, node, bytes, seen] = row;
  const wasSeen = seen.some(
    ([other, seenHlc, writer]) => !source.island.includes(other) && seenHlc === hlc && writer === node,
  );
  if (bytes === null || wasSeen) return undefined;
  const loser = candidateOf(source, row);
  const winner = { ...loser, hlc: lastDeleted(definition), node: '', bytes: null, island: [] };
  return { table: definition.name, key, rule: 'table_deleted', winner, loser, isSettled: false };
}

function candidateOf(
  { node: source, island, isOneOfIsland, strangers, lives }: Source,
  [, hlc, node, bytes, list]: DeltaRow,
): Candidate {
  const seen = new Map(
    list.map(([other, seenHlc, writer, base]): [NodeId, SeenVersion] => [other, { hlc: seenHlc, node: writer, base }]),
  );
  const keepers = isOneOfIsland ? [source] : island;
  return { hlc, node, bytes, island, keepers, seenByDefault: { hlc, node }, seen, strangers, lives };
}

/** What stands is owed to a holder outside that those it comes from do not know; those who do have not told it. */
export function owedToStranger(stranger: NodeId, key: Key, winner: Candidate): OutsiderEntry {
  const { hlc, node } = thresholdOf(winner, stranger);
  return [stranger, key, hlc, node, winner.bytes === null ? winner.hlc : 0, winner.node];
}

/** What is owed to a node outside, as it was merged, with what that has seen of the node. */
export function mergedOutsider(
  [outsider, key, hlc, node, , , ...base]: OutsiderEntry,
  winner: Candidate,
): OutsiderEntry {
  const merged = owedToStranger(outsider, key, winner);
  const [, , seenHlc, seenNode, deletedHlc, deletedNode] = merged;
  return isNewer(seenHlc, seenNode, hlc, node) ? merged : [outsider, key, hlc, node, deletedHlc, deletedNode, ...base];
}
