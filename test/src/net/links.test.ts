import { type AddressInfo, connect as connectTcp } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createAuthority, createPeerCertificate, validityFrom } from '../../../src/net/index.ts';
import { NetLab, pause, socketsOf, type TestPeer, until } from './net-lab.ts';

let lab: NetLab;

beforeEach(async () => {
  lab = await NetLab.create();
});

afterEach(async () => {
  await lab.close();
});

async function threePeers(options: { tlsVerify: 'Permissive' | 'Enforcing' }): Promise<TestPeer[]> {
  const peers: TestPeer[] = [];
  for (const n of [1, 2, 3]) {
    const name = `expc0${n}.apolo.local`;
    peers.push(await lab.start({ name, text: name, address: `127.81.0.${n}`, options }));
  }
  return peers;
}

async function allLinked(peers: readonly TestPeer[]): Promise<void> {
  for (const peer of peers) await peer.linkedWith(...peers.filter((other) => other !== peer));
}

describe('cluster links', () => {
  it.each(['Permissive', 'Enforcing'] as const)(
    'E33 link every pair of three peers once in %s mode',
    async (tlsVerify) => {
      const peers = await threePeers({ tlsVerify });
      lab.connect();
      await allLinked(peers);
      const [one, two, three] = peers as [TestPeer, TestPeer, TestPeer];
      // However both sides dial, and however long one looks: one `up` for each other peer, no `down`.
      await pause(200);
      expect(one.events.toSorted()).toEqual([`up ${two.nodeId}`, `up ${three.nodeId}`]);
      expect(two.events.toSorted()).toEqual([`up ${one.nodeId}`, `up ${three.nodeId}`]);
      const status = one.statusOf(2);
      expect(status).toMatchObject({
        state: 'up',
        node: two.nodeId,
        name: 'clusterdb@expc02.apolo.local',
        shortName: 'expc02',
      });
      expect(status.certificate).toMatchObject({ valid: true, text: 'Certificate: Valid' });
      expect(status.address).toBe('127.81.0.2');
    },
  );

  it('one link remains when both sides dial in the same moment, fifty times over', async () => {
    const peers = await threePeers({ tlsVerify: 'Permissive' });
    const [one, two] = peers as [TestPeer, TestPeer, TestPeer];
    for (let round = 0; round < 50; round++) {
      lab.connect(one, two);
      await allLinked([one, two]);
      one.db.send(two.nodeId, round);
      two.db.send(one.nodeId, round);
      await until('both messages', () => one.messages().length > round && two.messages().length > round);
      one.links.setPeers([]);
      two.links.setPeers([]);
      const events = 2 * round + 2;
      await until('no link', () => one.events.length === events && two.events.length === events);
    }
    const rounds = Array.from({ length: 50 }, (_, round) => round);
    expect([one.messages(), two.messages()]).toEqual([rounds, rounds]);
    expect(one.events).toHaveLength(100);
    expect(two.events).toHaveLength(100);
  }, 30_000);

  it('keep the order of messages in both directions, and channels apart', async () => {
    const peers = await threePeers({ tlsVerify: 'Permissive' });
    const [one, two] = peers as [TestPeer, TestPeer, TestPeer];
    lab.connect(one, two);
    await allLinked([one, two]);
    const numbers = Array.from({ length: 3000 }, (_, i) => i);
    for (const i of numbers) {
      one.db.send(two.nodeId, { i, padding: 'x'.repeat(i % 700) });
      if (i % 3 === 0) two.otp.send(one.nodeId, i);
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await until('all messages', () => two.messages('db').length === 3000 && one.messages('otp').length === 1000);
    expect(two.messages('db').map((message) => (message as { i: number }).i)).toEqual(numbers);
    expect(one.messages('otp')).toEqual(numbers.filter((i) => i % 3 === 0));
    expect([two.messages('otp'), one.messages('db')]).toEqual([[], []]);
  });

  it('batch all messages of one turn into one frame', async () => {
    const peers = await threePeers({ tlsVerify: 'Permissive' });
    const [one, two] = peers as [TestPeer, TestPeer, TestPeer];
    lab.connect(one, two);
    await allLinked([one, two]);
    const before = one.statusOf(2).framesOut;
    for (let i = 0; i < 500; i++) one.db.send(two.nodeId, i);
    await until('all messages', () => two.messages().length === 500);
    // The one frame, and at most a tick and its echo that fell into the same moment.
    expect(one.statusOf(2).framesOut - before).toBeLessThanOrEqual(3);
  });

  it('E35 are dialled from a source port between 30000 and 35999', async () => {
    const peers = await threePeers({ tlsVerify: 'Permissive' });
    lab.connect();
    await allLinked(peers);
    const ports = new Set(peers.map((peer) => peer.links.port));
    const sources = peers.flatMap((peer) =>
      socketsOf(peer.address).flatMap((socket) => (ports.has(socket.localPort ?? 0) ? (socket.remotePort ?? 0) : [])),
    );
    expect(sources.length).toBeGreaterThan(0);
    expect(sources.filter((port) => port < 30_000 || port > 35_999)).toEqual([]);
  });

  it('E35 try another source port when one is taken', async () => {
    const first = await lab.start({
      name: 'a.example',
      address: '127.81.1.1',
      options: { sourcePorts: [34_500, 34_502] },
    });
    const others = await Promise.all(
      [2, 3].map((n) =>
        lab.start({ name: `b${n}.example`, address: `127.81.1.${n}`, options: { sourcePorts: [34_500, 34_502] } }),
      ),
    );
    const { createServer } = await import('node:net');
    const squatters = [34_500, 34_501].map((port) => createServer().listen(port, '127.81.1.1'));
    first.links.setPeers(others.map((other, i) => other.row(i + 2)));
    for (const other of others) other.links.setPeers([{ ...first.row(1), port: 9 }]);
    // The others cannot dial (nothing listens on port 9), and refuse whoever listens elsewhere: first must have tried.
    await until(
      'an attempt',
      () => first.statusOf(2).code === 'address_mismatch' && first.statusOf(3).code === 'address_mismatch',
    );
    for (const squatter of squatters) await new Promise((resolve) => squatter.close(resolve));
  });

  it('R5 measure the round trip on ticks', async () => {
    const peers = await threePeers({ tlsVerify: 'Permissive' });
    const [one, two] = peers as [TestPeer, TestPeer, TestPeer];
    lab.connect(one, two);
    await allLinked([one, two]);
    const rttMs = await until('a round trip', () => one.statusOf(2).rttMs);
    expect(rttMs).toBeGreaterThan(0);
    expect(rttMs).toBeLessThan(500);
  });

  it('reach the actors by node name', async () => {
    const peers = await threePeers({ tlsVerify: 'Permissive' });
    const [one, two] = peers as [TestPeer, TestPeer, TestPeer];
    const heard: unknown[] = [];
    const transports = [one, two].map((peer) => {
      const transport = peer.links.remote();
      transport.setHandlers({
        up: (name) => heard.push(['up', peer.nodeId, name]),
        down: (name) => heard.push(['down', peer.nodeId, name]),
        message: (name, message) => heard.push(['message', peer.nodeId, name, message]),
      });
      return transport;
    });
    lab.connect(one, two);
    await until('both up', () => heard.length === 2);
    expect(transports[0]?.isUp('clusterdb@expc02.apolo.local')).toBe(true);
    expect(transports[0]?.isUp('clusterdb@nobody')).toBe(false);
    transports[0]?.send('clusterdb@expc02.apolo.local', { cast: 1 });
    await until('the message', () => heard.length === 3);
    expect(heard[2]).toEqual(['message', two.nodeId, 'clusterdb@expc01.apolo.local', { cast: 1 }]);
    await two.links.close();
    await until('down', () => heard.length === 4);
    expect(heard[3]).toEqual(['down', one.nodeId, 'clusterdb@expc02.apolo.local']);
  });

  it('tell handlers that come late of links that are up', async () => {
    const peers = await threePeers({ tlsVerify: 'Permissive' });
    const [one, two] = peers as [TestPeer, TestPeer, TestPeer];
    lab.connect(one, two);
    await allLinked([one, two]);
    const heard: string[] = [];
    one.links.channel('db').setHandlers({
      up: (node, info) => heard.push(`up ${node} ${info.name} ${info.incarnation}`),
      down: () => heard.push('down'),
      message: () => heard.push('message'),
    });
    expect(heard).toEqual([]);
    await until('up', () => heard.length > 0);
    expect(heard).toEqual([`up ${two.nodeId} clusterdb@expc02.apolo.local 1`]);
  });

  it('end when a row is taken out of the peer list, on both sides', async () => {
    const peers = await threePeers({ tlsVerify: 'Permissive' });
    const [one, two, three] = peers as [TestPeer, TestPeer, TestPeer];
    lab.connect();
    await allLinked(peers);
    one.links.setPeers([three.row(3)]);
    await until('both down', () => one.events.length === 3 && two.events.length === 3);
    expect(one.events[2]).toBe(`down ${two.nodeId} dropped`);
    expect(two.events[2]).toBe(`down ${one.nodeId} silent`);
    await until('a refusal', () => two.statusOf(1).code === 'unknown_node');
    expect(two.statusOf(1)).toMatchObject({ state: 'failed', reason: expect.stringContaining('is in no row') });
    expect(one.db.isUp(three.nodeId)).toBe(true);
  });

  it('survive a peer list that says the same, and a row that moved', async () => {
    const peers = await threePeers({ tlsVerify: 'Enforcing' });
    const [one, two] = peers as [TestPeer, TestPeer, TestPeer];
    lab.connect(one, two);
    await allLinked([one, two]);
    one.links.setPeers([two.row(2)]);
    one.links.setPeers([two.row(5)]);
    await pause(100);
    expect(one.events).toEqual([`up ${two.nodeId}`]);
    expect(one.statusOf(5).state).toBe('up');
  });
});

describe('who may be linked', () => {
  it('E54 wrong cluster key: failed on both sides, told plainly on the one that knows, and nothing linked', async () => {
    const one = await lab.start({ name: 'a.example', address: '127.81.2.1' });
    const two = await lab.start({
      name: 'b.example',
      address: '127.81.2.2',
      options: { clusterKey: Buffer.alloc(32, 8) },
    });
    lab.connect();
    await until('failed', () => one.statusOf(2).state === 'failed' && two.statusOf(1).state === 'failed');
    await until('the reason', () => [one.statusOf(2).code, two.statusOf(1).code].includes('wrong_key'));
    await pause(300);
    expect([one.events, two.events]).toEqual([[], []]);
    expect(`${one.logText()}${two.logText()}`).not.toContain(Buffer.alloc(32, 8).toString('hex'));
  });

  it('Permissive: somebody who ends TLS in the middle and passes every octet on gets no link', async () => {
    const one = await lab.start({ name: 'a.example', address: '127.81.10.1' });
    const two = await lab.start({ name: 'b.example', address: '127.81.10.2' });
    const middle = '127.81.10.3';
    const { certificatePem, privateKeyPem } = await lab.certificate('b.example', ['b.example'], [middle]);
    const relay = createTlsServer({ cert: certificatePem, key: privateKeyPem }, (inner) => {
      const below = connectTcp({ host: two.address, port: two.links.port, localAddress: middle });
      const outer = connectTls({ socket: below, rejectUnauthorized: false });
      for (const socket of [inner, outer, below]) socket.on('error', () => socket.destroy());
      inner.pipe(outer).pipe(inner);
    });
    await new Promise<void>((resolve) => relay.listen(0, middle, resolve));
    const { port } = relay.address() as AddressInfo;
    two.links.setPeers([{ ...one.row(1), address: middle }]);
    one.links.setPeers([{ ...two.row(2), address: middle, port }]);
    await until('the reason', () => two.statusOf(1).code === 'wrong_key');
    await until('failed', () => one.statusOf(2).state === 'failed');
    expect([one.events, two.events]).toEqual([[], []]);
    one.links.setPeers([]);
    await new Promise((resolve) => relay.close(resolve));
  });

  it('E68 E55 Permissive: an untrusted certificate with the wrong name links, and its line says what is wrong', async () => {
    const stranger = await createAuthority('Another authority', validityFrom(Date.now(), 5));
    const request = { authority: stranger, commonName: 'b.example', validity: validityFrom(Date.now(), 5) };
    const one = await lab.start({ name: 'a.example', address: '127.81.3.1' });
    const two = await lab.start({
      name: 'b.example',
      address: '127.81.3.2',
      certificate: await createPeerCertificate(request),
    });
    one.links.setPeers([{ ...two.row(2), text: 'b.example' }]);
    two.links.setPeers([one.row(1)]);
    await one.linkedWith(two);
    expect(one.statusOf(2).certificate?.text).toBe(
      'Certificate: Invalid (certificate is not signed by a trusted authority)',
    );
    one.links.setPeers([two.row(2)]);
    expect(one.statusOf(2).certificate?.text).toBe('Certificate: Invalid (Common Name in certificate does not match)');
    expect(one.statusOf(2).state).toBe('up');
  });

  it.each([
    ['certificate_name', 'other.example', false],
    ['certificate_untrusted', 'b.example', true],
  ] as const)('E69 Enforcing refuses %s whoever dials', async (code, commonName, isStranger) => {
    const validity = validityFrom(Date.now(), 5);
    const authority = isStranger ? await createAuthority('Another authority', validity) : lab.authority;
    const certificate = await createPeerCertificate({ authority, commonName, validity });
    const options = { tlsVerify: 'Enforcing' } as const;
    const one = await lab.start({ name: 'a.example', text: 'a.example', address: '127.81.4.1', options });
    const two = await lab.start({ name: 'b.example', text: 'b.example', address: '127.81.4.2', certificate });
    lab.connect();
    await until('the reason', () => one.statusOf(2).code === code);
    expect(one.statusOf(2).certificate?.valid).toBe(false);
    await until('failed', () => two.statusOf(1).state === 'failed');
    await pause(200);
    expect([one.events, two.events]).toEqual([[], []]);
  });

  it('E69 Enforcing drops a link whose row changes to a name the certificate does not hold', async () => {
    const options = { tlsVerify: 'Enforcing' } as const;
    const one = await lab.start({ name: 'a.example', text: 'a.example', address: '127.81.5.1', options });
    const two = await lab.start({ name: 'b.example', text: 'b.example', address: '127.81.5.2', options });
    lab.connect();
    await one.linkedWith(two);
    await two.linkedWith(one);
    one.links.setPeers([{ ...two.row(2), text: 'c.example' }]);
    await until('down', () => one.events.length === 2);
    expect(one.events[1]).toBe(`down ${two.nodeId} dropped`);
    await until('the reason', () => one.statusOf(2).code === 'certificate_name');
  });

  it('a copied data directory does not throw out the peer that has its identity', async () => {
    const one = await lab.start({ name: 'a.example', address: '127.81.6.1' });
    const two = await lab.start({ name: 'b.example', address: '127.81.6.2' });
    const copy = await lab.start({ name: 'c.example', address: '127.81.6.3', nodeId: two.nodeId });
    lab.connect(one, two);
    await one.linkedWith(two);
    one.links.setPeers([two.row(2), copy.row(3)]);
    copy.links.setPeers([one.row(1)]);
    await until('a refusal', () => copy.statusOf(1).code === 'duplicate_node');
    expect(one.events).toEqual([`up ${two.nodeId}`]);
    expect(one.logText()).toContain('data directory copied');
  });

  it('a peer that meets itself says so', async () => {
    const one = await lab.start({ name: 'a.example', address: '127.81.7.1' });
    one.links.setPeers([one.row(2)]);
    await until('the reason', () => one.statusOf(2).code === 'self');
    expect(one.events).toEqual([]);
  });

  it('E53 E54 a row is unknown until it is tried, and failed when nothing is there or it has no address', async () => {
    const one = await lab.start({ name: 'a.example', address: '127.81.8.1' });
    one.links.setPeers([
      { index: 2, text: '127.81.8.2', address: '127.81.8.2', port: 4372 },
      { index: 3, text: 'nowhere.example', address: undefined, port: 4372 },
    ]);
    expect(one.statusOf(2)).toMatchObject({ state: 'connecting', certificate: undefined });
    expect(one.statusOf(3)).toMatchObject({ state: 'failed', code: 'unresolved' });
    await until('refused', () => one.statusOf(2).state === 'failed');
    expect(one.statusOf(2)).toMatchObject({ code: 'refused', reason: expect.stringContaining('Is the peer running') });
  });

  it('options that cannot work are refused with what to do', async () => {
    await expect(
      lab.start({ name: 'a.example', address: '127.81.9.1', options: { clusterKey: Buffer.alloc(31) } }),
    ).rejects.toThrow(/31 octets; it needs 32/);
    await expect(lab.start({ name: 'a.example', address: '127.81.9.1', options: { privateKey: 'x' } })).rejects.toThrow(
      /PEM/,
    );
    const one = await lab.start({ name: 'a.example', address: '127.81.9.1' });
    expect(() => one.links.setPeers([{ index: 1, text: 'a b', address: undefined, port: 1 }])).toThrow(/row 1/);
    const port = one.links.port;
    await expect(lab.start({ name: 'b.example', address: '127.81.9.1', options: { port } })).rejects.toThrow(
      /running already/,
    );
  });
});
