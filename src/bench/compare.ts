/** How we stand beside another system that did the same work right before or after. */
import { type Column, formatTable } from '../cli/table.ts';
import { type Figure, numberText, round } from './figures.ts';

export interface Comparison {
  readonly workload: string;
  readonly nodes: number;
  readonly rows: number;
  readonly clients: number;
  readonly beside: string;
  /** Name of what is compared. */
  readonly measure: string;
  readonly ours: number;
  readonly theirs: number;
  /** How many times better we are; below 1 we are worse. */
  readonly ratio: number;
  /** The same of the 99th percentile, where there is one. */
  readonly p99_ratio?: number;
  readonly load_ours: number;
  readonly load_theirs: number;
}

/** Of speeds, more is better; of times and losses, less. */
export function comparisonOf(ours: Figure, theirs: Figure, measure: string): Comparison | undefined {
  const [own, other] = [ours[measure], theirs[measure]];
  if (typeof own !== 'number' || typeof other !== 'number') return undefined;
  const { workload, nodes, rows, clients } = ours;
  return {
    workload,
    nodes,
    rows,
    clients,
    beside: theirs.system,
    measure,
    ours: own,
    theirs: other,
    ratio: measure === 'ops_per_s' ? ratioOf(own, other) : ratioOf(other, own),
    ...(typeof ours.p99_us === 'number' && typeof theirs.p99_us === 'number'
      ? { p99_ratio: ratioOf(theirs.p99_us, ours.p99_us) }
      : {}),
    load_ours: ours.loadavg1,
    load_theirs: theirs.loadavg1,
  };
}

/** Nothing over nothing is as good; something over nothing is told as such. */
function ratioOf(better: number, worse: number): number {
  if (better === worse) return 1;
  return worse === 0 ? Number.POSITIVE_INFINITY : round(better / worse, 2);
}

const COLUMNS: readonly Column[] = [
  { title: 'W' },
  { title: 'nodes', align: 'right' },
  { title: 'rows', align: 'right' },
  { title: 'clients', align: 'right' },
  { title: 'measure' },
  { title: 'peerage', align: 'right' },
  { title: 'load', align: 'right' },
  { title: 'beside' },
  { title: 'theirs', align: 'right' },
  { title: 'load', align: 'right' },
  { title: 'ratio', align: 'right' },
  { title: 'p99 ratio', align: 'right' },
];

export function comparisonsTable(comparisons: readonly Comparison[]): string[] {
  return formatTable(COLUMNS, comparisons.map(cellsOf));
}

export function comparisonsMarkdown(comparisons: readonly Comparison[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = COLUMNS.map(({ align }) => (align === 'right' ? '---:' : '---'));
  return [line(COLUMNS.map(({ title }) => title)), line(rule), ...comparisons.map((one) => line(cellsOf(one)))];
}

function cellsOf(one: Comparison): string[] {
  return [
    one.workload,
    String(one.nodes),
    numberText(one.rows),
    String(one.clients),
    one.measure,
    numberText(one.ours),
    one.load_ours.toFixed(2),
    one.beside,
    numberText(one.theirs),
    one.load_theirs.toFixed(2),
    timesText(one.ratio),
    one.p99_ratio === undefined ? '–' : timesText(one.p99_ratio),
  ];
}

function timesText(ratio: number): string {
  return Number.isFinite(ratio) ? `${ratio.toFixed(2)}×` : '∞';
}
