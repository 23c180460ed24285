/** The lines of the database processes: L6–L11, L19–L21, L25–L27, and lines of ours in the same form. */
import { type Emitter, type Field, processEvent, processLine } from '../diagnostics/log-record.ts';
import type { LogLevel, LogRecord } from '../otp/types.ts';

const CDB = 'developer.clusterdb.cdb';
const SYNCHRONISE = 'developer.clusterdb.synchronise';
const PEER_NAME_RESOLVER = 'developer.clusterdb.peernameresolver';
const ALTERNATES_MANAGER = 'developer.clusterdb.alternatesmanager';

/** L6 and its like: two `Node` fields, the emitter's and the peer's, in this order (E138). */
function aboutNode(
  level: LogLevel,
  from: Emitter,
  peer: string,
  detail: string,
  more: readonly Field[] = [],
): LogRecord {
  return processLine(CDB, level, from, [['Detail', detail], ...more, ['Node', peer]]);
}

/** L6 */
export function processedMnesiaDown(from: Emitter, peer: string): LogRecord {
  return aboutNode('INFO', from, peer, 'Processed mnesia_down event from accessible node');
}

/** L7: the context stands between Detail and the peer's Node. */
export function inconsistentDatabase(from: Emitter, peer: string): LogRecord {
  return aboutNode('ERROR', from, peer, 'Inconsistent Database', [['Context', 'from mnesia system - mnesia down']]);
}

export type PartitionContext = 'running_partitioned_network' | 'starting_partitioned_network';

/** L8 */
export function connectingDatabase(from: Emitter, peer: string, context: PartitionContext): LogRecord {
  return aboutNode('INFO', from, peer, `Connecting database on mnesia ${context} event`);
}

/** L9 */
export function readyToConnect(from: Emitter, peer: string): LogRecord {
  return aboutNode('INFO', from, peer, 'Ready to perform node connection transaction');
}

/** L10 */
export function runningConnect(from: Emitter, peer: string): LogRecord {
  return aboutNode('INFO', from, peer, 'Running node connection transaction');
}

/** L11 */
export function failedConnecting(from: Emitter, peer: string, reason: string): LogRecord {
  return processLine(SYNCHRONISE, 'WARN', from, [
    ['Detail', 'Failed connecting to node'],
    ['Node', peer],
    ['Reason', reason],
  ]);
}

/** Ours: the counterpart of L6, when a node is one with this one's database again. */
export function processedMnesiaUp(from: Emitter, peer: string): LogRecord {
  return aboutNode('INFO', from, peer, 'Processed mnesia_up event');
}

/** Ours: what a node connection transaction did, so that no heal and no join is silent. `nodes`: those joined by it. */
export function connectedDatabase(
  from: Emitter,
  nodes: readonly string[],
  figures: { rowsTaken: number; rowsGiven: number; conflicts: number; durationMs: number },
): LogRecord {
  return processLine(CDB, 'INFO', from, [
    ['Detail', 'Node connection transaction completed'],
    ['Nodes', nodes.join(', ')],
    ['Rows-taken', String(figures.rowsTaken)],
    ['Rows-given', String(figures.rowsGiven)],
    ['Conflicts', String(figures.conflicts)],
    ['Duration-ms', String(figures.durationMs)],
  ]);
}

/** Ours: a peer whose link is up and whose database is not one with this one's (B69). */
export function notReplicating(from: Emitter, peer: string): LogRecord {
  return aboutNode('WARN', from, peer, 'Peer is reachable but its database does not replicate with this one');
}

/** Ours: whatever else the database reports about itself. */
export function databaseReport(
  level: LogLevel,
  from: Emitter,
  detail: string,
  fields: readonly Field[] = [],
): LogRecord {
  return processLine(CDB, level, from, [['Detail', detail], ...fields]);
}

/** L19 */
export function triggeringForcedUpdate(from: Emitter, queueTimeMs: number): LogRecord {
  return processLine(PEER_NAME_RESOLVER, 'INFO', from, [
    ['Detail', 'Triggering forced peer update of peers which failed DNS and queueing next run'],
    ['Queue-Time-ms', String(queueTimeMs)],
  ]);
}

/** Ours: the first failure of a name, with its reason; L19 alone would not say which one. */
export function nameNotResolved(from: Emitter, name: string, reason: string): LogRecord {
  return processLine(PEER_NAME_RESOLVER, 'WARN', from, [
    ['Detail', 'Peer address cannot be resolved'],
    ['Name', name],
    ['Reason', reason],
  ]);
}

/** L20 */
export function insertingIntoTable(from: Emitter, table: string): LogRecord {
  return processLine(`developer.cdbtable.cdb.${table}`, 'DEBUG', from, [
    ['Detail', 'Inserting into table'],
    ['TableName', table],
  ]);
}

/** Ours: a write this table's process could not make. */
export function writeFailed(from: Emitter, table: string, reason: string): LogRecord {
  return processLine(`developer.cdbtable.cdb.${table}`, 'ERROR', from, [
    ['Detail', 'Writing to table failed'],
    ['TableName', table],
    ['Reason', reason],
  ]);
}

export const SYSTEM_CONFIGURATION_CHANGED = 'System Configuration Changed';

/** L21 */
export function itemChanged(from: Emitter, table: string, item: string, before: string, after: string): LogRecord {
  const detail = `xconfiguration ${table} ${item} - changed from: ${before} to: ${after}`;
  return processEvent(SYSTEM_CONFIGURATION_CHANGED, from, detail);
}

/** L25 */
export function tableChanged(from: Emitter, table: string): LogRecord {
  return processEvent(SYSTEM_CONFIGURATION_CHANGED, from, `xconfiguration ${table} - Changed`);
}

/** L26 */
export function notifyingDatabaseManager(from: Emitter): LogRecord {
  return processLine(PEER_NAME_RESOLVER, 'INFO', from, [
    ['Detail', 'Notifying databasemanager (Management Framework)'],
  ]);
}

/** L27. The spelling is a fact of the log, not a slip of ours. */
export function alternatePeerChanged(from: Emitter): LogRecord {
  return processLine(ALTERNATES_MANAGER, 'INFO', from, [['Detail', 'alternate peer changed info recieved']]);
}
