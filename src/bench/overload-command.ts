/** `bench overload`: prints what happens second by second, then the verdicts. */
import { exitCodes } from '../cli/exit-codes.ts';
import { type Column, formatTable } from '../cli/table.ts';
import type { Terminal } from '../cli/terminal.ts';
import { numberText } from './figures.ts';
import { measureOverload, type OverloadOptions, type OverloadSecond } from './overload.ts';

const COLUMNS: readonly Column[] = [
  { title: 'phase' },
  { title: 's', align: 'right' },
  { title: 'offered/s', align: 'right' },
  { title: 'answered/s', align: 'right' },
  { title: 'overloaded/s', align: 'right' },
  { title: 'p50 ms', align: 'right' },
  { title: 'p99 ms', align: 'right' },
  { title: 'in flight', align: 'right' },
  { title: 'RSS MB', align: 'right' },
  { title: 'load', align: 'right' },
  { title: 'errors' },
];
/** Wide enough for what comes, so that lines can be printed as they come. */
const WIDTHS = ['slow link'.length, 4, 9, 10, 12, 8, 8, 20, 14, 6, 0];

/** @returns exit code: 0 when every verdict holds */
export async function runOverload(
  options: Omit<OverloadOptions, 'report'>,
  isJson: boolean,
  terminal: Terminal,
): Promise<number> {
  if (!isJson) terminal.out(lineOf(COLUMNS.map(({ title }) => title)));
  const report = (second: OverloadSecond): void => {
    terminal.out(isJson ? JSON.stringify(second) : lineOf(cellsOf(second)));
  };
  const { capacity_per_s, verdicts } = await measureOverload({ ...options, report });
  const holds = verdicts.every((verdict) => verdict.holds);
  if (isJson) terminal.out(JSON.stringify({ capacity_per_s, verdicts, holds }));
  else {
    const rows = verdicts.map(({ name, holds, seen }) => [holds ? 'holds' : 'FAILS', name, seen]);
    terminal.out(`\n${numberText(capacity_per_s)} transactions a second are the most that the nodes carried.\n`);
    terminal.out(formatTable([{ title: '' }, { title: 'verdict' }, { title: 'seen' }], rows).join('\n'));
  }
  return holds ? exitCodes.ok : exitCodes.refused;
}

function lineOf(cells: readonly string[]): string {
  return cells
    .map((cell, at) => (COLUMNS[at]?.align === 'right' ? cell.padStart(WIDTHS[at]!) : cell.padEnd(WIDTHS[at]!)))
    .join('  ')
    .trimEnd();
}

function cellsOf(second: OverloadSecond): string[] {
  return [
    second.phase,
    String(second.second),
    numberText(second.offered_per_s),
    numberText(second.answered_per_s),
    numberText(second.overloaded_per_s),
    numberText(second.p50_ms),
    numberText(second.p99_ms),
    second.in_flight.join(' + '),
    second.rss_mb.join(' + '),
    second.loadavg1.toFixed(2),
    Object.entries(second.errors)
      .map(([code, count]) => `${code} ${count}`)
      .join(', '),
  ];
}
