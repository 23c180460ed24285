import { describe, expect, test } from 'vitest';
import { type Answer, clusterReport } from '../../../src/cli/cluster-report.ts';
import { statusScreen } from '../../../src/cli/status-screen.ts';
import { labPeers } from '../../../src/lab/create.ts';
import { onOwnAddresses } from '../../../src/lab/ports.ts';
import type { Lab } from '../../../src/lab/state.ts';
import type { PeerStatus } from '../../../src/peer/peer-handle.ts';
import { goodStatus, recordingTerminal } from '../lab/support.ts';

const time = '2026-11-22T10:00:00.000Z';
const lab: Lab = {
  directory: '/nowhere',
  state: {
    format: 1,
    created: time,
    clusterName: 'cluster.lab.peerage.example',
    user: 'admin',
    peers: labPeers(onOwnAddresses(3, '127.15.13.15')),
    supervisor: null,
  },
};

function answered(status: PeerStatus): Answer {
  const { thisPeer } = status.cluster;
  const url = lab.state.peers[thisPeer - 1]!.url;
  return { index: thisPeer, label: `peer ${thisPeer}`, url, status, reason: undefined, remedy: undefined };
}

function silent(index: number, reason: string, remedy?: string): Answer {
  return { index, label: `peer ${index}`, url: `https://p${index}`, status: undefined, reason, remedy };
}

const good = (index: number, change: Partial<PeerStatus> = {}) => goodStatus(lab, index, change);

function withTables(
  index: number,
  tables: ReadonlyArray<Partial<PeerStatus['database']['tables'][number]>>,
): PeerStatus {
  const status = good(index);
  const base = status.database.tables[0]!;
  return { ...status, database: { ...status.database, tables: tables.map((table) => ({ ...base, ...table })) } };
}

function withCluster(index: number, change: Partial<PeerStatus['cluster']>): PeerStatus {
  const status = good(index);
  return { ...status, cluster: { ...status.cluster, ...change } };
}

