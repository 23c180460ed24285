/**
 * lab.json: what a lab is made of and which processes it started. Every command of the lab reads it; those that change
 * it do so under a lock and by rename, so that no reader sees half a file and no change is lost.
 */

import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CliError, messageOf, systemCode } from '../cli/errors.ts';
import { isRecord } from '../cli/shape.ts';
import { conditionOf, identify, type LabProcess, sleep } from './processes.ts';

export interface LabPorts {
  readonly cluster: number;
  readonly recovery: number;
  readonly ras: number;
  readonly https: number;
}

/** How a peer came to stop, when a command of the lab did it. A peer that stopped without such a note died. */
export interface LabStop {
  readonly how: 'killed' | 'stopped';
  readonly at: string;
}

export interface LabPeer {
  readonly index: number;
  readonly name: string;
  readonly fqdn: string;
  readonly address: string;
  readonly ports: LabPorts;
  /** Folder of the peer inside the lab directory. */
  readonly folder: string;
  readonly url: string;
  readonly process: (LabProcess & { readonly startedAt: string }) | null;
  readonly stop: LabStop | null;
}

export interface LabState {
  readonly format: 1;
  readonly created: string;
  readonly clusterName: string;
  readonly user: string;
  readonly peers: readonly LabPeer[];
  /** The `lab up` that starts or watches the peers, while it runs. */
  readonly supervisor: LabProcess | null;
}

export interface Lab {
  readonly directory: string;
  readonly state: LabState;
}

export const LAB_FORMAT = 1;

export const labFiles = {
  state: 'lab.json',
  lock: 'lab.lock',
  authority: 'ca.crt',
  authorityKey: 'ca.key',
  clusterKey: 'cluster.key',
  passwordHash: 'admin.hash',
  token: 'lab.token',
  peerConfiguration: 'peer.json',
  peerConsole: 'console.log',
} as const;

export function peerFile(lab: Lab, peer: LabPeer, name: string): string {
  return join(lab.directory, peer.folder, name);
}

function isProcess(value: unknown): boolean {
  return value === null || (isRecord(value) && Number.isInteger(value.pid) && typeof value.identity === 'string');
}

function isPeer(value: unknown): boolean {
  if (!isRecord(value) || !isRecord(value.ports)) return false;
  const texts = [value.name, value.fqdn, value.address, value.folder, value.url];
  return (
    Number.isInteger(value.index) &&
    texts.every((text) => typeof text === 'string') &&
    Object.values(value.ports).every((port) => Number.isInteger(port)) &&
    /^peer\d$/.test(String(value.folder)) &&
    isProcess(value.process)
  );
}

function isLabState(value: unknown): value is LabState {
  return (
    isRecord(value) &&
    value.format === LAB_FORMAT &&
    typeof value.clusterName === 'string' &&
    Array.isArray(value.peers) &&
    value.peers.every(isPeer) &&
    isProcess(value.supervisor)
  );
}

function parseState(path: string, text: string): LabState {
  let value: unknown;
  let why = `it is not a state file of format ${LAB_FORMAT}`;
  try {
    value = JSON.parse(text);
  } catch (failure) {
    why = `it is not JSON: ${messageOf(failure)}`;
  }
  if (isLabState(value)) return value;
  throw new CliError(
    'lab_unreadable',
    `The lab's state file ${path} cannot be used`,
    why,
    'end its processes by hand if any run, remove the directory and make the lab anew',
  );
}

/** Undefined when there is no state file. */
export function findLab(dir: string): Lab | undefined {
  const directory = resolve(dir);
  const path = join(directory, labFiles.state);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (failure) {
    const code = systemCode(failure);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new CliError(
      'lab_unreadable',
      `${path} cannot be read`,
      messageOf(failure),
      'run the command as the user who made the lab',
    );
  }
  return { directory, state: parseState(path, text) };
}

export function readLab(dir: string): Lab {
  const lab = findLab(dir);
  if (lab !== undefined) return lab;
  throw new CliError(
    'no_lab',
    `There is no lab in ${resolve(dir)}`,
    `it holds no ${labFiles.state}`,
    'make one with `peerage lab up`, or name its directory with --dir',
  );
}

