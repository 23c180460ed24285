/** Waits until every peer of a lab answers and every row of every peer is active, and says what is awaited. */

import { ApiFailure, callApi, type Endpoint } from '../cli/api-client.ts';
import { CliError } from '../cli/errors.ts';
import { type PeerStatus, readPeerStatus } from '../cli/peer-status.ts';
import type { Progress } from '../cli/progress.ts';
import { listText } from '../cli/table.ts';
import { sleep } from './processes.ts';
import type { LabPeer } from './state.ts';

const POLL_MS = 100;
const ANSWER_MS_MAX = 1_000;

export interface AwaitedPeer {
  readonly peer: LabPeer;
  readonly endpoint: Endpoint;
  /** Throws when the process of this peer has ended. */
  requireAlive(): void;
}

export interface ReadyOptions {
  readonly timeoutMs: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
  /** Rows of peers that do not run are not awaited. */
  readonly runs?: (index: number) => boolean;
}

async function ask(endpoint: Endpoint): Promise<PeerStatus | undefined> {
  try {
    return readPeerStatus(await callApi(endpoint, { method: 'GET', path: '/api/v1/status', timeoutMs: ANSWER_MS_MAX }));
  } catch (failure) {
    // Not there yet. A peer that stays silent ends in the time-out, which names it.
    if (failure instanceof ApiFailure && ['refused', 'silent', 'unreachable'].includes(failure.kind)) return undefined;
    throw failure;
  }
}

export interface Asked {
  readonly index: number;
  readonly status: PeerStatus | undefined;
}

function peersText(indexes: readonly number[]): string {
  return `peer${indexes.length === 1 ? '' : 's'} ${listText(indexes)}`;
}

/** `1–3`: a link that one of its two ends does not call active. Peers that do not run are not awaited. */
function missingLinks(asked: readonly Asked[], runs: (index: number) => boolean): string[] {
  const links = asked.flatMap(({ index, status }) =>
    (status?.cluster.peers ?? [])
      .filter((row) => row.state !== 'Active' && row.state !== 'This system' && runs(row.index))
      .map((row) => `${Math.min(index, row.index)}–${Math.max(index, row.index)}`),
  );
  return [...new Set(links)].sort();
}

/** What is awaited first: answers, then links, then tables, then the verdict of each database. Undefined when all is ready. */
export function awaitedText(
  asked: readonly Asked[],
  runs: (index: number) => boolean = () => true,
): string | undefined {
  const silent = asked.filter(({ status }) => status === undefined);
  if (silent.length > 0) return `${peersText(silent.map(({ index }) => index))} to answer`;
  const links = missingLinks(asked, runs);
  if (links.length > 0) return `the link${links.length === 1 ? '' : 's'} between peers ${listText(links)}`;
  const tables = asked.flatMap(({ status }) => status?.database.tables.filter((table) => !table.loaded) ?? []);
  const names = [...new Set(tables.map((table) => table.name))].sort();
  if (names.length > 0) return `table${names.length === 1 ? '' : 's'} ${listText(names)} to be loaded`;
  const starting = asked.filter(
    ({ status }) =>
      status?.cluster.databaseStatus !== 'Active' && status?.cluster.peers.every((row) => runs(row.index)),
  );
  if (starting.length === 0) return undefined;
  return `the database of ${peersText(starting.map(({ index }) => index))} to become Active`;
}

export async function awaitReady(peers: readonly AwaitedPeer[], options: ReadyOptions): Promise<void> {
  const deadlineMs = Date.now() + options.timeoutMs;
  for (;;) {
    for (const each of peers) each.requireAlive();
    const statuses = await Promise.all(peers.map((each) => ask(each.endpoint)));
    const asked = peers.map((each, at) => ({ index: each.peer.index, status: statuses[at] }));
    const awaited = awaitedText(asked, options.runs);
    if (awaited === undefined) return;
    if (options.signal?.aborted) {
      throw new CliError(
        'lab_interrupted',
        'The lab was stopped before it was ready',
        'a signal asked for it',
        'run `peerage lab up` again',
      );
    }
    const text = `waiting for ${awaited}`;
    options.progress.show(text);
    if (Date.now() > deadlineMs) {
      throw new CliError(
        'lab_start_slow',
        `The peers were not ready within ${options.timeoutMs / 1000} s`,
        `still ${text}`,
        'look at peerN/peer.log and peerN/console.log in the lab directory',
      );
    }
    await sleep(POLL_MS, options.signal);
  }
}
