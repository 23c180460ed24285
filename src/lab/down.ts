/** `lab down`: ends whatever of the lab still runs, whoever started it, and says what is kept. */

import { exitCodes } from '../cli/exit-codes.ts';
import { createProgress, type Progress } from '../cli/progress.ts';
import { printJson } from '../cli/table.ts';
import type { Terminal } from '../cli/terminal.ts';
import { purgeLab } from './create.ts';
import { awaitCondition, conditionOf, requireProcessSignals, sendSignal } from './processes.ts';
import { type Lab, readLab, updateLab } from './state.ts';
import { ORDERLY_STOP_MS, type StoppedPeer, stopAll } from './stop.ts';
import { directoryOption, shownDirectory } from './words.ts';

export interface LabDownOptions {
  readonly directory: string;
  readonly purge: boolean;
  readonly json: boolean;
}

/**
 * A `lab up` in the foreground ends its peers itself when it is asked to; two commands stopping the same peers would
 * only be in each other's way. One that hangs or was suspended is ended, and its peers are ours to stop.
 */
async function endSupervisor(lab: Lab, progress: Progress): Promise<void> {
  const { supervisor, peers } = lab.state;
  if (supervisor === null || supervisor.pid === process.pid || !sendSignal(supervisor, 'SIGTERM')) return;
  sendSignal(supervisor, 'SIGCONT');
  progress.show(`waiting for \`lab up\` (process ${supervisor.pid}) to stop its peers`);
  const patienceMs = (peers.length + 1) * ORDERLY_STOP_MS;
  if (await awaitCondition(supervisor, ['gone'], patienceMs)) return;
  sendSignal(supervisor, 'SIGKILL');
  await awaitCondition(supervisor, ['gone'], ORDERLY_STOP_MS);
}

/** How each peer came to its end, for those that ran when the command began. */
function outcomes(ranBefore: ReadonlySet<number>, stopped: readonly StoppedPeer[]) {
  return stopped
    .map(({ peer, outcome }) => ({
      index: peer.index,
      outcome: outcome === 'was not running' && ranBefore.has(peer.index) ? 'stopped by its `lab up`' : outcome,
    }))
    .sort((a, b) => a.index - b.index);
}

export async function labDown(options: LabDownOptions, terminal: Terminal): Promise<number> {
  requireProcessSignals();
  const before = readLab(options.directory);
  const { directory } = before;
  const alive = before.state.peers.filter((peer) => conditionOf(peer.process) !== 'gone');
  const ranBefore = new Set(alive.map((peer) => peer.index));
  const progress = createProgress(terminal);
  await endSupervisor(before, progress);
  const stopped = await stopAll(directory, progress);
  const lab = await updateLab(directory, (state) => ({ ...state, supervisor: null }));
  const results = outcomes(ranBefore, stopped);
  const left = options.purge ? purgeLab(lab) : undefined;
  if (options.json) {
    terminal.out(printJson({ directory, peers: results, kept: left === undefined ? directory : left }));
    return exitCodes.ok;
  }
  for (const { index, outcome } of results) terminal.out(`peer ${index}: ${outcome}`);
  for (const line of keptLines(directory, left)) terminal.out(line);
  return exitCodes.ok;
}

function keptLines(directory: string, left: readonly string[] | undefined): string[] {
  const shown = shownDirectory(directory);
  const option = directoryOption(directory);
  if (left === undefined) {
    return [
      `nothing of the lab runs any more; ${shown} is kept (data, keys, logs)`,
      `\`peerage lab up${option}\` starts it again, \`peerage lab down --purge${option}\` removes it`,
    ];
  }
  if (left.length === 0) return [`nothing of the lab runs any more; ${shown} is removed`];
  return [`nothing of the lab runs any more; kept in ${shown}, because the lab did not make it: ${left.join(', ')}`];
}
