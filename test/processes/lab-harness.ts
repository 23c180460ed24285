/**
 * Labs for the tests of this folder: real peers over real TLS and real LevelDB, started, hurt and stopped by the real
 * command line, and asked over their REST API. Every lab has addresses of its own and is removed whatever happens.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { createLab } from '../../src/lab/create.ts';
import { onOwnAddresses } from '../../src/lab/ports.ts';
import { conditionOf, sendSignal } from '../../src/lab/processes.ts';
import { findLab, type Lab, labFiles, readLab } from '../../src/lab/state.ts';
import type { ConfigurationFile } from '../../src/peer/configuration.ts';
import { TestPeer } from './test-peer.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/peerage.mjs', import.meta.url));
const POLL_MS = 20;
const LOG_LINES_SHOWN = 120;
/** No command of a lab may take longer; `lab up` gives up by itself before. */
const COMMAND_MS_MAX = 60_000;

export interface CommandResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** One command line, as a person types it. */
export function peerage(...words: readonly string[]): Promise<CommandResult> {
  return new Promise((resolve) => {
    const options = { timeout: COMMAND_MS_MAX, maxBuffer: 64 * 1024 * 1024, env: { ...process.env, NO_COLOR: '1' } };
    execFile(process.execPath, [PROGRAM, ...words], options, (failure, out, err) => {
      const code = failure === null ? 0 : typeof failure.code === 'number' ? failure.code : -1;
      resolve({ code, out, err });
    });
  });
}

/** Asks again until there is an answer other than undefined and false; fails with `what` and the last error. */
export async function awaited<T>(
  what: string,
  timeoutMs: number,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > endMs) {
      const why = last === undefined ? '' : ` (${last instanceof Error ? last.message : String(last)})`;
      throw new Error(`Still not so after ${timeoutMs} ms: ${what}${why}`);
    }
    await sleep(POLL_MS);
  }
}

/** A figure for whoever reads the test's output. */
export function measured(text: string): void {
  process.stdout.write(`  measured: ${text}\n`);
}

export interface TestLabOptions {
  readonly peers: number;
  /** 127.15.X.15, with another X in every file. */
  readonly firstAddress: string;
  /** Changes a peer's configuration file before its first start. */
  readonly change?: (file: ConfigurationFile, index: number) => ConfigurationFile;
}

export class TestLab {
  readonly directory: string;
  /** Of `admin`. */
  readonly password: string;
  readonly peers: readonly TestPeer[];
  readonly #parent: string;

  private constructor(parent: string, directory: string, password: string) {
    this.#parent = parent;
    this.directory = directory;
    this.password = password;
    this.peers = this.state.state.peers.map((peer) => new TestPeer(directory, peer));
  }

  static async start(options: TestLabOptions): Promise<TestLab> {
    const parent = mkdtempSync(join(tmpdir(), 'peerage-processes-'));
    const directory = join(parent, 'lab');
    let password: string | undefined;
    if (options.change !== undefined) password = await prepare(directory, options);
    const first = ['--first-address', options.firstAddress, '--peers', String(options.peers)];
    const up = await peerage('lab', 'up', '--dir', directory, '--detach', '--output', 'json', ...first);
    if (up.code !== 0) {
      if (findLab(directory) !== undefined) {
        new TestLab(parent, directory, '').dumpLogs('the lab did not start');
        await remove(parent, directory);
      }
      throw new Error(`lab up ended with ${up.code}: ${up.err}`);
    }
    password ??= (JSON.parse(up.out) as { password: string }).password;
    return new TestLab(parent, directory, password);
  }

  /** lab.json as it is now. */
  get state(): Lab {
    return readLab(this.directory);
  }

  peer(index: number): TestPeer {
    const peer = this.peers[index - 1];
    if (peer === undefined) throw new RangeError(`The lab has no peer ${index}.`);
    return peer;
  }

  others(index: number): readonly TestPeer[] {
    return this.peers.filter((peer) => peer.index !== index);
  }

  /** A command of this lab that must succeed. */
  async command(...words: readonly string[]): Promise<string> {
    const result = await this.tryCommand(...words);
    if (result.code === 0) return result.out;
    throw new Error(`peerage ${words.join(' ')} ended with ${result.code}: ${result.err}${result.out}`);
  }

