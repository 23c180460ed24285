/** `peerage status`: asks every peer at the same time and prints one screen. */

import { conditionText, peerCondition } from '../lab/state.ts';
import { directoryOption } from '../lab/words.ts';
import { ApiFailure, callApi, cliErrorOf } from './api-client.ts';
import { type Answer, type ClusterReport, clusterReport, tableReports } from './cluster-report.ts';
import { CliError } from './errors.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { readPeerStatus } from './peer-status.ts';
import { statusScreen } from './status-screen.ts';
import { printJson } from './table.ts';
import { findTargets, passwordIfNeeded, type Target, type TargetOptions, withPassword } from './targets.ts';
import type { Terminal } from './terminal.ts';

const ANSWER_MS_MAX = 1_000;
/** Copies are looked at one after the other, so a write between two looks makes them seem to differ. Look again. */
const DIGEST_LOOKS_MAX = 4;
const DIGEST_LOOK_AGAIN_MS = 150;

export interface StatusOptions extends TargetOptions {
  readonly json: boolean;
}

/** Why a peer of a lab does not answer is known better by the system than by the network. */
function silenceOf(target: Target, failure: ApiFailure, directory: string): { reason: string; remedy?: string } {
  const { labPeer } = target;
  if (labPeer === undefined) return { reason: failure.message };
  const option = directoryOption(directory);
  const condition = peerCondition(labPeer);
  if (condition === 'paused') {
    return { reason: conditionText(labPeer), remedy: `\`peerage lab resume ${labPeer.index}${option}\` lets it go on` };
  }
  if (condition !== 'running') {
    return { reason: conditionText(labPeer), remedy: `\`peerage lab start ${labPeer.index}${option}\` starts it` };
  }
  return { reason: `${failure.message}, although ${conditionText(labPeer)}` };
}

async function ask(target: Target, password: string | undefined, directory: string): Promise<Answer> {
  const { index, endpoint } = target;
  const base = { index, label: endpoint.label, url: endpoint.url };
  try {
    const ready = await withPassword(target, password);
    const answer = await callApi(ready.endpoint, { method: 'GET', path: '/api/v1/status', timeoutMs: ANSWER_MS_MAX });
    return { ...base, status: readPeerStatus(answer), reason: undefined, remedy: undefined };
  } catch (failure) {
    if (failure instanceof ApiFailure) {
      const { reason, remedy } = silenceOf(target, failure, directory);
      return { ...base, status: undefined, reason, remedy };
    }
    // A log-in that failed comes as the end of a command; here it only says why this one peer is silent.
    if (failure instanceof CliError) return { ...base, status: undefined, reason: failure.why, remedy: failure.remedy };
    throw cliErrorOf(endpoint, failure);
  }
}

function digestsDiffer(answers: readonly Answer[]): boolean {
  return tableReports(answers.flatMap((answer) => answer.status ?? [])).some((table) => table.digests === 'differs');
}

export async function collectReport(
  targets: readonly Target[],
  password: string | undefined,
  directory: string,
): Promise<ClusterReport> {
  for (let look = 1; ; look += 1) {
    const answers = await Promise.all(targets.map((target) => ask(target, password, directory)));
    if (look === DIGEST_LOOKS_MAX || !digestsDiffer(answers)) return clusterReport(answers, new Date().toISOString());
    await new Promise((resolve) => setTimeout(resolve, DIGEST_LOOK_AGAIN_MS));
  }
}

export function statusExitCode(report: ClusterReport): ExitCode {
  if (report.peers.some((peer) => !peer.answered)) return exitCodes.noAnswer;
  return report.health === 'healthy' ? exitCodes.ok : exitCodes.refused;
}

export async function runStatus(options: StatusOptions, terminal: Terminal): Promise<number> {
  const targets = findTargets(options);
  const report = await collectReport(targets, await passwordIfNeeded(targets, terminal), options.directory);
  terminal.out(options.json ? printJson(report) : statusScreen(report, terminal));
  return statusExitCode(report);
}
