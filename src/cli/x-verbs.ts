/** `peerage xconfiguration|xstatus|xcommand …`: sends the line to one peer and prints what it answers. */

import { askPeer } from './api-client.ts';
import { CliError } from './errors.ts';
import { exitCodes } from './exit-codes.ts';
import { isRecord } from './shape.ts';
import { printJson } from './table.ts';
import { findTargets, passwordIfNeeded, withPassword } from './targets.ts';
import type { Terminal } from './terminal.ts';

export type XVerb = 'xconfiguration' | 'xstatus' | 'xcommand';

const COMMAND_MS_MAX = 15_000;

export interface XVerbOptions {
  readonly verb: XVerb;
  readonly words: readonly string[];
  readonly directory: string;
  /** A number of a lab's peer, or a URL. */
  readonly peer: string;
  readonly ca?: string;
  readonly json: boolean;
}

function quote(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

/**
 * The shell has taken the quotes off; a word that needed them gets them back. One single word with spaces is a line
 * that was quoted as a whole.
 */
export function joinLine(verb: XVerb, words: readonly string[]): string {
  const [only] = words;
  if (words.length === 1 && only !== undefined && /\s/.test(only)) return `${verb} ${only.trim()}`;
  const written = words.map((word) => {
    if (/^".*"$/.test(word)) return word;
    if (word !== '' && !/[\s"]/.test(word)) return word;
    const named = /^([^\s":]+:)(.+)$/s.exec(word);
    return named === null ? quote(word) : `${named[1]} ${quote(named[2]!.trim())}`;
  });
  return [verb, ...written].join(' ');
}

interface XAnswer {
  readonly lines: readonly string[];
  readonly code: number;
}

function isXAnswer(value: unknown): value is XAnswer {
  if (!isRecord(value) || !Array.isArray(value.lines)) return false;
  return value.lines.every((line) => typeof line === 'string') && typeof value.code === 'number';
}

export async function runXVerb(options: XVerbOptions, terminal: Terminal): Promise<number> {
  const targets = findTargets({ directory: options.directory, peers: [options.peer], ca: options.ca });
  const target = await withPassword(targets[0]!, await passwordIfNeeded(targets, terminal));
  const { endpoint } = target;
  const body = { line: joinLine(options.verb, options.words) };
  const answer = await askPeer(endpoint, { method: 'POST', path: '/api/v1/xcommand', body, timeoutMs: COMMAND_MS_MAX });
  if (!isXAnswer(answer)) {
    throw new CliError(
      'bad_answer',
      `The answer of ${endpoint.label} was not understood`,
      'it holds no lines',
      `check that a peer of this version listens at ${endpoint.url}`,
    );
  }
  if (options.json) terminal.out(printJson({ peer: target.index ?? endpoint.url, line: body.line, ...answer }));
  else for (const line of answer.lines) (answer.code === 0 ? terminal.out : terminal.err)(line);
  if (answer.code === 0) return exitCodes.ok;
  return answer.code === 2 ? exitCodes.usage : exitCodes.refused;
}
