/**
 * Who is a majority of a table's replicas: asked here, by whoever counts votes, words or members. Two lists are in use for
 * a while when replicas are changed: whoever is cut off while the change is applied has the new one alone, and all others
 * go on with the old one. So a changed definition keeps the lists that were in force before it, its `formers`, until more
 * than half of each list are known to have it on their discs: then no majority of an old list is without one that knows
 * the new one. Until then more than half of each of them must agree, also where the table asks for no majority any more.
 */
import type { NodeId } from '../environment.ts';
import type { SchemaTable } from './definition.ts';

export interface Nodes {
  has(node: NodeId): boolean;
}

type Definition = Pick<SchemaTable, 'replicas' | 'majority' | 'formers'>;
type List = readonly NodeId[];

export function needsMajority({ majority, formers }: Definition): boolean {
  return majority || formers.length > 0;
}

/** The lists of which more than half must agree, the one in force first. */
export function listsOf({ replicas, formers }: Definition): List[] {
  return [[...replicas.keys()], ...formers];
}

/** Those of `nodes` that count: who has forgotten what it promised does not. */
export function remembering(nodes: Nodes, forgetful: Nodes): Nodes {
  return { has: (node) => nodes.has(node) && !forgetful.has(node) };
}

function countOf(list: Iterable<NodeId>, nodes: Nodes): number {
  let count = 0;
  for (const node of list) if (nodes.has(node)) count += 1;
  return count;
}

/** More than half of this list, of which there may be `unmet` more that nobody here has heard of, are among `nodes`. */
export function isMostOf(list: List, nodes: Nodes, unmet = 0): boolean {
  return countOf(list, nodes) * 2 > list.length + unmet;
}

/** More than half of the replicas, and of each list before them. */
export function areMajority(definition: Definition, nodes: Nodes, unmet = 0): boolean {
  const { replicas, formers } = definition;
  if (countOf(replicas.keys(), nodes) * 2 <= replicas.size + unmet) return false;
  return formers.every((list) => isMostOf(list, nodes));
}

export function areEverybody(definition: Definition, nodes: Nodes): boolean {
  return listsOf(definition).every((list) => list.every((node) => nodes.has(node)));
}

/**
 * Whether `nodes`, together, know of all that any majority made: more than half that remember are among them, or nobody is
 * missing but those that are `gone` for good. Then those who have forgotten may count again.
 */
export function knowAll(definition: Definition, nodes: Nodes, forgetful: Nodes, gone: Nodes): boolean {
  if (areMajority(definition, remembering(nodes, forgetful))) return true;
  return areEverybody(definition, { has: (node) => nodes.has(node) || gone.has(node) });
}

/** None of the lists has a majority without one of `nodes`: others may count by one of them alone. */
export function isNoneWithout(definition: Definition, nodes: Nodes): boolean {
  return listsOf(definition).every((list) => countOf(list, nodes) * 2 >= list.length);
}

/** `lists` were in force besides this definition's own; `gone` never return, and count in none. */
export function withFormers<T extends Definition>(table: T, lists: Iterable<List>, gone: Nodes): T {
  const own = nameOf([...table.replicas.keys()]);
  const formers = new Map<string, List>();
  for (const list of lists) {
    const left = list.filter((node) => !gone.has(node)).sort();
    const name = nameOf(left);
    if (left.length > 0 && !(table.majority && name === own)) formers.set(name, left);
  }
  const inOrder = [...formers].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, list]) => list);
  const isSame = inOrder.map(nameOf).join('|') === table.formers.map(nameOf).join('|');
  return isSame ? table : { ...table, formers: inOrder };
}

/**
 * The lists that whatever comes after this definition must keep, so that each majority by the one shares a node with each
 * by the other. Where there are former ones, more than half of each must agree to whatever is agreed to by its own list.
 */
export function listsToKeep({ replicas, majority, formers }: Definition): readonly List[] {
  return majority && formers.length === 0 ? [[...replicas.keys()]] : formers;
}

/** As it is to become at one node alone, from what it is there. */
export function withProposed<T extends Definition>(table: T, before: Definition): T {
  return withFormers(table, listsToKeep(before), new Set());
}

/**
 * Whether it needs no formers any more once all `nodes` have it on their discs. Who has forgotten what it promised knows
 * nothing of what was agreed to by a list before.
 */
export function isEstablishedAt(table: SchemaTable, nodes: Nodes, forgetful: Nodes): boolean {
  return table.deletedAt === 0 && table.formers.length > 0 && areMajority(table, remembering(nodes, forgetful));
}

/** Of the lists of which too few are among `nodes`, those who are not; nobody where the lists before do not count any more. */
export function awaitedFor(table: SchemaTable, nodes: Nodes, forgetful: Nodes): Set<NodeId> {
  const awaited = new Set<NodeId>();
  if (table.deletedAt > 0 || table.formers.length === 0) return awaited;
  const counted = remembering(nodes, forgetful);
  for (const list of listsOf(table)) {
    if (!isMostOf(list, counted)) for (const node of list) if (!counted.has(node)) awaited.add(node);
  }
  return awaited;
}

function nameOf(list: List): string {
  return [...list].sort().join(' ');
}
