/** Which tables are loaded by a merge, and which of them begin anew (storage.md §5). */
import type { NodeId } from '../environment.ts';
import type { SchemaTable } from '../schema/definition.ts';
import type { MemberReport } from './connection-messages.ts';
import { awaitedHolders, type LoadOpinion, overtakenNotes } from './load-rule.ts';
import { definitionAt, type Reports, replicaOf, sorted } from './merge-plan.ts';

/** Tables that these members, together, may load. */
export function loadable(schema: ReadonlyMap<string, SchemaTable>, reports: Reports): string[] {
  const names: string[] = [];
  const overtaken = overtakenAmong(reports);
  for (const table of [...schema.values()].sort((a, b) => b.loadOrder - a.loadOrder)) {
    if (table.deletedAt > 0 || table.localContent) continue;
    const isForced = [...reports.values()].some(({ forced }) => forced.includes(table.name));
    if (isForced || awaitedHolders(table, loadOpinions(table, reports, overtaken)).length === 0) names.push(table.name);
  }
  return names;
}

/** What each of these members has to say of loading the table; `overtaken`: notes that count no more. */
export function loadOpinions(
  table: SchemaTable,
  reports: Reports,
  overtaken = overtakenAmong(reports),
): readonly LoadOpinion[] {
  return sorted(reports).map(([node, report]) => ({
    node,
    loaded: replicaOf(report, table)?.[1] ?? false,
    knows: definitionAt(report, table.name)?.replicas,
    downs: report.downs.filter((down) => !overtaken.some(([member, other]) => member === node && other === down)),
    masters: report.masters.find(([name]) => name === table.name)?.[1],
  }));
}

/** Of nodes that are not here. */
export function overtakenAmong(reports: Reports): [member: NodeId, node: NodeId][] {
  const witnesses = sorted(reports).map(([node, report]) => {
    const { downs, went } = report;
    return { node, downs, went, awaits: awaitedBy(report) };
  });
  return overtakenNotes(witnesses).filter(([, node]) => !reports.has(node));
}

/** Who keeps what this member has kept, too, on disc, and was not seen to go by it. */
function awaitedBy(report: MemberReport): Set<NodeId> {
  const awaits = new Set<NodeId>();
  for (const [name, , isFresh] of report.replicas) {
    if (isFresh) continue;
    for (const [holder, kind] of definitionAt(report, name)?.replicas ?? [])
      if (kind === 'disc_copies') awaits.add(holder);
  }
  for (const [node] of report.went) awaits.delete(node);
  return awaits;
}

/** Tables of which these members have forgotten everything, while a node outside may still hold them. */
export function beganAnew(schema: ReadonlyMap<string, SchemaTable>, reports: Reports): string[] {
  const names: string[] = [];
  for (const table of schema.values()) {
    const holders = [...table.replicas.keys()].filter((node) => reports.has(node));
    if (holders.length === table.replicas.size) continue;
    const isRooted = holders.some((node) => {
      const replica = replicaOf(reports.get(node) as MemberReport, table);
      return replica !== undefined && !replica[2] && !replica[5];
    });
    if (!isRooted) names.push(table.name);
  }
  return names;
}

/** Loaded at a member, and yet not among the `loadable`: somebody is awaited who may hold newer rows (awaitedHolders). */
export function unloadable(
  schema: ReadonlyMap<string, SchemaTable>,
  reports: Reports,
  loaded: readonly string[],
): string[] {
  return [...schema.values()]
    .filter((table) => table.deletedAt === 0 && !table.localContent && !loaded.includes(table.name))
    .filter((table) => [...reports.values()].some((report) => replicaOf(report, table)?.[1] ?? false))
    .map(({ name }) => name);
}
