/** Text tables and the few forms in which numbers and times are shown. Pure functions. */

import { visibleLength } from './terminal.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** Columns are parted by two spaces; numbers stand right; the last column is never padded. */
export function formatTable(columns: readonly Column[], rows: ReadonlyArray<readonly string[]>): string[] {
  const lines = [columns.map((column) => column.title), ...rows];
  const widths = columns.map((_, column) => Math.max(...lines.map((line) => visibleLength(line[column] ?? ''))));
  return lines.map((line) =>
    columns
      .map((column, at) => {
        const cell = line[at] ?? '';
        const padding = ' '.repeat((widths[at] ?? 0) - visibleLength(cell));
        if (column.align === 'right') return padding + cell;
        return at === columns.length - 1 ? cell : cell + padding;
      })
      .join('  ')
      .trimEnd(),
  );
}

const DAY_S = 86_400;
const HOUR_S = 3_600;

/** `47 s`, `3 m 20 s`, `5 h 02 m`, `2 d 03 h`. */
export function formatDuration(durationMs: number): string {
  const total = Math.max(0, Math.floor(durationMs / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  if (total < 60) return `${total} s`;
  if (total < HOUR_S) return `${Math.floor(total / 60)} m ${two(total % 60)} s`;
  if (total < DAY_S) return `${Math.floor(total / HOUR_S)} h ${two(Math.floor((total % HOUR_S) / 60))} m`;
  return `${Math.floor(total / DAY_S)} d ${two(Math.floor((total % DAY_S) / HOUR_S))} h`;
}

export function formatMilliseconds(value: number | undefined): string {
  if (value === undefined) return '–';
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Reads `80ms`, `+2s`, `-500ms`, `1.5s`; undefined when the text is none. */
export function parseDurationMs(text: string): number | undefined {
  const match = /^([+-]?)(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text.trim());
  if (match === null) return undefined;
  const value = Number(match[2]) * (units[match[3] ?? ''] ?? Number.NaN);
  return match[1] === '-' ? -value : value;
}

/** `1, 2 and 3`. */
export function listText(items: ReadonlyArray<string | number>): string {
  const texts = items.map(String);
  if (texts.length <= 1) return texts.join('');
  return `${texts.slice(0, -1).join(', ')} and ${texts.at(-1)}`;
}

export function printJson(value: unknown): string {
  return JSON.stringify(value, null, 2);
}
