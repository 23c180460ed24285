/**
 * The processes of a lab, known by pid and start time. A pid alone is not enough: the system gives it to another
 * process after the first one ended, and a signal must never reach that one.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { CliError, systemCode } from '../cli/errors.ts';

export interface LabProcess {
  readonly pid: number;
  /** Changes with every process that gets this pid: boot of the machine and start time of the process. */
  readonly identity: string;
}

export type ProcessCondition = 'running' | 'paused' | 'gone';

interface Observed {
  readonly identity: string;
  readonly condition: ProcessCondition;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (failure) {
    const code = systemCode(failure);
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw failure;
  }
}

let bootId: string | undefined;

function readBootId(): string {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return bootId;
}

/** Reads what /proc/PID/stat says; its second field, the name, may itself hold spaces and brackets. */
export function parseProcStat(text: string): { state: string; startTicks: string } | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  const startTicks = fields[19];
  return state === undefined || startTicks === undefined ? undefined : { state, startTicks };
}

function observeLinux(pid: number): Observed | undefined {
  const text = readIfThere(`/proc/${pid}/stat`);
  const stat = text === undefined ? undefined : parseProcStat(text);
  if (stat === undefined) return undefined;
  const isGone = stat.state === 'Z' || stat.state === 'X';
  const isPaused = stat.state === 'T' || stat.state === 't';
  return {
    identity: `${readBootId()}/${stat.startTicks}`,
    condition: isGone ? 'gone' : isPaused ? 'paused' : 'running',
  };
}

function observeByPs(pid: number): Observed | undefined {
  let text: string;
  try {
    text = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch (failure) {
    // ps ends with code 1 when there is no such process.
    if (failure instanceof Error && 'status' in failure && failure.status === 1) return undefined;
    throw failure;
  }
  const [stat = '', ...started] = text.split(/\s+/);
  const condition = stat.startsWith('Z') ? 'gone' : stat.startsWith('T') ? 'paused' : 'running';
  return { identity: started.join(' '), condition };
}

function observe(pid: number): Observed | undefined {
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  return process.platform === 'linux' ? observeLinux(pid) : observeByPs(pid);
}

/** Undefined when there is no such process (any more). */
export function identify(pid: number): LabProcess | undefined {
  const observed = observe(pid);
  return observed === undefined || observed.condition === 'gone' ? undefined : { pid, identity: observed.identity };
}

export function conditionOf(known: LabProcess | null | undefined): ProcessCondition {
  if (known === null || known === undefined) return 'gone';
  const observed = observe(known.pid);
  return observed === undefined || observed.identity !== known.identity ? 'gone' : observed.condition;
}

/** Sends a signal to exactly this process; false when it is gone. */
export function sendSignal(known: LabProcess, signal: NodeJS.Signals): boolean {
  if (conditionOf(known) === 'gone') return false;
  try {
    process.kill(known.pid, signal);
    return true;
  } catch (failure) {
    if (systemCode(failure) === 'ESRCH') return false;
    throw new CliError(
      'lab_not_stopped',
      `${signal} could not be sent to process ${known.pid}`,
      systemCode(failure) === 'EPERM' ? 'it belongs to another user' : String(failure),
      'run the command as the user who started the lab',
    );
  }
}

const POLL_MS = 20;

/** Waits until the process shows one of the conditions; false when `timeoutMs` passed first. */
export async function awaitCondition(
  known: LabProcess,
  wanted: readonly ProcessCondition[],
  timeoutMs: number,
): Promise<boolean> {
  const deadlineMs = Date.now() + timeoutMs;
  while (!wanted.includes(conditionOf(known))) {
    if (Date.now() > deadlineMs) return false;
    await sleep(POLL_MS);
  }
  return true;
}

export function sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, durationMs);
    signal?.addEventListener('abort', done);
  });
}

export function requireProcessSignals(): void {
  if (process.platform !== 'win32') return;
  throw new CliError(
    'lab_unsupported',
    'A lab cannot run on this system',
    'Windows has no SIGSTOP and no way to end a process in order',
    'run it on Linux or macOS, or in a Linux virtual machine',
  );
}
