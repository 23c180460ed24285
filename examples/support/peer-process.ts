/** Starts `peerage peer --config FILE` as a process of its own and ends it again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { PeerFiles } from './cluster-files.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/main.mjs', import.meta.url));
const READY_MS_MAX = 30_000;

export class PeerProcess {
  readonly files: PeerFiles;
  readonly #child: ChildProcess;
  readonly #ended: Promise<string>;

  private constructor(files: PeerFiles, child: ChildProcess) {
    this.files = files;
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? String(code)));
    });
  }

  /** Resolves when the peer's API answers, which it says in one line on its standard output. */
  static async start(files: PeerFiles): Promise<PeerProcess> {
    const words = ['peer', '--config', files.configurationFile];
    const child = spawn(process.execPath, [PROGRAM, ...words], {
      cwd: dirname(files.configurationFile),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const peer = new PeerProcess(files, child);
    // Should the example itself fail, its peers do not outlive it.
    process.once('exit', () => child.kill('SIGKILL'));
    const ready = new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout! }).on('line', (line) => line.startsWith('peer ready') && resolve());
      child.once('error', reject);
      void peer.#ended.then((how) => reject(new Error(`${files.systemName} ended while it started (${how})`)));
      setTimeout(() => reject(new Error(`${files.systemName} was not ready in time`)), READY_MS_MAX).unref();
    });
    await ready;
    return peer;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** An orderly stop. Resolves with the exit code, or the signal that ended it. */
  stop(): Promise<string> {
    this.#child.kill('SIGTERM');
    return this.#ended;
  }

  /** The end without a word: nothing is flushed, nobody is told. */
  kill(): Promise<string> {
    this.#child.kill('SIGKILL');
    return this.#ended;
  }
}
