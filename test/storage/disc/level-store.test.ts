/** Goal: LevelDB behind the port keeps the contract, and what it reported finished outlives kill -9 and a full disc. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { failureOf, openLevelStore } from '../../../storage/disc/level-store.ts';
import type { Disc } from '../../../storage/environment.ts';
import { contents, describeDisc, octets, put, textOf, write } from './conformance.ts';

const writerScript = fileURLToPath(new URL('./level-writer.ts', import.meta.url));

describeDisc('the level store', () => {
  let directory: string;
  let disc: Disc;
  return {
    open: async () => {
      directory = await mkdtemp(join(tmpdir(), 'peerage-level-'));
      disc = await openLevelStore(directory);
      return disc;
    },
    reopen: async () => {
      disc = await openLevelStore(directory, { create: false });
      return disc;
    },
    dispose: async () => {
      await disc.close();
      await rm(directory, { recursive: true });
    },
  };
});

describe('a level store in a process that ends badly', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'peerage-level-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  interface Report {
    readonly finished: { writer: string; number: number }[];
    readonly other: string[];
  }

  /** Runs the writer; kills it once it has reported `killAfter` writes. */
  async function runWriter(command: string, args: readonly string[], killAfter: number): Promise<Report> {
    const report: Report = { finished: [], other: [] };
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    for await (const line of createInterface({ input: child.stdout })) {
      const [what, writer, number] = line.split(' ');
      if (what !== 'done') report.other.push(line);
      else if (report.finished.push({ writer: writer as string, number: Number(number) }) === killAfter)
        child.kill('SIGKILL');
    }
    await closed;
    return report;
  }

  async function expectAllThere(report: Report): Promise<void> {
    const disc = await openLevelStore(directory, { create: false });
    const found = new Map<string, Uint8Array>();
    await disc.scan(Uint8Array.of(0), Uint8Array.of(255), (chunk) => {
      for (const [key, value] of chunk) found.set(textOf(key), value);
    });
    await disc.close();
    const missing: string[] = [];
    for (const { writer, number } of report.finished) {
      const value = found.get(`${writer}/${number}`);
      if (value?.length !== 200 || value.some((octet) => octet !== number % 256)) missing.push(`${writer}/${number}`);
      // Its batch is whole: the pointer written with it, or with a later one, is there too.
      expect(Number(textOf(found.get(`last/${writer}`) as Uint8Array))).toBeGreaterThanOrEqual(number);
    }
    expect(missing).toEqual([]);
    for (let writer = 0; writer < 64; writer++) {
      const last = Number(textOf(found.get(`last/${writer}`) ?? octets('-1')));
      if (last >= 0) expect(found.has(`${writer}/${last}`)).toBe(true);
      expect(found.has(`${writer}/${last + 1}`)).toBe(false);
    }
  }

  test('after kill -9 every write that was reported finished is there, and no half batch', async () => {
    const report = await runWriter(process.execPath, ['--import', 'tsx', writerScript, directory], 3_000);
    expect(report.finished.length).toBeGreaterThanOrEqual(3_000);
    await expectAllThere(report);
  });

  // The limit on the size of files stands in for a full disc: it needs no disc of its own, nor rights.
  test.runIf(process.platform === 'linux')(
    'a disc that takes no more fails with disc_full for ever, and loses nothing it reported finished',
    async () => {
      const limited = 'ulimit -f 512; exec "$@"';
      const node = [process.execPath, '--import', 'tsx', writerScript, directory];
      const report = await runWriter('/bin/bash', ['-c', limited, 'bash', ...node], Number.POSITIVE_INFINITY);
      expect(report.other).toEqual(['failed disc_full', 'later disc_full']);
      expect(report.finished.length).toBeGreaterThan(100);
      await expectAllThere(report);
    },
  );
});

describe('a level store that does not open', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'peerage-level-'));
    const disc = await openLevelStore(directory);
    await write(disc, [put('a', '1')], true);
    await disc.close();
  });
  afterEach(() => rm(directory, { recursive: true }));

  test('open elsewhere is disc_locked, and the one that has it goes on', async () => {
    const disc = await openLevelStore(directory);
    await expect(openLevelStore(directory)).rejects.toMatchObject({ code: 'disc_locked' });
    expect(await contents(disc)).toEqual([['a', '1']]);
    await disc.close();
  });

  test('a store that lost its CURRENT file is disc_corrupt, not a new empty one', async () => {
    await rm(join(directory, 'CURRENT'));
    await expect(openLevelStore(directory, { create: false })).rejects.toMatchObject({ code: 'disc_corrupt' });
  });

  test('a store with a damaged manifest is disc_corrupt', async () => {
    const manifest = (await readdir(directory)).find((name) => name.startsWith('MANIFEST')) as string;
    await truncate(join(directory, manifest), 10);
    await writeFile(join(directory, manifest), 'x'.repeat(200));
    await expect(openLevelStore(directory, { create: false })).rejects.toMatchObject({ code: 'disc_corrupt' });
  });

  test('each error of LevelDB has its failure code', () => {
    const error = (code: string, text: string) => Object.assign(new Error(text), { code });
    const codeOf = (code: string, text: string) => failureOf(error(code, text), '/d').code;
    expect(codeOf('LEVEL_IO_ERROR', 'IO error: /d/000003.log: No space left on device')).toBe('disc_full');
    expect(codeOf('LEVEL_IO_ERROR', 'IO error: /d/000003.log: Disk quota exceeded')).toBe('disc_full');
    expect(codeOf('LEVEL_IO_ERROR', 'IO error: /d/000003.log: Input/output error')).toBe('disc_io');
    expect(codeOf('LEVEL_CORRUPTION', 'Corruption: block checksum mismatch')).toBe('disc_corrupt');
    expect(codeOf('LEVEL_DATABASE_NOT_OPEN', 'Database is not open')).toBe('disc_closed');
    expect(codeOf('', 'something new')).toBe('disc_io');
  });
});
