/**
 * Reads that others must confirm. A read of this node's own replica is checked and locked here. Others check it too where
 * that is not enough: a row fetched from another node; a read that asked for a majority; and, in a transaction that writes
 * a table with `majority` or read with one, every read of such a table: what this node alone has may be old.
 */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { needsMajority } from '../schema/majorities.ts';
import type { Table } from '../tables/table.ts';
import type { ProposedCheck } from './proposals.ts';
import { noMajority } from './refusals.ts';
import { hasMajority, hasReplicaAt } from './replicas.ts';
import type { ReadNote, TransactionRun } from './run.ts';

/** Whether it must be in one order with all transactions of majorities, wherever they were made. */
function isStrict(run: TransactionRun): boolean {
  return run.writes.some(({ table }) => needsMajority(table.definition)) || run.reads.some(({ majority }) => majority);
}

function isConfirmed({ table, remote, majority }: ReadNote, strict: boolean): boolean {
  return remote !== undefined || majority || (strict && needsMajority(table.definition));
}

/** A transaction that writes nothing asks the others only when its reads, taken one by one, may not fit together. */
export function needsRound(run: TransactionRun): boolean {
  if (run.writes.length > 0 || run.reads.some(({ majority }) => majority)) return true;
  return run.reads.length + run.tableReads.length > 1 && run.reads.some(({ remote }) => remote !== undefined);
}

/** What the others must find as this node did. */
export function checksOf(run: TransactionRun): ProposedCheck[] {
  const strict = isStrict(run);
  const checks: ProposedCheck[] = [];
  for (const read of run.reads) {
    if (!isConfirmed(read, strict)) continue;
    const { table, key, token, row } = read;
    checks.push({ table, key, token, hlc: row?.hlc ?? 0, node: row?.node ?? '', digest: undefined });
  }
  if (!strict) return checks;
  for (const { table } of run.tableReads) {
    if (!needsMajority(table.definition)) continue;
    checks.push({ table, key: null, token: null, hlc: 0, node: '', digest: table.digest.text });
  }
  return checks;
}

/** Tables of which more than half of the replicas must agree, and those of which one must be among the participants. */
function tablesOf(run: TransactionRun): { byMajority: Set<Table>; bySome: Set<Table> } {
  const strict = isStrict(run);
  const byMajority = new Set<Table>();
  const bySome = new Set<Table>();
  for (const { table } of run.writes) (needsMajority(table.definition) ? byMajority : bySome).add(table);
  for (const read of run.reads) {
    if (read.majority || (strict && needsMajority(read.table.definition))) byMajority.add(read.table);
    else if (read.remote !== undefined && run.writes.length > 0) bySome.add(read.table);
  }
  if (strict) for (const { table } of run.tableReads) if (needsMajority(table.definition)) byMajority.add(table);
  return { byMajority, bySome };
}

/** This node first, then every node of the view that must agree. @throws StorageError when too few can */
export function participantsOf(node: NodeState, run: TransactionRun): NodeId[] {
  const participants: NodeId[] = [node.self];
  const { byMajority, bySome } = tablesOf(run);
  const unmet = byMajority.size === 0 ? 0 : node.unmetNodes().length;
  for (const table of [...byMajority, ...bySome]) {
    if (table.definition.deletedAt > 0 || (table.held && !table.loaded)) throw node.notLoaded(table);
    if (!table.held && !hasReplicaAt(table, node.view)) throw node.notLoaded(table);
    node.addWriters(table, participants);
    if (byMajority.has(table) && !hasMajority(table, participants, unmet)) throw noMajority(node, table);
  }
  for (const { remote } of run.reads) {
    if (remote !== undefined && !participants.includes(remote)) participants.push(remote);
  }
  return participants;
}

/** A table of which, after a loss, too few of `participants` are left. */
export function tableLacking(node: NodeState, run: TransactionRun, participants: readonly NodeId[]): Table | undefined {
  const { byMajority, bySome } = tablesOf(run);
  const unmet = byMajority.size === 0 ? 0 : node.unmetNodes().length;
  for (const table of byMajority) if (!hasMajority(table, participants, unmet)) return table;
  for (const table of bySome) {
    if (!participants.some((one) => hasItsRows(node, table, one))) return table;
  }
  return undefined;
}

/** A participant voted only if it has; this node may have been given a replica since it proposed, and waits for its rows. */
function hasItsRows({ self }: NodeState, table: Table, participant: NodeId): boolean {
  return participant === self ? table.loaded : table.definition.replicas.has(participant);
}
