/** What the database tells about itself: table_info and system_info (M9, M10). */
import type { NodeState } from './node-state.ts';
import type { Loader } from './replication/loader.ts';
import type { Table } from './tables/table.ts';
import type { StorageKind, SystemInfo, TableInfo } from './types.ts';

export function tableInfoOf(node: NodeState, table: Table, loader: Loader): TableInfo {
  const { definition } = table;
  const holders = (kind: StorageKind): string[] =>
    node.namesOf([...definition.replicas].filter(([, held]) => held === kind).map(([id]) => id));
  return {
    name: table.name,
    type: 'set',
    size: table.rows.size,
    storageType: table.kind ?? 'unknown',
    ramCopies: holders('ram_copies'),
    discCopies: holders('disc_copies'),
    localContent: definition.localContent,
    merge: definition.merge,
    majority: definition.majority,
    cookie: definition.cookies[0] as string,
    accessMode: definition.accessMode,
    loadOrder: definition.loadOrder,
    userProperties: Object.fromEntries(definition.userProperties),
    loaded: table.loaded,
    awaiting: node.namesOf(loader.awaiting(table)),
    whereToWrite: node.namesOf([...definition.replicas.keys()].filter((id) => node.view.has(id))),
    digest: table.digest.text,
    forgetful: node.namesOf(table.forgetful),
  };
}

export function systemInfoOf(node: NodeState, loader: Loader, transactions: number): SystemInfo {
  const tables = [...node.tables.values()].filter((table) => table.definition.deletedAt === 0);
  const known = new Set(node.view);
  for (const table of tables) for (const holder of table.definition.replicas.keys()) known.add(holder);
  return {
    nodeId: node.self,
    nodeName: node.selfName,
    incarnation: node.incarnation,
    isRunning: node.closed ? 'no' : loader.isStarting() ? 'starting' : 'yes',
    runningDbNodes: node.namesOf(node.view),
    dbNodes: node.namesOf(known),
    removedNodes: node.namesOf(node.removed),
    tables: tables.map((table) => table.name).sort(),
    heldLocks: tables.reduce((sum, table) => sum + table.locks.held, 0),
    lockQueue: tables.reduce((sum, table) => sum + table.locks.waiting, 0),
    transactions,
    ...node.statistics,
    mnesiaDown: [...node.downs]
      .map(([id, { at }]) => ({ node: node.nameOf(id), at }))
      .sort((a, b) => (a.node < b.node ? -1 : 1)),
    recentCommits: node.recent.size,
    changedSince: node.changed
      .nodes()
      .map((id) => ({
        node: node.nameOf(id),
        rows: node.changed.size(id),
        collapsed: node.changed.tables(id).filter((table) => node.changed.collapsed(id, table) !== undefined),
      }))
      .filter(({ rows, collapsed }) => rows > 0 || collapsed.length > 0),
    discDamage: [...node.discDamage],
  };
}
