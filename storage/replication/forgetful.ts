/**
 * Replicas that have forgotten what they promised: kept in memory, by a process that ended; or on a disc that lost what it
 * had said was there. Where a majority must agree they count for nothing, neither votes nor words, until they were merged
 * with more than half of the replicas that have not forgotten: of those, one knows of whatever any majority ever made. Or
 * until all replicas are together: then nobody will ever know more, and the table begins anew from what is left.
 *
 * A promise that somebody of them still holds is neither made nor dropped, and its row is locked there alone: as long as
 * there is one, who has forgotten it counts for nothing.
 */
import { metaKey } from '../disc/key-space.ts';
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import type { SchemaTable } from '../schema/definition.ts';
import { knowAll, type Nodes, needsMajority } from '../schema/majorities.ts';
import type { Table } from '../tables/table.ts';
import { decodeValue, encodeValue } from '../term.ts';
import { definitionAt, type Reports, replicaOf } from './merge-plan.ts';

/** Members that have forgotten what they promised of this table, before this merge. */
export function forgetfulBefore(table: SchemaTable, reports: Reports, stale: readonly NodeId[]): Set<NodeId> {
  const forgetful = new Set<NodeId>();
  const isInMemory = [...table.replicas.values()].includes('ram_copies');
  const isSaid = [...reports.values()].some((report) => report.forgetful.includes(table.name));
  if (!isInMemory && !isSaid && stale.length === 0) return forgetful;
  for (const [node, report] of reports) {
    const theirs = definitionAt(report, table.name);
    if (replicaOf(report, table) === undefined) {
      // Given a replica before, as the others know, and killed before that was on its disc.
      const isGiven = theirs === undefined && table.replicas.get(node) === 'ram_copies' && table.born.has(node);
      if (isGiven) forgetful.add(node);
    } else if (report.forgetful.includes(table.name) || stale.includes(node)) {
      forgetful.add(node);
    }
  }
  return forgetful;
}

/** By table, the members that still count for nothing after this merge. `gone`: nodes that never return. */
export function forgetfulAfter(
  schema: ReadonlyMap<string, SchemaTable>,
  reports: Reports,
  stale: readonly NodeId[],
  gone: Nodes,
): [table: string, nodes: NodeId[]][] {
  const after: [string, NodeId[]][] = [];
  for (const table of schema.values()) {
    if (table.deletedAt > 0 || table.localContent) continue;
    const forgetful = forgetfulBefore(table, reports, stale);
    if (forgetful.size === 0) continue;
    const isPromised = [...reports.values()].some(({ promised }) => promised.includes(table.name));
    const isEnough = (definition: SchemaTable): boolean => knowAll(definition, reports, forgetful, gone);
    if (isPromised || !definitionsOf(table, reports).every(isEnough)) after.push([table.name, [...forgetful].sort()]);
  }
  return after;
}

/** As it is to become, and as it is at those who have it. */
function definitionsOf(table: SchemaTable, reports: Reports): SchemaTable[] {
  const theirs = [...reports.values()].filter((report) => replicaOf(report, table) !== undefined);
  return [table, ...theirs.map((report) => definitionAt(report, table.name) as SchemaTable)];
}

// -- at one node --------------------------------------------------------------------------------------------------------

/** Tables of which this node's replica has forgotten what it promised. */
export function forgottenHere({ tables, self }: NodeState): string[] {
  return [...tables.values()].filter(({ forgetful }) => forgetful.has(self)).map(({ name }) => name);
}

/** Of tables whose members are frozen: what is locked then is promised, and waits for a majority. */
export function promisedHere({ tables }: NodeState): string[] {
  return [...tables.values()].filter(({ locks }) => locks.isBusy).map(({ name }) => name);
}

/** At start, of tables read from the disc. */
export async function readForgetful(node: NodeState): Promise<void> {
  const octets = await node.environment.disc.get(metaKey('forgetful'));
  const known = new Set(octets === undefined ? [] : (decodeValue(octets) as string[]));
  const isLost = node.environment.disc.loss !== undefined;
  for (const table of node.tables.values()) {
    const { definition, held, onDisc, name } = table;
    if (!held || definition.deletedAt > 0 || definition.localContent || isAlone(node, table)) continue;
    if (!onDisc || isLost || known.has(name)) table.forgetful.add(node.self);
  }
}

/** This node keeps the only replica: nobody else knows more. */
function isAlone({ self, retired }: NodeState, { definition }: Table): boolean {
  return [...definition.replicas.keys()].every((holder) => holder === self || retired.has(holder));
}

/** After a merge, or a change that this node made alone. A replica that is moved to the disc does not remember by that. */
export function learnForgetful(node: NodeState, table: Table, forgetful: Iterable<NodeId>): void {
  table.forgetful = new Set(forgetful);
  if (isAlone(node, table)) table.forgetful.clear();
}

export function keepForgetful(node: NodeState): void {
  node.outbox.write({ type: 'put', key: metaKey('forgetful'), value: encodeValue(forgottenHere(node)) });
}

/** Whether those who have forgotten in this node's island may count again, as far as this node can tell. */
export function mayRemember({ tables, view, retired }: NodeState): boolean {
  for (const { definition, forgetful, locks } of tables.values()) {
    if (forgetful.size === 0 || !needsMajority(definition) || definition.deletedAt > 0 || locks.isBusy) continue;
    if (knowAll(definition, view, forgetful, retired)) return true;
  }
  return false;
}
