/** Whole peers in this process: real sockets, real disc, real actors, asked over their own HTTPS. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLab } from '../../../src/lab/create.ts';
import { standardPorts } from '../../../src/lab/ports.ts';
import { loadConfiguration } from '../../../src/peer/configuration.ts';
import { Peer } from '../../../src/peer/peer.ts';
import type { PeerStatus } from '../../../src/peer/peer-handle.ts';

/** Loopback addresses of this run's own, so that two runs on one machine do not meet. */
const network = `127.${20 + (process.pid % 200)}.${Math.floor(process.pid / 200) % 250}`;
const WAIT_MS = 30_000;
const LOOK_MS = 50;

let folder: string;
let token: string;
let authority: string;
const running = new Map<number, Peer>();
const fatal: string[] = [];

const addressOf = (index: number) => `${network}.${10 + index}`;
const configurationOf = (index: number) => join(folder, 'lab', `peer${index}`, 'peer.json');

/** Resolves when the API answers; `started` when all of the peer runs. */
async function boot(index: number): Promise<{ started: Promise<void> }> {
  const configuration = await loadConfiguration(configurationOf(index));
  return new Promise((resolve, reject) => {
    const peer = new Peer(configuration, {
      ready: () => resolve({ started }),
      fatal: (reason) => fatal.push(reason),
    });
    running.set(index, peer);
    const started = peer.start();
    started.catch(reject);
  });
}

async function start(index: number): Promise<void> {
  const { started } = await boot(index);
  await started;
}

async function stop(index: number): Promise<void> {
  const failures = await running.get(index)!.stop();
  running.delete(index);
  expect(failures).toEqual([]);
}

function ask(index: number, path: string, body?: unknown): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: addressOf(index),
        port: standardPorts.https,
        path: `/api/v1/${path}`,
        method: body === undefined ? 'GET' : 'POST',
        ca: authority,
        agent: false,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      },
    );
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const statusOf = async (index: number) => JSON.parse((await ask(index, 'status')).text) as PeerStatus;
const linesOf = async (index: number) => (JSON.parse((await ask(index, 'log')).text) as { lines: string[] }).lines;