const LOCK_RETRY_MS = 25;
const LOCK_WAIT_MS_MAX = 5_000;

function tryLock(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, 'wx', 0o600);
  } catch (failure) {
    if (systemCode(failure) === 'EEXIST') return false;
    throw failure;
  }
  writeSync(file, JSON.stringify(identify(process.pid)));
  closeSync(file);
  return true;
}

/** A lock is dead when the process that wrote it is. A lock without text is being written at this moment. */
function lockIsDead(path: string): boolean {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (failure) {
    if (systemCode(failure) === 'ENOENT') return false;
    throw failure;
  }
  try {
    const owner: unknown = JSON.parse(text);
    if (!isRecord(owner) || !isProcess(owner)) return false;
    return conditionOf({ pid: Number(owner.pid), identity: String(owner.identity) }) === 'gone';
  } catch (failure) {
    if (failure instanceof SyntaxError) return false;
    throw failure;
  }
}

async function takeLock(path: string): Promise<void> {
  const deadlineMs = Date.now() + LOCK_WAIT_MS_MAX;
  while (!tryLock(path)) {
    if (lockIsDead(path)) {
      rmSync(path, { force: true });
      continue;
    }
    if (Date.now() > deadlineMs) {
      throw new CliError(
        'lab_busy',
        'The state of the lab cannot be changed',
        `another command has held ${path} for ${LOCK_WAIT_MS_MAX / 1000} s`,
        'wait for it, or remove that file if no other command runs',
      );
    }
    await sleep(LOCK_RETRY_MS);
  }
}

export function writeState(directory: string, state: LabState): void {
  const path = join(directory, labFiles.state);
  const fresh = `${path}.${process.pid}.new`;
  writeFileSync(fresh, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(fresh, path);
}

/** Reads, changes and writes the state while no other command may. `change` may throw to leave it as it was. */
export async function updateLab(directory: string, change: (state: LabState) => LabState): Promise<Lab> {
  const lock = join(directory, labFiles.lock);
  readLab(directory);
  await takeLock(lock);
  try {
    const state = change(readLab(directory).state);
    writeState(directory, state);
    return { directory, state };
  } finally {
    rmSync(lock, { force: true });
  }
}

export function updatePeer(directory: string, index: number, change: Partial<LabPeer>): Promise<Lab> {
  return updateLab(directory, (state) => ({
    ...state,
    peers: state.peers.map((peer) => (peer.index === index ? { ...peer, ...change } : peer)),
  }));
}

export function requirePeer(lab: Lab, index: number): LabPeer {
  const peer = lab.state.peers.find((each) => each.index === index);
  if (peer !== undefined) return peer;
  throw new CliError(
    'lab_no_such_peer',
    `The lab has no peer ${index}`,
    `it was made with ${lab.state.peers.length} peer(s)`,
    `use a number from 1 to ${lab.state.peers.length}`,
  );
}

/** What the lab knows of one of its processes, without asking the peer itself. */
export type PeerCondition = 'running' | 'paused' | 'killed' | 'stopped' | 'died' | 'never started';

export function peerCondition(peer: LabPeer): PeerCondition {
  const condition = conditionOf(peer.process);
  if (condition !== 'gone') return condition;
  if (peer.stop !== null) return peer.stop.how;
  return peer.process === null ? 'never started' : 'died';
}

export function requireRunning(lab: Lab, index: number): LabPeer & { readonly process: LabProcess } {
  const peer = requirePeer(lab, index);
  if (peer.process !== null && conditionOf(peer.process) !== 'gone') return { ...peer, process: peer.process };
  throw new CliError(
    'lab_peer_not_running',
    `Peer ${index} does not run`,
    conditionText(peer),
    `start it with \`peerage lab start ${index}\``,
  );
}

export function conditionText(peer: LabPeer): string {
  const condition = peerCondition(peer);
  switch (condition) {
    case 'killed':
      return `it was killed by \`lab kill\` at ${peer.stop?.at}`;
    case 'stopped':
      return `it was stopped at ${peer.stop?.at}`;
    case 'died':
      return `its process ${peer.process?.pid} is gone and no command of the lab stopped it`;
    case 'never started':
      return 'it was not started yet';
    default:
      return `its process ${peer.process?.pid} is ${condition}`;
  }
}
