/** Goal: a log before a store outlives kill -9 and a disc that is really full, with everything it reported finished. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Disc } from '../../../storage/environment.ts';
import { octets, put, textOf, WHOLE, write } from './conformance.ts';
import { openLogged } from './open-logged.ts';

const writerScript = fileURLToPath(new URL('./level-writer.ts', import.meta.url));
const node = [process.execPath, '--import', 'tsx', writerScript];

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'peerage-full-'));
});
afterEach(() => rm(directory, { recursive: true }));

interface Report {
  /** Last number finished, by writer. */
  readonly finished: Map<string, number>;
  count: number;
  readonly other: string[];
}

/** Runs 64 writers in a process of their own; kills it once `killAfter` writes were reported. */
async function runWriters(command: readonly string[], killAfter = Number.POSITIVE_INFINITY): Promise<Report> {
  const report: Report = { finished: new Map(), count: 0, other: [] };
  const [program, ...args] = command as [string, ...string[]];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  for await (const line of createInterface({ input: child.stdout })) {
    const [what, writer, number] = line.split(' ');
    if (what !== 'done') report.other.push(line);
    else {
      report.finished.set(writer as string, Number(number));
      if (++report.count === killAfter) child.kill('SIGKILL');
    }
  }
  await closed;
  return report;
}

/** Each write puts a row of its own and its writer's last number: both are there, and nothing of a write that is not. */
async function expectAllThere(disc: Disc, { finished }: Report): Promise<void> {
  const found = new Map<string, Uint8Array>();
  await disc.scan(WHOLE.from, WHOLE.to, (chunk) => {
    for (const [key, value] of chunk) found.set(textOf(key), value);
  });
  for (let writer = 0; writer < 64; writer++) {
    const last = Number(textOf(found.get(`last/${writer}`) ?? octets('-1')));
    expect(last).toBeGreaterThanOrEqual(finished.get(String(writer)) ?? -1);
    for (let number = 0; number <= last; number++) expect(found.get(`${writer}/${number}`)).toHaveLength(200);
    expect(found.has(`${writer}/${last + 1}`)).toBe(false);
  }
}

describe('a data directory in a process that ends badly', () => {
  test('W12 after kill -9 every write that was reported finished is there, and no half of one', async () => {
    const report = await runWriters([...node, join(directory, 'data'), 'log'], 12_000);
    expect(report.count).toBeGreaterThanOrEqual(12_000);
    const disc = await openLogged(join(directory, 'data'), 1 << 20);
    expect(disc.loss).toBeUndefined();
    await expectAllThere(disc, report);
    await disc.close();
  }, 120_000);

  // Stands in for a full disc where nobody may mount one.
  test.runIf(process.platform === 'linux')('a limit on the size of files is disc_full, and loses nothing', async () => {
    const limited = ['/bin/bash', '-c', 'ulimit -f 512; exec "$@"', 'bash'];
    const report = await runWriters([...limited, ...node, join(directory, 'data'), 'log']);
    expect(report.other).toEqual(['failed disc_full', 'later disc_full']);
    expect(report.count).toBeGreaterThan(100);
    const disc = await openLogged(join(directory, 'data'), 1 << 20);
    await expectAllThere(disc, report);
    await disc.close();
  });

  test('a disc that is really full is disc_full; with room again all is there, and writes go on', async (context) => {
    const mounted = join(directory, 'mounted');
    await mkdir(mounted);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mounted], { stdio: 'pipe' });
    } catch (error) {
      context.skip(
        `nobody may mount a small disc here (${String(error).split('\n')[0]}); the limit above is tried instead`,
      );
    }
    try {
      const report = await runWriters([...node, join(mounted, 'data'), 'log']);
      expect(report.other).toEqual(['failed disc_full', 'later disc_full']);
      expect(report.count).toBeGreaterThan(1_000);
      execFileSync('mount', ['-o', 'remount,size=64m', mounted], { stdio: 'pipe' });
      const disc = await openLogged(join(mounted, 'data'), 1 << 20);
      expect(disc.loss).toBeUndefined();
      await expectAllThere(disc, report);
      expect(await write(disc, [put('after', 'x')], true)).toBeUndefined();
      await disc.close();
    } finally {
      execFileSync('umount', [mounted], { stdio: 'pipe' });
    }
  }, 120_000);
});
