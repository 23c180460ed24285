/** What one replica offers in a node connection transaction, and how it is cut into messages. */
import type { NodeId } from '../environment.ts';
import { ROW_BYTES_PER_MESSAGE, ROWS_PER_MESSAGE } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import type { Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import type { ChangedEntry } from './changed-since.ts';
import type { DeltaRow, OutsiderEntry } from './connection-messages.ts';
import { ChangeKind } from './merge.ts';

/**
 * Union of the changed-since sets towards `others`. A key is apart only if none of them took part in its write: one
 * that did has told it to its island since.
 */
function changesTowards(node: NodeState, table: Table, others: readonly NodeId[]): Map<Token, ChangedEntry> {
  const union = new Map<Token, ChangedEntry>();
  const holders = others.filter((other) => table.definition.replicas.has(other));
  for (const other of holders) {
    for (const [token, entry] of node.changed.get(other, table.name) ?? []) {
      const known = union.get(token);
      union.set(token, known === undefined || (known.apart && !entry.apart) ? entry : known);
    }
  }
  if (holders.length < 2) return union;
  for (const [token, entry] of union) {
    if (entry.apart && !holders.every((other) => node.changed.has(other, table.name, token))) {
      union.set(token, { ...entry, apart: false });
    }
  }
  return union;
}

export function collectDelta(
  node: NodeState,
  table: Table,
  others: readonly NodeId[],
  full: boolean,
  foreign: boolean,
): DeltaRow[] {
  const changes = changesTowards(node, table, others);
  const rows: DeltaRow[] = [];
  for (const [token, entry] of changes) {
    // Who shares no history with the others cannot tell what they have seen.
    const kind = foreign ? ChangeKind.foreign : entry.apart ? ChangeKind.apart : ChangeKind.unacknowledged;
    const row = table.rows.get(token);
    if (row !== undefined) rows.push([row.key, kind, row.hlc, row.node, row.bytes]);
    else if (entry.deletedHlc > 0) rows.push([entry.key, kind, entry.deletedHlc, entry.deletedNode, null]);
  }
  if (!full) return rows;
  const kind = foreign ? ChangeKind.foreign : ChangeKind.unchanged;
  for (const row of table.rows.values()) {
    if (!changes.has(row.token)) rows.push([row.key, kind, row.hlc, row.node, row.bytes]);
  }
  return rows;
}

/** Keys that nodes outside `members` lack, as far as this node knows. */
export function collectOutsiders(node: NodeState, table: Table, members: readonly NodeId[]): OutsiderEntry[] {
  const entries: OutsiderEntry[] = [];
  for (const outsider of node.changed.nodes()) {
    if (members.includes(outsider)) continue;
    for (const entry of node.changed.get(outsider, table.name)?.values() ?? []) {
      entries.push([outsider, entry.key, entry.apart, entry.deletedHlc, entry.deletedNode]);
    }
  }
  return entries;
}

/** Cuts a list so that no message holds too many rows or octets; at least one piece, the last marked. */
export function inPieces<T>(items: readonly T[], octets: (item: T) => number): { piece: T[]; last: boolean }[] {
  const pieces: { piece: T[]; last: boolean }[] = [];
  let piece: T[] = [];
  let size = 0;
  for (const item of items) {
    if (piece.length >= ROWS_PER_MESSAGE || size > ROW_BYTES_PER_MESSAGE) {
      pieces.push({ piece, last: false });
      piece = [];
      size = 0;
    }
    piece.push(item);
    size += octets(item);
  }
  pieces.push({ piece, last: true });
  return pieces;
}
