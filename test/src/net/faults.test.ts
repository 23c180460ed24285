import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFaultLayer, type FaultLayer } from '../../../src/net/index.ts';
import { NetLab, pause, realClock, type TestPeer, until } from './net-lab.ts';

let lab: NetLab;
let faults: FaultLayer[];
let peers: [TestPeer, TestPeer];

beforeEach(async () => {
  lab = await NetLab.create();
  faults = [createFaultLayer(realClock), createFaultLayer(realClock)];
});

afterEach(async () => {
  await lab.close();
});

async function pair(network: string, netTicktimeMs: number): Promise<void> {
  const options = { netTicktimeMs, resumeWindowMs: netTicktimeMs / 4 };
  const start = (name: string, n: number) =>
    lab.start({ name, address: `${network}.${n}`, options: { ...options, faults: faults[n - 1] as FaultLayer } });
  peers = [await start('a.example', 1), await start('b.example', 2)];
  lab.connect();
  await peers[0].linkedWith(peers[1]);
  await peers[1].linkedWith(peers[0]);
}

/** What a lab does: the same cut in both peers. */
function cutBoth(): void {
  faults[0]?.cut(peers[1].address, 'both');
  faults[1]?.cut(peers[0].address, 'both');
}

function healBoth(): void {
  for (const layer of faults) layer.heal();
}

describe('a cut link', () => {
  it('is silent after net_ticktime on both sides, is not refused, and comes back when healed', async () => {
    await pair('127.85.0', 800);
    cutBoth();
    peers[0].db.send(peers[1].nodeId, 'lost');
    await until('down', () => peers[0].events.length === 2 && peers[1].events.length === 2);
    expect(peers[0].events[1]).toBe('down id-b.example silent');
    expect(peers[1].events[1]).toBe('down id-a.example silent');
    await pause(300);
    expect(['failed', 'connecting']).toContain(peers[0].statusOf(2).state);
    expect(peers[0].statusOf(2).code).not.toBe('refused');
    healBoth();
    await until('up', () => peers[0].events.length === 3 && peers[1].events.length === 3);
    peers[0].db.send(peers[1].nodeId, 'fresh');
    await until('the message', () => peers[1].messages().length > 0);
    expect(peers[1].messages()).toEqual(['fresh']);
  }, 20_000);

  it('that is healed in time loses nothing, and nobody hears of it', async () => {
    await pair('127.85.1', 4000);
    cutBoth();
    for (let i = 0; i < 100; i++) peers[0].db.send(peers[1].nodeId, i);
    await pause(100);
    peers[0].otp.send(peers[1].nodeId, 'too');
    await pause(100);
    expect(peers[1].received).toEqual([]);
    healBoth();
    await until('all', () => peers[1].received.length === 101);
    expect(peers[1].messages()).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect([peers[0].events.length, peers[1].events.length]).toEqual([1, 1]);
  });

  it('one way: whoever hears nothing gives up first, and then neither has a link', async () => {
    await pair('127.85.2', 800);
    faults[0]?.cut(peers[1].address, 'out');
    await until('down', () => peers[0].events.length === 2 && peers[1].events.length === 2);
    expect(peers[1].events[1]).toBe('down id-a.example silent');
    expect(peers[0].events[1]).toBe('down id-b.example silent');
    await pause(300);
    expect([peers[0].events.length, peers[1].events.length]).toEqual([2, 2]);
    healBoth();
    await until('up', () => peers[0].events.length === 3 && peers[1].events.length === 3);
  }, 20_000);

  it('cut inwards on one side only: nothing is delivered there, not even what was on its way', async () => {
    await pair('127.85.3', 800);
    faults[1]?.cut(peers[0].address, 'in');
    for (let i = 0; i < 50; i++) peers[0].db.send(peers[1].nodeId, i);
    await until('down', () => peers[1].events.length === 2);
    expect(peers[1].events[1]).toBe('down id-a.example silent');
    expect(peers[1].messages()).toEqual([]);
    healBoth();
    await until('up', () => peers[1].events.at(-1) === 'up id-a.example');
    expect(peers[1].messages()).toEqual([]);
  }, 20_000);

  it('a peer that dials through a cut hangs instead of being refused', async () => {
    const one = await lab.start({
      name: 'a.example',
      address: '127.85.4.1',
      options: { faults: faults[0] as FaultLayer },
    });
    faults[0]?.cut('127.85.4.9', 'both');
    one.links.setPeers([{ index: 2, text: 'x', address: '127.85.4.9', port: 4372 }]);
    await pause(400);
    expect(one.statusOf(2).state).toBe('connecting');
    faults[0]?.heal('127.85.4.9');
    await until('refused', () => one.statusOf(2).code === 'refused');
  });
});

