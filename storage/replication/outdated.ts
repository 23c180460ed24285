/**
 * Discs older than what their nodes had acknowledged: an old copy that was put back, or one that lost its end. What is on
 * such a disc the others had long ago, and what it lacks may be a delete; so where others have the rows, theirs take its
 * place. Where they would wait for that very node, it is the best there is, and is merged as any other.
 */
import type { NodeId } from '../environment.ts';
import type { SchemaTable } from '../schema/definition.ts';
import { awaitedHolders } from './load-rule.ts';
import { loadOpinions } from './loadable.ts';
import { type Reports, replicaOf } from './merge-plan.ts';

/** Those of the `stale` members whose rows of this table are given up for those of the others. */
export function outdatedAt(table: SchemaTable, reports: Reports, stale: NodeId[]): NodeId[] {
  return stale.length === 0 || canDoWithout(stale, table, reports) ? stale : [];
}

function canDoWithout(stale: readonly NodeId[], table: SchemaTable, reports: Reports): boolean {
  const others = new Map([...reports].filter(([node]) => !stale.includes(node)));
  const haveRows = [...others.values()].some((report) => replicaOf(report, table)?.[2] === false);
  if (!haveRows) return false;
  return !awaitedHolders(table, loadOpinions(table, others)).some((node) => stale.includes(node));
}
