/** Figures: one object each, printed as a line of JSON or as a row of a table. */
import { loadavg } from 'node:os';
import { type Column, formatTable } from '../cli/table.ts';
import type { Histogram } from './histogram.ts';

export type Measure = string | number | boolean | readonly (string | number)[] | Readonly<Record<string, number>>;

/** What every figure says, whoever was measured, and whatever else was measured in it. Units are in the names. */
export interface Figure {
  readonly system: string;
  readonly nodes: number;
  readonly workload: string;
  readonly op: string;
  readonly storage: string;
  /** Of the table that is measured. */
  readonly rows: number;
  readonly clients: number;
  /** Of the whole machine, the measurement included, when it ended. */
  readonly loadavg1: number;
  readonly [measure: string]: Measure;
}

export interface Speed {
  readonly ops_per_s: number;
  readonly p50_us: number;
  readonly p99_us: number;
  readonly p999_us: number;
  readonly [measure: string]: Measure;
}

const PERCENTILE_DIGITS = 3;

export function loadNow(): number {
  return round(loadavg()[0] ?? 0, 2);
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** Four figures are more than such measurements hold. */
export function significant(value: number): number {
  return value === 0 ? 0 : Number(value.toPrecision(PERCENTILE_DIGITS + 1));
}

export function speedOf(latencies: Histogram, measuredMs: number): Speed {
  return {
    ops_per_s: Math.round((latencies.total * 1000) / measuredMs),
    p50_us: significant(latencies.percentileUs(0.5)),
    p99_us: significant(latencies.percentileUs(0.99)),
    p999_us: significant(latencies.percentileUs(0.999)),
  };
}

const NAMED = ['system', 'nodes', 'workload', 'op', 'storage', 'rows', 'clients', 'loadavg1'];
const SPEED = ['ops_per_s', 'p50_us', 'p99_us', 'p999_us', 'cpu_us_per_op'];
/** Of use to programs; a person sees the speed and the load. */
const QUIET = ['ops', 'ms', 'warm_ms', 'rss_mb'];

const COLUMNS: readonly Column[] = [
  { title: 'system' },
  { title: 'W' },
  { title: 'operation' },
  { title: 'storage' },
  { title: 'nodes', align: 'right' },
  { title: 'rows', align: 'right' },
  { title: 'clients', align: 'right' },
  { title: 'ops/s', align: 'right' },
  { title: 'p50 µs', align: 'right' },
  { title: 'p99 µs', align: 'right' },
  { title: 'p99.9 µs', align: 'right' },
  { title: 'CPU µs/op', align: 'right' },
  { title: 'load', align: 'right' },
  { title: 'measured besides' },
];

export function figuresTable(figures: readonly Figure[]): string[] {
  return formatTable(COLUMNS, figures.map(cellsOf));
}

/** The same for a page. */
export function figuresMarkdown(figures: readonly Figure[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = COLUMNS.map(({ align }) => (align === 'right' ? '---:' : '---'));
  return [line(COLUMNS.map(({ title }) => title)), line(rule), ...figures.map((figure) => line(cellsOf(figure)))];
}

function cellsOf(figure: Figure): string[] {
  const speed = SPEED.map((name) => (figure[name] === undefined ? '–' : measureText(figure[name])));
  const besides = Object.keys(figure).filter(
    (name) => !NAMED.includes(name) && !SPEED.includes(name) && !QUIET.includes(name),
  );
  return [
    figure.system,
    figure.workload,
    figure.op,
    figure.storage,
    String(figure.nodes),
    numberText(figure.rows),
    String(figure.clients),
    ...speed,
    figure.loadavg1.toFixed(2),
    besides.map((name) => `${name} ${measureText(figure[name]!)}`).join(', '),
  ];
}

function measureText(measure: Measure): string {
  if (typeof measure === 'number') return numberText(measure);
  if (typeof measure !== 'object') return String(measure);
  if (isList(measure)) return measure.map(measureText).join(' + ');
  const counts = Object.entries(measure);
  return counts.map(([name, count]) => `${name} ${numberText(count)}`).join(' ');
}

/** `Array.isArray` does not know lists that cannot be changed. */
function isList(measure: object): measure is readonly (string | number)[] {
  return Array.isArray(measure);
}

/** Thousands apart, and no digits that mean nothing. */
export function numberText(value: number): string {
  if (Number.isInteger(value)) return String(value).replace(/\B(?=(\d{3})+$)/g, ' ');
  return Math.abs(value) >= 100 ? numberText(Math.round(value)) : String(significant(value));
}
