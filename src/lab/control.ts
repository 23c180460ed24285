/** `lab kill`, `start`, `pause`, `resume`: what happens to the process of one peer. */

import { CliError } from '../cli/errors.ts';
import { exitCodes } from '../cli/exit-codes.ts';
import { createProgress } from '../cli/progress.ts';
import type { Terminal } from '../cli/terminal.ts';
import { labAccess, labEndpoint } from './endpoints.ts';
import { requireFree } from './ports.ts';
import { awaitCondition, conditionOf, requireProcessSignals, sendSignal } from './processes.ts';
import { type PeerCommand, peerCommand } from './program-file.ts';
import { awaitReady } from './ready.ts';
import { lastLines, startPeer } from './start.ts';
import { readLab, requirePeer, requireRunning } from './state.ts';
import { killPeer } from './stop.ts';
import { directoryOption } from './words.ts';

const SIGNAL_MS_MAX = 2_000;
const START_MS_MAX = 30_000;

export async function labKill(directory: string, index: number, terminal: Terminal): Promise<number> {
  requireProcessSignals();
  const lab = readLab(directory);
  const peer = requireRunning(lab, index);
  await killPeer(lab, peer);
  const option = directoryOption(lab.directory);
  terminal.out(
    `peer ${index} is killed (process ${peer.process.pid}, SIGKILL); \`peerage lab start ${index}${option}\` brings it back`,
  );
  return exitCodes.ok;
}

async function pauseOrResume(directory: string, index: number, signal: 'SIGSTOP' | 'SIGCONT'): Promise<number> {
  requireProcessSignals();
  const peer = requireRunning(readLab(directory), index);
  sendSignal(peer.process, signal);
  const wanted = signal === 'SIGSTOP' ? 'paused' : 'running';
  if (await awaitCondition(peer.process, [wanted], SIGNAL_MS_MAX)) return peer.process.pid;
  throw new CliError(
    'lab_peer_not_running',
    `Peer ${index} is not ${wanted} after ${signal}`,
    conditionOf(peer.process) === 'gone' ? 'its process ended meanwhile' : 'the system did not act on the signal',
    'look at it with `peerage lab status`',
  );
}

export async function labPause(directory: string, index: number, terminal: Terminal): Promise<number> {
  const pid = await pauseOrResume(directory, index, 'SIGSTOP');
  const option = directoryOption(readLab(directory).directory);
  terminal.out(
    `peer ${index} is paused (process ${pid}): it keeps its connections and says nothing; \`peerage lab resume ${index}${option}\` lets it go on`,
  );
  return exitCodes.ok;
}

export async function labResume(directory: string, index: number, terminal: Terminal): Promise<number> {
  const pid = await pauseOrResume(directory, index, 'SIGCONT');
  terminal.out(`peer ${index} goes on (process ${pid})`);
  return exitCodes.ok;
}

export interface LabStartOptions {
  readonly directory: string;
  readonly index: number;
  readonly wait: boolean;
  readonly command?: PeerCommand;
}

export async function labStart(options: LabStartOptions, terminal: Terminal): Promise<number> {
  requireProcessSignals();
  const { index } = options;
  const lab = readLab(options.directory);
  const peer = requirePeer(lab, index);
  if (conditionOf(peer.process) !== 'gone') {
    throw new CliError(
      'lab_peer_running',
      `Peer ${index} runs already`,
      `it is process ${peer.process?.pid}`,
      `\`peerage lab kill ${index}\` first, if it should start anew`,
    );
  }
  await requireFree([peer]);
  const started = await startPeer(lab, peer, options.command ?? peerCommand());
  started.child.unref();
  if (options.wait) {
    const progress = createProgress(terminal);
    const requireAlive = () => {
      if (started.ended === undefined) return;
      const lines = lastLines(lab, peer).join('\n');
      throw new CliError(
        'lab_peer_died',
        `Peer ${index} ended while it was starting (${started.ended})`,
        lines === '' ? 'it left no word' : `its last lines:\n${lines}\n`,
        'mend what they name and start it again',
      );
    };
    const endpoint = labEndpoint(labAccess(lab), peer);
    try {
      const runs = (other: number) => conditionOf(requirePeer(lab, other).process) === 'running';
      await awaitReady([{ peer, endpoint, requireAlive }], { timeoutMs: START_MS_MAX, progress, runs });
    } finally {
      progress.done();
    }
  }
  terminal.out(`peer ${index} runs (process ${started.child.pid}): ${peer.url}`);
  return exitCodes.ok;
}
