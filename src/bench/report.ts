/** Figures as a part of a page: the machine, the load, the table. What stands around it is kept. */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem, type } from 'node:os';
import { CliError, messageOf, systemCode } from '../cli/errors.ts';
import { type Comparison, comparisonsMarkdown } from './compare.ts';
import { type Figure, figuresMarkdown } from './figures.ts';

const BEGIN = '<!-- figures: begin -->';
const END = '<!-- figures: end -->';
const GIGABYTE = 1 << 30;

/** Which machine, as a reader needs it to compare. */
export function machineText(): string {
  const all = cpus();
  const memory = Math.round(totalmem() / GIGABYTE);
  return `${all.length} × ${all[0]?.model.trim() ?? 'unknown processor'}, ${memory} GB, ${type()} ${release()}, Node.js ${process.versions.node}`;
}

/** The page with the part between its marks replaced; a page without marks gets it at its end. */
export function withFigures(page: string, part: string): string {
  const marked = `${BEGIN}\n\n${part}\n\n${END}`;
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END);
  if (from >= 0 && to > from) return page.slice(0, from) + marked + page.slice(to + END.length);
  return page === '' ? `${marked}\n` : `${page.trimEnd()}\n\n${marked}\n`;
}

export function figuresPart(
  figures: readonly Figure[],
  comparisons: readonly Comparison[],
  machine: string,
  day: string,
): string {
  const loads = figures.map(({ loadavg1 }) => loadavg1);
  const load = `load average ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}`;
  const beside =
    comparisons.length === 0 ? [] : ['', 'Beside others, turn about:', '', ...comparisonsMarkdown(comparisons)];
  return [`Measured on ${day}: ${machine}; ${load}.`, '', ...figuresMarkdown(figures), ...beside].join('\n');
}

/** @throws CliError when the file cannot be read or written */
export async function writeFigures(
  file: string,
  figures: readonly Figure[],
  comparisons: readonly Comparison[],
): Promise<void> {
  const day = new Date().toISOString().slice(0, 10);
  try {
    await writeFile(file, withFigures(await contentsOf(file), figuresPart(figures, comparisons, machineText(), day)));
  } catch (error) {
    throw new CliError('bad_file', `${file} cannot be written`, messageOf(error), 'give another file with --out');
  }
}

async function contentsOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return '';
    throw error;
  }
}
