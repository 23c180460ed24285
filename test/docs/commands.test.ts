/** Every command of every page runs, in order, and prints what the page shows. Real clusters on loopback addresses. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { DOCS, page } from './pages.ts';
import { type Block, blocksOf, missingLines, runBlocks } from './run-page.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Of one page, its turn awaited. */
const LIMIT_MS = 300_000;

/** Pages mostly wait; a few at a time keep the processors busy without making clusters late. */
const AT_ONCE_MAX = 3;
const waiting: (() => void)[] = [];
let running = 0;

async function inTurn<T>(run: () => Promise<T>): Promise<T> {
  if (running >= AT_ONCE_MAX) await new Promise<void>((resolve) => waiting.push(resolve));
  running += 1;
  try {
    return await run();
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}

async function expectPage(blocks: readonly Block[], firstAddress: string): Promise<void> {
  const { code, outputs, errors } = await inTurn(() => runBlocks(blocks, firstAddress));
  const story = blocks.map(({ commands }, at) => `${commands}${outputs[at] ?? '(not run)'}`).join('\n');
  expect(code, `${story}\n${errors}`).toBe(0);
  blocks.forEach(({ commands, shown }, at) => {
    expect(missingLines(shown, outputs[at] ?? ''), `${commands}${outputs[at]}`).toEqual([]);
  });
}

describe('documents', () => {
  beforeAll(() => void execFileSync(process.execPath, ['bin/setup.mjs', '--build'], { cwd: ROOT }), LIMIT_MS);

  const pages = readdirSync(DOCS).filter((name) => blocksOf(page(name)).length > 0);

  it('has pages with commands', () => expect(pages.length).toBeGreaterThan(7));

  it.concurrent.each(pages.map((name, at) => [name, `127.15.${110 + at}.1`]))(
    'docs/%s shows what its commands print',
    (name, firstAddress) => expectPage(blocksOf(page(name)), firstAddress),
    LIMIT_MS,
  );

  it.concurrent(
    'README: the first lines lead from nothing to a cluster, and to a kill under write load that loses nothing',
    () => expectPage(blocksOf(readFileSync(`${ROOT}/README.md`, 'utf8')), '127.15.130.1'),
    LIMIT_MS,
  );

  it('a line that was not printed, or too early, is found missing', () => {
    expect(missingLines(['a …', 'b'], 'a 1\nx\nb')).toEqual([]);
    expect(missingLines(['b', 'a …'], 'a 1\nb')).toEqual(['a …']);
    expect(missingLines(['1  two'], '1 two three')).toEqual(['1  two']);
  });
});
