import { describe, expect, test } from 'vitest';
import { type Figure, figuresMarkdown, figuresTable, numberText, speedOf } from '../../../src/bench/figures.ts';
import { Histogram } from '../../../src/bench/histogram.ts';
import { figuresPart, withFigures } from '../../../src/bench/report.ts';

const figure: Figure = {
  system: 'peerage',
  nodes: 3,
  workload: 'W7',
  op: 'tx_read_modify_write',
  storage: 'disc_copies',
  rows: 100,
  clients: 24,
  ops_per_s: 12_345,
  p50_us: 812.4,
  p99_us: 2345,
  p999_us: 10_000,
  loadavg1: 1.5,
  cpu_us_per_op: [50.25, 20, 21],
  ops: 61_725,
  ms: 5000,
  warm_ms: 1500,
  lost_updates: 0,
  errors: { overloaded: 3 },
};

const restart: Figure = {
  system: 'peerage',
  nodes: 1,
  workload: 'W11',
  op: 'disc_load',
  storage: 'disc_copies',
  rows: 500_000,
  clients: 0,
  loadavg1: 0.25,
  open_s: 1.234,
};

describe('figures', () => {
  test('speed is what began in the measured time, over that time', () => {
    const histogram = new Histogram();
    for (let at = 0; at < 1000; at++) histogram.add(1);
    const { ops_per_s, p50_us } = speedOf(histogram, 500);
    expect(ops_per_s).toBe(2000);
    expect(Math.abs(p50_us / 1000 - 1)).toBeLessThan(0.01);
  });

  test('a table has a row each, and says what was measured besides', () => {
    const [head, ...rows] = figuresTable([figure, restart]);
    expect(head).toMatch(/^system +W +operation +storage +nodes +rows +clients +ops\/s/);
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatch(
      /12 345 +812 +2 345 +10 000 +50\.25 \+ 20 \+ 21 +1\.50 +lost_updates 0, errors overloaded 3$/,
    );
    expect(rows[1]).toMatch(/500 000 +0 +– +– +– +– +– +0\.25 +open_s 1\.234$/);
  });

  test('in a page every row has as many cells as the head', () => {
    const lines = figuresMarkdown([figure, restart]);
    const cells = lines.map((line) => line.split('|').length);
    expect(new Set(cells).size).toBe(1);
    expect(lines[1]).toMatch(/^\| --- \|/);
  });

  test.each([
    [0, '0'],
    [999, '999'],
    [1000, '1 000'],
    [1_234_567, '1 234 567'],
    [1234.56, '1 235'],
    [0.012_345_6, '0.01235'],
  ])('%d reads %s', (value, text) => expect(numberText(value)).toBe(text));
});

describe('a page', () => {
  const part = figuresPart([figure, restart], [], 'a machine', '2026-01-02');

  test('says the machine, the day and the load beside the figures', () => {
    expect(part).toMatch(/^Measured on 2026-01-02: a machine; load average 0\.3 to 1\.5\.\n\n\| system \|/);
  });

  test('keeps what stands around its figures, however often they are written', () => {
    const once = withFigures('# Title\n\nText.\n', 'old');
    const again = withFigures(`${once}\nAfter.\n`, part);
    expect(again).toMatch(/^# Title\n\nText\.\n\n<!-- figures: begin -->\n\nMeasured on/);
    expect(again).toMatch(/<!-- figures: end -->\n\nAfter\.\n$/);
    expect(again).not.toContain('old');
    expect(withFigures('', part)).toMatch(/^<!-- figures: begin -->\n/);
  });
});
