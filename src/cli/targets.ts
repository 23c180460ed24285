/**
 * Which peers a command asks, and with which rights: those of a lab by number, with the token of the lab, or others by
 * URL, with a password.
 */

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { labEndpoints } from '../lab/endpoints.ts';
import { type LabPeer, readLab, requirePeer } from '../lab/state.ts';
import { askPeer, type Endpoint } from './api-client.ts';
import { PEERS_MAX } from './arguments.ts';
import { CliError, messageOf, usageError } from './errors.ts';
import { isRecord } from './shape.ts';
import type { Terminal } from './terminal.ts';

const LOGIN_MS_MAX = 5_000;
const USER = 'admin';

export interface Target {
  readonly endpoint: Endpoint;
  /** The number of its row, where it is known before the peer was asked. */
  readonly index: number | undefined;
  /** Only of a lab. */
  readonly labPeer: LabPeer | undefined;
}

export interface TargetOptions {
  readonly directory: string;
  /** Numbers of peers of the lab, or URLs. Empty: every peer of the lab. */
  readonly peers: readonly string[];
  /** PEM file with the authorities to trust for URLs. */
  readonly ca?: string;
}

function readAuthority(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (failure) {
    throw new CliError('bad_file', `${path} cannot be read`, messageOf(failure), 'check the path given with --ca');
  }
}

export function peerUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw usageError(
      `--peer ${text} is no peer`,
      'it is neither a number from 1 to 6 nor a URL',
      'give --peer 2 for a peer of the lab, or --peer https://peer2.example.com:8443',
    );
  }
  if (url.protocol !== 'https:') {
    throw usageError(`--peer ${text} cannot be asked`, 'peers answer over HTTPS only', 'write it as https://…');
  }
  return url.origin;
}

/** Asks on the terminal without showing what is typed. */
async function promptPassword(): Promise<string> {
  process.stderr.write(`password of ${USER}: `);
  const silence = new Writable({ write: (_chunk, _encoding, done) => done() });
  const prompt = createInterface({ input: process.stdin, output: silence, terminal: true });
  try {
    return await prompt.question('');
  } finally {
    prompt.close();
    process.stderr.write('\n');
  }
}

async function passwordFor(terminal: Terminal): Promise<string> {
  const given = terminal.env.PEERAGE_PASSWORD;
  if (given !== undefined && given !== '') return given;
  if (process.stdin.isTTY === true) return promptPassword();
  throw new CliError(
    'no_password',
    'No password was given',
    'PEERAGE_PASSWORD is not set and there is no terminal to ask on',
    'set PEERAGE_PASSWORD, or run the command in a terminal',
  );
}

/** Logs in at one peer, for a URL that came without a token. */
export async function logIn(endpoint: Endpoint, password: string): Promise<Endpoint> {
  const body = { user: USER, password };
  const call = { method: 'POST', path: '/api/v1/session', body, timeoutMs: LOGIN_MS_MAX } as const;
  const answer = await askPeer(endpoint, call);
  const token = isRecord(answer) ? answer.token : undefined;
  if (typeof token === 'string') return { ...endpoint, token };
  throw new CliError(
    'bad_answer',
    `The answer of ${endpoint.label} was not understood`,
    'it gave no session token',
    `check that a peer of this version listens at ${endpoint.url}`,
  );
}

function labTargets(options: TargetOptions): Target[] {
  const lab = readLab(options.directory);
  const all = labEndpoints(lab).map(({ peer, endpoint }) => ({ endpoint, index: peer.index, labPeer: peer }));
  if (options.peers.length === 0) return all;
  const wanted = new Set(options.peers.map((text) => requirePeer(lab, Number(text)).index));
  return all.filter((target) => wanted.has(target.index));
}

/** Targets by URL come without a token: `withPassword` gets them one. */
export function findTargets(options: TargetOptions): Target[] {
  const numbers = options.peers.filter((text) => /^\d+$/.test(text));
  if (numbers.length === options.peers.length) return labTargets(options);
  if (numbers.length > 0) {
    throw usageError('--peer was given numbers and URLs', 'a number means a peer of the lab', 'give only one kind');
  }
  if (options.peers.length > PEERS_MAX) {
    throw usageError(
      `${options.peers.length} peers were named`,
      `a cluster has at most ${PEERS_MAX}`,
      'leave some out',
    );
  }
  const authority = options.ca === undefined ? undefined : readAuthority(options.ca);
  return [...new Set(options.peers.map(peerUrl))].map((url) => ({
    endpoint: { label: url, url, ...(authority === undefined ? {} : { authority }) },
    index: undefined,
    labPeer: undefined,
  }));
}

/** One password for all peers of a cluster, asked once; undefined when every target has a token already. */
export function passwordIfNeeded(targets: readonly Target[], terminal: Terminal): Promise<string | undefined> {
  if (targets.every((target) => target.endpoint.token !== undefined)) return Promise.resolve(undefined);
  return passwordFor(terminal);
}

export async function withPassword(target: Target, password: string | undefined): Promise<Target> {
  if (target.endpoint.token !== undefined || password === undefined) return target;
  return { ...target, endpoint: await logIn(target.endpoint, password) };
}
