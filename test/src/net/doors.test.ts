import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { LogRecord } from '../../../actors/otp/types.ts';
import { openRasSocket, openRecoveryListener } from '../../../src/net/index.ts';
import { realClock, until } from './net-lab.ts';

const ADDRESS = '127.86.0.1';
const burstLimits = { quietMs: 60 };
const toClose: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(toClose.splice(0).map((door) => door.close()));
});

function field(record: LogRecord | undefined, key: string): string | undefined {
  return record?.fields.find(([name]) => name === key)?.[1];
}

describe('cluster recovery port', () => {
  it('E34 gives a stranger nothing, closes it at once, and logs a burst twice: its start and its size', async () => {
    const logs: LogRecord[] = [];
    const settings = { nodeName: 'clusterdb@a.example', bindAddress: ADDRESS, port: 0, clock: realClock, burstLimits };
    const listener = await openRecoveryListener({ ...settings, log: (record) => logs.push(record) });
    toClose.push(listener);
    let heard = 0;
    for (let i = 0; i < 20; i++) {
      const socket = connect({ host: ADDRESS, port: listener.port }).on('error', () => undefined);
      socket.on('data', () => heard++);
      await new Promise((resolve) => socket.once('close', resolve));
    }
    expect([listener.closedCount, heard]).toEqual([20, 0]);
    await until('the summary', () => logs.length === 2);
    expect(field(logs[0], 'Module')).toBe('developer.clusterdb.links');
    expect(field(logs[0], 'Src-ip')).toBe('127.0.0.1');
    expect(field(logs[1], 'Count')).toBe('19');
  });

  it('says what to do when its port is taken', async () => {
    const settings = { nodeName: 'x@y', bindAddress: ADDRESS, clock: realClock, log: () => undefined };
    const listener = await openRecoveryListener({ ...settings, port: 0 });
    toClose.push(listener);
    await expect(openRecoveryListener({ ...settings, port: listener.port })).rejects.toThrow(/another program/);
  });
});

describe('RAS port', () => {
  it('E36 counts and drops datagrams, answers none, and logs a burst twice', async () => {
    const logs: LogRecord[] = [];
    const settings = { bindAddress: ADDRESS, port: 0, clock: realClock, burstLimits };
    const ras = await openRasSocket({ ...settings, log: (record) => logs.push(record) });
    toClose.push(ras);
    const sender = createSocket('udp4');
    let answers = 0;
    sender.on('message', () => answers++);
    for (let i = 0; i < 30; i++)
      await new Promise((resolve) => sender.send(Buffer.alloc(100), ras.port, ADDRESS, resolve));
    await until('the datagrams', () => ras.droppedDatagrams === 30);
    await until('the summary', () => logs.length === 2);
    await new Promise<void>((resolve) => sender.close(resolve));
    expect([answers, ras.droppedBytes]).toEqual([0, 3000]);
    expect(logs[0]?.tag).toBe('tvcs');
    expect(field(logs[0], 'Module')).toBe('network.h323');
    expect(field(logs[1], 'Count')).toBe('29');
  });

  it('says what to do when its port is taken', async () => {
    const settings = { bindAddress: ADDRESS, clock: realClock, log: () => undefined };
    const ras = await openRasSocket({ ...settings, port: 0 });
    toClose.push(ras);
    await expect(openRasSocket({ ...settings, port: ras.port })).rejects.toThrow(/RAS port .* cannot be opened/);
  });
});
