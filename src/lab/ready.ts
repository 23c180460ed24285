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

/** What is still awaited from one peer; undefined when it is ready. */
export function awaitedOf(
  index: number,
  status: PeerStatus | undefined,
  runs: (index: number) => boolean = () => true,
): string | undefined {
  if (status === undefined) return `peer ${index} to answer`;
  const inactive = status.cluster.peers.filter((row) => row.state !== 'Active' && row.state !== 'This system');
  const rows = inactive.filter((row) => runs(row.index));
  if (rows.length > 0) return `peer ${index} to reach peer ${listText(rows.map((row) => row.index))}`;
  const unloaded = status.database.tables.filter((table) => !table.loaded);
  if (unloaded.length > 0)
    return `peer ${index} to load table ${listText(unloaded.slice(0, 3).map((table) => table.name))}`;
  if (inactive.length === 0 && status.cluster.databaseStatus !== 'Active') {
    return `the database of peer ${index} to become Active (now ${status.cluster.databaseStatus})`;
  }
  return undefined;
}

export async function awaitReady(peers: readonly AwaitedPeer[], options: ReadyOptions): Promise<void> {
  const deadlineMs = Date.now() + options.timeoutMs;
  for (;;) {
    for (const each of peers) each.requireAlive();
    const statuses = await Promise.all(peers.map((each) => ask(each.endpoint)));
    const awaited = peers.flatMap((each, at) => awaitedOf(each.peer.index, statuses[at], options.runs) ?? []);
    if (awaited.length === 0) return;
    if (options.signal?.aborted) {
      throw new CliError(
        'lab_interrupted',
        'The lab was stopped before it was ready',
        'a signal asked for it',
        'run `peerage lab up` again',
      );
    }
    const text = `waiting for ${awaited.join(', ')}`;
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
