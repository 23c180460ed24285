/** `lab cut`, `heal`, `delay`, `clock`: faults inside peers that this lab started, asked for with the lab's token. */

import { askPeer, type Endpoint } from '../cli/api-client.ts';
import { CliError } from '../cli/errors.ts';
import { exitCodes } from '../cli/exit-codes.ts';
import type { Terminal } from '../cli/terminal.ts';
import type { FaultRequest } from '../peer/peer-handle.ts';
import { labAccess, labEndpoint } from './endpoints.ts';
import { conditionOf } from './processes.ts';
import { type Lab, type LabPeer, readLab, requirePeer, requireRunning } from './state.ts';
import { directoryOption } from './words.ts';

const FAULT_MS_MAX = 2_000;
const FAULTS_PATH = '/api/v1/lab/faults';

export interface Pair {
  readonly directory: string;
  readonly a: number;
  readonly b: number;
}

/** How one peer's network layer tells the other: by address, and by port too where all share one address. */
export function faultAddress(lab: Lab, peer: LabPeer): string {
  const shares = lab.state.peers.some((other) => other.index !== peer.index && other.address === peer.address);
  return shares ? `${peer.address}:${peer.ports.cluster}` : peer.address;
}

function send(endpoint: Endpoint, body: FaultRequest): Promise<unknown> {
  return askPeer(endpoint, { method: 'POST', path: FAULTS_PATH, body, timeoutMs: FAULT_MS_MAX });
}

interface RunningPair {
  readonly lab: Lab;
  readonly a: LabPeer;
  readonly b: LabPeer;
}

function runningPair(pair: Pair): RunningPair {
  const lab = readLab(pair.directory);
  if (pair.a === pair.b) {
    throw new CliError(
      'lab_same_peer',
      `Peer ${pair.a} was named twice`,
      'a fault lies between two peers',
      'give two different numbers, e.g. `peerage lab cut 1 2`',
    );
  }
  // That a number is wrong is the better news than that another peer does not run.
  for (const index of [pair.a, pair.b]) requirePeer(lab, index);
  return { lab, a: requireRunning(lab, pair.a), b: requireRunning(lab, pair.b) };
}

/** The same thing done at both ends: `request` is made from the address of the other end. */
async function atBothEnds(
  { lab, a, b }: RunningPair,
  atA: (addressOfB: string) => FaultRequest,
  atB: (addressOfA: string) => FaultRequest,
): Promise<void> {
  const access = labAccess(lab);
  await Promise.all([
    send(labEndpoint(access, a), atA(faultAddress(lab, b))),
    send(labEndpoint(access, b), atB(faultAddress(lab, a))),
  ]);
}

export async function labCut(pair: Pair, oneWay: boolean, terminal: Terminal): Promise<number> {
  const both = runningPair(pair);
  const cut = (direction: 'both' | 'in' | 'out') => (address: string) => ({ op: 'cut', address, direction }) as const;
  await atBothEnds(both, cut(oneWay ? 'out' : 'both'), cut(oneWay ? 'in' : 'both'));
  const heal = `\`peerage lab heal ${pair.a} ${pair.b}${directoryOption(both.lab.directory)}\` ends it`;
  terminal.out(
    oneWay
      ? `what peer ${pair.a} sends no longer reaches peer ${pair.b}; the other way is open; ${heal}`
      : `peers ${pair.a} and ${pair.b} no longer hear each other; ${heal}`,
  );
  return exitCodes.ok;
}

export async function labDelay(pair: Pair, delayMs: number, terminal: Terminal): Promise<number> {
  const both = runningPair(pair);
  const delay = (address: string) => ({ op: 'delay', address, ms: delayMs }) as const;
  await atBothEnds(both, delay, delay);
  terminal.out(
    delayMs === 0
      ? `no delay between peers ${pair.a} and ${pair.b} any more`
      : `${delayMs} ms each way between peers ${pair.a} and ${pair.b}, so ${2 * delayMs} ms more for a round trip`,
  );
  return exitCodes.ok;
}

export async function labHeal(
  directory: string,
  a: number | undefined,
  b: number | undefined,
  terminal: Terminal,
): Promise<number> {
  if (a !== undefined && b !== undefined) {
    const heal = (address: string) => ({ op: 'heal', address }) as const;
    await atBothEnds(runningPair({ directory, a, b }), heal, heal);
    terminal.out(`peers ${a} and ${b} hear each other again`);
    return exitCodes.ok;
  }
  if (a !== undefined) {
    throw new CliError(
      'lab_same_peer',
      'Only one peer was named',
      'a fault lies between two peers',
      'give two numbers, or none to heal all',
    );
  }
  const lab = readLab(directory);
  const access = labAccess(lab);
  // A peer that does not run has no faults either: they end with its process.
  const running = lab.state.peers.filter((peer) => conditionOf(peer.process) !== 'gone');
  await Promise.all(running.map((peer) => send(labEndpoint(access, peer), { op: 'heal' })));
  terminal.out(`all links between the ${running.length} running peers are as they should be`);
  return exitCodes.ok;
}

export async function labClock(
  directory: string,
  index: number,
  offsetMs: number,
  terminal: Terminal,
): Promise<number> {
  const lab = readLab(directory);
  const peer = requireRunning(lab, requirePeer(lab, index).index);
  await send(labEndpoint(labAccess(lab), peer), { op: 'clock', offsetMs });
  terminal.out(
    offsetMs === 0
      ? `the clock of peer ${index} is right again`
      : `the clock of peer ${index} is ${Math.abs(offsetMs)} ms ${offsetMs > 0 ? 'fast' : 'slow'}`,
  );
  return exitCodes.ok;
}
