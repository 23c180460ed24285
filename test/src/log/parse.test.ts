import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LogRecord } from '../../../actors/index.ts';
import {
  firstValueOf,
  fixedZone,
  formatLine,
  type ParsedLine,
  parseLine,
  render,
  valuesOf,
} from '../../../src/log/index.ts';
import { excerpts } from '../../actors/clusterdb/support.ts';

function parsed(text: string): ParsedLine {
  const result = parseLine(text);
  if (!result.ok) throw new Error(`${result.problem} (column ${result.column}): ${text}`);
  return result.line;
}

const zone = fixedZone(-300);

test('E133 every recorded line is read and rendered again character for character', () => {
  expect(excerpts).toHaveLength(49);
  for (const line of excerpts) expect(render(parsed(line))).toBe(line);
});

test('E138 both Node fields of a database line are kept, in order', () => {
  const line = parsed(excerpts.find((text) => text.includes('Inconsistent Database')) ?? '');
  expect(valuesOf(line, 'Node')).toEqual(['clusterdb@expc01.apolo.local', 'clusterdb@expc02.apolo.local']);
  expect(firstValueOf(line, 'Context')).toBe('from mnesia system - mnesia down');
});

test('E147 the web line has two tags, the first with a process id', () => {
  const line = parsed(excerpts.find((text) => text.includes('httpd')) ?? '');
  expect(line.tags).toEqual([
    { name: 'httpd', processId: 15060 },
    { name: 'web', processId: undefined },
  ]);
  expect(firstValueOf(line, 'UTCTime')).toBe('2020-08-12 20:13:24');
});

test('E133 the prefix time is read with its offset', () => {
  const line = parsed(excerpts[0] ?? '');
  expect([line.wallMs, line.offsetMinutes, line.host]).toEqual([
    Date.UTC(2020, 6, 21, 20, 16, 50, 321),
    -300,
    'expc01',
  ]);
});

test('E140 the level of the network module has a colon, with one or two spaces after it, and neither is lost', () => {
  const one = excerpts.find((text) => text.includes('network.h323')) ?? '';
  const two = one.replace('"INFO": Action', '"INFO":  Action').replace('RAS SCI SeqNum', 'RAS SCI  SeqNum');
  for (const text of [one, two]) {
    expect(parsed(text).fields.find((field) => field.key === 'Level')?.colon).toBe(true);
    expect(render(parsed(text))).toBe(text);
  }
});

test('B28 a value with quotes, newlines and a whole forged line stays one value of one line', () => {
  const forged = 'x" Level="INFO"\n2020-07-21T15:16:50.321-05:00 expc01 alarm: Event="Alarm Lowered" Id="20007';
  const record: LogRecord = { tag: undefined, utcTime: 'first', level: 'INFO', fields: [['Detail', forged]] };
  const line = formatLine(record, { wallMs: 0, host: 'expc01', zone });
  expect(line).not.toContain('\n');
  expect(parsed(line).fields.map((field) => field.key)).toEqual(['UTCTime', 'Detail']);
  expect(firstValueOf(parsed(line), 'Detail')).toBe(forged);
});

test('B28 a hostile host, tag or key cannot end its place in the line', () => {
  const record: LogRecord = { tag: 'a\nb"c', utcTime: 'first', level: 'INFO', fields: [['k" x', 'v']] };
  const line = parsed(formatLine(record, { wallMs: 0, host: 'a b\n', zone }));
  expect([line.host, line.tags[0]?.name, line.fields[1]?.key]).toEqual(['a_b_', 'a_b_c', 'k__x']);
});

test('any values survive writing and reading, and any line of ours is rendered again', () => {
  const value = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\\', '"', '\\"', '\\n', '\u2028'),
  );
  const key = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.-]{0,12}$/);
  const utcTime = fc.constantFrom('first' as const, 'last' as const, 'last-seconds' as const);
  const tag = fc.constantFrom(undefined, 'management', 'httpd[15060]: web');
  const fields = fc.array(fc.tuple(key, value), { maxLength: 8 });
  fc.assert(
    fc.property(fields, utcTime, tag, (pairs, position, tagText) => {
      const record: LogRecord = { tag: tagText, utcTime: position, level: 'WARN', fields: pairs };
      const text = formatLine(record, { wallMs: 1_595_362_610_321, host: 'expc01', zone });
      const line = parsed(text);
      const read = line.fields.map((field) => [field.key, field.value]);
      const others = position === 'first' ? read.slice(1) : read.slice(0, -1);
      expect(others).toEqual(pairs.map((pair) => [...pair]));
      expect(render(line)).toBe(text);
    }),
    { seed: 20_261_122 },
  );
});

test.each([
  ['no time at all', 0],
  ['2020-07-21T15:16:50.321-05:00 expc01 Detail=unquoted', 37],
  ['2020-07-21T15:16:50.321-05:00 expc01 A="1"B="2"', 42],
  ['2020-07-21T15:16:50.321-05:00 expc01 A="1', 37],
])('a line that is none is refused with the column where it went wrong: %s', (text, column) => {
  const result = parseLine(text);
  expect(result.ok).toBe(false);
  if (!result.ok) expect(result.column).toBe(column);
});

test('a line longer than the limit is refused without being read', () => {
  const result = parseLine('x'.repeat(1_048_577));
  expect(result).toMatchObject({ ok: false, problem: expect.stringContaining('1048576') });
});
