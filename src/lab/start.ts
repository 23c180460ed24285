/**
 * Starts the process of one peer. It is a process group of its own with its output in a file, so that neither Ctrl-C
 * nor the death of the command that started it reaches it: only a lab command ends a peer, in order.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { CliError, messageOf, systemCode } from '../cli/errors.ts';
import { identify } from './processes.ts';
import type { PeerCommand } from './program-file.ts';
import { type Lab, type LabPeer, labFiles, peerFile, updatePeer } from './state.ts';

const LAST_LINES = 12;
const LAST_BYTES = 64 * 1024;

export interface StartedPeer {
  readonly child: ChildProcess;
  /** How it ended, once it has: `exit code 1`, `signal SIGKILL`. */
  ended: string | undefined;
}

export async function startPeer(lab: Lab, peer: LabPeer, command: PeerCommand): Promise<StartedPeer> {
  const console = openSync(peerFile(lab, peer, labFiles.peerConsole), 'a', 0o600);
  const [program, ...first] = command;
  const child = spawn(program, [...first, 'peer', '--config', peerFile(lab, peer, labFiles.peerConfiguration)], {
    cwd: lab.directory,
    detached: true,
    stdio: ['ignore', console, console],
  });
  closeSync(console);
  const started: StartedPeer = { child, ended: undefined };
  child.once('exit', (code, signal) => {
    started.ended = signal === null ? `exit code ${code}` : `signal ${signal}`;
  });
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('spawn', () => resolve(child.pid ?? 0));
    child.once('error', (failure) =>
      reject(
        new CliError(
          'lab_peer_died',
          `Peer ${peer.index} could not be started`,
          messageOf(failure),
          'check that the program exists and may be run',
        ),
      ),
    );
  });
  const known = identify(pid);
  const startedAt = new Date().toISOString();
  // A process that ended within this moment has no identity left: the pid alone says who it was, and is never signalled.
  await updatePeer(lab.directory, peer.index, {
    process: { ...(known ?? { pid, identity: '' }), startedAt },
    stop: null,
  });
  return started;
}

function tailOf(path: string): string[] {
  try {
    const { size } = statSync(path);
    const text = readFileSync(path)
      .subarray(Math.max(0, size - LAST_BYTES))
      .toString('utf8');
    return text
      .trimEnd()
      .split('\n')
      .slice(-LAST_LINES)
      .filter((line) => line !== '');
  } catch (failure) {
    if (systemCode(failure) === 'ENOENT') return [];
    throw failure;
  }
}

/** The last words of a peer: what it printed, and the end of its event log when it printed nothing. */
export function lastLines(lab: Lab, peer: LabPeer): string[] {
  const printed = tailOf(peerFile(lab, peer, labFiles.peerConsole));
  return printed.some((line) => !line.startsWith('peer ready')) ? printed : tailOf(peerFile(lab, peer, 'peer.log'));
}
