/** `lab up`: makes the lab if there is none, starts its peers, waits until they are one cluster, and watches them. */

import { CliError } from '../cli/errors.ts';
import { exitCodes } from '../cli/exit-codes.ts';
import { createProgress, type Progress } from '../cli/progress.ts';
import { listText, printJson } from '../cli/table.ts';
import type { Terminal } from '../cli/terminal.ts';
import { createLab, setPassword } from './create.ts';
import { labAccess, labEndpoint } from './endpoints.ts';
import { choosePlaces, requireFree } from './ports.ts';
import { conditionOf, identify, requireProcessSignals } from './processes.ts';
import { type PeerCommand, peerCommand } from './program-file.ts';
import { awaitReady } from './ready.ts';
import { lastLines, type StartedPeer, startPeer } from './start.ts';
import { conditionText, findLab, type Lab, type LabPeer, type LabState, readLab, updateLab } from './state.ts';
import { type StoppedPeer, stopAll } from './stop.ts';
import { watchLab } from './watch.ts';
import { directoryOption, readyText, shownDirectory } from './words.ts';

export const LAB_PEERS_DEFAULT = 3;
const READY_MS_MAX = 60_000;

export interface LabUpOptions {
  readonly directory: string;
  /** Undefined: as many as the lab has, three for a new one. */
  readonly peers?: number;
  readonly firstAddress?: string;
  readonly detach: boolean;
  readonly newPassword: boolean;
  readonly json: boolean;
  /** Another program than our own, for tests. */
  readonly command?: PeerCommand;
  readonly readyMsMax?: number;
}

interface Prepared {
  readonly lab: Lab;
  readonly password: string | undefined;
}

function alreadyRunning(directory: string, why: string): CliError {
  const option = directoryOption(directory);
  return new CliError(
    'lab_already_running',
    `The lab in ${shownDirectory(directory)} runs already`,
    why,
    `look at it with \`peerage status${option}\`, or stop it with \`peerage lab down${option}\``,
  );
}

function requireIdle(directory: string, state: LabState): void {
  const alive = state.peers.filter((peer) => conditionOf(peer.process) !== 'gone');
  if (alive.length > 0) {
    const which = alive.map((peer) => `peer ${peer.index} (process ${peer.process?.pid})`);
    throw alreadyRunning(directory, `alive: ${listText(which)}`);
  }
  if (state.supervisor !== null && conditionOf(state.supervisor) !== 'gone' && state.supervisor.pid !== process.pid) {
    throw alreadyRunning(directory, `\`lab up\` of process ${state.supervisor.pid} is at work there`);
  }
}

async function prepareExisting(lab: Lab, options: LabUpOptions): Promise<Prepared> {
  const { directory, state } = lab;
  requireIdle(directory, state);
  if (options.peers !== undefined && options.peers !== state.peers.length) {
    throw new CliError(
      'lab_size_differs',
      `The lab in ${shownDirectory(directory)} has ${state.peers.length} peers, not ${options.peers}`,
      'its certificates, peer list and data were made for that number',
      'leave --peers out, use another --dir, or begin anew after `peerage lab down --purge`',
    );
  }
  await requireFree(state.peers);
  return { lab, password: options.newPassword ? await setPassword(directory) : undefined };
}

async function prepare(options: LabUpOptions, progress: Progress): Promise<Prepared> {
  const existing = findLab(options.directory);
  if (existing !== undefined) return prepareExisting(existing, options);
  progress.show('making the lab: authority, certificates, keys');
  const places = await choosePlaces(options.peers ?? LAB_PEERS_DEFAULT, options.firstAddress);
  return createLab(options.directory, places);
}

/** Only one `lab up` may start a lab; the claim ends with the process that made it. */
function claim(directory: string): Promise<Lab> {
  return updateLab(directory, (state) => {
    requireIdle(directory, state);
    const peers = state.peers.map((peer) => ({ ...peer, process: null, stop: null }));
    return { ...state, peers, supervisor: identify(process.pid) ?? null };
  });
}

function release(directory: string): Promise<Lab> {
  return updateLab(directory, (state) => ({ ...state, supervisor: null }));
}

function requireAlive(directory: string, index: number, started: StartedPeer): void {
  if (started.ended === undefined) return;
  const lab = readLab(directory);
  const peer = lab.state.peers.find((each) => each.index === index)!;
  const wasAsked = peer.stop !== null;
  const lines = wasAsked ? [] : lastLines(lab, peer);
  throw new CliError(
    'lab_peer_died',
    `Peer ${index} ended while the lab was starting (${started.ended})`,
    wasAsked ? conditionText(peer) : lines.length === 0 ? 'it left no word' : `its last lines:\n${lines.join('\n')}\n`,
    'mend what they name and run `peerage lab up` again',
  );
}

