/**
 * What GET /api/v1/status of a peer says, as far as the command line uses it. What arrives is checked by hand: the
 * check costs nothing at start, and a peer of another version must lead to a clear sentence and not to a TypeError.
 */

import { ApiFailure } from './api-client.ts';

export interface PeerStatusRow {
  readonly index: number;
  readonly text: string;
  readonly address?: string;
  readonly state: string;
  readonly certificate?: { readonly valid: boolean; readonly text: string };
  readonly clustering?: { readonly ok: boolean; readonly text: string };
  readonly rttMs?: number;
  readonly nodeName?: string;
}

export interface PeerStatusAlarm {
  readonly id: number | string;
  readonly uuid: string;
  readonly severity: string;
  readonly title: string;
  readonly description: string;
  readonly raisedAt?: string;
  readonly remedy?: string;
}

export interface PeerStatusTable {
  readonly name: string;
  readonly size: number;
  readonly loaded: boolean;
  readonly storageType: string;
  readonly digest?: string;
  readonly awaiting?: readonly string[];
}

export interface PeerStatus {
  readonly version: string;
  readonly nodeName: string;
  readonly systemName: string;
  readonly pid: number;
  readonly uptimeMs: number;
  readonly restartRequired: boolean;
  readonly cluster: {
    readonly name: string;
    readonly configurationPrimary: number;
    readonly ipVersion: string;
    readonly tlsVerify: string;
    readonly databaseStatus: string;
    readonly thisPeer: number;
    readonly peers: readonly PeerStatusRow[];
    readonly lastSynchronisation?: string;
    readonly nextSynchronisation?: string;
  };
  readonly alarms: readonly PeerStatusAlarm[];
  readonly database: {
    readonly runningDbNodes: readonly string[];
    readonly dbNodes: readonly string[];
    readonly tables: readonly PeerStatusTable[];
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function allHave(value: unknown, fields: Readonly<Record<string, string>>): boolean {
  if (!Array.isArray(value)) return false;
  return value.every(
    (entry) => isRecord(entry) && Object.entries(fields).every(([name, type]) => typeof entry[name] === type),
  );
}

function isPeerStatus(value: unknown): value is PeerStatus {
  if (!isRecord(value) || !isRecord(value.cluster) || !isRecord(value.database)) return false;
  const { cluster, database } = value;
  return (
    typeof value.version === 'string' &&
    typeof value.uptimeMs === 'number' &&
    typeof cluster.configurationPrimary === 'number' &&
    typeof cluster.thisPeer === 'number' &&
    typeof cluster.databaseStatus === 'string' &&
    allHave(cluster.peers, { index: 'number', text: 'string', state: 'string' }) &&
    allHave(value.alarms, { severity: 'string', title: 'string' }) &&
    allHave(database.tables, { name: 'string', size: 'number', loaded: 'boolean' })
  );
}

export function readPeerStatus(answer: unknown): PeerStatus {
  if (isPeerStatus(answer)) return answer;
  throw new ApiFailure('answer', 'the answer is not the status of a peer of this version');
}
