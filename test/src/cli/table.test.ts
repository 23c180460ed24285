import { describe, expect, test } from 'vitest';
import { formatDuration, formatMilliseconds, formatTable, listText, parseDurationMs } from '../../../src/cli/table.ts';

describe('text tables', () => {
  test('numbers stand right, texts left, and lines have no blanks at their end', () => {
    const lines = formatTable(
      [{ title: 'NAME' }, { title: 'ROWS', align: 'right' }, { title: 'NOTE' }],
      [
        ['a', '5', ''],
        ['longer', '12345', 'x'],
      ],
    );
    expect(lines).toEqual(['NAME     ROWS  NOTE', 'a           5', 'longer  12345  x']);
  });

  test('colour does not shift columns', () => {
    const lines = formatTable(
      [{ title: 'A' }, { title: 'B' }],
      [
        ['\u001b[31mred\u001b[0m', 'x'],
        ['plain', 'y'],
      ],
    );
    expect(lines.slice(1)).toEqual(['\u001b[31mred\u001b[0m    x', 'plain  y']);
  });
});

describe('times', () => {
  test.each([
    [0, '0 s'],
    [59_999, '59 s'],
    [200_000, '3 m 20 s'],
    [18_120_000, '5 h 02 m'],
    [183_600_000, '2 d 03 h'],
  ])('%i ms are shown as %s', (durationMs, text) => {
    expect(formatDuration(durationMs)).toBe(text);
  });

  test.each([
    ['80ms', 80],
    ['+2s', 2_000],
    ['-500ms', -500],
    ['1.5s', 1_500],
    ['2m', 120_000],
  ])('%s is read as %i ms', (text, durationMs) => {
    expect(parseDurationMs(text)).toBe(durationMs);
  });

  test.each(['', '80', 'ms', '2 s', '1e3s', '--2s', '80msx'])('"%s" is no time', (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  });

  test('a round trip is shown with one digit when it is short, and as a dash when it is not known', () => {
    expect([0.44, 9.99, 80.4, undefined].map(formatMilliseconds)).toEqual(['0.4 ms', '10.0 ms', '80 ms', '–']);
  });

  test('lists are written as people write them', () => {
    expect([listText([]), listText([1]), listText([1, 2]), listText([1, 2, 3])]).toEqual([
      '',
      '1',
      '1 and 2',
      '1, 2 and 3',
    ]);
  });
});