  tryCommand(...words: readonly string[]): Promise<CommandResult> {
    return peerage(...words, '--dir', this.directory);
  }

  /** Waits until every row of these peers is active and their database says so. */
  async awaitActive(peers: readonly TestPeer[] = this.peers, timeoutMs = 20_000): Promise<void> {
    await awaited(`every row of ${peers.map((peer) => peer.name).join(', ')} is Active`, timeoutMs, async () => {
      const statuses = await Promise.all(peers.map((peer) => peer.status()));
      return statuses.every(
        ({ cluster }) =>
          cluster.databaseStatus === 'Active' &&
          cluster.peers.every((row) => row.state === 'Active' || row.state === 'This system'),
      );
    });
  }

  /** Names of the shared tables that are not loaded and equal on all of these peers. */
  async differingTables(peers: readonly TestPeer[] = this.peers): Promise<string[]> {
    const statuses = await Promise.all(peers.map((peer) => peer.status()));
    const tables = statuses.map((status) => status.database.tables.filter((table) => !table.localContent));
    const names = [...new Set(tables.flatMap((each) => each.map((table) => table.name)))];
    return names.filter((name) => {
      const copies = tables.map((each) => each.find((table) => table.name === name));
      const digests = new Set(copies.map((copy) => copy?.digest));
      return digests.size !== 1 || copies.some((copy) => copy?.loaded !== true || copy.digest === '');
    });
  }

  async awaitEqual(timeoutMs: number, peers: readonly TestPeer[] = this.peers): Promise<void> {
    let differing: string[] = [];
    await awaited('all replicas are equal', timeoutMs, async () => {
      differing = await this.differingTables(peers);
      if (differing.length > 0) throw new Error(`different: ${differing.join(', ')}`);
      return true;
    });
  }

  dumpLogs(why: string): void {
    for (const peer of this.peers) {
      const lines = existsSync(peer.logFile) ? peer.logText().split('\n').slice(-LOG_LINES_SHOWN) : [];
      process.stderr.write(`--- ${why}: the last lines of ${peer.name}\n${lines.join('\n')}\n`);
      const console = join(this.directory, peer.name, labFiles.peerConsole);
      if (existsSync(console))
        process.stderr.write(`--- its console\n${readFileSync(console, 'utf8').slice(-4_000)}\n`);
    }
  }

  async remove(): Promise<void> {
    for (const peer of this.peers) peer.close();
    await remove(this.#parent, this.directory);
  }
}

/** Makes the lab without starting it, so that its files can be changed first. */
async function prepare(directory: string, options: TestLabOptions): Promise<string> {
  const { lab, password } = await createLab(directory, onOwnAddresses(options.peers, options.firstAddress));
  for (const peer of lab.state.peers) {
    const path = join(directory, peer.folder, labFiles.peerConfiguration);
    const file = JSON.parse(readFileSync(path, 'utf8')) as ConfigurationFile;
    writeFileSync(path, JSON.stringify(options.change?.(file, peer.index) ?? file));
  }
  return password;
}

/** Whatever `lab down` makes of it, nothing of the lab is left behind. */
async function remove(parent: string, directory: string): Promise<void> {
  const lab = findLab(directory);
  try {
    if (lab === undefined) return;
    const down = await peerage('lab', 'down', '--purge', '--dir', directory);
    if (down.code !== 0) throw new Error(`lab down --purge ended with ${down.code}: ${down.err}`);
  } finally {
    for (const peer of lab?.state.peers ?? []) {
      if (peer.process !== null && conditionOf(peer.process) !== 'gone') sendSignal(peer.process, 'SIGKILL');
    }
    rmSync(parent, { recursive: true, force: true });
  }
}

/** One lab for all tests of a file; the logs of its peers are shown when a test fails, and read back at the end. */
export function useLab(options: TestLabOptions): () => TestLab {
  let lab: TestLab | undefined;
  beforeAll(async () => {
    lab = await TestLab.start(options);
  });
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') lab?.dumpLogs(task.name);
  });
  afterAll(async () => {
    const unreadable = lab?.peers.flatMap((peer) => peer.unreadableLines()) ?? [];
    await lab?.remove();
    // Whatever a test was about: no peer may have logged a line that cannot be read back as it is (E133).
    expect(unreadable).toEqual([]);
  });
  return () => {
    if (lab === undefined) throw new Error('The lab did not start.');
    return lab;
  };
}
