import { expect, test } from 'vitest';
import {
  alarmById,
  alarmDetail,
  clusterdbLines as clusterdb,
  diagnosticsLines as diagnostics,
  type Emitter,
  type LogRecord,
  managementLines as management,
  replicationLines as replication,
} from '../../../actors/index.ts';
import { fixedZone, formatLine, type ParsedLine, parseLine, valuesOf } from '../../../src/log/index.ts';
import { excerpts, withoutPrefix } from '../clusterdb/support.ts';

function read(text: string): ParsedLine {
  const result = parseLine(text);
  if (!result.ok) throw new Error(result.problem);
  return result.line;
}

const value = (line: ParsedLine, key: string, at = 0): string => valuesOf(line, key)[at] ?? '';
const number = (text: string, form: RegExp): number => Number(form.exec(text)?.[1]);

/** Which maker makes a recorded line, found by its Detail or Event; the values are taken from the line. */
function remake(line: ParsedLine): LogRecord {
  const detail = value(line, 'Detail');
  const from: Emitter = { node: value(line, 'Node'), pid: value(line, 'PID') };
  const peer = value(line, 'Node', 1);
  switch (true) {
    case detail === 'Starting synchronisation':
      return replication.startingSynchronisation();
    case value(line, 'AlternateIPAddresses') !== '':
      return replication.peerListRead(
        [
          { address: '10.15.13.15', name: 'expc01' },
          { address: '10.15.13.16', name: 'expc02' },
        ],
        Number(value(line, 'ConfigurationMasterIndex')),
        Number(value(line, 'LocalPeerIndex')),
      );
    case detail.startsWith('This peer is the cluster master'):
      return replication.isClusterMaster();
    case detail.startsWith('This peer is not the cluster master'):
      return replication.alreadyUpToDate();
    case detail === 'Synchronisation completed successfully':
      return replication.synchronisationCompleted();
    case detail.startsWith('Processed mnesia_down'):
      return clusterdb.processedMnesiaDown(from, peer);
    case detail === 'Inconsistent Database':
      return clusterdb.inconsistentDatabase(from, peer);
    case detail.startsWith('Connecting database'):
      return clusterdb.connectingDatabase(from, peer, 'running_partitioned_network');
    case detail.startsWith('Ready to perform'):
      return clusterdb.readyToConnect(from, peer);
    case detail.startsWith('Running node connection'):
      return clusterdb.runningConnect(from, peer);
    case detail === 'Failed connecting to node':
      return clusterdb.failedConnecting(from, peer, value(line, 'Reason'));
    case value(line, 'Event') === 'Alarm Raised': {
      const alarm = alarmById(Number(value(line, 'Id')))!;
      return diagnostics.alarmEvent('Alarm Raised', alarm, alarmDetail(alarm));
    }
    case detail.startsWith('Sending RAS'):
      return diagnostics.rasSent({
        message: detail.includes('SCI') ? 'SCI' : 'LRQ',
        sequenceNumber: number(detail, /SeqNum=(\d+)/),
        destinationAddress: value(line, 'Dst-ip'),
        outcome: detail.includes('Retransmit') ? 'Retransmit' : 'Timeout',
      });
    case value(line, 'Reason') === 'gatekeeper timed out':
      return diagnostics.gatekeeperTimedOut('10.15.13.16');
    case detail.startsWith('Triggering forced peer update'):
      return clusterdb.triggeringForcedUpdate(from, 300_000);
    case detail === 'Inserting into table':
      return clusterdb.insertingIntoTable(from, 'clusterConfiguration');
    case value(line, 'Src-ip') !== '':
      return management.webConfigurationChanged({
        processId: 15060,
        item: 'cluster/tls_verify',
        from: 'Permissive',
        to: 'Enforcing',
        sourceAddress: '10.15.13.30',
        sourcePort: 53155,
        user: 'admin',
      });
    case detail.includes('tls_verify'):
      return clusterdb.itemChanged(from, 'clusterConfiguration', 'tls_verify', 'Permissive', 'Enforcing');
    case detail.includes('alternatesConfiguration'):
      return clusterdb.tableChanged(from, 'alternatesConfiguration');
    case detail === 'Cluster configuration change detected':
      return management.clusterConfigurationChangeDetected();
    case detail === 'TLS Verify change status':
      return management.tlsVerifyChangeStatus(false, true);
    case detail.startsWith('Notifying databasemanager'):
      return clusterdb.notifyingDatabaseManager(from);
    case detail.startsWith('alternate peer changed'):
      return clusterdb.alternatePeerChanged(from);
    case detail === 'Raising alarm':
      return diagnostics.raisingAlarm(value(line, 'UUID'), 'null');
    default:
      throw new Error(`No maker for: ${detail}`);
  }
}

/** Ms since the epoch of the line's own UTCTime, which the prefix may be a millisecond after. */
function utcMs(line: ParsedLine): number {
  return Date.parse(`${value(line, 'UTCTime').replace(' ', 'T').replace(',', '.')}Z`);
}

test.each(excerpts.map((text, at) => [at + 1, text] as const))(
  'E133–E148 recorded line %i is made again exactly',
  (_at, text) => {
    const line = read(text);
    const made = formatLine(remake(line), { wallMs: utcMs(line), host: line.host, zone: fixedZone(-300) });
    expect(withoutPrefix(made)).toBe(withoutPrefix(text));
  },
);

test('E135 a quote in a peer’s name cannot end its element of the list', () => {
  expect(replication.alternateList([{ address: '10.0.0.1', name: "a')', u'(evil" }])).toBe(
    "[u'(10.0.0.1 a\\')\\', u\\'(evil)']",
  );
});
