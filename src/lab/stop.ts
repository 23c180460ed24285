/** Ends processes of a lab: in order with SIGTERM first, by force when that does not help. */

import { CliError } from '../cli/errors.ts';
import type { Progress } from '../cli/progress.ts';
import { awaitCondition, conditionOf, sendSignal } from './processes.ts';
import { type Lab, type LabPeer, readLab, updatePeer } from './state.ts';

export const ORDERLY_STOP_MS = 5_000;
const FORCED_STOP_MS = 5_000;

export type StopOutcome = 'was not running' | 'stopped in order' | 'killed after 5 s' | 'killed';

function didNotEnd(peer: LabPeer): CliError {
  return new CliError(
    'lab_not_stopped',
    `Peer ${peer.index} did not end`,
    `process ${peer.process?.pid} outlived SIGKILL by ${FORCED_STOP_MS / 1000} s`,
    'look at it with ps; a process stuck in the system (state D) ends when its disc answers',
  );
}

/** SIGKILL, with the note first: whoever watches the lab must not take it for an accident. */
export async function killPeer(lab: Lab, peer: LabPeer): Promise<StopOutcome> {
  if (peer.process === null || conditionOf(peer.process) === 'gone') return 'was not running';
  await updatePeer(lab.directory, peer.index, { stop: { how: 'killed', at: new Date().toISOString() } });
  sendSignal(peer.process, 'SIGKILL');
  if (!(await awaitCondition(peer.process, ['gone'], FORCED_STOP_MS))) throw didNotEnd(peer);
  return 'killed';
}

export async function stopPeer(lab: Lab, peer: LabPeer): Promise<StopOutcome> {
  if (peer.process === null || conditionOf(peer.process) === 'gone') return 'was not running';
  await updatePeer(lab.directory, peer.index, { stop: { how: 'stopped', at: new Date().toISOString() } });
  sendSignal(peer.process, 'SIGTERM');
  // A paused process gets its SIGTERM only when it goes on.
  sendSignal(peer.process, 'SIGCONT');
  if (await awaitCondition(peer.process, ['gone'], ORDERLY_STOP_MS)) return 'stopped in order';
  sendSignal(peer.process, 'SIGKILL');
  if (!(await awaitCondition(peer.process, ['gone'], FORCED_STOP_MS))) throw didNotEnd(peer);
  return 'killed after 5 s';
}

export interface StoppedPeer {
  readonly peer: LabPeer;
  readonly outcome: StopOutcome;
}

/**
 * Stops the peers one after the other, the configuration primary last: each says goodbye to those still running, so
 * that the last one knows it has seen everything. A peer that will not end does not keep the others running.
 */
export async function stopAll(directory: string, progress: Progress): Promise<StoppedPeer[]> {
  const lab = readLab(directory);
  const stopped: StoppedPeer[] = [];
  const failures: unknown[] = [];
  for (const peer of lab.state.peers.toReversed()) {
    progress.show(`stopping peer ${peer.index}`);
    try {
      stopped.push({ peer, outcome: await stopPeer(lab, peer) });
    } catch (failure) {
      failures.push(failure);
    }
  }
  progress.done();
  if (failures.length > 0) throw failures[0];
  return stopped;
}
