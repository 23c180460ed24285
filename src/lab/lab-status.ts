/** `lab status`: the processes of a lab and the faults set in them. What the cluster makes of it, `status` says. */

import { ApiFailure, callApi } from '../cli/api-client.ts';
import { exitCodes } from '../cli/exit-codes.ts';
import { isRecord } from '../cli/shape.ts';
import { formatDuration, formatTable, printJson } from '../cli/table.ts';
import { styled, type Terminal } from '../cli/terminal.ts';
import { labEndpoints } from './endpoints.ts';
import { faultAddress } from './faults.ts';
import { conditionOf } from './processes.ts';
import { type Lab, type LabPeer, peerCondition, readLab } from './state.ts';
import { directoryOption, shownDirectory } from './words.ts';

const FAULTS_MS_MAX = 1_000;

interface FaultsAnswer {
  readonly links: ReadonlyArray<{ readonly address: string; readonly cut?: string; readonly delayMs: number }>;
  readonly clockOffsetMs: number;
}

function isFaultsAnswer(value: unknown): value is FaultsAnswer {
  return isRecord(value) && Array.isArray(value.links) && typeof value.clockOffsetMs === 'number';
}

export interface LabPeerReport {
  readonly index: number;
  readonly name: string;
  readonly state: string;
  readonly since: string | null;
  readonly pid: number | null;
  readonly url: string;
  readonly address: string;
  readonly ports: LabPeer['ports'];
  /** In words; empty when there is none, `null` when the peer does not answer. */
  readonly faults: readonly string[] | null;
}

export function faultTexts(lab: Lab, answer: FaultsAnswer): string[] {
  const peerAt = (address: string) =>
    lab.state.peers.find((peer) => faultAddress(lab, peer) === address)?.index ?? address;
  const texts = answer.links.flatMap(({ address, cut, delayMs }) => {
    const other = `peer ${peerAt(address)}`;
    const cutText = { both: `cut from ${other}`, in: `deaf to ${other}`, out: `unheard by ${other}` }[cut ?? ''];
    return [...(cutText === undefined ? [] : [cutText]), ...(delayMs > 0 ? [`${delayMs} ms later to ${other}`] : [])];
  });
  const { clockOffsetMs } = answer;
  if (clockOffsetMs === 0) return texts;
  return [...texts, `clock ${clockOffsetMs > 0 ? '+' : '−'}${Math.abs(clockOffsetMs)} ms`];
}

async function reportOf(lab: Lab, { peer, endpoint }: ReturnType<typeof labEndpoints>[number]): Promise<LabPeerReport> {
  const state = peerCondition(peer);
  const runs = state === 'running' || state === 'paused';
  let faults: readonly string[] | null = null;
  if (state === 'running') {
    try {
      const answer = await callApi(endpoint, { method: 'GET', path: '/api/v1/lab/faults', timeoutMs: FAULTS_MS_MAX });
      if (isFaultsAnswer(answer)) faults = faultTexts(lab, answer);
    } catch (failure) {
      if (!(failure instanceof ApiFailure)) throw failure;
    }
  }
  return {
    index: peer.index,
    name: peer.name,
    state,
    since: runs ? (peer.process?.startedAt ?? null) : (peer.stop?.at ?? null),
    pid: runs ? (peer.process?.pid ?? null) : null,
    url: peer.url,
    address: peer.address,
    ports: peer.ports,
    faults,
  };
}

function cells(report: LabPeerReport, terminal: Terminal): string[] {
  const isRunning = report.state === 'running';
  const age = report.since === null ? '–' : formatDuration(Date.now() - Date.parse(report.since));
  const faults = report.faults === null ? (isRunning ? 'does not answer' : '–') : report.faults.join(', ') || 'none';
  return [
    String(report.index),
    report.name,
    styled(terminal, isRunning ? 'green' : report.state === 'died' ? 'red' : 'yellow', report.state),
    age,
    report.pid === null ? '–' : String(report.pid),
    report.url,
    faults,
  ];
}

/** Who looks after the lab: a `lab up` in the foreground, nobody because it was detached, or nobody because it died. */
function watcherText(lab: Lab, isAnyAlive: boolean): string {
  const { supervisor } = lab.state;
  const option = directoryOption(lab.directory);
  if (supervisor !== null && conditionOf(supervisor) !== 'gone')
    return `watched by \`lab up\`, process ${supervisor.pid}`;
  if (!isAnyAlive) return `nothing of it runs; \`peerage lab up${option}\` starts it`;
  if (supervisor === null) return `detached; \`peerage lab down${option}\` stops it`;
  return `its \`lab up\` (process ${supervisor.pid}) is gone and left its peers behind; \`peerage lab down${option}\` stops them`;
}

export async function runLabStatus(directory: string, json: boolean, terminal: Terminal): Promise<number> {
  const lab = readLab(directory);
  const reports = await Promise.all(labEndpoints(lab).map((each) => reportOf(lab, each)));
  const isAnyAlive = reports.some((report) => report.pid !== null);
  const watcher = watcherText(lab, isAnyAlive);
  const isWell = reports.every((report) => report.state === 'running');
  if (json) {
    terminal.out(printJson({ directory: lab.directory, created: lab.state.created, watcher, peers: reports }));
    return isWell ? exitCodes.ok : exitCodes.refused;
  }
  const columns = ['#', 'PEER', 'PROCESS', 'FOR', 'PID', 'URL', 'FAULTS'].map((title) => ({ title }));
  terminal.out(`lab in ${shownDirectory(lab.directory)}, made ${lab.state.created}; ${watcher}`);
  terminal.out('');
  const rows = reports.map((report) => cells(report, terminal));
  for (const line of formatTable(columns, rows)) terminal.out(line);
  return isWell ? exitCodes.ok : exitCodes.refused;
}
