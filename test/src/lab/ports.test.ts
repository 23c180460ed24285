import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { choosePlaces, firstUnusable, onOneAddress, onOwnAddresses, requireFree } from '../../../src/lab/ports.ts';
import { freePlaces } from './support.ts';

let server: Server;
let port: number;
beforeEach(async () => {
  server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as { port: number }).port;
});
afterEach(() => void server.close());

describe('ports of a lab', () => {
  test('peers get an address each with the standard ports', () => {
    expect(onOwnAddresses(3, '127.15.13.15').map((place) => place.address)).toEqual([
      '127.15.13.15',
      '127.15.13.16',
      '127.15.13.17',
    ]);
    expect(onOwnAddresses(1, '127.15.13.15')[0]?.ports).toEqual({
      cluster: 4372,
      recovery: 4371,
      ras: 1719,
      https: 8443,
    });
  });

  test('six peers on one address never ask for the same port twice', () => {
    const ports = onOneAddress(6).flatMap((place) => Object.values(place.ports));
    expect(new Set(ports).size).toBe(24);
  });

  test('free places are accepted', async () => {
    const places = await freePlaces(2);
    expect(await firstUnusable(places)).toBeUndefined();
  });

  test('a port that is taken is named, with who has it', async () => {
    const [place] = await freePlaces(1);
    const taken = { ...place!, ports: { ...place!.ports, https: port } };
    const failure: unknown = await requireFree([taken]).catch((reason: unknown) => reason);
    expect(failure).toMatchObject({ code: 'lab_port_taken' });
    expect(String(failure)).toContain(`127.0.0.1 tcp port ${port} is taken`);
    if (process.platform === 'linux') expect(String(failure)).toContain(`process ${process.pid} (`);
  });

  test('a datagram port that is taken is found too', async () => {
    const [place] = await freePlaces(1);
    const socket = createSocket('udp4');
    socket.bind({ address: '127.0.0.1', port: place!.ports.ras, exclusive: true });
    await once(socket, 'listening');
    try {
      await expect(requireFree([place!])).rejects.toThrow(`udp port ${place!.ports.ras} is taken`);
    } finally {
      socket.close();
    }
  });

  test('addresses a person asked for are not silently exchanged for others', async () => {
    await expect(choosePlaces(1, '203.0.113.9')).rejects.toMatchObject({ code: 'lab_port_taken' });
  });
});
