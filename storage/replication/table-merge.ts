/**
 * One table in the hands of the leader: what its sources offered of each key, which keys are to be merged, again when
 * an offer changed, and which members need the outcome. Pure.
 */
import type { NodeId } from '../environment.ts';
import { ROW_BYTES_PER_MESSAGE, ROWS_PER_MESSAGE } from '../limits.ts';
import { bucketOf } from '../tables/digest.ts';
import type { Token } from '../tables/row.ts';
import { keyToken } from '../term.ts';
import type { Key } from '../types.ts';
import type { DeltaRow, OutsiderEntry, StagedRow } from './connection-messages.ts';
import type { Candidate, RuleContext } from './merge.ts';
import { type Loser, leftoverLoser, type MergedKey, mergedOutsider, mergeKey, owedToStranger } from './merge-key.ts';
import type { TablePlan } from './merge-plan.ts';

interface KeyOffers {
  readonly key: Key;
  readonly token: Token;
  /** By the place of the source in the plan. */
  readonly offers: (DeltaRow | undefined)[];
  /** Members were told something of it before: they must hear of every change. */
  isStaged: boolean;
  /** Made here: a row of the ledger, which stands unless a source has one of the same key; or its delete. */
  own: StagedRow | undefined;
  /** Of the merge before. */
  losers: readonly Loser[];
  /** What is owed of it to nodes that are away. */
  owed: OutsiderEntry[];
}

export interface Settled {
  readonly row: StagedRow;
  readonly again: boolean;
  readonly offers: readonly (DeltaRow | undefined)[];
  /** What is owed of it to nodes that are away. */
  readonly owed: readonly OutsiderEntry[];
}

/** Keys merged in one go, as many as fit into a message; to be used before any further offer is taken. */
export interface Slice {
  readonly settled: Settled[];
  /** New losers, and those of an earlier merge of the same key that are none any more. */
  readonly losers: Loser[];
  readonly revoked: Loser[];
}

export class TableMerge {
  readonly plan: TablePlan;
  /** Members that hold the table, with the source that offers what they have, -1 where none does. */
  readonly #speaker = new Map<NodeId, number>();
  /** Holders that are away and that some source does not know, with the places of the sources that know them. */
  readonly #strangers = new Map<NodeId, number[]>();
  readonly #incomplete = new Set<NodeId>();
  readonly #keys = new Map<Token, KeyOffers>();
  /** To be merged: every source that is not complete has offered the key. */
  readonly #waiting = new Set<Token>();
  /** To be merged once the sources that are not complete have offered it, or turn out not to have it. */
  readonly #held = new Set<Token>();
  readonly #leftovers = new Map<string, Loser>();
  /** Keys that the table's merge function could not decide, and why. */
  readonly failures = new Map<Token, { readonly key: Key; readonly reason: string }>();
  #losers: Loser[] = [];
  #revoked: Loser[] = [];
  conflicts = 0;
  rows = 0;
  /** Buckets of which every source offers all it has: one octet each, 0 or 1. Undefined: all of them. */
  compared: Uint8Array | undefined = new Uint8Array(1);

  /** `lacking`: members whose replica has nothing of its own. */
  constructor(plan: TablePlan, members: readonly NodeId[], lacking: readonly NodeId[]) {
    this.plan = plan;
    for (const member of members) {
      if (plan.definition.deletedAt > 0) continue;
      if (plan.definition.replicas.has(member)) this.#speaker.set(member, this.#speakerOf(member, lacking));
    }
    for (const stranger of plan.sources.flatMap(({ strangers }) => [...strangers])) {
      if (members.includes(stranger)) continue;
      const knowing = [...plan.sources.keys()].filter((index) => !plan.sources[index]?.strangers.has(stranger));
      this.#strangers.set(stranger, knowing);
    }
  }

  /** Nodes outside are to be told of every row. */
  get hasStrangers(): boolean {
    return this.#strangers.size > 0;
  }

