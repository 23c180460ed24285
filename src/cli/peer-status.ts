/**
 * What GET /api/v1/status of a peer says, as far as the command line uses it. What arrives is checked by hand: the
 * check costs nothing at start, and a peer of another version must lead to a clear sentence and not to a TypeError.
 */

import type { PeerStatus } from '../peer/peer-handle.ts';
import { ApiFailure } from './api-client.ts';
import { isRecord } from './shape.ts';

export type { PeerStatus };

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
