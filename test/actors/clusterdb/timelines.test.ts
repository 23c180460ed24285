/**
 * The three recorded timelines, played by the real actors of two peers. A line is compared without its times, its pid
 * and the web server's process id; lines that were recorded within one millisecond of each other may come in any order,
 * since they are of processes that do not wait for each other.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { managementLines, type ProcessInfo } from '../../../actors/index.ts';
import { FakeCluster, type FakePeer } from './fake-cluster.ts';
import { excerpts, shape } from './support.ts';

const quiet = 24 * 3_600_000;

let cluster: FakeCluster;
beforeEach(() => {
  cluster = new FakeCluster();
});
afterEach(async () => {
  expect(await cluster.stop()).toEqual([]);
  expect(cluster.peers.flatMap((peer) => peer.fatal)).toEqual([]);
});

/** The recorded lines of one host on one day that `wanted` keeps, in groups of what happened in the same millisecond. */
function recordedGroups(host: string, wanted: (line: string) => boolean): string[][] {
  const groups: string[][] = [];
  let last = '';
  for (const line of excerpts.filter((text) => text.includes(` ${host} `) && wanted(text))) {
    const moment = /UTCTime="([^"]*,\d{3})"/.exec(line)?.[1] ?? line.split(' ')[0] ?? '';
    if (moment === last) groups.at(-1)?.push(shape(line));
    else groups.push([shape(line)]);
    last = moment;
  }
  return groups.map((group) => group.sort());
}

/** Our lines, cut into groups of the same sizes. */
function grouped(lines: readonly string[], groups: readonly string[][]): string[][] {
  const cut: string[][] = [];
  let at = 0;
  for (const { length } of groups) {
    cut.push(
      lines
        .slice(at, at + length)
        .map(shape)
        .sort(),
    );
    at += length;
  }
  return at < lines.length ? [...cut, lines.slice(at).map(shape)] : cut;
}

const expectAsRecorded = (lines: readonly string[], groups: string[][]) => {
  expect(groups.length).toBeGreaterThan(0);
  expect(grouped(lines, groups)).toEqual(groups);
};

const isReplication = (line: string) => / replication: /.test(line);
/** §9.1 has every alarm announced by L28; the excerpt of T2 was taken without those lines. */
const isAnnouncement = (line: string) => line.includes('alarmmanager(173)');

function pids(peer: FakePeer): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const visit = (info: ProcessInfo) => {
    if (info.name !== undefined) found.set(info.name, info.pid);
    info.children.forEach(visit);
  };
  peer.system.tree().forEach(visit);
  return found;
}

test('T1 E134 E135 both peers log a normal synchronisation as recorded, each on its own clock', async () => {
  const [primary, subordinate] = cluster.peers as [FakePeer, FakePeer];
  await subordinate.start({ firstSynchronisationMs: 1_000 });
  await primary.start({ firstSynchronisationMs: 4_421 });
  await cluster.clock.advanceAsync(6_000);
  for (const peer of cluster.peers) {
    expectAsRecorded(peer.lines.filter(isReplication), recordedGroups(peer.host, isReplication));
  }
});

test('T1 E3 the run comes again every two minutes', async () => {
  const [primary, subordinate] = cluster.peers as [FakePeer, FakePeer];
  await primary.start({ firstSynchronisationMs: 1_000 });
  await subordinate.start({ firstSynchronisationMs: 1_000 });
  await cluster.clock.advanceAsync(241_500);
  const starts = subordinate.lines.filter((line) => line.includes('Starting synchronisation'));
  expect(starts.map((line) => line.slice(0, 23))).toEqual([
    '2020-08-12T14:57:39.000',
    '2020-08-12T14:59:39.000',
    '2020-08-12T15:01:39.000',
  ]);
});

test('T2 E136 E137 E138 E139 E144 the survivor of a disconnection logs what was recorded, in its order and delays', async () => {
  cluster.unknownToDns.add('expc02');
  const [survivor, lost] = cluster.peers as [FakePeer, FakePeer];
  await survivor.start({ firstSynchronisationMs: quiet, forcedUpdateMs: 300_000 });
  await lost.start({ firstSynchronisationMs: quiet });
  await cluster.clock.advanceAsync(283_752);
  survivor.lines.length = 0;
  cluster.cut('refused');
  await cluster.clock.advanceAsync(20_000);
  const isDatabase = (line: string) => /^2020-08-12T14:5/.test(line) && !line.includes('tvcs:');
  expectAsRecorded(
    survivor.lines.filter((line) => !isAnnouncement(line)),
    recordedGroups('expc01', isDatabase),
  );
  const delay = (part: string) =>
    Date.parse(survivor.lines.find((line) => line.includes(part))?.split(' ')[0] ?? '') -
    Date.parse(survivor.lines[0]?.split(' ')[0] ?? '');
  expect([delay('20006'), delay('20004'), delay('Triggering')]).toEqual([170, 418, 16_248]);
});

