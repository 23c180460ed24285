import { expect, test } from 'vitest';
import {
  alarmById,
  alarmDetail,
  clusterdbLines as clusterdb,
  diagnosticsLines as diagnostics,
  type Emitter,
  type LogRecord,
  managementLines as management,
  NOPROC_REASON,
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

interface Recorded {
  readonly line: ParsedLine;
  readonly detail: string;
  readonly from: Emitter;
  readonly peer: string;
}

const begins = (text: string) => (one: Recorded) => one.detail.startsWith(text);
const has = (key: string) => (one: Recorded) => value(one.line, key) !== '';

function peerList({ line }: Recorded): LogRecord {
  const alternates = [
    { address: '10.15.13.15', name: 'expc01' },
    { address: '10.15.13.16', name: 'expc02' },
  ];
  const index = (key: string) => Number(value(line, key));
  return replication.peerListRead(alternates, index('ConfigurationMasterIndex'), index('LocalPeerIndex'));
}

function alarmRaised({ line }: Recorded): LogRecord {
  const alarm = alarmById(Number(value(line, 'Id')))!;
  return diagnostics.alarmEvent('Alarm Raised', alarm, alarmDetail(alarm));
}

function rasSent({ line, detail }: Recorded): LogRecord {
  return diagnostics.rasSent({
    message: detail.includes('SCI') ? 'SCI' : 'LRQ',
    sequenceNumber: number(detail, /SeqNum=(\d+)/),
    destinationAddress: value(line, 'Dst-ip'),
    outcome: detail.includes('Retransmit') ? 'Retransmit' : 'Timeout',
  });
}

const webChange = {
  processId: 15060,
  item: 'cluster/tls_verify',
  from: 'Permissive',
  to: 'Enforcing',
  sourceAddress: '10.15.13.30',
  sourcePort: 53155,
  user: 'admin',
};

/** Which maker makes a recorded line; the first that fits. */
const makers: readonly (readonly [fits: (one: Recorded) => boolean, make: (one: Recorded) => LogRecord])[] = [
  [has('AlternateIPAddresses'), peerList],
  [has('Src-ip'), () => management.webConfigurationChanged(webChange)],
  [({ line }) => value(line, 'Event') === 'Alarm Raised', alarmRaised],
  [({ line }) => value(line, 'Reason') === 'gatekeeper timed out', () => diagnostics.gatekeeperTimedOut('10.15.13.16')],
  [begins('Starting synchronisation'), () => replication.startingSynchronisation()],
  [begins('This peer is the cluster master'), () => replication.isClusterMaster()],
  [begins('This peer is not the cluster master'), () => replication.alreadyUpToDate()],
  [begins('Synchronisation completed'), () => replication.synchronisationCompleted()],
  [begins('Processed mnesia_down'), ({ from, peer }) => clusterdb.processedMnesiaDown(from, peer)],
  [begins('Inconsistent Database'), ({ from, peer }) => clusterdb.inconsistentDatabase(from, peer)],
  [
    begins('Connecting database'),
    ({ from, peer }) => clusterdb.connectingDatabase(from, peer, 'running_partitioned_network'),
  ],
  [begins('Ready to perform'), ({ from, peer }) => clusterdb.readyToConnect(from, peer)],
  [begins('Running node connection'), ({ from, peer }) => clusterdb.runningConnect(from, peer)],
  [begins('Failed connecting'), ({ from, peer }) => clusterdb.failedConnecting(from, peer, NOPROC_REASON)],
  [begins('Sending RAS'), rasSent],
  [begins('Triggering forced peer update'), ({ from }) => clusterdb.triggeringForcedUpdate(from, 300_000)],
  [begins('Inserting into table'), ({ from }) => clusterdb.insertingIntoTable(from, 'clusterConfiguration')],
  [
    begins('xconfiguration clusterConfiguration'),
    ({ from }) => clusterdb.itemChanged(from, 'clusterConfiguration', 'tls_verify', 'Permissive', 'Enforcing'),
  ],
  [
    begins('xconfiguration alternatesConfiguration'),
    ({ from }) => clusterdb.tableChanged(from, 'alternatesConfiguration'),
  ],
  [begins('Cluster configuration change'), () => management.clusterConfigurationChangeDetected()],
  [begins('TLS Verify change status'), () => management.tlsVerifyChangeStatus(false, true)],
  [begins('Notifying databasemanager'), ({ from }) => clusterdb.notifyingDatabaseManager(from)],
  [begins('alternate peer changed'), ({ from }) => clusterdb.alternatePeerChanged(from)],
  [begins('Raising alarm'), ({ line }) => diagnostics.raisingAlarm(value(line, 'UUID'), 'null')],
];

function remake(line: ParsedLine): LogRecord {
  const from: Emitter = { node: value(line, 'Node'), pid: value(line, 'PID') };
  const one: Recorded = { line, detail: value(line, 'Detail'), from, peer: value(line, 'Node', 1) };
  const found = makers.find(([fits]) => fits(one));
  if (found === undefined) throw new Error(`No maker for: ${one.detail}`);
  return found[1](one);
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
