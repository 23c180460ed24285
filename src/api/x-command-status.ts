/** `xStatus`: what is shown of the cluster, the alternates and the alarms, in the field's block form. The fields are ours. */
import type { PeerStatus } from '../peer/peer-handle.ts';

export type StatusValue = string | number | boolean | undefined | StatusBlock;
export interface StatusBlock {
  readonly [name: string]: StatusValue;
}

export const STATUS_ELEMENTS = ['Alarm', 'Alternates', 'Cluster', 'SystemUnit'] as const;
export type StatusElement = (typeof STATUS_ELEMENTS)[number];

/** Strings in double quotes with quotes and backslashes escaped, numbers bare, booleans as True and False. */
export function valueText(value: string | number | boolean): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not reach a terminal
  return `"${value.replace(/[\\"]/g, '\\$&').replace(/[\u0000-\u001f\u007f]/g, ' ')}"`;
}

function blockLines(block: StatusBlock, indent: string): string[] {
  return Object.entries(block).flatMap(([name, value]) => {
    if (value === undefined) return [];
    if (typeof value === 'object') return [`${indent}${name}:`, ...blockLines(value, `${indent}  `)];
    return [`${indent}${name}: ${valueText(value)}`];
  });
}

export function statusLines(element: StatusElement, status: PeerStatus): string[] {
  const blocks = blocksOf(element, status);
  if (blocks.length === 0) return [`*s ${element}: /`, '*s/end'];
  return blocks.flatMap(([title, block]) => [`*s ${title}:`, ...blockLines(block, '  '), '*s/end']);
}

function blocksOf(element: StatusElement, status: PeerStatus): readonly (readonly [string, StatusBlock])[] {
  if (element === 'Alarm') return status.alarms.map((alarm, at) => [`Alarm ${at + 1}`, alarmBlock(alarm)] as const);
  if (element === 'Cluster') return [['Cluster', clusterBlock(status)]];
  if (element === 'SystemUnit') return [['SystemUnit', systemUnitBlock(status)]];
  return [['Alternates', alternatesBlock(status)]];
}

function alarmBlock(alarm: PeerStatus['alarms'][number]): StatusBlock {
  return {
    ID: alarm.id,
    UUID: alarm.uuid,
    Severity: alarm.severity,
    Title: alarm.title,
    Description: alarm.description,
    FirstRaisedTime: alarm.raisedAt,
    Peer: alarm.node,
    Solution: alarm.remedy,
  };
}

function clusterBlock({ cluster, database }: PeerStatus): StatusBlock {
  return {
    Name: cluster.name,
    DatabaseStatus: cluster.databaseStatus,
    DatabaseDetail: cluster.databaseDetail,
    ConfigurationPrimary: cluster.configurationPrimary,
    ThisPeer: cluster.thisPeer,
    IPVersion: cluster.ipVersion,
    TlsVerify: { Configured: cluster.tlsVerify, Active: cluster.tlsVerifyAtStart },
    PreviousSynchronisation: cluster.lastSynchronisation,
    NextSynchronisation: cluster.nextSynchronisation,
    PartitionLedgerEntries: database.ledgerCount,
  };
}

function alternatesBlock({ cluster }: PeerStatus): StatusBlock {
  const peers: Record<string, StatusBlock> = {};
  for (const row of cluster.peers) {
    peers[`Peer ${row.index}`] = {
      Address: row.text,
      Resolved: row.address,
      Status: row.state,
      Clustering: row.clustering.text,
      Certificate: row.certificate?.text,
      Reason: row.reason,
      RoundTripMs: row.rttMs === undefined ? undefined : Math.round(row.rttMs * 100) / 100,
    };
  }
  return peers;
}

function systemUnitBlock(status: PeerStatus): StatusBlock {
  return {
    Name: status.systemName,
    Product: 'peerage',
    Version: status.version,
    Uptime: Math.floor(status.uptimeMs / 1000),
    Node: status.nodeName,
    RestartRequired: status.restartRequired,
  };
}
