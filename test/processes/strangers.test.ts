/** Whoever is not of the cluster gets nothing: not an answer, not memory, not the log, and not the cluster's time. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { expect, test } from 'vitest';
import { firstValueOf, type ParsedLine, valuesOf } from '../../src/log/index.ts';
import type { ConfigurationFile } from '../../src/peer/configuration.ts';
import { awaited, measured, useLab } from './lab-harness.ts';
import { ofFamily } from './line-families.ts';
import type { TestPeer } from './test-peer.ts';

const FIRST = '127.15.63.15';
const STRANGER = '127.15.63.99';
const lab = useLab({ peers: 3, firstAddress: FIRST });

const AT_ONCE = 16;
const ATTEMPT_MS_MAX = 8_000;
/** A heap that was warmed up moves half as much by itself; a connection that is not let go costs 10 KiB and more. */
const GROWTH_BYTES_MAX = 32 * 1024 * 1024;

type Peers = [TestPeer, TestPeer, TestPeer];

function peers(): Peers {
  return lab().peers as unknown as Peers;
}

/** Octets without meaning, the same in every run. */
function rubbish(length: number, seed: number): Buffer {
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  return Buffer.from(
    Array.from({ length }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state >>> 24;
    }),
  );
}

/** Says its piece and waits for the end of the connection; gives how many octets were answered. */
function visit(socket: Socket, ready: 'connect' | 'secureConnect', words: Buffer | undefined): Promise<number> {
  let answered = 0;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error('a stranger was neither closed nor refused'));
    }, ATTEMPT_MS_MAX);
    socket.on(ready, () => words !== undefined && socket.write(words));
    socket.on('data', (octets: Buffer) => {
      answered += octets.byteLength;
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(answered);
    });
  });
}

const overTcp = (peer: TestPeer, port: number, words: Buffer | undefined) =>
  visit(connectTcp({ host: peer.address, port, localAddress: STRANGER }), 'connect', words);

function overTls(peer: TestPeer, words: Buffer): Promise<number> {
  const socket = connectTcp({ host: peer.address, port: peer.ports.cluster, localAddress: STRANGER });
  socket.on('error', () => socket.destroy());
  return visit(connectTls({ socket, rejectUnauthorized: false }), 'secureConnect', words);
}

/** Runs `attempt` for each number, a few at once, and adds up what was answered. */
async function many(count: number, attempt: (at: number) => Promise<number>): Promise<number> {
  let next = 0;
  let answered = 0;
  const worker = async () => {
    while (next < count) {
      const at = next;
      next += 1;
      answered += await attempt(at);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return answered;
}

async function datagrams(peer: TestPeer, count: number): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, STRANGER, resolve));
  for (let at = 0; at < count; at += 1) {
    const words = rubbish(1 + (at % 1_200), at);
    await new Promise((resolve) => socket.send(words, peer.ports.ras, peer.address, resolve));
  }
  await new Promise<void>((resolve) => socket.close(resolve));
}

/** Everything a stranger may try, `scale` times as often. TLS may send an alert of 7 octets; that is no answer of ours. */
async function bother(peer: TestPeer, scale: number): Promise<number> {
  const { cluster, recovery, ras } = peer.ports;
  const get = Buffer.from('GET / HTTP/1.1\r\nHost: peer\r\n\r\n');
  let attempts = 0;
  const attack = async (count: number, octetsMax: number, attempt: (at: number) => Promise<number>) => {
    attempts += count;
    expect(await many(count, attempt)).toBeLessThanOrEqual(count * octetsMax);
  };
  await attack(200 * scale, 7, (at) => overTcp(peer, cluster, rubbish(1 + (at % 700), at)));
  await attack(50 * scale, 7, () => overTcp(peer, cluster, get));
  await attack(25 * scale, 0, (at) => overTls(peer, at % 2 === 0 ? get : rubbish(1 + (at % 5_000), at)));
  await attack(200 * scale, 0, (at) => overTcp(peer, recovery, rubbish(1 + (at % 700), at)));
  await attack(25 * scale, 0, (at) => overTcp(peer, ras, rubbish(100, at)));
  await datagrams(peer, 500 * scale);
  return attempts + 500 * scale;
}

