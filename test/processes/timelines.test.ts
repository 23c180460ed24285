/**
 * The three recorded timelines, told again by two real peers: each line is compared with the recorded one byte for byte,
 * but for times, pids, ports and the names of the two systems. Lines that were recorded within one millisecond may come
 * in any order, since they are of processes that do not wait for each other.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseLine } from '../../src/log/index.ts';
import { awaited, measured, useLab } from './lab-harness.ts';
import { aboutNode, familiesIn, familyOf, NOPROC_REASON, ofFamily } from './line-families.ts';
import type { TestPeer } from './test-peer.ts';

const FIRST = '127.15.64.15';
/** Where the administrator sits. */
const WORKSTATION = '127.15.64.30';
const INTERVAL_MS = 3_000;

const lab = useLab({
  peers: 2,
  firstAddress: FIRST,
  change: (file) => ({ ...file, timings: { ...file.timings, synchroniseIntervalMs: INTERVAL_MS } }),
});

const excerpts = readFileSync(new URL('../fixtures/log-excerpts.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '');

/** A line without what differs between two runs. */
function shape(line: string): string {
  return line
    .slice(line.indexOf(' ') + 1)
    .replace(/UTCTime="[^"]*"/, 'UTCTime="…"')
    .replace(/PID="[^"]*"/, 'PID="…"')
    .replace(/Src-port="\d+"/, 'Src-port="…"')
    .replace(/httpd\[\d+\]/, 'httpd[…]');
}

/** A recorded line, as if our systems had been there. */
function translated(line: string): string {
  return line
    .replaceAll(/expc0(\d)\.apolo\.local/g, 'peer$1.lab.peerage.example')
    .replaceAll(/expc0(\d)/g, 'peer$1')
    .replaceAll('10.15.13.15', FIRST)
    .replaceAll('10.15.13.16', lab().peer(2).address)
    .replaceAll('10.15.13.30', WORKSTATION);
}

/** The recorded lines of a host that `wanted` keeps, in groups of what happened in the same millisecond. */
function recorded(peer: TestPeer, wanted: (line: string) => boolean): string[][] {
  const groups: string[][] = [];
  let last = '';
  for (const line of excerpts.filter((text) => text.includes(` expc0${peer.index} `) && wanted(text))) {
    const moment = /UTCTime="([^"]*,\d{3})"/.exec(line)?.[1] ?? line.split(' ')[0]!.replace(/^.*T(.*)-.*$/, '$1');
    if (moment === last) groups.at(-1)!.push(shape(translated(line)));
    else groups.push([shape(translated(line))]);
    last = moment;
  }
  return groups.map((group) => group.sort());
}

/** Our lines, cut into groups of the same sizes. */
function grouped(lines: readonly string[], groups: readonly string[][]): string[][] {
  let at = 0;
  const cut = groups.map(({ length }) => {
    at += length;
    return lines
      .slice(at - length, at)
      .map(shape)
      .sort();
  });
  return at < lines.length ? [...cut, lines.slice(at).map(shape)] : cut;
}

/** Lines of these families as they stand in the log. */
function linesOf(peer: TestPeer, from: number, families: readonly string[]): string[] {
  return peer.lines(from).filter((text) => {
    const parsed = parseLine(text);
    return parsed.ok && families.includes(familyOf(parsed.line) ?? '');
  });
}

function pidsOf(peer: TestPeer, from: number, family: string): string[] {
  return ofFamily(peer.log(from), family).map((line) => line.fields.find((field) => field.key === 'PID')?.value ?? '');
}

test('T1 E3 E134 E135 both peers log each synchronisation as recorded, again and again, each on its own clock', async () => {
  const marks = lab().peers.map((peer) => peer.mark());
  const families = ['L1', 'L2', 'L3', 'L4', 'L5'];
  for (const [at, peer] of lab().peers.entries()) {
    await awaited(
      `${peer.name} synchronises twice`,
      4 * INTERVAL_MS,
      () => ofFamily(peer.log(marks[at]), 'L5').length >= 2,
    );
    const decision = peer.index === 1 ? 'L3' : 'L4';
    const run = ['L1', 'L2', decision, 'L5'];
    expect(familiesIn(peer.log(marks[at]), families).slice(0, 8)).toEqual([...run, ...run]);
    const groups = recorded(peer, (line) => / replication: /.test(line));
    expect(grouped(linesOf(peer, marks[at]!, families).slice(0, 4), groups)).toEqual(groups);
  }
});

