/** What `lab up` prints when the lab is ready. */

import { relative } from 'node:path';
import { formatTable } from '../cli/table.ts';
import { styled, type Terminal } from '../cli/terminal.ts';
import { type Lab, labFiles } from './state.ts';

export const DEFAULT_DIRECTORY = './lab';

/** The directory as a person would type it. */
export function shownDirectory(directory: string): string {
  const path = relative(process.cwd(), directory);
  return path === '' ? '.' : path.startsWith('..') ? directory : `./${path}`;
}

/** What must follow a command so that it finds this lab. */
export function directoryOption(directory: string): string {
  const shown = shownDirectory(directory);
  return shown === DEFAULT_DIRECTORY ? '' : ` --dir ${/^[\w./-]+$/.test(shown) ? shown : JSON.stringify(shown)}`;
}

function warning(lab: Lab): string[] {
  const shown = shownDirectory(lab.directory);
  return [
    'THIS IS A LAB. Do not put anything into it that must stay secret or must not be lost.',
    `- Its certificates come from an authority made for this lab, so browsers warn; its keys lie readable in ${shown}.`,
    `- Who can read ${shown}/${labFiles.token} can cut links, stop clocks and write rows of every peer.`,
    '- All peers share this one machine: when it fails, all of them do.',
  ];
}

function nextCommands(lab: Lab): string[] {
  const option = directoryOption(lab.directory);
  const commands: Array<readonly [string, string]> = [
    [`npx peerage status${option}`, 'the whole cluster on one screen'],
  ];
  if (lab.state.peers.length > 1) {
    const last = lab.state.peers.length;
    commands.push(
      [`npx peerage lab kill 2${option}`, 'kill a peer; the others carry on and say so'],
      [`npx peerage lab start 2${option}`, 'and back: it fetches what it missed'],
      [`npx peerage lab cut 1 ${last}${option}`, `peers 1 and ${last} no longer hear each other`],
      [`npx peerage lab heal${option}`, 'and do again'],
    );
  }
  commands.push([`npx peerage lab down${option}`, 'stop all, keep the data']);
  return formatTable([{ title: '' }, { title: '' }], commands).slice(1);
}

export interface ReadyWords {
  readonly lab: Lab;
  /** Undefined when the lab kept an older one, of which only the hash is known. */
  readonly password: string | undefined;
  readonly tookMs: number;
  readonly detached: boolean;
}

export function readyText(terminal: Terminal, words: ReadyWords): string {
  const { lab, password, tookMs } = words;
  const { peers } = lab.state;
  const rows = peers.map((peer) => [
    `peer ${peer.index}`,
    peer.url,
    peer.fqdn,
    `process ${peer.process?.pid}`,
    peer.index === 1 ? 'configuration primary' : '',
  ]);
  const passwordText =
    password === undefined
      ? 'the one shown when the lab was made; `peerage lab up --new-password` makes another'
      : `${styled(terminal, 'bold', password)}   (shown this once)`;
  const count = `${peers.length} peer${peers.length === 1 ? '' : 's'}`;
  return [
    '',
    styled(
      terminal,
      'bold',
      `${count} ready in ${shownDirectory(lab.directory)} after ${(tookMs / 1000).toFixed(1)} s`,
    ),
    '',
    ...formatTable([{ title: '' }, { title: '' }, { title: '' }, { title: '' }, { title: '' }], rows)
      .slice(1)
      .map(indent),
    '',
    indent(`user      ${lab.state.user}`),
    indent(`password  ${passwordText}`),
    '',
    ...warning(lab).map((line) => indent(styled(terminal, 'yellow', `!! ${line}`))),
    '',
    indent(words.detached ? 'Next:' : 'Next, in another terminal (Ctrl-C here stops the lab):'),
    ...nextCommands(lab).map((line) => indent(indent(line))),
    '',
  ].join('\n');
}

function indent(line: string): string {
  return `  ${line}`;
}