describe('E56 E108 the report of a whole cluster', () => {
  test('a cluster whose peers all say Active of each other is healthy', () => {
    const report = clusterReport(
      [3, 1, 2].map((index) => answered(good(index))),
      time,
    );
    expect(report).toMatchObject({ health: 'healthy', problems: [], time });
    expect(report.peers.map((peer) => [peer.index, peer.state, peer.role])).toEqual([
      [1, 'Active', 'primary'],
      [2, 'Active', 'subordinate'],
      [3, 'Active', 'subordinate'],
    ]);
    expect(report.peers[0]?.links.map((link) => link.index)).toEqual([2, 3]);
    expect(report.tables).toEqual([
      {
        name: 'clusterConfiguration',
        localContent: false,
        copies: 3,
        copiesLoaded: 3,
        sizes: [5, 5, 5],
        digests: 'equal',
        awaiting: [],
      },
    ]);
  });

  test('B72 a peer that did not answer is named first, with why and what to do', () => {
    const report = clusterReport([answered(good(1)), silent(2, 'it was killed', 'start it')], time);
    expect(report.health).toBe('unhealthy');
    expect(report.problems[0]).toBe('peer 2 did not answer: it was killed – start it');
    expect(report.peers[1]).toMatchObject({ index: 2, answered: false, state: 'No answer', reason: 'it was killed' });
  });

  test('with no answer at all there is still a report', () => {
    const report = clusterReport([silent(1, 'a'), silent(2, 'b')], time);
    expect(report).toMatchObject({ health: 'unhealthy', cluster: null, tables: [], alarms: [] });
    expect(report.problems).toHaveLength(2);
  });

  test('a row that is not active is a problem of the peer that says so', () => {
    const base = good(1);
    const rows = base.cluster.peers.map((row) =>
      row.index === 3 ? { ...row, state: 'Failed' as const, reason: 'nothing heard for 4 s' } : row,
    );
    const report = clusterReport([answered(withCluster(1, { peers: rows, databaseStatus: 'Failed' }))], time);
    expect(report.problems).toEqual([
      'peer1 has no working link to peer 3 (peer3.lab.peerage.example): nothing heard for 4 s',
    ]);
  });

  test('a database that is not Active although its links work is a problem', () => {
    const status = withCluster(2, { databaseStatus: 'Starting', databaseDetail: 'tables are being loaded' });
    expect(clusterReport([answered(good(1)), answered(status)], time).problems).toEqual([
      'the database of peer2 is Starting: tables are being loaded',
    ]);
  });

  test('R14 peers that disagree on what must be the same everywhere are told apart by value', () => {
    const report = clusterReport(
      [answered(good(1)), answered(good(2)), answered(withCluster(3, { tlsVerify: 'Enforcing' }))],
      time,
    );
    expect(report.problems).toEqual([
      'the peers have different TLS verification modes (peer1 and peer2: Permissive; peer3: Enforcing)',
    ]);
  });

  test('copies with different digests differ; those of a table each peer has for itself never do', () => {
    const tables = (index: number) => [
      { name: 'shared', digest: index === 3 ? 'other' : 'same' },
      { name: 'own', localContent: true, digest: `of ${index}` },
    ];
    const report = clusterReport(
      [1, 2, 3].map((index) => answered(withTables(index, tables(index)))),
      time,
    );
    expect(report.tables.map((table) => [table.name, table.digests])).toEqual([
      ['own', 'single'],
      ['shared', 'differs'],
    ]);
    expect(report.problems).toEqual(['the copies of table shared differ']);
  });

  test('a table that is not loaded names the nodes it waits for, and its content is not compared', () => {
    const waiting = withTables(2, [{ name: 't', loaded: false, awaiting: ['clusterdb@peer3'], digest: 'empty' }]);
    const report = clusterReport([answered(withTables(1, [{ name: 't' }])), answered(waiting)], time);
    expect(report.problems).toEqual(['table t is loaded on 1 of 2 peers, waiting for clusterdb@peer3']);
    expect(report.tables[0]?.digests).toBe('single');
  });

  test('a notice is shown and makes no cluster unhealthy; a severity nobody knows does', () => {
    const alarm = {
      id: '40049',
      uuid: 'u',
      title: 't',
      description: 'd',
      detail: 'd',
      raisedAt: time,
      node: 'n',
      remedy: 'r',
    };
    const withSeverity = (severity: string) =>
      clusterReport([answered(good(1, { alarms: [{ ...alarm, severity }] }))], time);
    expect(withSeverity('notice')).toMatchObject({ health: 'healthy', alarms: [{ id: '40049' }] });
    expect(withSeverity('warning').health).toBe('unhealthy');
    expect(withSeverity('catastrophe').health).toBe('unhealthy');
  });

  test('a restart that is required is named once, by its alarm where there is one', () => {
    const alarm = {
      id: '20007',
      uuid: 'u',
      severity: 'warning',
      title: 'Restart required',
      description: 'd',
      detail: 'd',
      raisedAt: time,
      node: 'n',
      remedy: 'r',
    };
    const without = clusterReport([answered(good(1, { restartRequired: true }))], time);
    expect(without.problems).toEqual(['peer1 must be restarted for a changed configuration to take effect']);
    const report = clusterReport([answered(good(1, { restartRequired: true, alarms: [alarm] }))], time);
    expect(report.problems).toEqual(['alarm 20007 (warning) on peer1: Restart required']);
  });

  test('an alarm of several peers is one entry since the earliest time, the most severe first', () => {
    const alarm = (id: string, severity: string, raisedAt: string) => ({
      id,
      uuid: `u${id}`,
      severity,
      title: `T${id}`,
      description: 'd',
      detail: 'd',
      raisedAt,
      node: 'n',
      remedy: 'r',
    });
    const first = good(1, { alarms: [alarm('20004', 'warning', '2026-11-22T10:00:05.000Z')] });
    const second = good(2, {
      alarms: [
        alarm('20004', 'warning', '2026-11-22T10:00:01.000Z'),
        alarm('15004', 'error', '2026-11-22T10:00:02.000Z'),
      ],
    });
    const report = clusterReport([answered(first), answered(second)], time);
    expect(report.alarms.map(({ id, peers, raisedAt }) => [id, peers, raisedAt])).toEqual([
      ['15004', ['peer2'], '2026-11-22T10:00:02.000Z'],
      ['20004', ['peer1', 'peer2'], '2026-11-22T10:00:01.000Z'],
    ]);
    expect(report.problems).toEqual([
      'alarm 15004 (error) on peer2: T15004',
      'alarm 20004 (warning) on peer1 and peer2: T20004',
    ]);
  });
});

describe('the report as a screen', () => {
  test('a healthy cluster', () => {
    const screen = statusScreen(
      clusterReport(
        [1, 2].map((index) => answered(good(index))),
        time,
      ),
      recordingTerminal(),
    );
    expect(screen).toBe(
      [
        'cluster.lab.peerage.example · HEALTHY · 2 of 2 peers answered · primary 1 · TLS Permissive · IPv4 · 2026-11-22T10:00:00.000Z',
        '',
        '#  PEER   DATABASE  ROLE         VERSION    UP FOR     RTT  LINKS TO  URL',
        '1  peer1  Active    primary      0.1.0    1 m 01 s  0.4 ms  2 ✔  3 ✔  https://127.15.13.15:8443',
        '2  peer2  Active    subordinate  0.1.0    1 m 01 s  0.4 ms  1 ✔  3 ✔  https://127.15.13.16:8443',
        '',
        'TABLE                 COPIES  ROWS  LOADED  CONTENT',
        'clusterConfiguration       2     5  all     equal',
        '',
        'no problems',
      ].join('\n'),
    );
  });

  test('colour is only there when the terminal has it', () => {
    const report = clusterReport([answered(good(1))], time);
    expect(statusScreen(report, recordingTerminal())).not.toContain('\u001b');
    expect(statusScreen(report, { ...recordingTerminal(), color: true })).toContain('\u001b[32mActive');
  });
});
