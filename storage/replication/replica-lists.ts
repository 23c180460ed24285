/**
 * Whether the members of a node connection transaction may give tables with `majority` other replicas. Two lists of one
 * table are in use for a while: who was away still counts by the old one. So that each majority of the one shares a node
 * with each of the other, more than half of both lists must be there when the new one is made, of replicas that have not
 * forgotten what they promised; or all of them. Pure.
 */
import type { NodeId } from '../environment.ts';
import { isSuperseded, type SchemaTable } from '../schema/definition.ts';
import { isMostOf, listsOf, type Nodes, needsMajority, remembering } from '../schema/majorities.ts';
import { forgetfulBefore } from './forgetful.ts';
import { definitionAt, type Reports } from './merge-plan.ts';

export interface LackingMajority {
  readonly table: string;
  /** Replicas that are not here. */
  readonly nodes: readonly NodeId[];
}

/** The first table whose replicas these members may not change. `schema`: as the tables are to become. */
export function lackingMajority(
  schema: Iterable<SchemaTable>,
  reports: Reports,
  retired: readonly NodeId[],
  stale: readonly NodeId[],
): LackingMajority | undefined {
  // Whoever has them removed for good answers for what only they knew.
  const removed = new Set([...reports.values()].flatMap((report) => report.removed));
  for (const table of schema) {
    if (!needsMajority(table) || table.deletedAt > 0 || isKnown(table, reports)) continue;
    const counted = remembering(reports, forgetfulBefore(table, reports, stale));
    for (const node of reports.keys()) {
      const before = inForceAt(reports, node, table);
      if (before === undefined || isSameList(before, table)) continue;
      const left = [...before.replicas.keys()].filter((replica) => !removed.has(replica));
      const becomes = [...table.replicas.keys()];
      if (areEnough(left, counted, retired) && isMostOf(becomes, counted)) continue;
      const isHere = (one: NodeId): boolean => reports.has(one) || retired.includes(one);
      if ([...left, ...becomes].every(isHere)) continue;
      const all = new Set([...before.replicas.keys(), ...becomes]);
      return {
        table: table.name,
        nodes: [...all].filter((holder) => !reports.has(holder) && !removed.has(holder) && !retired.includes(holder)),
      };
    }
  }
  return undefined;
}

/**
 * More than half; or half, when of the rest so many will never return that they cannot do the same elsewhere. Half of the
 * replicas still have all that more than half of them ever agreed to.
 */
function areEnough(replicas: readonly NodeId[], nodes: Nodes, retired: readonly NodeId[]): boolean {
  let here = 0;
  let gone = 0;
  for (const node of replicas) {
    if (nodes.has(node)) here += 1;
    else if (retired.includes(node)) gone += 1;
  }
  return here * 2 >= replicas.length && here > replicas.length - here - gone;
}

/** The lists that members go on with, each alone, if it hears nothing of what is to be made now. */
export function listsInForce(table: SchemaTable, reports: Reports): (readonly NodeId[])[] {
  return [...reports.keys()].flatMap((node) => {
    const theirs = inForceAt(reports, node, table);
    if (theirs === undefined) return [];
    return theirs.majority ? listsOf(theirs) : theirs.formers;
  });
}

/** One of the islands has this list already: the other one only hears of it. A change that is wanted one member alone reports. */
function isKnown(table: SchemaTable, reports: Reports): boolean {
  return [...reports.values()].some(({ view }) =>
    view.every((member) => {
      const theirs = inForceAt(reports, member, table);
      return theirs !== undefined && isSameList(theirs, table);
    }),
  );
}

/** This table as a member has it; undefined: not at all, or another one of its name. */
function inForceAt(reports: Reports, node: NodeId, table: SchemaTable): SchemaTable | undefined {
  const report = reports.get(node);
  const theirs = report && definitionAt(report, table.name);
  return theirs === undefined || theirs.deletedAt > 0 || isSuperseded(theirs, table) ? undefined : theirs;
}

function isSameList(a: SchemaTable, b: SchemaTable): boolean {
  return a.replicas.size === b.replicas.size && [...a.replicas.keys()].every((node) => b.replicas.has(node));
}
