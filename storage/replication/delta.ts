/** What one replica offers in a node connection transaction, key by key, and how lists are cut into messages. */
import type { NodeId } from '../environment.ts';
import { ROW_BYTES_PER_MESSAGE, ROWS_PER_MESSAGE } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import { bucketOf } from '../tables/digest.ts';
import type { Token } from '../tables/row.ts';
import type { Table, Touched } from '../tables/table.ts';
import { type ChangedEntry, SEEN_UNKNOWN } from './changed-since.ts';
import type { DeltaRow, OutsiderEntry, SeenList } from './connection-messages.ts';

/** What the row of a key has seen of the nodes that it was noted for; those of the view have voted for all of it. */
function seenOf(node: NodeState, table: Table, token: Token): SeenList {
  const seen: SeenList = [];
  for (const other of node.changed.nodes()) {
    if (node.view.has(other)) continue;
    const entry = node.changed.get(other, table.name)?.get(token);
    if (entry !== undefined) seen.push([other, entry.seenHlc, entry.seenNode, ...baseOf(entry)]);
    else if (isCovered(node, other, table, token)) seen.push([other, SEEN_UNKNOWN, '']);
  }
  return seen;
}

/** Whether a row is among those that `other` may lack, of a set that has collapsed. */
function isCovered(node: NodeState, other: NodeId, table: Table, token: Token): boolean {
  const collapsed = node.changed.collapsed(other, table.name);
  return collapsed !== undefined && (table.rows.get(token)?.hlc ?? 0) >= collapsed.sinceHlc;
}

/** Of sets that have collapsed: from which version on the others may lack a row, whether or not its key is noted. */
function coveredFrom(node: NodeState, { table, others }: OfferTerms): number {
  let fromHlc = Number.POSITIVE_INFINITY;
  for (const other of others) {
    const { sinceHlc = fromHlc } = node.changed.collapsed(other, table.name) ?? {};
    fromHlc = Math.min(fromHlc, sinceHlc);
  }
  return fromHlc;
}

function baseOf({ base }: ChangedEntry): [] | [base: Uint8Array | null] {
  return base === undefined ? [] : [base];
}

/** What a source is asked for. */
export interface OfferTerms {
  readonly table: Table;
  /** Members of the other island. */
  readonly others: readonly NodeId[];
  /** All rows, not just those the others may lack. */
  readonly full: boolean;
  /** Buckets that replicas have different: only their rows. One octet each, 0 or 1. */
  readonly buckets?: Uint8Array | undefined;
}

/** For whom noted changes are told: where all is asked for, some of the others may be unknown here, and nothing noted for them. */
function notedFor(node: NodeState, { others, full }: OfferTerms): readonly NodeId[] {
  return full ? node.changed.nodes() : others;
}

/** The offer of one key as it is now; undefined: there is nothing to say of it. `touched`: it changed after it was offered. */
export function offerOf(node: NodeState, terms: OfferTerms, token: Token, touched?: Touched): DeltaRow | undefined {
  const { table, full } = terms;
  const row = table.rows.get(token);
  const entries = notedFor(node, terms).flatMap((other) => node.changed.get(other, table.name)?.get(token) ?? []);
  if (row !== undefined) {
    if (entries.length === 0 && !full && row.hlc < coveredFrom(node, terms)) return undefined;
    return [row.key, row.hlc, row.node, row.bytes, seenOf(node, table, token)];
  }
  const deleted = entries.find(({ deletedHlc }) => deletedHlc > 0) ?? touched;
  if (deleted === undefined || deleted.deletedHlc === 0) return undefined;
  return [deleted.key, deleted.deletedHlc, deleted.deletedNode, null, seenOf(node, table, token)];
}

/** Says that what was offered of a key before no longer holds. */
export function withdrawal({ key }: Touched): DeltaRow {
  return [key, 0, '', null, []];
}

/** Every offer, taken from the table as it is when the walk gets there: what changes behind it is told by `Table.touched`. */
export function* offers(node: NodeState, terms: OfferTerms): Generator<DeltaRow> {
  const { table, full, buckets } = terms;
  // Deletes are in no digest.
  const isAlike = (token: Token): boolean =>
    buckets !== undefined && buckets[bucketOf(token, buckets.length)] === 0 && table.rows.has(token);
  const changed = new Set<Token>();
  for (const other of notedFor(node, terms)) {
    for (const token of node.changed.get(other, table.name)?.keys() ?? []) if (!isAlike(token)) changed.add(token);
  }
  for (const token of changed) {
    const offer = offerOf(node, terms, token);
    if (offer !== undefined) yield offer;
  }
  const fromHlc = full ? 0 : coveredFrom(node, terms);
  if (fromHlc === Number.POSITIVE_INFINITY || buckets?.includes(1) === false) return;
  for (const row of table.rows.values()) {
    if (row.hlc >= fromHlc && !changed.has(row.token) && !isAlike(row.token))
      yield [row.key, row.hlc, row.node, row.bytes, seenOf(node, table, row.token)];
  }
}

/** Keys that nodes outside `members` lack, as far as this node knows; of `only` these. */
export function* outsiderEntries(
  node: NodeState,
  table: Table,
  members: readonly NodeId[],
  only?: ReadonlyMap<Token, Touched>,
): Generator<OutsiderEntry> {
  for (const outsider of node.changed.nodes()) {
    if (members.includes(outsider)) continue;
    const entries = node.changed.get(outsider, table.name);
    if (entries === undefined) continue;
    for (const token of (only ?? entries).keys()) {
      const entry = entries.get(token);
      if (entry === undefined) continue;
      const { key, seenHlc, seenNode, deletedHlc, deletedNode } = entry;
      yield [outsider, key, seenHlc, seenNode, deletedHlc, deletedNode, ...baseOf(entry)];
    }
  }
}

/** Takes from a walk what fits into one message. */
export function nextPiece<T>(items: Iterator<T>, octets: (item: T) => number): { piece: T[]; done: boolean } {
  const piece: T[] = [];
  let size = 0;
  while (piece.length < ROWS_PER_MESSAGE && size < ROW_BYTES_PER_MESSAGE) {
    const { value, done } = items.next();
    if (done) return { piece, done: true };
    piece.push(value);
    size += octets(value);
  }
  return { piece, done: false };
}