  get #mayForget(): boolean {
    return this.plan.sources.some(
      ({ forgotDeletesHlc, copiedHlc }) => forgotDeletesHlc !== undefined || copiedHlc !== undefined,
    );
  }

  #speakerOf(member: NodeId, lacking: readonly NodeId[]): number {
    const own = this.plan.sources.findIndex(({ node }) => node === member);
    if (own >= 0 || lacking.includes(member)) return own;
    const ofIsland = this.plan.sources.filter(({ island }) => island.includes(member));
    return ofIsland.length === 1 ? this.plan.sources.indexOf(ofIsland[0]!) : -1;
  }

  get holders(): Iterable<NodeId> {
    return this.#speaker.keys();
  }

  /** Offers of this source are awaited. */
  expect(source: NodeId): void {
    this.#incomplete.add(source);
  }

  complete(source: NodeId): void {
    this.#incomplete.delete(source);
    for (const token of this.#held) {
      if (this.#isAwaited(this.#keys.get(token) as KeyOffers)) continue;
      this.#held.delete(token);
      this.#waiting.add(token);
    }
  }

  /** Whether a source may still offer it. With one source nothing that comes later makes a difference to what is there. */
  #isAwaited({ offers }: KeyOffers): boolean {
    if (this.#incomplete.size === 0 || this.plan.sources.length < 2) return false;
    return this.plan.sources.some(({ node }, index) => offers[index] === undefined && this.#incomplete.has(node));
  }

  /** Keys that could be merged now: those of which all sources have spoken. */
  get ready(): number {
    return this.#losers.length + this.#revoked.length + this.#waiting.size;
  }

  take(source: NodeId, rows: readonly DeltaRow[], owed: readonly OutsiderEntry[]): void {
    const index = this.plan.sources.findIndex(({ node }) => node === source);
    if (index < 0) return this.#takeLeftovers(source, rows);
    for (const row of rows) {
      const known = this.#of(row[0]);
      known.offers[index] = row[1] === 0 ? undefined : row;
      // Withdrawn: it may have been passed on.
      known.isStaged ||= row[1] === 0;
      this.#await(known);
    }
    for (const entry of owed) {
      const known = this.#of(entry[1]);
      known.owed.push(entry);
      this.#await(known);
    }
  }

  /** Rows of a table of this name that was deleted. */
  #takeLeftovers(from: NodeId, rows: readonly DeltaRow[]): void {
    const leftover = this.plan.leftovers.find(({ source }) => source.node === from);
    if (leftover === undefined) return;
    for (const row of rows) {
      const id = `${from} ${typeof row[0]} ${String(keyToken(row[0]))}`;
      const before = this.#leftovers.get(id);
      const loser = leftoverLoser(this.plan.definition, leftover.source, row);
      if (before !== undefined) this.#revoked.push(before);
      if (loser !== undefined) this.#losers.push(loser);
      if (loser === undefined) this.#leftovers.delete(id);
      else this.#leftovers.set(id, loser);
    }
  }

  takeOwn(row: StagedRow, owed: OutsiderEntry[]): void {
    const known = this.#of(row[0]);
    known.own = row;
    known.owed = owed;
    this.#await(known);
  }

  revokeOwn(key: Key): void {
    const known = this.#of(key);
    known.own = undefined;
    this.#await(known);
  }

  #await(known: KeyOffers): void {
    const isAwaited = this.#isAwaited(known);
    (isAwaited ? this.#held : this.#waiting).add(known.token);
    if (!isAwaited) this.#held.delete(known.token);
  }

  #of(key: Key): KeyOffers {
    const token = keyToken(key);
    let known = this.#keys.get(token);
    if (known === undefined) {
      const offers = new Array<DeltaRow | undefined>(this.plan.sources.length).fill(undefined);
      known = { key, token, offers, isStaged: false, own: undefined, losers: [], owed: [] };
      this.#keys.set(token, known);
    }
    return known;
  }

  settle(context: RuleContext): Slice {
    const slice: Slice = { settled: [], losers: this.#losers, revoked: this.#revoked };
    this.conflicts += this.#losers.length - this.#revoked.length;
    this.#losers = [];
    this.#revoked = [];
    let octets = 0;
    for (const token of this.#waiting) {
      if (slice.settled.length >= ROWS_PER_MESSAGE || octets > ROW_BYTES_PER_MESSAGE) break;
      this.#waiting.delete(token);
      const known = this.#keys.get(token) as KeyOffers;
      const settled = this.#settleKey(known, context, slice);
      slice.settled.push(settled);
      octets += settled.row[3]?.length ?? 0;
      if (!known.isStaged && settled.row[1] > 0) this.rows += 1;
      known.isStaged ||= settled.row[1] > 0;
      // With one source nothing can be in conflict: whatever it says later stands by itself.
      if (this.plan.sources.length === 1 && known.own === undefined) this.#keys.delete(token);
    }
    return slice;
  }

  #settleKey(known: KeyOffers, context: RuleContext, slice: Slice): Settled {
    const { offers, owed, isStaged: again } = known;
    const hasOnlyOffers =
      known.own === undefined && known.losers.length === 0 && owed.length === 0 && this.#strangers.size === 0;
    const mayBeDeleted = this.#mayForget && offers.length > 1;
    const only = hasOnlyOffers && !mayBeDeleted && this.failures.size === 0 ? onlyOffer(offers) : undefined;
    // Nothing to be compared, as for most keys.
    if (only !== undefined) return { row: [only[0], only[1], only[2], only[3], false], again, offers, owed };
    const { token } = known;
    const { compared } = this;
    const isCompared = compared === undefined || compared[bucketOf(token, compared.length)] !== 0;
    const merged = mergeKey(this.plan, offers, context, isCompared);
    if (merged.failure === undefined) this.failures.delete(token);
    else this.failures.set(token, { key: known.key, reason: merged.failure });
    for (const loser of known.losers) slice.revoked.push(loser);
    for (const loser of merged.losers) slice.losers.push(loser);
    this.conflicts += merged.losers.length - known.losers.length;
    known.losers = merged.losers;
    const { winner } = merged;
    const told = winner === undefined ? owed : owed.map((entry) => mergedOutsider(entry, winner));
    return { row: rowOf(known, merged), again, offers, owed: [...told, ...this.#owedToStrangers(known, winner)] };
  }

  /** Whoever knows such a holder has told it of what it has itself, or says that it owes it; not of what it takes over. */
  #owedToStrangers({ key, offers }: KeyOffers, winner: Candidate | undefined): OutsiderEntry[] {
    const owed: OutsiderEntry[] = [];
    if (winner === undefined) return owed;
    for (const [stranger, knowing] of this.#strangers) {
      const isTold = knowing.some((index) => offers[index]?.[1] === winner.hlc && offers[index]?.[2] === winner.node);
      if (!isTold) owed.push(owedToStranger(stranger, key, winner));
    }
    return owed;
  }

  /** What `member` is to be told of the settled keys. */
  rowsFor(member: NodeId, settled: readonly Settled[]): StagedRow[] {
    const speaker = this.#speaker.get(member);
    const rows: StagedRow[] = [];
    if (speaker === undefined) return rows;
    for (const { row, again, offers } of settled) {
      const own = speaker < 0 ? undefined : offers[speaker];
      const hasIt = own !== undefined && own[1] === row[1] && own[2] === row[2];
      if (hasIt && again) rows.push([row[0], 0, '', null, false]);
      else if (!hasIt && (row[1] > 0 || again)) rows.push(row);
    }
    return rows;
  }

  /** What `member` is to be told of nodes that are away. An island that meets nobody knows it all already. */
  owedFor(member: NodeId, settled: readonly Settled[]): OutsiderEntry[] {
    const isOneIsland = this.plan.sources.length === 1 && this.#strangers.size === 0;
    if (!this.#speaker.has(member) || (isOneIsland && this.#speaker.get(member) === 0)) return [];
    return settled.flatMap(({ owed }) => owed);
  }
}

function onlyOffer(offers: readonly (DeltaRow | undefined)[]): DeltaRow | undefined {
  let only: DeltaRow | undefined;
  for (const offer of offers) {
    if (offer === undefined) continue;
    if (only !== undefined) return undefined;
    only = offer;
  }
  return only;
}

function rowOf({ key, own }: KeyOffers, { winner, ruled }: MergedKey): StagedRow {
  if (own !== undefined && own[3] === null) return own;
  if (winner !== undefined) return [key, winner.hlc, winner.node, winner.bytes, ruled];
  return own ?? [key, 0, '', null, false];
}
