import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { encodeAck, encodeDataFrame, encodeTick, FrameCodec } from '../../../src/net/frame-codec.ts';
import { PENDING_CONNECTIONS_MAX, PENDING_PER_SOURCE_MAX, PENDING_STRANGERS_MAX } from '../../../src/net/limits.ts';
import { UPGRADE_PATH } from '../../../src/net/transport.ts';
import { NetLab, pause, type TestPeer, until } from './net-lab.ts';
import { rawLink } from './raw-link.ts';

const ROW = '127.84.0.2';
const STRANGER = '127.84.0.9';

let lab: NetLab;
let peer: TestPeer;
const sockets: Socket[] = [];

beforeEach(async () => {
  lab = await NetLab.create();
  peer = await lab.start({
    name: 'a.example',
    address: '127.84.0.1',
    options: { frameBytesMax: 64 * 1024, handshakeTimeoutMs: 700 },
  });
  // The row's peer is not there: whoever comes from its address is a stranger that knows where to stand.
  peer.links.setPeers([{ index: 2, text: ROW, address: ROW, port: 4372 }]);
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await lab.close();
});

interface Visit {
  readonly socket: Socket;
  readonly heard: Buffer[];
  readonly isClosed: () => boolean;
}

function visit(socket: Socket): Visit {
  const heard: Buffer[] = [];
  let isClosed = false;
  sockets.push(socket);
  socket.on('data', (octets: Buffer) => heard.push(octets));
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isClosed = true;
  });
  return { socket, heard, isClosed: () => isClosed };
}

function tcp(from: string): Visit {
  return visit(connectTcp({ host: peer.address, port: peer.links.port, localAddress: from }));
}

async function tls(from: string): Promise<Visit & { socket: TLSSocket }> {
  const below = connectTcp({ host: peer.address, port: peer.links.port, localAddress: from });
  const socket = connectTls({ socket: below, rejectUnauthorized: false });
  const visited = visit(socket);
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  return { ...visited, socket };
}

function logged(reason: string): number {
  return peer.logs.filter((record) => record.fields.some(([key, value]) => key === 'Reason' && value === reason))
    .length;
}

