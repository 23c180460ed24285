/** What a lost node may lack, noted down before anything is committed without it. */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { isNewer, type Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import type { Version } from '../types.ts';
import { isForgotten } from './lives.ts';

/** Of a row that is not there the commit may not be the last one: another, later one is known to be on all media. */
function latest(known: Version, other: Version | undefined): Version {
  return other !== undefined && isNewer(other.hlc, other.node, known.hlc, known.node) ? other : known;
}

const NONE: Version = { hlc: 0, node: '' };

/** Until now it has voted for all there is here, but for what doubtedRows tells; of that it may lack what it has not acknowledged. */
export function noteUnacknowledged(node: NodeState, lost: NodeId): void {
  const { changed, recent, tables } = node;
  const doubted = doubtedRows(node, lost);
  for (const name of changed.tables(lost)) {
    const table = tables.get(name);
    for (const [token, entry] of table === undefined ? [] : (changed.get(lost, name) ?? [])) {
      const row = table?.rows.get(token);
      const less = doubted.get(table as Table)?.get(token);
      const seen = less ?? row ?? { hlc: entry.deletedHlc, node: entry.deletedNode };
      const base = less === undefined ? node.baseOf(table as Table, row) : undefined;
      changed.addSeen(lost, table as Table, token, { ...entry, seenHlc: seen.hlc, seenNode: seen.node, base });
    }
  }
  recent.forParticipant(lost, (coordinator, commit) => {
    for (const { table, key, token, version: own } of commit.changes) {
      if (!table.definition.replicas.has(lost)) continue;
      const row = table.rows.get(token);
      // What this node has forgotten itself was not deleted for that.
      if (row === undefined && isForgotten(node.lives.get(node.self), commit.hlc, !table.onDisc)) continue;
      const made = latest(own ?? { hlc: commit.hlc, node: coordinator }, changed.lastDelete(table.name, token));
      const gone = latest(made, table.graves.get(token));
      const less = doubted.get(table)?.get(token);
      const seen = less ?? row ?? gone;
      const deletedHlc = row === undefined ? gone.hlc : 0;
      // What was there at an earlier version is not kept.
      const base = less === undefined ? node.baseOf(table, row) : undefined;
      const entry = { key, seenHlc: seen.hlc, seenNode: seen.node, deletedHlc, deletedNode: gone.node, base };
      changed.addSeen(lost, table, token, entry);
    }
  });
}

/**
 * Rows with changes that `lost` is not known to have: by row, the greatest version of it that it is known to have. Those are
 * dirty writes, and what was made without it by others that had lost it earlier. What they overwrote it has, unless that was
 * such a one itself.
 */
function doubtedRows(node: NodeState, lost: NodeId): Map<Table, Map<Token, Version>> {
  const doubted = new Map<Table, Map<Token, Version>>();
  const unknown = new Set<string>();
  const known: { readonly table: Table; readonly token: Token; readonly version: Version | undefined }[] = [];
  const doubt = (table: Table, token: Token): void => {
    const rows = doubted.get(table) ?? new Map<Token, Version>();
    doubted.set(table, rows.set(token, rows.get(token) ?? NONE));
  };
  forWithout(node, lost, (table, token, version, stands) => {
    unknown.add(textOf(version));
    if (stands) doubt(table, token);
  });
  node.recent.forParticipant(lost, (coordinator, commit) => {
    const isKnown =
      !commit.isDirty ||
      coordinator === lost ||
      (coordinator === node.self && node.acknowledged.hasDirty(lost, commit.hlc));
    for (const { table, token, version, over } of commit.changes) {
      const own = version ?? { hlc: commit.hlc, node: coordinator };
      if (isKnown) known.push({ table, token, version: own });
      else {
        unknown.add(textOf(own));
        doubt(table, token);
        known.push({ table, token, version: over });
      }
    }
  });
  if (doubted.size === 0) return doubted;
  for (const { table, token, version } of known) {
    const rows = doubted.get(table);
    const before = rows?.get(token);
    if (rows === undefined || before === undefined || version === undefined) continue;
    if (unknown.has(textOf(version))) continue;
    if (isNewer(version.hlc, version.node, before.hlc, before.node)) rows.set(token, version);
  }
  return doubted;
}

function textOf({ hlc, node }: Version): string {
  return `${hlc} ${node}`;
}

/** Calls `visit` for each change made without `lost` while this node still ran with it; `stands`: nothing came after it. */
function forWithout(
  { changed, tables }: NodeState,
  lost: NodeId,
  visit: (table: Table, token: Token, version: Version, stands: boolean) => void,
): void {
  for (const name of changed.tables(lost)) {
    const table = tables.get(name);
    if (table === undefined) continue;
    for (const [token, { without, deletedHlc, deletedNode }] of changed.get(lost, name) ?? []) {
      if (without === undefined) continue;
      const { hlc, node } = table.rows.get(token) ?? { hlc: deletedHlc, node: deletedNode };
      visit(table, token, without, hlc === without.hlc && node === without.node);
    }
  }
}
