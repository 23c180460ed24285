/**
 * Which lists of replicas stay in use beside the one that a node connection transaction makes (`formers`, see
 * schema/majorities.ts). Its members may be a minority of a table with `majority`: they unite all the same, and more than
 * half of each list that somebody may still go on with must agree before anything is written. Pure.
 */
import type { NodeId } from '../environment.ts';
import { isSuperseded, type SchemaTable } from '../schema/definition.ts';
import { listsToKeep, type Nodes, remembering } from '../schema/majorities.ts';
import { forgetfulBefore } from './forgetful.ts';
import { definitionAt, type Reports } from './merge-plan.ts';

export interface Gone {
  /** Known to never return, as their node has another identity now. */
  readonly retired: readonly NodeId[];
  /** Whoever had them removed for good answers for what only they knew. */
  readonly removed: readonly NodeId[];
  /** Members whose disc has lost what they had acknowledged. */
  readonly stale: readonly NodeId[];
}

/**
 * The lists by which members go on, each alone, if it hears nothing of what is to be made now. Who never returns is left
 * out where those who are here know all that more than half of the list ever agreed to, and counts as away elsewhere:
 * what only such a one knew besides somebody who is away now must not be forgotten.
 */
export function formerLists(table: SchemaTable, reports: Reports, { retired, removed, stale }: Gone): NodeId[][] {
  const counted = remembering(reports, forgetfulBefore(table, reports, stale));
  const isHere = (node: NodeId): boolean => reports.has(node) || retired.includes(node);
  return listsInForce(table, reports).map((list) => {
    const left = list.filter((node) => !removed.includes(node));
    const mayForget = areEnough(left, counted, retired) || left.every(isHere);
    return mayForget ? left.filter((node) => !retired.includes(node)) : left;
  });
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

function listsInForce(table: SchemaTable, reports: Reports): (readonly NodeId[])[] {
  return [...reports.values()].flatMap((report) => {
    const theirs = definitionAt(report, table.name);
    // Not known there, or another one of its name.
    if (theirs === undefined || theirs.deletedAt > 0 || isSuperseded(theirs, table)) return [];
    return listsToKeep(theirs);
  });
}
