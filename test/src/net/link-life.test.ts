import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeDataFrame, FrameCodec } from '../../../src/net/frame-codec.ts';
import type { PeerAddress } from '../../../src/net/index.ts';
import { CLUSTER_KEY, NET_TICKTIME_MS, NetLab, pause, socketsOf, type TestPeer, until } from './net-lab.ts';
import { rawLink } from './raw-link.ts';

let lab: NetLab;
let child: ChildProcess | undefined;

beforeEach(async () => {
  lab = await NetLab.create();
});

afterEach(async () => {
  child?.kill('SIGKILL');
  child = undefined;
  await lab.close();
});

async function pair(network: string): Promise<[TestPeer, TestPeer]> {
  const one = await lab.start({ name: 'a.example', address: `${network}.1` });
  const two = await lab.start({ name: 'b.example', address: `${network}.2` });
  lab.connect();
  await one.linkedWith(two);
  await two.linkedWith(one);
  return [one, two];
}

/** Breaks every TCP connection of an address, as a router that forgot it would. */
function breakConnections(address: string): void {
  for (const socket of socketsOf(address)) socket.resetAndDestroy();
}

interface ChildPeer {
  readonly process: ChildProcess;
  readonly lines: string[];
  readonly port: number;
}

/** A peer in a process of its own, which can be killed and stopped; it prints its events as lines. */
async function startChild(address: string, parent: PeerAddress): Promise<ChildPeer> {
  const certificate = await lab.certificate('child.example', ['child.example'], [address]);
  const settings = {
    address,
    certificate,
    authority: lab.authority.certificatePem,
    clusterKey: CLUSTER_KEY.toString('hex'),
    parent,
  };
  const script = fileURLToPath(new URL('./peer-process.ts', import.meta.url));
  const started = spawn(process.execPath, ['--import', 'tsx', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PEER_SETTINGS: JSON.stringify(settings) },
  });
  child = started;
  const lines: string[] = [];
  started.stdout?.setEncoding('utf8').on('data', (text: string) => lines.push(...text.split('\n').filter(Boolean)));
  const ready = await until('the child', () => lines.find((line) => line.startsWith('port ')), 20_000);
  return { process: started, lines, port: Number(ready?.slice(5)) };
}

