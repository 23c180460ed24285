/** Applies what was staged, definitions first, in one disc batch. */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { firstDifference, isSuperseded, uniteDefinitions, withoutNodes } from '../schema/definition.ts';
import { type PackedTable, packTable, unpackTable } from '../schema/packed.ts';
import { isNewer, type Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { keyToken } from '../term.ts';
import type { OutsiderEntry, StageHead } from './connection-messages.ts';
import { keepForgetful, learnForgetful } from './forgetful.ts';
import { type Change, RecentCommit } from './recent-commits.ts';
import { isSameContent } from './same-content.ts';
import type { Stage, Staged } from './stage.ts';

const NOBODY: readonly NodeId[] = [];

export interface Merge {
  readonly id: number;
  readonly leader: NodeId;
  readonly members: readonly NodeId[];
  readonly head: StageHead;
  readonly stage: Stage;
  /** No change of the schema was made here since this node said what it has. */
  readonly isAsReported: boolean;
}

/** Returns the rows of this node that changed. */
export function applyMerge(node: NodeState, merge: Merge): Change[] {
  const { head, stage } = merge;
  for (const retired of head.retired) node.retire(retired);
  node.remove(head.removed);
  node.learnLives(head.lives);
  const remade = applySchema(node, merge);
  const changes: Change[] = [];
  for (const [name, { rows }] of stage.tables) {
    const table = node.tables.get(name);
    if (table === undefined || !table.held || table.definition.deletedAt > 0 || remade.has(name)) continue;
    for (const staged of rows.values()) {
      const change = applyRow(node, table, staged);
      if (change !== undefined) changes.push(change);
    }
  }
  node.hlc.witness(head.hlc);
  // The disc then says by itself that it is as new as this merge.
  node.persistWatermarks();
  node.recent.add(merge.leader, new RecentCommit(merge.id, head.hlc, merge.members, changes));
  noteOutsiders(node, stage);
  node.guards.replace(
    head.guarded.filter(([holder]) => holder !== node.self),
    head.hlc,
  );
  for (const [outsider, name, sinceHlc, forgotDeletes] of head.collapsed) {
    const table = node.tables.get(name);
    if (table?.held && !node.retired.has(outsider)) node.changed.unite(outsider, table, { sinceHlc, forgotDeletes });
  }
  return changes;
}

/** Returns the tables that were deleted and made anew here while this transaction ran: nothing of it concerns them. */
function applySchema(node: NodeState, { head, stage, isAsReported }: Merge): Set<string> {
  const remade = new Set<string>();
  const forgetful = new Map(head.forgetful);
  for (const packed of head.schema) {
    const theirs = unpackTable(packed);
    const table = node.tables.get(theirs.name);
    if (table !== undefined) {
      if (isSuperseded(theirs, table.definition)) remade.add(theirs.name);
      else if (stage.isReset(head, table, theirs)) node.discardRows(table, 'merge');
      if (isSuperseded(table.definition, theirs)) begin(node, table);
    }
    applyDefinition(node, table, packed, isAsReported);
    const made = node.tables.get(theirs.name) as Table;
    if (!remade.has(theirs.name)) learnForgetful(node, made, forgetful.get(theirs.name) ?? []);
  }
  keepForgetful(node);
  return remade;
}

/** It has nothing any more of the table that was deleted; what is made anew in its place comes from the others. */
function begin(node: NodeState, table: Table): void {
  table.loaded = false;
  table.fresh = true;
  node.changed.clearTable(table.name);
}

function applyDefinition(node: NodeState, table: Table | undefined, packed: PackedTable, isAsReported: boolean): void {
  const theirs = unpackTable(packed);
  if (table === undefined) {
    node.define(theirs);
    return;
  }
  if (isSameContent(packTable(table.definition), packed)) {
    node.redefine(table, withoutNodes(table.definition, node.retired));
    return;
  }
  // Made while this transaction ran: it stays, and is brought to the others by the next one.
  const united =
    firstDifference(table.definition, theirs) === undefined ? uniteDefinitions(table.definition, theirs) : theirs;
  // The leader has left out of the former lists who never returns, where that may be.
  const { formers } = isAsReported ? theirs : united;
  node.redefine(table, withoutNodes({ ...united, formers }, node.retired));
}

function applyRow(
  node: NodeState,
  table: Table,
  { row: [key, hlc, writer, bytes, ruled], next, encoded }: Staged,
): Change | undefined {
  const token: Token = next?.token ?? keyToken(key);
  const current = table.rows.get(token);
  if (current === undefined && bytes === null) return undefined;
  if (current !== undefined && !ruled && !isNewer(hlc, writer, current.hlc, current.node)) return undefined;
  if (current?.hlc === hlc && current.node === writer) return undefined;
  // What outsiders lack was told by those who know (noteOutsiders).
  node.applyChange(table, key, token, next, hlc, writer, NOBODY, 'merge', encoded);
  return { table, key, token, deleted: next === undefined, version: { hlc, node: writer } };
}

function noteOutsiders(node: NodeState, stage: Stage): void {
  for (const [name, entries] of stage.outsiders) {
    const table = node.tables.get(name);
    if (table === undefined || !table.held) continue;
    for (const entry of entries) if (!node.retired.has(entry[0])) noteOutsider(node, table, entry);
  }
}

/** Members tell what they know in any order, so the merged row says whether the key is there; if not, a delete stays. */
function noteOutsider(
  { changed }: NodeState,
  table: Table,
  [outsider, key, seenHlc, seenNode, deletedHlc, deletedNode, base]: OutsiderEntry,
): void {
  const token = keyToken(key);
  const known = changed.get(outsider, table.name)?.get(token);
  const isThere = table.rows.has(token);
  const seen = { key, seenHlc, seenNode, base };
  if (isThere || deletedHlc > 0 || known === undefined) {
    changed.addSeen(outsider, table, token, { ...seen, deletedHlc: isThere ? 0 : deletedHlc, deletedNode });
  } else {
    changed.addSeen(outsider, table, token, { ...known, ...seen });
  }
}
