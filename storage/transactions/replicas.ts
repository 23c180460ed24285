/** Which replicas a transaction reaches. */
import type { NodeId } from '../environment.ts';
import type { Table } from '../tables/table.ts';
import type { TransactionRun } from './run.ts';

export function hasReplicaAt(table: Table, nodes: { has(node: NodeId): boolean }): boolean {
  for (const node of table.definition.replicas.keys()) if (nodes.has(node)) return true;
  return false;
}

export function hasMajority(table: Table, participants: readonly NodeId[]): boolean {
  let active = 0;
  for (const node of table.definition.replicas.keys()) if (participants.includes(node)) active += 1;
  return active * 2 > table.definition.replicas.size;
}

/** No disc of this node keeps a written table but another's does: that one must have it before the caller is answered. */
export function isKeptElsewhere(run: TransactionRun): boolean {
  return run.writes.some(({ table }) => {
    if (table.onDisc) return false;
    for (const kind of table.definition.replicas.values()) if (kind === 'disc_copies') return true;
    return false;
  });
}

/** A written table that some disc is to keep, and none of those that are known to hold the commit does. */
export function tableOnNoDisc(run: TransactionRun): Table | undefined {
  for (const { table } of run.writes) {
    const { replicas } = table.definition;
    const isForDisc = [...replicas.values()].includes('disc_copies');
    if (isForDisc && !run.keptBy.some((node) => replicas.get(node) === 'disc_copies')) return table;
  }
  return undefined;
}
