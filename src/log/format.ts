/**
 * Writes one line of the event log (section 12 of the log format): prefix time, host, tags, fields. Values come from
 * peers, pages and the database, so whatever could end a value or a line is escaped: no value can forge a field or a
 * second line.
 */
import type { LogRecord } from '../../actors/index.ts';
import { localTimestamp, type TimeZone, utcTimestamp, utcTimestampSeconds } from './time.ts';

/** Longest value written whole; the rest of a longer one is replaced by its count, so no value can fill the disc. */
export const valueCharactersMax = 16_384;

/** C0 and C1 controls, quotes, backslashes and the two line separators of Unicode. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
const unsafe = /["\\\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;
const named = new Map([
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
]);

export function escapeValue(value: string): string {
  return value.replace(
    unsafe,
    (character) => named.get(character) ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const keyForm = /[^A-Za-z0-9_.-]/g;
const tagForm = /[^A-Za-z0-9_.: [\]-]/g;
const hostForm = /[^A-Za-z0-9_.:-]/g;

function bounded(value: string): string {
  if (value.length <= valueCharactersMax) return value;
  return `${value.slice(0, valueCharactersMax)}…[${value.length - valueCharactersMax} more]`;
}

function field(key: string, value: string): string {
  return `${key.replace(keyForm, '_')}="${escapeValue(bounded(value))}"`;
}

/** The network module writes a colon after its level and nobody else does. */
function hasLevelColon(record: LogRecord): boolean {
  return record.fields.some(([key, value]) => key === 'Module' && value === 'network.h323');
}

export interface LineContext {
  readonly wallMs: number;
  readonly host: string;
  readonly zone: TimeZone;
}

export function formatLine(record: LogRecord, context: LineContext): string {
  const utcTime =
    record.utcTime === 'last-seconds' ? utcTimestampSeconds(context.wallMs) : utcTimestamp(context.wallMs);
  const colon = hasLevelColon(record);
  const fields = record.fields.map(([key, value]) => field(key, value) + (colon && key === 'Level' ? ':' : ''));
  const time = field('UTCTime', utcTime);
  const ordered = record.utcTime === 'first' ? [time, ...fields] : [...fields, time];
  const host = context.host.replace(hostForm, '_') || '-';
  const tag = record.tag === undefined ? '' : `${record.tag.replace(tagForm, '_')}: `;
  return `${localTimestamp(context.wallMs, context.zone)} ${host} ${tag}${ordered.join(' ')}`;
}
