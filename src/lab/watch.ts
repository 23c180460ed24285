/** Watches the processes of a lab for the `lab up` that stays in the foreground, and says what becomes of them. */

import { sleep } from './processes.ts';
import type { StartedPeer } from './start.ts';
import { lastLines } from './start.ts';
import { conditionText, findLab, type Lab, type LabPeer, type PeerCondition, peerCondition } from './state.ts';
import { directoryOption } from './words.ts';

const POLL_MS = 250;

export interface WatchOptions {
  readonly directory: string;
  /** The peers this very command started: only of them the exit code is known. */
  readonly started: ReadonlyMap<number, StartedPeer>;
  readonly signal: AbortSignal;
  say(text: string): void;
}

export type WatchEnd = 'asked to stop' | 'stopped by another command' | 'removed by another command';

interface Seen {
  readonly condition: PeerCondition;
  readonly pid: number | undefined;
}

function seenOf(peer: LabPeer): Seen {
  return { condition: peerCondition(peer), pid: peer.process?.pid };
}

/** What to tell about one peer that is not as it was; undefined when there is nothing to tell. */
export function changeText(lab: Lab, peer: LabPeer, before: Seen, ended: string | undefined): string | undefined {
  const option = directoryOption(lab.directory);
  const now = seenOf(peer);
  if (now.condition === before.condition && now.pid === before.pid) return undefined;
  switch (now.condition) {
    case 'running':
      return before.pid === now.pid
        ? `peer ${peer.index} goes on`
        : `peer ${peer.index} was started again, process ${now.pid}`;
    case 'paused':
      return `peer ${peer.index} is paused; \`peerage lab resume ${peer.index}${option}\` lets it go on`;
    case 'killed':
    case 'stopped':
      return `peer ${peer.index} is down: ${conditionText(peer)}; \`peerage lab start ${peer.index}${option}\` starts it again`;
    case 'never started':
      return undefined;
    case 'died':
      return [
        `peer ${peer.index} DIED (${ended ?? 'how is not known: another command had started it'}), the others go on. Its last lines:`,
        ...lastLines(lab, peer).map((line) => `    ${line}`),
        `  start it again with \`peerage lab start ${peer.index}${option}\``,
      ].join('\n');
  }
}

export async function watchLab(options: WatchOptions): Promise<WatchEnd> {
  const seen = new Map<number, Seen>();
  let toldEmpty = false;
  for (;;) {
    if (options.signal.aborted) return 'asked to stop';
    const lab = findLab(options.directory);
    if (lab === undefined) return 'removed by another command';
    for (const peer of lab.state.peers) {
      const before = seen.get(peer.index) ?? { condition: 'running', pid: peer.process?.pid };
      const own = options.started.get(peer.index);
      const ended = own?.child.pid === peer.process?.pid ? own?.ended : undefined;
      const text = changeText(lab, peer, before, ended);
      if (text !== undefined) options.say(text);
      seen.set(peer.index, seenOf(peer));
    }
    const conditions = [...seen.values()].map((each) => each.condition);
    if (conditions.every((condition) => condition === 'stopped')) return 'stopped by another command';
    const isEmpty = !conditions.some((condition) => condition === 'running' || condition === 'paused');
    if (isEmpty && !toldEmpty) options.say('no peer is left; `peerage lab start N` starts one, Ctrl-C ends the lab');
    toldEmpty = isEmpty;
    await sleep(POLL_MS, options.signal);
  }
}