describe('strangers at the cluster port', () => {
  it('plain TCP rubbish is closed unanswered and logged once, however often it comes', async () => {
    for (let round = 0; round < 10; round++) {
      const rubbish = tcp(STRANGER);
      rubbish.socket.write('GET / HTTP/1.1\r\n\r\n');
      await until('closed', rubbish.isClosed);
      // TLS may send an alert; it is no answer of ours.
      expect(Buffer.concat(rubbish.heard).byteLength).toBeLessThanOrEqual(7);
    }
    expect(logged('no_tls')).toBe(1);
    expect(peer.links.pendingConnections).toBe(0);
  });

  it('HTTP requests over TLS get no answer, whatever their path', async () => {
    for (const request of [
      'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
      `GET ${UPGRADE_PATH} HTTP/1.1\r\nHost: x\r\n\r\n`,
      'rubbish\r\n\r\n',
    ]) {
      const visitor = await tls(STRANGER);
      visitor.socket.write(request);
      await until('closed', visitor.isClosed);
      expect(visitor.heard).toEqual([]);
    }
    expect(logged('no_http')).toBe(1);
  });

  it('an upgrade to another path gets no answer', async () => {
    const visitor = await tls(STRANGER);
    const key = 'dGhlIHNhbXBsZSBub25jZQ==';
    visitor.socket.write(
      `GET /other HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    );
    await until('closed', visitor.isClosed);
    expect(visitor.heard).toEqual([]);
  });

  it('a faulty upgrade request is not explained', async () => {
    const visitor = await tls(STRANGER);
    visitor.socket.write(
      `GET ${UPGRADE_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99\r\n\r\n`,
    );
    await until('closed', visitor.isClosed);
    expect(visitor.heard).toEqual([]);
  });

  it('giant headers are cut off', async () => {
    const visitor = await tls(STRANGER);
    visitor.socket.write(`GET ${UPGRADE_PATH} HTTP/1.1\r\nHost: x\r\n`);
    let written = 0;
    while (!visitor.isClosed() && written < 1_000_000) {
      visitor.socket.write(`X-Filler-${written}: ${'x'.repeat(1000)}\r\n`);
      written += 1000;
      await pause(1);
    }
    expect(written).toBeLessThan(1_000_000);
    expect(visitor.heard).toEqual([]);
  });

  it('a handshake that sends too much is cut off, and one that sends nothing ends at its deadline', async () => {
    const big = await upgraded(STRANGER);
    big.webSocket.send(Buffer.alloc(60_000, 1));
    await until('closed', big.isClosed);
    const idle = await upgraded(STRANGER);
    await until('closed', idle.isClosed);
    // One challenge: a nonce, and nothing about who is asked.
    expect(idle.heard).toHaveLength(1);
    expect(idle.heard[0]?.byteLength).toBe(34);
    expect(logged('deadline')).toBe(1);
  });

  it('a peer that holds the key but is in no row is told so', async () => {
    await expect(rawLink(lab, { from: STRANGER, to: peer })).rejects.toThrow(/unknown_node.*in no row/);
    expect(peer.events).toEqual([]);
    expect(logged('unknown_node')).toBe(1);
  });

  it('one with the wrong key is told nothing, at the address of a row as elsewhere', async () => {
    for (const from of [ROW, STRANGER]) {
      await expect(rawLink(lab, { from, to: peer, clusterKey: Buffer.alloc(32, 1) })).rejects.toThrow(
        /handshake_closed/,
      );
    }
    expect(logged('wrong_key')).toBe(2);
    expect(peer.events).toEqual([]);
  });

  it('the log of a burst stays short when one source fails in many ways by turns', async () => {
    for (let round = 0; round < 4; round++) {
      await expect(rawLink(lab, { from: ROW, to: peer, clusterKey: Buffer.alloc(32, 1) })).rejects.toThrow();
      const rubbish = await upgraded(ROW);
      rubbish.webSocket.send(Buffer.alloc(10));
      await until('closed', rubbish.isClosed);
    }
    expect([logged('wrong_key'), logged('version_mismatch')]).toEqual([1, 1]);
    // The peer's own dials to the row (refused) may be told now and then, never once per visit.
    expect(peer.logs.length).toBeLessThanOrEqual(8);
  });

  it('half-open floods hold a bounded number of connections and do not keep a peer out', async () => {
    const flood = Array.from({ length: 150 }, (_, i) => tcp(`127.84.1.${(i % 50) + 1}`));
    await until('all tried', () => flood.filter((one) => one.isClosed()).length >= 150 - PENDING_STRANGERS_MAX);
    expect(peer.links.pendingConnections).toBeLessThanOrEqual(PENDING_STRANGERS_MAX);
    const crowd = Array.from({ length: 30 }, () => tcp(ROW));
    await until('most closed', () => crowd.filter((one) => one.isClosed()).length >= 30 - PENDING_PER_SOURCE_MAX);
    expect(peer.links.pendingConnections).toBeLessThanOrEqual(PENDING_CONNECTIONS_MAX);
    await until('deadline', () => flood.every((one) => one.isClosed()) && crowd.every((one) => one.isClosed()));
    expect(peer.links.pendingConnections).toBe(0);
    await rawLink(lab, { from: ROW, to: peer });
    await until('up', () => peer.events.length === 1);
    // One line for each source and kind, not one for each of 180 connections.
    expect(logged('too_many')).toBeLessThanOrEqual(51);
  });
});

describe('a linked peer that breaks the rules', () => {
  const codec = new FrameCodec(1 << 24);
  const data = (seq: number, ack: number, message: unknown): Buffer => {
    const octets = Buffer.from(codec.encodeMessage(message));
    return encodeDataFrame(seq, ack, [{ channel: 0, octets }], octets.byteLength);
  };
  const changed = (octets: Buffer, at: number, value: number): Buffer => {
    octets[at] = value;
    return octets;
  };

  it.each([
    ['frame_too_long', () => data(1, 0, 'x'.repeat(70_000))],
    ['frame_version', () => changed(data(1, 0, 'x'), 0, 2)],
    ['frame_malformed', () => changed(data(1, 0, 'x'), 1, 77)],
    ['frame_malformed', () => Buffer.from([1])],
    ['frame_malformed', () => changed(data(1, 0, 'x'), 14, 0xc1)],
    ['frame_malformed', () => encodeAck(12_345)],
  ] as const)('%s: its link alone goes down as protocol', async (code, frame) => {
    const other = await lab.start({ name: 'b.example', address: '127.84.0.3' });
    peer.links.setPeers([{ index: 2, text: ROW, address: ROW, port: 4372 }, other.row(3)]);
    other.links.setPeers([peer.row(1)]);
    await peer.linkedWith(other);
    const raw = await rawLink(lab, { from: ROW, to: peer });
    await until('both up', () => peer.events.length === 2);
    raw.send(frame());
    await until('down', () => peer.events.length === 3);
    expect(peer.events[2]).toBe('down id-raw protocol');
    expect(peer.statusOf(2)).toMatchObject({ state: 'failed', code });
    await until('closed', raw.isClosed);
    expect(peer.messages()).toEqual([]);
    other.db.send(peer.nodeId, 'still here');
    await until('the other link', () => peer.messages().length === 1);
    expect(peer.logText()).toContain(`Code="${code}"`);
  });

  it('frames that come twice are delivered once, and a gap breaks only the connection', async () => {
    const raw = await rawLink(lab, { from: ROW, to: peer });
    for (const seq of [1, 2, 2, 1, 3]) raw.send(data(seq, 0, seq));
    await until('three', () => peer.messages().length === 3);
    raw.send(data(5, 0, 5));
    await until('closed', raw.isClosed);
    expect(peer.messages()).toEqual([1, 2, 3]);
    const again = await rawLink(lab, { from: ROW, to: peer, resume: { session: raw.session, received: 0 } }).catch(
      (error: Error) => error,
    );
    // Nothing listens at the row's port, so the peer is known to be gone as soon as it is dialled.
    expect(again).toBeDefined();
    expect(peer.events.slice(0, 2)).toEqual(['up id-raw', 'down id-raw refused']);
  });

  it('ticks are answered with their own time', async () => {
    const raw = await rawLink(lab, { from: ROW, to: peer });
    raw.send(encodeTick('tick', 0, 123.25));
    const tock = await until('a tock', () => raw.frames.find((octets) => codec.decodeFrame(octets).type === 'tock'));
    expect(tock && codec.decodeFrame(tock)).toEqual({ type: 'tock', ack: 0, sentMs: 123.25 });
  });
});

async function upgraded(from: string): Promise<{ webSocket: WebSocket; heard: Buffer[]; isClosed: () => boolean }> {
  const { socket, isClosed } = await tls(from);
  const webSocket = new WebSocket(`ws://peer${UPGRADE_PATH}`, { createConnection: () => socket });
  const heard: Buffer[] = [];
  webSocket.on('message', (octets: Buffer) => heard.push(octets));
  webSocket.on('error', () => undefined);
  await new Promise((resolve) => webSocket.once('open', resolve));
  return { webSocket, heard, isClosed };
}