async function until(index: number, holds: (status: PeerStatus) => boolean): Promise<PeerStatus> {
  for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
    const status = await statusOf(index);
    if (holds(status)) return status;
    if (waitedMs > WAIT_MS) throw new Error(`not so within ${WAIT_MS} ms: ${JSON.stringify(status.cluster)}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

const isActive = ({ cluster }: PeerStatus) => cluster.databaseStatus === 'Active';
const command = async (index: number, line: string) =>
  JSON.parse((await ask(index, 'xcommand', { line })).text) as { lines: string[]; code: number };

describe('two peers', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'peerage-peers-'));
    const places = [1, 2].map((index) => ({ address: addressOf(index), ports: standardPorts }));
    await createLab(join(folder, 'lab'), places);
    token = (await readFile(join(folder, 'lab', 'lab.token'), 'utf8')).trim();
    authority = await readFile(join(folder, 'lab', 'ca.crt'), 'utf8');
  });

  afterAll(async () => {
    for (const index of [...running.keys()]) await stop(index);
    await rm(folder, { recursive: true, force: true });
  });

  test('E67 each shows the other as Active and itself as This system', async () => {
    await Promise.all([start(1), start(2)]);
    const [one, two] = await Promise.all([until(1, isActive), until(2, isActive)]);
    expect(one.cluster.peers.map((row) => row.clustering.text)).toEqual([
      'Clustering: This system',
      `Clustering: Active as peer2 (Resolved 'peer2.lab.peerage.example' as '${addressOf(2)}')`,
    ]);
    expect(two.cluster.peers.map((row) => row.state)).toEqual(['Active', 'This system']);
    for (const row of [...one.cluster.peers, ...two.cluster.peers]) {
      expect(row.certificate).toEqual({ valid: true, text: 'Certificate: Valid' });
    }
  });

  test('E72 E73 E147 a TLS mode set on one is on the other at once, and both ask for a restart', async () => {
    expect(await command(1, 'xconfiguration clusterConfiguration tls_verify: Enforcing')).toEqual({
      lines: ['OK'],
      code: 0,
    });
    for (const index of [1, 2]) {
      const status = await until(
        index,
        ({ restartRequired, alarms }) => restartRequired && alarms.some((a) => a.id === '20007'),
      );
      expect(status.cluster).toMatchObject({ tlsVerify: 'Enforcing', tlsVerifyAtStart: 'Permissive' });
    }
    const web = (await linesOf(1)).filter((line) => line.includes('web: '));
    expect(web).toHaveLength(1);
    expect(web[0]).toMatch(
      /Detail="configuration\/cluster\/tls_verify - changed from: 'Permissive' to: 'Enforcing'" Src-ip="127[^"]+" Src-port="\d+" User="admin"/,
    );
    expect((await linesOf(2)).filter((line) => line.includes('web: '))).toEqual([]);
  });

  test('E74 E75 the mode takes effect with the restart of each, and what was loaded meanwhile is there', async () => {
    const load = JSON.parse((await ask(1, 'lab/load', { clients: 4, keys: 20, durationMs: 300 })).text) as {
      acknowledged: number;
      byKey: Record<string, number>;
    };
    expect(load.acknowledged).toBeGreaterThan(0);
    for (const index of [1, 2]) {
      await stop(index);
      await start(index);
    }
    for (const index of [1, 2]) {
      const { cluster, restartRequired } = await until(index, isActive);
      expect(cluster).toMatchObject({ tlsVerify: 'Enforcing', tlsVerifyAtStart: 'Enforcing' });
      expect(restartRequired).toBe(false);
      const { rows } = JSON.parse((await ask(index, 'lab/rows')).text) as {
        rows: { key: string; value: { sequence: number } }[];
      };
      expect(Object.fromEntries(rows.map(({ key, value }) => [key, value.sequence]))).toEqual(load.byKey);
    }
  });

  test('a peer that went down first answers, says for whom it waits, refuses changes, and goes on when told to', async () => {
    await stop(1);
    await until(2, ({ database }) => database.mnesiaDown.length === 1);
    await stop(2);
    const { started } = await boot(1);
    const { cluster } = await until(1, (status) => status.cluster.databaseDetail.includes('waiting for peer2'));
    expect(cluster.databaseStatus).toBe('Starting');
    const refused = await command(1, 'xConfiguration Alternates Cluster Name: x.example.com');
    expect(refused.code).toBe(1);
    expect(refused.lines[0]).toContain('its tables are not loaded yet');
    expect((await command(1, 'xCommand ForceLoadTables')).code).toBe(0);
    await started;
    expect((await until(1, (status) => status.cluster.databaseStatus !== 'Starting')).cluster.tlsVerify).toBe(
      'Enforcing',
    );
  });

  test('a peer that cannot be started says why and leaves nothing open', async () => {
    const again = new Peer(await loadConfiguration(configurationOf(1)), {
      ready: () => undefined,
      fatal: (reason) => fatal.push(reason),
    });
    await expect(again.start()).rejects.toThrow(/is in use by process \d+/);
    await stop(1);
    await start(2);
    await start(1);
    await until(1, isActive);
  });

  test('a peer that starts for the first time takes the mode of the cluster and not that of its file', async () => {
    await stop(2);
    await rm(join(folder, 'lab', 'peer2', 'data'), { recursive: true });
    await start(2);
    const { cluster } = await until(2, isActive);
    expect(cluster).toMatchObject({ tlsVerify: 'Enforcing', tlsVerifyAtStart: 'Permissive' });
    expect((await statusOf(1)).cluster.tlsVerify).toBe('Enforcing');
    await until(2, ({ alarms }) => alarms.some((alarm) => alarm.id === '20020'));
  });

  test('nothing of all this was fatal', () => {
    expect(fatal).toEqual([]);
  });
});
