import { expect, test } from 'vitest';
import {
  type ClusterConfiguration,
  type DatabaseManagerArgs,
  type DatabaseManagerStatus,
  databasemanager,
  type Next,
} from '../../../actors/index.ts';
import { changesSince, type DatabaseManagerState } from '../../../actors/management/databasemanager.ts';
import type { TableEvent, Value } from '../../../storage/index.ts';
import { asker, body, context, fakeWorker, ofType, records } from '../clusterdb/support.ts';

const startup: ClusterConfiguration = {
  name: 'expc-cluster.apolo.local',
  configurationPrimary: 1,
  ipVersion: 'IPv4',
  tlsVerify: 'Permissive',
  peers: ['expc01.apolo.local', 'expc02.apolo.local'],
  addressMapping: { enabled: false, mappings: [] },
};

function manager(over: Partial<DatabaseManagerArgs> = {}) {
  const box = { now: startup };
  const args: DatabaseManagerArgs = { configuration: () => box.now, startup, activeTlsVerify: 'Permissive', ...over };
  return { box, first: databasemanager.init(args, context()) };
}

const changed = (
  key: string,
  origin: TableEvent['origin'],
  value: Value = 'Enforcing',
  table = 'clusterConfiguration',
) =>
  ({
    type: 'table',
    event: { type: 'write', table, key, value, oldValue: 'Permissive', version: { hlc: 1, node: 'n' }, origin },
  }) as const;
const due = (name: string) => ({ type: 'timeout', name, message: undefined }) as const;
const casts = (next: Next<DatabaseManagerState>) => ofType(next.effects, 'cast').map((effect) => effect.message);
const lines = (next: Next<DatabaseManagerState>) => records(next.effects).map((record) => body(record, 0));

const L23 =
  'expc01 management: UTCTime="1970-01-01 00:00:00,000" Module="developer.management.databasemanager" Level="INFO" CodeLocation="databasemanager(312)" Detail="Cluster configuration change detected"';
const L24 =
  'expc01 management: UTCTime="1970-01-01 00:00:00,000" Module="developer.management.databasemanager" Level="INFO" CodeLocation="databasemanager(405)" Detail="TLS Verify change status" Startup="False" New="True"';

test('E145 a change made here is noticed (L23), recorded by a second insert, and then L24', async () => {
  const { first } = manager();
  const event = databasemanager.handleInfo(changed('tls_verify', 'local'), first.state, context());
  expect(ofType(event.effects, 'startTimer')).toEqual([{ type: 'startTimer', name: 'notice', delayMs: 3 }]);
  const noticed = databasemanager.handleInfo(due('notice'), event.state, context());
  expect(lines(noticed)).toEqual([L23]);
  const asked: unknown[] = [];
  const { worker } = fakeWorker((to, message) => {
    asked.push([to, (message as { rows: { key: string }[] }).rows[0]?.key]);
    return { ok: true };
  });
  const run = ofType(noticed.effects, 'run')[0]!;
  const value = await run.work(worker);
  expect(asked).toEqual([['cdbtable.clusterConfiguration', 'pending_change']]);
  const info = { type: 'worker', name: run.name, pid: context().self, ok: true, value } as const;
  expect(lines(databasemanager.handleInfo(info, noticed.state, context()))).toEqual([L24]);
});

test('E146 a change that came from another peer is noticed with L23 and L24 and inserts nothing', () => {
  const event = databasemanager.handleInfo(changed('tls_verify', 'remote'), manager().first.state, context());
  const noticed = databasemanager.handleInfo(due('notice'), event.state, context());
  expect(lines(noticed)).toEqual([L23, L24]);
  expect(ofType(noticed.effects, 'run')).toEqual([]);
});

test('E145 L24 is written even when the record could not be', () => {
  const { box, first } = manager();
  box.now = { ...startup, tlsVerify: 'Enforcing' };
  const info = { type: 'worker', name: 'record-1', pid: context().self, ok: false, reason: 'noproc' } as const;
  expect(lines(databasemanager.handleInfo(info, first.state, context()))).toEqual([L24]);
});

