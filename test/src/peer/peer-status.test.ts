import { describe, expect, test } from 'vitest';
import {
  awaitingText,
  databaseStatus,
  type RowLink,
  type RowsInput,
  rowStatuses,
} from '../../../src/peer/peer-status.ts';

const mismatch = { valid: false, text: 'Certificate: Invalid (Common Name in certificate does not match)' };
const good = { valid: true, text: 'Certificate: Valid' };
const NODE2 = 'clusterdb@peer2.example.com';

function input(link: Partial<RowLink> | undefined, change: Partial<RowsInput> = {}): RowsInput {
  return {
    rows: ['peer1.example.com', 'peer2.example.com'],
    thisPeer: 1,
    ownAddress: '10.15.13.15',
    ownNodeName: 'clusterdb@peer1.example.com',
    ownCertificate: good,
    links: link === undefined ? [] : [{ index: 2, address: '10.15.13.16', state: 'up', name: NODE2, ...link }],
    runningDbNodes: ['clusterdb@peer1.example.com', NODE2],
    ...change,
  };
}

const second = (rows: RowsInput) => rowStatuses(rows)[1]!;

describe('a row of the Clustering page', () => {
  test('E51 this system reads `Clustering: This system`', () => {
    const [own] = rowStatuses(input({}));
    expect(own).toMatchObject({
      state: 'This system',
      clustering: { ok: true, text: 'Clustering: This system' },
      certificate: good,
    });
  });

  test('E52 a joined peer reads its short name, the row and the resolved address', () => {
    expect(second(input({ shortName: 'peer2', rttMs: 0.3 }))).toMatchObject({
      state: 'Active',
      clustering: { ok: true, text: "Clustering: Active as peer2 (Resolved 'peer2.example.com' as '10.15.13.16')" },
      rttMs: 0.3,
    });
    expect(second(input({})).clustering.text).toContain('Active as peer2 ');
  });

  test('E53 a row without contact reads `Unknown`, with neither tick nor cross', () => {
    for (const link of [undefined, { state: 'unknown' as const }, { state: 'connecting' as const }]) {
      expect(second(input(link))).toMatchObject({ state: 'Unknown', clustering: { ok: undefined, text: 'Unknown' } });
    }
  });

  test('E54 a row contacted in vain reads `Failed`, and why', () => {
    for (const state of ['failed', 'connecting'] as const) {
      const row = second(input({ state, reason: 'connection refused' }));
      expect(row).toMatchObject({
        state: 'Failed',
        clustering: { ok: false, text: 'Failed' },
        reason: 'connection refused',
      });
    }
  });

  test('E54 a linked peer whose database has not joined reads `Failed`', () => {
    const row = second(input({}, { runningDbNodes: ['clusterdb@peer1.example.com'] }));
    expect(row).toMatchObject({ state: 'Failed', reason: 'linked, its database has not joined yet' });
  });

  test('E55 the certificate line does not follow the clustering line', () => {
    expect(second(input({ certificate: mismatch }))).toMatchObject({ certificate: mismatch, clustering: { ok: true } });
    expect(second(input({ state: 'failed', reason: 'x', certificate: good }))).toMatchObject({
      certificate: good,
      clustering: { ok: false },
    });
    const [own] = rowStatuses(input({}, { ownCertificate: mismatch }));
    expect(own).toMatchObject({ certificate: mismatch, clustering: { ok: true } });
  });

  test('a round trip is not shown for a link that is down', () => {
    expect(second(input({ state: 'failed', reason: 'x', rttMs: 1 })).rttMs).toBeUndefined();
  });
});

describe('Cluster database status', () => {
  const rows = rowStatuses(input({}));
  const running = { isRunning: 'yes', failure: undefined, awaiting: [], rows } as const;

  test('E56 reads Active when every row is joined, and for a cluster of one', () => {
    expect(databaseStatus(running).status).toBe('Active');
    expect(databaseStatus({ ...running, rows: rows.slice(0, 1) }).status).toBe('Active');
  });

  test('reads Failed when a peer is missing, and names it', () => {
    const lost = rowStatuses(input({ state: 'failed', reason: 'x' }));
    expect(databaseStatus({ ...running, rows: lost })).toEqual({
      status: 'Failed',
      detail: 'replicating with 0 of 1 other peers; missing: peer2.example.com',
    });
  });

  test('reads Starting while tables are awaited, and says from whom', () => {
    const awaiting = [{ table: 'clusterConfiguration', nodes: [NODE2] }];
    expect(databaseStatus({ ...running, awaiting }).status).toBe('Starting');
    expect(awaitingText(awaiting)).toBe(
      'clusterConfiguration: waiting for peer2, which may hold newer rows. xCommand ForceLoadTables goes on without',
    );
  });

  test('reads Failed with the reason when the disc failed, whatever else is well', () => {
    expect(databaseStatus({ ...running, failure: 'disc full' })).toEqual({ status: 'Failed', detail: 'disc full' });
    expect(databaseStatus({ ...running, isRunning: 'stopping' }).status).toBe('Failed');
  });
});