describe('a link that breaks', () => {
  it('is resumed within the window: every message exactly once, in order, and nobody hears of it', async () => {
    const [one, two] = await pair('127.82.0');
    const total = 4000;
    for (let i = 0; i < total; i++) {
      one.db.send(two.nodeId, { i, padding: 'x'.repeat(200) });
      two.otp.send(one.nodeId, i);
      if (i % 50 === 0) await pause(1);
      if (i % 500 === 250) breakConnections(two.address);
    }
    await until('all messages', () => two.messages('db').length >= total && one.messages('otp').length >= total);
    const numbers = Array.from({ length: total }, (_, i) => i);
    expect(two.messages('db').map((message) => (message as { i: number }).i)).toEqual(numbers);
    expect(one.messages('otp')).toEqual(numbers);
    expect(one.events).toEqual([`up ${two.nodeId}`]);
    expect(two.events).toEqual([`up ${one.nodeId}`]);
    expect(one.statusOf(2).blips).toBeGreaterThan(0);
    expect(one.logText()).toContain('has been resumed, nothing lost');
  }, 20_000);

  it('takes messages while it is broken and delivers them afterwards', async () => {
    const [one, two] = await pair('127.82.1');
    breakConnections(two.address);
    for (let i = 0; i < 10; i++) {
      one.db.send(two.nodeId, i);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(one.db.isUp(two.nodeId)).toBe(true);
    await until('all messages', () => two.messages().length === 10);
    expect(two.messages()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('goes down as closed at once when the other side says goodbye, after its last messages', async () => {
    const [one, two] = await pair('127.82.2');
    for (let i = 0; i < 100; i++) two.db.send(one.nodeId, i);
    await two.links.close();
    await until('down', () => one.events.length === 2);
    expect(one.events[1]).toBe(`down ${two.nodeId} closed`);
    expect(one.messages()).toHaveLength(100);
    expect(two.events).toEqual([`up ${one.nodeId}`]);
  });

  it('goes down as dropped where it was dropped, hears nothing more, and is made again', async () => {
    const [one, two] = await pair('127.82.3');
    two.onMessage = ({ message }) => {
      if (message === 3) two.db.drop(one.nodeId, 'a test wants it');
    };
    for (let i = 0; i < 10; i++) one.db.send(two.nodeId, i);
    await until('up again', () => two.events.length === 3 && one.events.length === 3);
    expect(two.messages()).toEqual([0, 1, 2, 3]);
    expect(two.events).toEqual([`up ${one.nodeId}`, `down ${one.nodeId} dropped`, `up ${one.nodeId}`]);
    expect(one.events).toEqual([`up ${two.nodeId}`, `down ${two.nodeId} silent`, `up ${two.nodeId}`]);
    expect(one.logText()).toContain('a test wants it');
  });

  it('is dropped rather than let memory grow when the other side takes nothing', async () => {
    const backlogBytesMax = 1024 * 1024;
    const one = await lab.start({ name: 'a.example', address: '127.82.4.1', options: { backlogBytesMax } });
    const two = await lab.start({ name: 'b.example', address: '127.82.4.2' });
    lab.connect();
    await one.linkedWith(two);
    let most = 0;
    for (let i = 0; i < 3000 && one.db.isUp(two.nodeId); i++) {
      one.db.send(two.nodeId, Buffer.alloc(1024, 1));
      most = Math.max(most, one.db.backlogBytes(two.nodeId));
    }
    expect(one.db.isUp(two.nodeId)).toBe(false);
    expect(most).toBeGreaterThan(backlogBytesMax / 2);
    expect(most).toBeLessThanOrEqual(backlogBytesMax + 2048);
    // The caller is not called back from its own send.
    expect(one.events).toHaveLength(1);
    await until('down', () => one.events.length > 1);
    expect(one.events[1]).toBe(`down ${two.nodeId} dropped`);
    expect(one.logText()).toContain('does not take its messages');
  });

  it('a restarted peer is another life: the old session ends before the new one begins', async () => {
    const one = await lab.start({ name: 'a.example', address: '127.82.5.1' });
    one.links.setPeers([{ index: 2, text: 'b.example', address: '127.82.5.2', port: 4372 }]);
    const first = await rawLink(lab, { from: '127.82.5.2', to: one, incarnation: 1 });
    await rawLink(lab, { from: '127.82.5.2', to: one, incarnation: 2 });
    await until('up again', () => one.events.length === 3);
    expect(one.events).toEqual(['up id-raw', 'down id-raw refused', 'up id-raw']);
    first.terminate();
    await pause(50);
    expect(one.events).toHaveLength(3);
  });

  it('refuses a replay of a session it does not know and begins a new one', async () => {
    const one = await lab.start({ name: 'a.example', address: '127.82.8.1' });
    one.links.setPeers([{ index: 2, text: 'b.example', address: '127.82.8.2', port: 4372 }]);
    const resume = { session: 'ab'.repeat(16), received: 0 };
    await rawLink(lab, { from: '127.82.8.2', to: one, resume });
    const { session } = await rawLink(lab, { from: '127.82.8.2', to: one, resume });
    await until('up again', () => one.events.length === 3);
    expect(one.events).toEqual(['up id-raw', 'down id-raw silent', 'up id-raw']);
    expect(session).not.toBe(resume.session);
  });
});

describe('a peer in another process', () => {
  it('killed with -9: down as refused, long before the resume window is over', async () => {
    const one = await lab.start({
      name: 'a.example',
      address: '127.82.6.1',
      options: { netTicktimeMs: 60_000, resumeWindowMs: 30_000 },
    });
    const other = await startChild('127.82.6.2', one.row(1));
    one.links.setPeers([{ index: 2, text: 'child.example', address: '127.82.6.2', port: other.port }]);
    await until('up', () => one.events.length === 1);
    other.process.kill('SIGKILL');
    await until('down', () => one.events.length === 2);
    expect(one.events).toEqual(['up id-child', 'down id-child refused']);
  }, 30_000);

  it('stopped and continued over a connection that outlived it: declares its link silent before it delivers', async () => {
    const from = '127.82.9.1';
    const other = await startChild('127.82.9.2', { index: 1, text: from, address: from, port: 4372 });
    const raw = await rawLink(lab, { from, to: { address: '127.82.9.2', links: { port: other.port } } });
    const data = (seq: number, text: string) => {
      const octets = Buffer.from(new FrameCodec(4096).encodeMessage(text));
      raw.send(encodeDataFrame(seq, 0, [{ channel: 0, octets }], octets.byteLength));
    };
    data(1, 'before');
    await until('before', () => other.lines.includes('message before'));
    other.process.kill('SIGSTOP');
    data(2, 'while it slept');
    await pause(NET_TICKTIME_MS + 300);
    other.process.kill('SIGCONT');
    await until('down', () => other.lines.some((line) => line.startsWith('down')));
    await pause(200);
    expect(other.lines.slice(1)).toEqual(['up id-raw', 'message before', 'down id-raw silent']);
  }, 30_000);

  it('stopped and continued: silent here, and there it finds out by itself before it delivers anything old', async () => {
    const one = await lab.start({ name: 'a.example', address: '127.82.7.1' });
    const other = await startChild('127.82.7.2', one.row(1));
    one.links.setPeers([{ index: 2, text: 'child.example', address: '127.82.7.2', port: other.port }]);
    await until('up', () => one.events.length === 1 && other.lines.includes('up id-a.example'));
    one.db.send('id-child', 'before');
    await until('before', () => other.lines.includes('message before'));
    other.process.kill('SIGSTOP');
    await pause(50);
    one.db.send('id-child', 'while it slept');
    await until('down', () => one.events.length === 2);
    expect(one.events[1]).toBe('down id-child silent');
    await pause(300);
    other.process.kill('SIGCONT');
    await until(
      'up again',
      () => one.events.includes('up id-child') && other.lines.filter((line) => line.startsWith('up')).length === 2,
    );
    expect(other.lines.slice(1)).toEqual([
      'up id-a.example',
      'message before',
      'down id-a.example silent',
      'up id-a.example',
    ]);
  }, 30_000);
});
