/**
 * A replica that is to leave its node goes with its rows. So it goes only where another one that stays had them before: in a
 * merge of which each member learns by itself, one that is lost before it has applied what it was given would leave nobody with
 * them. Where there is no such one the replica stays, and whoever wants it away asks again. Pure.
 */
import type { NodeId } from '../environment.ts';
import { type SchemaTable, withMoves } from '../schema/definition.ts';
import type { MemberReport, ReplicaReport } from './connection-messages.ts';
import { type Reports, replicaOf } from './merge-plan.ts';

/** The definition with replicas that would leave too early. The same on whichever node it is computed. */
export function withoutEarlyDepartures(table: SchemaTable, reports: Reports): SchemaTable {
  if (table.deletedAt > 0) return table;
  const staying = new Map<NodeId, { readonly at: number; readonly kind: ReplicaReport[6] }>();
  for (const [node, report] of reports) {
    if (table.replicas.has(node)) continue;
    const replica = replicaOf(report, table);
    if (replica === undefined || replica[2] || hasSafeRows(table, report, reports)) continue;
    staying.set(node, { at: (table.moves.get(node)?.at ?? 0) + 1, kind: replica[6] });
  }
  return staying.size === 0 ? table : withMoves(table, staying);
}

/** Whether a replica that stays has been one with this node's, in one island. */
function hasSafeRows(table: SchemaTable, { view }: MemberReport, reports: Reports): boolean {
  return view.some((member) => {
    const report = reports.get(member);
    return table.replicas.has(member) && report !== undefined && replicaOf(report, table)?.[1] === true;
  });
}
