/** `peerage log parse`: lines of an event log from standard input, as one JSON object a line. */

import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { type ParsedLine, parseLine } from '../log/parse.ts';
import { exitCodes } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

export interface LogParseOptions {
  readonly input: Readable;
  readonly json: boolean;
}

function tagTexts(line: ParsedLine): string[] {
  return line.tags.map(({ name, processId }) => (processId === undefined ? name : `${name}[${processId}]`));
}

/** Fields stay in order and may repeat, so they are pairs and not an object. */
function lineJson(line: ParsedLine): string {
  return JSON.stringify({
    time: new Date(line.wallMs).toISOString(),
    localTime: line.localTime,
    host: line.host,
    tags: tagTexts(line),
    fields: line.fields.map(({ key, value }) => [key, value]),
  });
}

function lineText(line: ParsedLine): string {
  const fields = line.fields.map(({ key, value }) => `    ${key}: ${value}`);
  return [[line.localTime, line.host, ...tagTexts(line)].join('  '), ...fields].join('\n');
}

/** Lines that are none of the event log are told on stderr with their number, and end in exit code 2. */
export async function runLogParse(options: LogParseOptions, terminal: Terminal): Promise<number> {
  let number = 0;
  let refused = 0;
  for await (const text of createInterface({ input: options.input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    if (text.trim() === '') continue;
    const result = parseLine(text);
    if (result.ok) terminal.out(options.json ? lineJson(result.line) : lineText(result.line));
    else {
      refused += 1;
      terminal.err(`line ${number}, column ${result.column + 1}: ${result.problem}`);
    }
  }
  return refused === 0 ? exitCodes.ok : exitCodes.usage;
}