test('T2 E136 E150 cdb keeps its pid over losses, and each connection has a worker of its own', async () => {
  const [survivor, lost] = cluster.peers as [FakePeer, FakePeer];
  await survivor.start({ firstSynchronisationMs: quiet });
  await lost.start({ firstSynchronisationMs: quiet });
  await cluster.clock.advanceAsync(1_000);
  const before = pids(survivor);
  for (let time = 0; time < 3; time += 1) {
    cluster.cut('silent');
    await cluster.clock.advanceAsync(1_000);
    cluster.heal();
    await cluster.clock.advanceAsync(1_000);
  }
  expect(pids(survivor)).toEqual(before);
  const pidsOf = (part: string) =>
    survivor.lines.filter((line) => line.includes(part)).map((line) => /PID="([^"]*)"/.exec(line)?.[1]);
  expect(new Set(pidsOf('Processed mnesia_down'))).toEqual(new Set([before.get('cdb')]));
  const workers = pidsOf('Ready to perform');
  expect(workers).toHaveLength(6);
  expect(new Set(workers).size).toBe(6);
  expect(pidsOf('Running node connection')).toEqual(workers);
});

test('T2 E111 E112 B71 both alarms are lowered by every heal, and raised again by every loss', async () => {
  for (const peer of cluster.peers) await peer.start({ firstSynchronisationMs: quiet });
  await cluster.clock.advanceAsync(1_000);
  const [survivor] = cluster.peers as [FakePeer, FakePeer];
  survivor.lines.length = 0;
  for (let time = 0; time < 2; time += 1) {
    cluster.cut('silent');
    await cluster.clock.advanceAsync(1_000);
    cluster.heal();
    await cluster.clock.advanceAsync(1_000);
  }
  const events = survivor.lines.map((line) => /Event="Alarm (\w+)" Id="(\d+)"/.exec(line)?.slice(1).join(' '));
  const once = ['Raised 20006', 'Raised 20004', 'Lowered 20004', 'Lowered 20006'];
  expect(events.filter((event) => event !== undefined)).toEqual([...once, ...once]);
});

/** What the page does: one insert through the table's process, and its own line when it is answered. */
async function enforceOnPageOf(peer: FakePeer): Promise<void> {
  const rows = [{ key: 'tls_verify', value: 'Enforcing' }];
  await peer.system.call('cdbtable.clusterConfiguration', { type: 'insert', rows });
  const change = { item: 'cluster/tls_verify', from: 'Permissive', to: 'Enforcing' };
  const who = { processId: 15060, sourceAddress: '10.15.13.30', sourcePort: 53155, user: 'admin' };
  peer.write(managementLines.webConfigurationChanged({ ...change, ...who }));
}

test('T3 E145 E146 E147 E148 E73 a TLS mode saved on the primary’s page is logged on both peers as recorded', async () => {
  for (const peer of cluster.peers) await peer.start({ firstSynchronisationMs: quiet });
  await cluster.clock.advanceAsync(1_000);
  for (const peer of cluster.peers) peer.lines.length = 0;
  const saved = enforceOnPageOf(cluster.peers[0]!);
  await cluster.clock.advanceAsync(1_000);
  await saved;
  const isT3 = (line: string) => line.startsWith('2020-08-12T15:13');
  for (const peer of cluster.peers) expectAsRecorded(peer.lines, recordedGroups(peer.host, isT3));
});

test('T3 E113 E118 each peer has its own 20007 row in the shared table, and putting the mode back lowers both', async () => {
  for (const peer of cluster.peers) await peer.start({ firstSynchronisationMs: quiet });
  const [primary, subordinate] = cluster.peers as [FakePeer, FakePeer];
  await cluster.clock.advanceAsync(1_000);
  const saved = enforceOnPageOf(primary);
  await cluster.clock.advanceAsync(1_000);
  await saved;
  const owners = () => {
    const found: string[] = [];
    subordinate.database.dirtyForEach('alarms', (key) => found.push(JSON.stringify(key)));
    return found.filter((key) => key.includes('20007')).sort();
  };
  expect(owners()).toEqual(cluster.peers.map((peer) => JSON.stringify([peer.node, 20007])));
  const rows = [{ key: 'tls_verify', value: 'Permissive' }];
  const undone = primary.system.call('cdbtable.clusterConfiguration', { type: 'insert', rows });
  await cluster.clock.advanceAsync(1_000);
  expect(await undone).toEqual({ ok: true });
  expect(owners()).toEqual([]);
});

test('E150 any actor that is killed is started again under its name, and the others keep their pids', async () => {
  for (const peer of cluster.peers) await peer.start({ firstSynchronisationMs: quiet });
  await cluster.clock.advanceAsync(1_000);
  const [peer] = cluster.peers as [FakePeer, FakePeer];
  const workers = [...pids(peer).keys()].filter((name) => peer.system.whereis(name) !== undefined);
  expect(workers.length).toBeGreaterThanOrEqual(12);
  for (const name of workers) {
    const before = pids(peer);
    peer.system.exit(name, 'kill');
    await cluster.clock.advanceAsync(20_000);
    const after = pids(peer);
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    expect([...after].filter(([key, pid]) => before.get(key) !== pid).map(([key]) => key)).toEqual([name]);
  }
});