/** Lines about a source, by reason: those that tell of one event, and those that sum events up. */
function knocks(lines: readonly ParsedLine[], source: string): Map<string, { single: number; summed: number }> {
  const found = new Map<string, { single: number; summed: number }>();
  for (const line of lines.filter((one) => firstValueOf(one, 'Src-ip') === source)) {
    const reason = firstValueOf(line, 'Reason') ?? '';
    const counts = found.get(reason) ?? { single: 0, summed: 0 };
    if (valuesOf(line, 'Count').length > 0) counts.summed += 1;
    else counts.single += 1;
    found.set(reason, counts);
  }
  return found;
}

test('E33 E34 E36 thousands of strangers at 4371, 4372 and 1719 get nothing, cost no memory, and are logged once a burst', async () => {
  const [first, second, third] = peers();
  const pids = lab().peers.map((peer) => peer.pid);
  const marks = lab().peers.map((peer) => peer.mark());
  await bother(first, 4);
  const before = first.residentBytes();
  const attempts = await bother(first, 4);
  // Silent ones are let go when their time is over, not kept.
  await many(AT_ONCE, () => overTcp(first, first.ports.cluster, undefined));
  const growth = first.residentBytes() - before;
  measured(
    `${attempts} attempts: memory ${(before / 2 ** 20).toFixed(0)} MiB, grew by ${(growth / 2 ** 20).toFixed(1)} MiB`,
  );
  const loads = [first, second].map((peer) => peer.load({ clients: 2, keys: 16, durationMs: 2_000 }));
  await bother(first, 2);
  const results = await Promise.all(loads);
  const gaps = results.map((result) => result.longestGapMs);
  measured(`meanwhile ${results.map((result) => result.acknowledged).join(' and ')} writes, longest gaps ${gaps} ms`);

  const counted = knocks(first.log(marks[0]), STRANGER);
  expect([...counted.keys()].sort()).toEqual(['no_http', 'no_tls', 'ras', 'recovery_port', 'too_many']);
  for (const { single, summed } of counted.values()) expect([single, summed <= 2]).toEqual([1, true]);
  expect(results.map((result) => result.errors)).toEqual([0, 0]);
  expect(lab().peers.map((peer) => peer.pid)).toEqual(pids);
  for (const [at, peer] of lab().peers.entries()) expect(ofFamily(peer.log(marks[at]), 'L6')).toEqual([]);
  await lab().awaitActive([first, second, third], 2_000);
  expect(growth).toBeLessThan(GROWTH_BYTES_MAX);
});

test('a peer with a wrong cluster key is refused, logged once a burst, and joins when it has the right one', async () => {
  const [first, second, third] = peers();
  const marks = lab().peers.map((peer) => peer.mark());
  const configurationFile = join(lab().directory, third.name, 'peer.json');
  const right = readFileSync(configurationFile, 'utf8');
  writeFileSync(join(lab().directory, third.name, 'wrong.key'), randomBytes(32).toString('hex'), { mode: 0o600 });
  const wrong: ConfigurationFile = { ...(JSON.parse(right) as ConfigurationFile), clusterKeyFile: './wrong.key' };
  await lab().command('lab', 'kill', '3');
  writeFileSync(configurationFile, JSON.stringify(wrong));
  await lab().command('lab', 'start', '3', '--no-wait');

  for (const peer of [first, second]) {
    await awaited(`${peer.name} says why`, 10_000, async () =>
      (await peer.status()).cluster.peers[2]?.reason?.includes('key'),
    );
  }
  // The refused peer tries again at least once a second all this time.
  const results = await Promise.all(
    [first, second].map((peer) => peer.load({ clients: 2, keys: 16, durationMs: 3_000 })),
  );
  expect(results.map((result) => result.errors)).toEqual([0, 0]);
  for (const peer of [first, second]) {
    expect(knocks(peer.log(marks[peer.index - 1]), third.address).get('wrong_key')).toEqual({ single: 1, summed: 0 });
    const { cluster, database } = await peer.status();
    expect(cluster.peers[2]?.state).toBe('Failed');
    expect([...database.runningDbNodes].sort()).toEqual([first.nodeName, second.nodeName]);
  }
  expect((await third.status()).database.runningDbNodes).toEqual([third.nodeName]);

  await lab().command('lab', 'kill', '3');
  writeFileSync(configurationFile, right);
  await lab().command('lab', 'start', '3');
  await lab().awaitActive();
  await lab().awaitEqual(5_000);
});
