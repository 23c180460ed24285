import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LogRecord } from '../../../actors/index.ts';
import { createEventLog, type EventLogOptions } from '../../../src/log/index.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'peerage-log-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function detail(text: string, level: LogRecord['level'] = 'INFO'): LogRecord {
  return { tag: 'management', utcTime: 'first', level, fields: [['Detail', text]] };
}

function open(options: Partial<EventLogOptions> = {}) {
  return createEventLog({ host: 'peer1', clock: { wallMs: () => 1_595_362_610_321 }, timeZone: '-05:00', ...options });
}

const lineOf = (text: string) =>
  `2020-07-21T15:16:50.321-05:00 peer1 management: UTCTime="2020-07-21 20:16:50,321" Detail="${text}"`;

test('E133 the file holds exactly the lines, of every level, per cents and all', () => {
  const file = join(folder, 'logs', 'peer.log');
  const log = open({ file });
  log.write(detail('one %s %d %j'));
  log.write(detail('two', 'DEBUG'));
  log.write(detail('three', 'ERROR'));
  expect(readFileSync(file, 'utf8')).toBe(`${lineOf('one %s %d %j')}\n${lineOf('two')}\n${lineOf('three')}\n`);
  log.close();
});

test('the console and listeners get the same lines as the file', () => {
  const console: string[] = [];
  const heard: string[] = [];
  const log = open({ console: (line) => console.push(line) });
  const unsubscribe = log.subscribe((line) => heard.push(line));
  log.write(detail('one'));
  unsubscribe();
  log.write(detail('two'));
  expect(console).toEqual([lineOf('one'), lineOf('two')]);
  expect(heard).toEqual([lineOf('one')]);
});

test('the last lines are kept, oldest first, and no more than the limit', () => {
  const log = open({ recentLinesMax: 3 });
  for (const text of ['1', '2', '3', '4', '5']) log.write(detail(text));
  expect(log.recent(10)).toEqual(['3', '4', '5'].map(lineOf));
  expect(log.recent(1)).toEqual([lineOf('5')]);
  expect(log.recent(0)).toEqual([]);
});

test('a log file that was moved away is begun again by reopen', () => {
  const file = join(folder, 'peer.log');
  const log = open({ file });
  log.write(detail('before'));
  renameSync(file, `${file}.1`);
  log.reopen();
  log.write(detail('after'));
  log.close();
  expect(readFileSync(`${file}.1`, 'utf8')).toBe(`${lineOf('before')}\n`);
  expect(readFileSync(file, 'utf8')).toBe(`${lineOf('after')}\n`);
});

test('a listener that throws is dropped and costs the others nothing', () => {
  const heard: string[] = [];
  const log = open();
  log.subscribe(() => {
    throw new Error('broken');
  });
  log.subscribe((line) => heard.push(line));
  log.write(detail('one'));
  log.write(detail('two'));
  expect(heard).toHaveLength(2);
  expect(log.counters()).toEqual({ lines: 2, writeFailures: 0, listenersDropped: 1 });
});

test('listeners are limited, and the refusal says so', () => {
  const log = open();
  for (let count = 0; count < 256; count += 1) log.subscribe(() => undefined);
  expect(() => log.subscribe(() => undefined)).toThrow('256 listeners');
});

test('a log file that cannot be opened is refused at start with its name', () => {
  expect(() => open({ file: folder })).toThrow(folder);
});

test.skipIf(!existsSync('/dev/full'))('a full disc is said once on the console and stops nothing', () => {
  const console: string[] = [];
  const log = open({ file: '/dev/full', console: (line) => console.push(line) });
  log.write(detail('one'));
  log.write(detail('two'));
  log.close();
  expect(log.recent(2)).toEqual([lineOf('one'), lineOf('two')]);
  expect(console.filter((line) => line.includes('cannot be written'))).toHaveLength(1);
  expect(log.counters().writeFailures).toBeGreaterThan(0);
});

test('a file that cannot be opened again is said, and the lines go on elsewhere', () => {
  const file = join(folder, 'logs', 'peer.log');
  const console: string[] = [];
  const log = open({ file, console: (line) => console.push(line) });
  rmSync(join(folder, 'logs'), { recursive: true });
  writeFileSync(join(folder, 'logs'), 'a file where a folder was');
  log.reopen();
  log.write(detail('one'));
  log.close();
  expect(console.filter((line) => line.includes('cannot be written'))).toHaveLength(1);
  expect(console).toContain(lineOf('one'));
});

test('nothing is written after close, and closing twice is closing once', () => {
  const file = join(folder, 'peer.log');
  const log = open({ file });
  log.write(detail('one'));
  log.close();
  log.close();
  log.write(detail('two'));
  expect(readFileSync(file, 'utf8')).toBe(`${lineOf('one')}\n`);
});
