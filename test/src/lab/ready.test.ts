import { describe, expect, test } from 'vitest';
import { labPeers } from '../../../src/lab/create.ts';
import { onOwnAddresses } from '../../../src/lab/ports.ts';
import { type Asked, awaitedText } from '../../../src/lab/ready.ts';
import type { Lab } from '../../../src/lab/state.ts';
import type { PeerStatus } from '../../../src/peer/peer-handle.ts';
import { goodStatus } from './support.ts';

const peers = labPeers(onOwnAddresses(3, '127.15.13.15'));
const lab: Lab = {
  directory: '/nowhere',
  state: { format: 1, created: 'now', clusterName: 'c', user: 'admin', peers, supervisor: null },
};

function asked(change: (status: PeerStatus, index: number) => PeerStatus | undefined = (status) => status): Asked[] {
  return [1, 2, 3].map((index) => ({ index, status: change(goodStatus(lab, index), index) }));
}

/** Rows of `index` that are not active, seen from its own side. */
function failing(status: PeerStatus, rows: readonly number[], databaseStatus: PeerStatus['cluster']['databaseStatus']) {
  const peersOf = status.cluster.peers.map((row) =>
    rows.includes(row.index) ? { ...row, state: 'Failed' as const } : row,
  );
  return { ...status, cluster: { ...status.cluster, peers: peersOf, databaseStatus } };
}

describe('what a starting lab waits for', () => {
  test('nothing, when every peer is well', () => {
    expect(awaitedText(asked())).toBeUndefined();
  });

  test('answers come before everything else', () => {
    const some = asked((status, index) => (index === 2 ? failing(status, [1], 'Failed') : undefined));
    expect(awaitedText(some)).toBe('peers 1 and 3 to answer');
  });

  test('a link is named once, whichever of its ends misses it', () => {
    const some = asked((status, index) =>
      index === 3 ? failing(status, [1], 'Failed') : index === 1 ? failing(status, [3], 'Failed') : status,
    );
    expect(awaitedText(some)).toBe('the link between peers 1–3');
  });

  test('tables that are not loaded, then databases that are not Active', () => {
    const loading = asked((status) => ({
      ...status,
      database: { ...status.database, tables: status.database.tables.map((table) => ({ ...table, loaded: false })) },
    }));
    expect(awaitedText(loading)).toBe('table clusterConfiguration to be loaded');
    const starting = asked((status, index) => (index === 1 ? failing(status, [], 'Starting') : status));
    expect(awaitedText(starting)).toBe('the database of peer 1 to become Active');
  });

  test('peers that do not run are not awaited, nor the verdict that they spoil', () => {
    const some = asked((status) => failing(status, [2], 'Failed')).filter(({ index }) => index === 1);
    expect(awaitedText(some)).toBe('the link between peers 1–2');
    expect(awaitedText(some, (index) => index !== 2)).toBeUndefined();
  });
});