test('T3 E145 E146 E147 E148 E73 a TLS mode changed through the API as admin is logged on both peers as recorded', async () => {
  const [primary, subordinate] = lab().peers as [TestPeer, TestPeer];
  const marks = lab().peers.map((peer) => peer.mark());
  const session = await primary.ask('POST', 'session', { body: { user: 'admin', password: lab().password } });
  const { token } = session as { token: string };
  const line = 'xconfiguration clusterConfiguration tls_verify: Enforcing';
  const answer = await primary.ask('POST', 'xcommand', { body: { line }, token, localAddress: WORKSTATION });
  expect(answer).toMatchObject({ code: 0 });

  const families = ['L20', 'L21', 'L22', 'L23', 'L24', 'L25', 'L26', 'L27', 'L28', 'L29'];
  for (const peer of [primary, subordinate]) {
    const from = marks[peer.index - 1]!;
    await awaited(`${peer.name} raises 20007`, 5_000, () => ofFamily(peer.log(from), 'L29').length === 1);
    const groups = recorded(peer, (text) => text.startsWith('2020-08-12T15:13'));
    expect(grouped(linesOf(peer, from, families), groups)).toEqual(groups);
    // The same actor writes its lines, and the table's actor is not the alternates table's.
    const actors = await peer.actors();
    expect(new Set(pidsOf(peer, from, 'L21'))).toEqual(new Set([actors.get('cdbtable.clusterConfiguration')]));
    expect(new Set(pidsOf(peer, from, 'L25'))).toEqual(new Set([actors.get('cdbtable.alternatesConfiguration')]));
    expect(new Set(pidsOf(peer, from, 'L26'))).toEqual(new Set([actors.get('peernameresolver')]));
    expect(new Set(pidsOf(peer, from, 'L27'))).toEqual(new Set([actors.get('alternatesmanager')]));
  }
  expect(new Set(pidsOf(primary, marks[0]!, 'L20'))).toEqual(new Set(pidsOf(primary, marks[0]!, 'L21')));
});

test('T2 E136 E137 E138 E139 the survivor of a disconnection logs what was recorded, with its reason, actors and delays', async () => {
  const [survivor, lost] = lab().peers as [TestPeer, TestPeer];
  const from = survivor.mark();
  const cdb = (await survivor.actors()).get('cdb');
  await lab().command('lab', 'kill', '2');
  await awaited('20004 is raised', 5_000, () => ofFamily(survivor.log(from), 'L13').length === 1);

  const families = ['L6', 'L7', 'L8', 'L9', 'L10', 'L11', 'L12', 'L13'];
  expect(familiesIn(survivor.log(from), families)).toEqual(families);
  expect(familiesIn(survivor.log(from), ['L12', 'L13', 'L28'])).toEqual(['L28', 'L12', 'L28', 'L13']);
  const isDatabase = (text: string) => text.startsWith('2020-08-12T14:5') && !/tvcs:|peernameresolver/.test(text);
  const groups = recorded(survivor, isDatabase);
  expect(grouped(linesOf(survivor, from, families), groups)).toEqual(groups);

  const found = survivor.log(from).filter((line) => families.includes(familyOf(line) ?? ''));
  const pids = found.slice(0, 6).map((line) => line.fields.find((field) => field.key === 'PID')?.value);
  expect(pids.slice(0, 3)).toEqual([cdb, cdb, cdb]);
  expect(pids[3]).not.toBe(cdb);
  expect(pids.slice(3)).toEqual([pids[3], pids[3], pids[3]]);
  expect(found.slice(0, 6).map(aboutNode)).toEqual(Array.from({ length: 6 }, () => lost.nodeName));
  const reason = ofFamily(found, 'L11')[0]?.fields.find((field) => field.key === 'Reason')?.value;
  expect(reason).toBe(NOPROC_REASON);
  const [start = 0, ...alarms] = ['L6', 'L12', 'L13'].map((family) => ofFamily(found, family)[0]!.wallMs);
  measured(
    `20006 and 20004 came ${alarms.map((at) => at - start).join(' and ')} ms after the loss (recorded: 171 and 418)`,
  );
});

test('E133 every line of every peer’s log parses, and renders back byte for byte', async () => {
  await lab().command('lab', 'start', '2');
  await lab().awaitActive();
  for (const peer of lab().peers) expect(peer.unreadableLines()).toEqual([]);
  const count = lab().peers.reduce((sum, peer) => sum + peer.lines().length, 0);
  measured(`${count} lines`);
  expect(count).toBeGreaterThan(100);
});