describe('a slow link', () => {
  it('delays what is sent and keeps its order', async () => {
    await pair('127.85.5', 4000);
    faults[0]?.delay(peers[1].address, 150);
    const startMs = performance.now();
    for (let i = 0; i < 20; i++) {
      peers[0].db.send(peers[1].nodeId, i);
      await new Promise((resolve) => setImmediate(resolve));
    }
    faults[0]?.delay(peers[1].address, 20);
    peers[0].db.send(peers[1].nodeId, 20);
    await until('all', () => peers[1].messages().length === 21);
    expect(performance.now() - startMs).toBeGreaterThan(140);
    expect(peers[1].messages()).toEqual(Array.from({ length: 21 }, (_, i) => i));
  });

  it('R5 shows in the round trip', async () => {
    await pair('127.85.6', 2000);
    faults[0]?.delay(peers[1].address, 60);
    faults[1]?.delay(peers[0].address, 60);
    const rttMs = await until('a slow round trip', () => {
      const measured = peers[0].statusOf(2).rttMs ?? 0;
      return measured >= 110 && measured;
    });
    expect(rttMs).toBeGreaterThanOrEqual(110);
  });
});

describe('fault layer', () => {
  it('lists what was asked for, joins directions, and heals one peer or all', () => {
    const layer = createFaultLayer(realClock);
    layer.cut('10.0.0.2', 'in');
    layer.cut('10.0.0.2', 'out');
    layer.delay('10.0.0.3:5001', 80);
    layer.cut('[fd00::1]:4372', 'out');
    expect(layer.list()).toMatchObject([
      { address: '10.0.0.2', cut: 'both', delayMs: 0 },
      { address: '10.0.0.3:5001', cut: undefined, delayMs: 80 },
      { address: '[fd00::1]:4372', cut: 'out', delayMs: 0 },
    ]);
    expect(layer.stateOf('::ffff:10.0.0.2', 4372)).toEqual({ cutIn: true, cutOut: true, delayMs: 0 });
    expect(layer.stateOf('10.0.0.3', 5002)).toEqual({ cutIn: false, cutOut: false, delayMs: 0 });
    expect(layer.stateOf('fd00:0::1', 4372)).toEqual({ cutIn: false, cutOut: true, delayMs: 0 });
    layer.heal('10.0.0.2');
    expect(layer.list()).toHaveLength(2);
    layer.heal();
    expect(layer.list()).toEqual([]);
  });

  it('refuses what is no peer, no direction and no delay', () => {
    const layer = createFaultLayer(realClock);
    expect(() => layer.cut('peer2', 'both')).toThrow(/names no peer/);
    expect(() => layer.cut('10.0.0.1', 'sideways' as 'in')).toThrow(/"both", "in" or "out"/);
    expect(() => layer.delay('10.0.0.1', -1)).toThrow(/0 to 60000/);
    for (let i = 0; i < 64; i++) layer.delay(`10.0.1.${i}`, 1);
    expect(() => layer.delay('10.0.2.1', 1)).toThrow(/No more than 64/);
  });

  it('tells peers on one address apart by their port', async () => {
    const options = { faults: faults[0] as FaultLayer };
    const one = await lab.start({ name: 'a.example', address: '127.85.7.1', options });
    const two = await lab.start({ name: 'b.example', address: '127.85.7.1' });
    const three = await lab.start({ name: 'c.example', address: '127.85.7.1' });
    faults[0]?.cut(`127.85.7.1:${two.links.port}`, 'both');
    lab.connect();
    await one.linkedWith(three);
    await two.linkedWith(three);
    await pause(200);
    expect(one.db.isUp(two.nodeId)).toBe(false);
    faults[0]?.heal();
    await one.linkedWith(two);
  });
});
