/** What a lost node may lack, noted down before anything is committed without it. */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { isNewer } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import type { Version } from '../types.ts';
import { isForgotten } from './lives.ts';

/** Of a row that is not there the commit may not be the last one: another, later one is known to be on all media. */
function latest(known: Version, other: Version | undefined): Version {
  return other !== undefined && isNewer(other.hlc, other.node, known.hlc, known.node) ? other : known;
}

/** Until now it has voted for all there is here; of that it may lack what it has not acknowledged. */
export function noteUnacknowledged(node: NodeState, lost: NodeId): void {
  const { changed, recent, tables } = node;
  for (const name of changed.tables(lost)) {
    const table = tables.get(name);
    for (const [token, entry] of table === undefined ? [] : (changed.get(lost, name) ?? [])) {
      const row = table?.rows.get(token);
      const version = { seenHlc: row?.hlc ?? entry.deletedHlc, seenNode: row?.node ?? entry.deletedNode };
      const base = node.baseOf(table as Table, row);
      changed.addSeen(lost, table as Table, token, { ...entry, ...version, base });
    }
  }
  recent.forParticipant(lost, (coordinator, commit) => {
    for (const { table, key, token, version: own } of commit.changes) {
      if (!table.definition.replicas.has(lost)) continue;
      const row = table.rows.get(token);
      // What this node has forgotten itself was not deleted for that.
      if (row === undefined && isForgotten(node.lives.get(node.self), commit.hlc, !table.onDisc)) continue;
      const gone = latest(own ?? { hlc: commit.hlc, node: coordinator }, changed.lastDelete(table.name, token));
      const version = { seenHlc: row?.hlc ?? gone.hlc, seenNode: row?.node ?? gone.node };
      const deletedHlc = row === undefined ? gone.hlc : 0;
      const deletedNode = gone.node;
      const base = node.baseOf(table, row);
      changed.addSeen(lost, table, token, { key, ...version, deletedHlc, deletedNode, base });
    }
  });
}
