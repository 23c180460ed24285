/** What a node has noted of others that went down, as far as it may go by it when it loads tables. */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';

/** Returns those whose notes are changed by it. */
export function doubtDowns(node: NodeState, others: Iterable<NodeId>, isDoubtful: boolean): NodeId[] {
  const changed: NodeId[] = [];
  for (const other of others) {
    const record = node.downs.get(other);
    if (record === undefined || record.isDoubtful === isDoubtful) continue;
    node.noteDown(other, { ...record, isDoubtful });
    changed.push(other);
  }
  return changed;
}

/** Once this node has all that they can have shared with it, and goes on without them, no doubt is left. */
export function settleDowns(node: NodeState): void {
  const waiting = [...node.tables.values()].filter(
    (table) => table.held && !table.loaded && table.definition.deletedAt === 0,
  );
  const isOver = (other: NodeId): boolean => !waiting.some(({ definition }) => definition.replicas.has(other));
  doubtDowns(node, [...node.downs.keys()].filter(isOver), false);
}

/** Nodes that this one saw go down and that have not gone on after it. */
export function seenDown({ downs }: NodeState): NodeId[] {
  return [...downs].flatMap(([other, { isDoubtful }]) => (isDoubtful ? [] : [other])).sort();
}
