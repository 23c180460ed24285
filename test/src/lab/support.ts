/** Labs in temporary directories, peers that are only an HTTPS server, and a terminal that keeps what it was told. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Terminal } from '../../../src/cli/terminal.ts';
import { createLab, labPeers } from '../../../src/lab/create.ts';
import { onOwnAddresses, type PeerPlace } from '../../../src/lab/ports.ts';
import { identify } from '../../../src/lab/processes.ts';
import { type Lab, type LabPeer, labFiles, updatePeer, writeState } from '../../../src/lab/state.ts';
import type { PeerStatus } from '../../../src/peer/peer-handle.ts';

export interface RecordingTerminal extends Terminal {
  readonly lines: string[];
  readonly errors: string[];
  text(): string;
}

export function recordingTerminal(env: Record<string, string> = {}): RecordingTerminal {
  const lines: string[] = [];
  const errors: string[] = [];
  return {
    lines,
    errors,
    out: (text) => void lines.push(text),
    err: (text) => void errors.push(text),
    outIsScreen: false,
    errIsScreen: false,
    color: false,
    env,
    text: () => lines.join('\n'),
  };
}

export function temporaryDirectory(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'peerage-lab-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createTcpServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** Ports that were free a moment ago, on an address all peers share. */
export async function freePlaces(count: number): Promise<PeerPlace[]> {
  const places: PeerPlace[] = [];
  for (let at = 0; at < count; at += 1) {
    const [cluster, recovery, ras, https] = [await freePort(), await freePort(), await freePort(), await freePort()];
    places.push({ address: '127.0.0.1', ports: { cluster: cluster!, recovery: recovery!, ras: ras!, https: https! } });
  }
  return places;
}

export async function newLab(parent: string, count: number): Promise<Lab> {
  return (await createLab(join(parent, 'lab'), await freePlaces(count))).lab;
}

/** Only the state file, for what needs no certificates. */
export function stateOnlyLab(parent: string, count: number): Lab {
  const directory = join(parent, 'lab');
  mkdirSync(directory);
  const peers = labPeers(onOwnAddresses(count, '127.15.13.15'));
  const state = {
    format: 1,
    created: 'now',
    clusterName: 'c.example',
    user: 'admin',
    peers,
    supervisor: null,
  } as const;
  writeState(directory, state);
  return { directory, state };
}

/** A status in which everything is as it should be. */
export function goodStatus(lab: Lab, index: number, change: Partial<PeerStatus> = {}): PeerStatus {
  const peer = lab.state.peers[index - 1]!;
  const table = { storageType: 'disc_copies', loaded: true, awaiting: [], digest: 'd1', localContent: false } as const;
  return {
    version: '0.1.0',
    nodeId: `n${index}`,
    nodeName: `clusterdb@${peer.fqdn}`,
    systemName: peer.name,
    pid: 1,
    uptimeMs: 61_000,
    at: '2026-11-22T10:00:00.000Z',
    cluster: {
      name: lab.state.clusterName,
      configurationPrimary: 1,
      ipVersion: 'IPv4',
      tlsVerify: 'Permissive',
      tlsVerifyAtStart: 'Permissive',
      databaseStatus: 'Active',
      databaseDetail: 'runs and replicates with every peer',
      thisPeer: index,
      peers: lab.state.peers.map((each) => ({
        index: each.index,
        text: each.fqdn,
        address: each.address,
        state: each.index === index ? 'This system' : 'Active',
        certificate: { valid: true, text: 'Certificate: Valid' },
        clustering: { ok: true, text: `Clustering: Active as ${each.name}` },
        reason: undefined,
        rttMs: each.index === index ? undefined : 0.4,
        nodeName: `clusterdb@${each.fqdn}`,
      })),
      lastSynchronisation: undefined,
      nextSynchronisation: undefined,
    },
    addressMapping: { enabled: true, mappings: [] },
    alarms: [],
    database: {
      runningDbNodes: [],
      dbNodes: [],
      tables: [{ name: 'clusterConfiguration', size: 5, ...table }],
      heldLocks: 0,
      ledgerCount: 0,
      mnesiaDown: [],
    },
    restartRequired: false,
    lab: true,
    ...change,
  };
}

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

export type FakeAnswer = { readonly status?: number; readonly body: unknown } | 'no answer';

export interface FakePeer {
  readonly requests: FakeRequest[];
  close(): Promise<void>;
}

/**
 * An HTTPS server in this process with the certificate and token of a lab's peer. The lab takes this very process for
 * the peer's, so that its state reads `running`.
 */
export async function fakePeer(
  lab: Lab,
  peer: LabPeer,
  answer: (request: FakeRequest) => FakeAnswer,
  password = 'secret',
): Promise<FakePeer> {
  const read = (name: string) => readFileSync(join(lab.directory, name), 'utf8');
  const token = read(labFiles.token).trim();
  const requests: FakeRequest[] = [];
  const server = createServer(
    { cert: read(`${peer.folder}/peer.crt`), key: read(`${peer.folder}/peer.key`) },
    (got, reply) => {
      const chunks: Buffer[] = [];
      got.on('data', (chunk: Buffer) => chunks.push(chunk));
      got.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const request = {
          method: got.method ?? '',
          path: got.url ?? '',
          body: text === '' ? undefined : JSON.parse(text),
        };
        const send = (status: number, body: unknown) => {
          reply.writeHead(status, { 'content-type': 'application/json' });
          reply.end(JSON.stringify(body));
        };
        if (request.path === '/api/v1/session') {
          if (request.body?.password === password) return send(200, { token: 'session-token' });
          return send(401, {
            error: { code: 'bad_login', what: 'Log-in refused', why: 'wrong password', do: 'try again' },
          });
        }
        const { authorization } = got.headers;
        if (authorization !== `Bearer ${token}` && authorization !== 'Bearer session-token') {
          return send(401, { error: { code: 'no_session', what: 'Not logged in', why: 'no token', do: 'log in' } });
        }
        requests.push(request);
        const answered = answer(request);
        if (answered !== 'no answer') send(answered.status ?? 200, answered.body);
      });
    },
  );
  await new Promise<void>((resolve) => server.listen(peer.ports.https, peer.address, resolve));
  await updatePeer(lab.directory, peer.index, {
    process: { ...identify(process.pid)!, startedAt: new Date().toISOString() },
  });
  return {
    requests,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Every peer of the lab as a fake one that is well. */
export async function fakePeers(
  lab: Lab,
  statusOf: (index: number) => PeerStatus | 'no answer' = (index) => goodStatus(lab, index),
): Promise<FakePeer[]> {
  return Promise.all(
    lab.state.peers.map((peer) =>
      fakePeer(lab, peer, ({ path }) => {
        if (path !== '/api/v1/status') return { body: {} };
        const status = statusOf(peer.index);
        return status === 'no answer' ? status : { body: status };
      }),
    ),
  );
}