async function startAll(lab: Lab, run: Run, started: Map<number, StartedPeer>): Promise<void> {
  const { options, progress, signal } = run;
  const access = labAccess(lab);
  progress.show(`starting ${lab.state.peers.length === 1 ? 'the peer' : `${lab.state.peers.length} peers`}`);
  for (const peer of lab.state.peers)
    started.set(peer.index, await startPeer(lab, peer, options.command ?? peerCommand()));
  const awaited = lab.state.peers.map((peer) => ({
    peer,
    endpoint: labEndpoint(access, peer),
    requireAlive: () => requireAlive(lab.directory, peer.index, started.get(peer.index)!),
  }));
  await awaitReady(awaited, { timeoutMs: options.readyMsMax ?? READY_MS_MAX, progress, signal });
}

export function stoppedText(stopped: readonly StoppedPeer[]): string[] {
  return stopped.map(({ peer, outcome }) => `peer ${peer.index}: ${outcome}`);
}

function readyJson(lab: Lab, password: string | undefined, tookMs: number): string {
  const peer = (each: LabPeer) => ({
    index: each.index,
    name: each.name,
    fqdn: each.fqdn,
    url: each.url,
    address: each.address,
    ports: each.ports,
    pid: each.process?.pid ?? null,
  });
  return printJson({
    directory: lab.directory,
    user: lab.state.user,
    password: password ?? null,
    tookMs: Math.round(tookMs),
    peers: lab.state.peers.map(peer),
  });
}

/** Ends on SIGINT, SIGTERM and SIGHUP; a second one ends at once and leaves the peers to `lab down`. */
function stopSignal(progress: Progress): { signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const onSignal = () => {
    if (controller.signal.aborted) {
      progress.say('stopped at once; `peerage lab down` ends peers that are left');
      process.exit(exitCodes.lab);
    }
    controller.abort();
  };
  for (const name of names) process.on(name, onSignal);
  return {
    signal: controller.signal,
    dispose: () => {
      for (const name of names) process.off(name, onSignal);
    },
  };
}

async function watchUntilStopped(
  directory: string,
  started: ReadonlyMap<number, StartedPeer>,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const end = await watchLab({ directory, started, signal, say: (text) => progress.say(text) });
  if (end === 'removed by another command') return;
  if (end === 'stopped by another command') {
    progress.say('the lab was stopped by another command');
    await release(directory);
    return;
  }
  for (const line of stoppedText(await stopAll(directory, progress))) progress.say(line);
  await release(directory);
  const option = directoryOption(directory);
  progress.say(
    `the lab is down; ${shownDirectory(directory)} is kept: \`peerage lab up${option}\` starts it again with its data`,
  );
}

export async function labUp(options: LabUpOptions, terminal: Terminal): Promise<number> {
  requireProcessSignals();
  const startedMs = performance.now();
  const progress = createProgress(terminal);
  const stop = stopSignal(progress);
  try {
    const { lab, password } = await prepare(options, progress);
    return await runLab(lab.directory, password, { options, terminal, progress, signal: stop.signal, startedMs });
  } finally {
    progress.done();
    stop.dispose();
  }
}

interface Run {
  readonly options: LabUpOptions;
  readonly terminal: Terminal;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly startedMs: number;
}

async function runLab(directory: string, password: string | undefined, run: Run): Promise<number> {
  const { options, terminal, progress, signal } = run;
  const started = new Map<number, StartedPeer>();
  try {
    await startAll(await claim(directory), run, started);
    progress.done();
    const lab = readLab(directory);
    const tookMs = performance.now() - run.startedMs;
    terminal.out(
      options.json
        ? readyJson(lab, password, tookMs)
        : readyText(terminal, { lab, password, tookMs, detached: options.detach }),
    );
    if (options.detach) {
      for (const { child } of started.values()) child.unref();
      await release(directory);
      return exitCodes.ok;
    }
    await watchUntilStopped(directory, started, progress, signal);
    return exitCodes.ok;
  } catch (failure) {
    progress.done();
    // What this command started it does not leave behind half ready; what others run is not touched.
    if (started.size > 0) {
      await stopAll(directory, progress);
      await release(directory);
    }
    if (password !== undefined) {
      progress.say(`${shownDirectory(directory)} is kept; its password, shown this once, is ${password}`);
    }
    throw failure;
  }
}