test('E73 E113 20007 is asked for 180 ms after the change was noticed, because the mode is not the one of the start', () => {
  const { box, first } = manager();
  box.now = { ...startup, tlsVerify: 'Enforcing' };
  const event = databasemanager.handleInfo(changed('tls_verify', 'remote'), first.state, context());
  const noticed = databasemanager.handleInfo(due('notice'), event.state, context());
  expect(ofType(noticed.effects, 'startTimer')).toEqual([
    { type: 'startTimer', name: 'restart-required', delayMs: 180 },
  ]);
  expect(casts(noticed)).toEqual([]);
  const raised = databasemanager.handleInfo(due('restart-required'), noticed.state, context());
  expect(casts(raised)).toContainEqual({ type: 'raise', id: 20007 });
});

test('E113 20007 is lowered when the mode is put back to what it was at the start', () => {
  const next = databasemanager.handleInfo(due('restart-required'), manager().first.state, context());
  expect(casts(next)).toContainEqual({ type: 'lower', id: 20007 });
});

test('E113 a restart begins with no difference and lowers 20007', () => {
  expect(casts(manager().first)).toContainEqual({ type: 'lower', id: 20007 });
});

test.each([
  [{ name: 'other' }, 'cluster_name'],
  [{ configurationPrimary: 2 }, 'configuration_primary'],
  [{ ipVersion: 'IPv6' as const }, 'ip_version'],
  [{ tlsVerify: 'Enforcing' as const }, 'tls_verify'],
  [{ peers: ['expc01.apolo.local'] }, 'peers'],
])('E47 a restart is required after a change of %j', (change, item) => {
  expect(changesSince(startup, { ...startup, ...change })).toEqual([item]);
});

test('E88 a change of the address mapping requires no restart', () => {
  expect(changesSince(startup, { ...startup, addressMapping: { enabled: true, mappings: [] } })).toEqual([]);
});

test('E47 a peer row changed on the page is noticed with L23 and without the mode’s line', () => {
  const event = changed('peer_2_address', 'local', 'peer9', 'peerConfiguration');
  const heard = databasemanager.handleInfo(event, manager().first.state, context());
  expect(lines(databasemanager.handleInfo(due('notice'), heard.state, context()))).toEqual([L23]);
});

test.each([
  ['the record of a pending change', changed('pending_change', 'remote', 'x')],
  ['a write of the same value', changed('tls_verify', 'remote', 'Permissive')],
])('%s is not noticed', (_what, event) => {
  const next = databasemanager.handleInfo(event, manager().first.state, context());
  expect(next.effects ?? []).toEqual([]);
});

test('changes that come together are noticed as one', () => {
  const first = databasemanager.handleInfo(changed('tls_verify', 'remote'), manager().first.state, context());
  const second = databasemanager.handleInfo(changed('address_mapping', 'remote', 'On'), first.state, context());
  expect(second.effects ?? []).toEqual([]);
  expect(lines(databasemanager.handleInfo(due('notice'), second.state, context()))).toEqual([L23, L24]);
});

test('B21 20020 is raised when the links do not use the configured mode', () => {
  const configured = { ...startup, tlsVerify: 'Enforcing' as const };
  const { first } = manager({ startup: configured, configuration: () => configured });
  expect(casts(first)).toContainEqual({ type: 'raise', id: 20020 });
  expect(casts(manager().first)).toContainEqual({ type: 'lower', id: 20020 });
});

test('B22 40049 reminds of Permissive in a cluster, and not in a cluster of one', () => {
  expect(casts(manager().first)).toContainEqual({ type: 'raise', id: 40049 });
  const alone = { ...startup, peers: ['expc01.apolo.local'] };
  expect(casts(manager({ startup: alone }).first)).toContainEqual({ type: 'lower', id: 40049 });
});

test('B29 20019 is raised while a system with peers has no cluster name', () => {
  const nameless = { ...startup, name: '' };
  expect(casts(manager({ configuration: () => nameless }).first)).toContainEqual({ type: 'raise', id: 20019 });
});

test('E74 the status tells the mode at the start, the mode now and that a restart is required', () => {
  const { box, first } = manager();
  box.now = { ...startup, tlsVerify: 'Enforcing' };
  const next = databasemanager.handleCall({ type: 'status' }, asker, first.state, context());
  expect(ofType(next.effects, 'reply')[0]?.value as DatabaseManagerStatus).toEqual({
    restartRequired: true,
    changes: ['tls_verify'],
    tlsVerifyAtStart: 'Permissive',
    tlsVerify: 'Enforcing',
    peers: [],
  });
});
