/** What one replica offers in a node connection transaction, and how it is cut into messages. */
import type { NodeId } from '../environment.ts';
import { ROW_BYTES_PER_MESSAGE, ROWS_PER_MESSAGE } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import type { Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import type { DeltaRow, OutsiderEntry, SeenList } from './connection-messages.ts';

/** What the row of a key has seen of the nodes that it was noted for; those of the view have voted for all of it. */
function seenOf(node: NodeState, table: Table, token: Token): SeenList {
  const seen: SeenList = [];
  for (const other of node.changed.nodes()) {
    if (node.view.has(other)) continue;
    const entry = node.changed.get(other, table.name)?.get(token);
    if (entry !== undefined) seen.push([other, entry.seenHlc, entry.seenNode]);
  }
  return seen;
}

/** The rows that `others` may lack, deletes included; with `full` all others as well. */
export function collectDelta(node: NodeState, table: Table, others: readonly NodeId[], full: boolean): DeltaRow[] {
  const rows: DeltaRow[] = [];
  const done = new Set<Token>();
  for (const other of others) {
    for (const [token, entry] of node.changed.get(other, table.name) ?? []) {
      if (done.has(token)) continue;
      const row = table.rows.get(token);
      if (row === undefined && entry.deletedHlc === 0) continue;
      done.add(token);
      const seen = seenOf(node, table, token);
      if (row !== undefined) rows.push([row.key, row.hlc, row.node, row.bytes, seen]);
      else rows.push([entry.key, entry.deletedHlc, entry.deletedNode, null, seen]);
    }
  }
  if (!full) return rows;
  for (const row of table.rows.values()) {
    if (done.has(row.token)) continue;
    rows.push([row.key, row.hlc, row.node, row.bytes, seenOf(node, table, row.token)]);
  }
  return rows;
}

/** Keys that nodes outside `members` lack, as far as this node knows. */
export function collectOutsiders(node: NodeState, table: Table, members: readonly NodeId[]): OutsiderEntry[] {
  const entries: OutsiderEntry[] = [];
  for (const outsider of node.changed.nodes()) {
    if (members.includes(outsider)) continue;
    for (const entry of node.changed.get(outsider, table.name)?.values() ?? []) {
      entries.push([outsider, entry.key, entry.seenHlc, entry.seenNode, entry.deletedHlc, entry.deletedNode]);
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
