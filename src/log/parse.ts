/**
 * Reads any line of the event log back, ours or a foreign one of the same format, without loss: `render` of what was
 * parsed is the line. Repeated keys keep their order (E138), one or two spaces between fields are both taken.
 */
import { escapeValue } from './format.ts';
import { parseLocalTimestamp } from './time.ts';

export interface Tag {
  readonly name: string;
  /** Process id in brackets, as in `httpd[15060]`. */
  readonly processId: number | undefined;
}

export interface ParsedField {
  readonly key: string;
  readonly value: string;
  /** The value as written, only where `escapeValue` would write it otherwise. */
  readonly written?: string;
  /** What stood before the field, only where it was not a single space. */
  readonly gap?: string;
  /** Whether a colon followed the value (`Level="INFO":`). */
  readonly colon?: true;
}

export interface ParsedLine {
  /** The prefix time as written, and as ms since the epoch. */
  readonly localTime: string;
  readonly wallMs: number;
  readonly offsetMinutes: number;
  readonly host: string;
  readonly tags: readonly Tag[];
  readonly fields: readonly ParsedField[];
}

export type ParseResult =
  | { readonly ok: true; readonly line: ParsedLine }
  | { readonly ok: false; readonly problem: string; readonly column: number };

/** Longest line looked at; a longer one is refused rather than read. */
export const lineCharactersMax = 1_048_576;

const prefixForm = /^(\S+) (\S+) /;
const tagForm = /([A-Za-z_][\w.-]*)(?:\[(\d{1,10})\])?: /y;
const fieldForm = /( {0,2})([\w.-]+)="((?:[^"\\]|\\.)*)"(:?)/y;

export function parseLine(text: string): ParseResult {
  if (text.length > lineCharactersMax) {
    return refuse(`The line is longer than ${lineCharactersMax} characters.`, lineCharactersMax);
  }
  const prefix = prefixForm.exec(text);
  const time = prefix === null ? undefined : parseLocalTimestamp(prefix[1] ?? '');
  if (prefix === null || time === undefined) {
    return refuse('A line begins with local time, offset and host, as "2020-07-21T15:16:50.321-05:00 expc01 …".', 0);
  }
  const tags = parseTags(text, prefix[0].length);
  const fields = parseFields(text, tags.end);
  if (!fields.ok) return fields;
  const line: ParsedLine = {
    localTime: prefix[1] ?? '',
    wallMs: time.ms,
    offsetMinutes: time.offsetMinutes,
    host: prefix[2] ?? '',
    tags: tags.tags,
    fields: fields.fields,
  };
  return { ok: true, line };
}

function refuse(problem: string, column: number): ParseResult & { ok: false } {
  return { ok: false, problem, column };
}

function parseTags(text: string, start: number): { readonly tags: readonly Tag[]; readonly end: number } {
  const tags: Tag[] = [];
  let end = start;
  for (;;) {
    tagForm.lastIndex = end;
    const found = tagForm.exec(text);
    if (found === null) return { tags, end };
    tags.push({ name: found[1] ?? '', processId: found[2] === undefined ? undefined : Number(found[2]) });
    end = tagForm.lastIndex;
  }
}

function parseFields(
  text: string,
  start: number,
): { readonly ok: true; readonly fields: readonly ParsedField[] } | (ParseResult & { ok: false }) {
  const fields: ParsedField[] = [];
  let at = start;
  while (at < text.length) {
    fieldForm.lastIndex = at;
    const found = fieldForm.exec(text);
    if (found === null) return refuse('Expected a field, as Key="value".', at);
    const [whole, gap = '', key = '', written = '', colon] = found;
    if (fields.length > 0 && gap === '') return refuse('Fields are separated by a space.', at);
    const value = unescapeValue(written);
    fields.push({
      key,
      value,
      ...(escapeValue(value) === written ? {} : { written }),
      ...(gap === (fields.length === 0 ? '' : ' ') ? {} : { gap }),
      ...(colon === ':' ? { colon: true as const } : {}),
    });
    at += whole.length;
  }
  return { ok: true, fields };
}

const escapeForm = /\\(u[0-9a-f]{4}|.)/g;
const named = new Map([
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

function unescapeValue(written: string): string {
  return written.replace(escapeForm, (_whole, code: string) =>
    code.length === 5 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : (named.get(code) ?? code),
  );
}

/** The line again, character for character. */
export function render(line: ParsedLine): string {
  const tags = line.tags.map(({ name, processId }) =>
    processId === undefined ? `${name}: ` : `${name}[${processId}]: `,
  );
  const fields = line.fields.map(({ key, value, written, gap, colon }, at) => {
    const before = gap ?? (at === 0 ? '' : ' ');
    return `${before}${key}="${written ?? escapeValue(value)}"${colon === true ? ':' : ''}`;
  });
  return `${line.localTime} ${line.host} ${tags.join('')}${fields.join('')}`;
}

/** Every value of a key, in order: `Node` of L6–L11 is there twice. */
export function valuesOf(line: ParsedLine, key: string): readonly string[] {
  return line.fields.filter((field) => field.key === key).map((field) => field.value);
}

export function firstValueOf(line: ParsedLine, key: string): string | undefined {
  return line.fields.find((field) => field.key === key)?.value;
}
