/**
 * Runs the `sh` blocks of a page in order, in one shell, as a reader would type them, and gives what each printed.
 *
 * Three things differ from the reader's terminal: the shell stands in a temporary directory with links to the sources;
 * a lab gets addresses of its own; and `npx` and `npm start` run the program directly, `npm start` in the background
 * until its peers are ready, as in a second terminal.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MARK = '@@@ block';
const LINKED = ['bin', 'dist', 'examples', 'node_modules', 'package.json', 'src', 'actors', 'storage'];

export interface Block {
  readonly commands: string;
  /** Lines of the `text` block below, which must be among what was printed, in this order. */
  readonly shown: readonly string[];
}

export interface PageRun {
  readonly code: number | null;
  /** What each block printed. */
  readonly outputs: readonly string[];
  readonly errors: string;
}

export function blocksOf(markdown: string): Block[] {
  const fences = [...markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)];
  const blocks: { commands: string; shown: string[] }[] = [];
  for (const [, language, text = ''] of fences) {
    if (language === 'sh') blocks.push({ commands: text, shown: [] });
    else if (language === 'text') blocks.at(-1)?.shown.push(...text.split('\n').filter((line) => line.trim() !== ''));
  }
  return blocks;
}

/** Columns are as wide as their widest cell, so widths differ from run to run. */
const squeezed = (line: string) => line.trim().replace(/\s+/g, ' ');

function matches(pattern: string, line: string): boolean {
  const parts = squeezed(pattern)
    .split('…')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(squeezed(line));
}

/** Lines of a page that were not printed in the order in which the page shows them. */
export function missingLines(shown: readonly string[], output: string): string[] {
  const lines = output.split('\n');
  let at = 0;
  return shown.filter((pattern) => {
    const found = lines.findIndex((line, index) => index >= at && matches(pattern, line));
    if (found >= 0) at = found + 1;
    return found < 0;
  });
}

const SHIM = (name: string, cases: string) =>
  `#!/usr/bin/env bash\ncase "$1" in\n${cases}\n*) echo "${name} $*: the test knows no such command" >&2; exit 64 ;;\nesac\n`;

function writeShims(folder: string, firstAddress: string): void {
  mkdirSync(folder);
  const peerage = `exec ${process.execPath} ${ROOT}bin/peerage.mjs`;
  const up = `"lab up") shift 2; ${peerage} lab up --first-address ${firstAddress} "$@" ;;`;
  const npx = `peerage) shift; case "$1 $2" in\n  ${up}\n  *) ${peerage} "$@" ;;\n  esac ;;\ntsx) shift; exec ${process.execPath} --import tsx "$@" ;;`;
  const start = `start) ${peerage} lab up --first-address ${firstAddress} > start.log 2>&1 < /dev/null &
  until grep -q 'peers ready' start.log || ! kill -0 $!; do sleep 0.2; done; cat start.log ;;`;
  writeFileSync(join(folder, 'npx'), SHIM('npx', npx), { mode: 0o755 });
  writeFileSync(join(folder, 'npm'), SHIM('npm', start.replaceAll('exec ', '')), { mode: 0o755 });
}

export async function runBlocks(blocks: readonly Block[], firstAddress: string): Promise<PageRun> {
  const folder = mkdtempSync(join(tmpdir(), 'peerage-docs-'));
  try {
    for (const name of LINKED) symlinkSync(join(ROOT, name), join(folder, name));
    writeShims(join(folder, 'shims'), firstAddress);
    const script = blocks.map(({ commands }, at) => `echo '${MARK} ${at}'\n${commands}`).join('\n');
    return await runScript(`set -e -o pipefail\n${script}`, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runScript(script: string, folder: string): Promise<PageRun> {
  const { PEERAGE_PASSWORD: _, ...environment } = process.env;
  const shell = spawn('bash', ['-c', script], {
    cwd: folder,
    env: { ...environment, PATH: `${join(folder, 'shims')}:${process.env.PATH}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [output, errors] = ['', ''];
  shell.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  shell.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    shell.on('error', reject);
    shell.on('exit', resolve);
  });
  // Whatever a failed page left running ends with it; a page that went well has stopped its lab itself.
  if (code !== 0) await endLab(folder);
  const outputs = output.split(new RegExp(`^${MARK} \\d+\\n`, 'm')).slice(1);
  return { code, outputs, errors };
}

function endLab(folder: string): Promise<void> {
  return new Promise((resolve) => {
    const words = [`${ROOT}bin/peerage.mjs`, 'lab', 'down', '--purge'];
    spawn(process.execPath, words, { cwd: folder, stdio: 'ignore' }).on('close', () => resolve());
  });
}
