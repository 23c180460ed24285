/**
 * The log file: whole lines, written before the call returns, so that a peer that is killed has lost none. A write that
 * fails is reported and its line is gone; nothing is queued, so a full disc costs no memory and holds up nobody.
 * (pino's own file stream keeps what it could not write and spins in `flushSync` while the disc stays full.)
 */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export class LogFile {
  readonly #path: string;
  readonly #failed: (thrown: unknown) => void;
  #descriptor: number | undefined;

  /** Throws when the file cannot be opened: at start that is a mistake in the configuration. */
  constructor(path: string, failed: (thrown: unknown) => void) {
    this.#path = path;
    this.#failed = failed;
    try {
      this.#descriptor = open(path);
    } catch (cause) {
      throw new Error(`The log file ${path} cannot be opened: ${String(cause)}. Name a file this program may write.`, {
        cause,
      });
    }
  }

  write(line: string): void {
    if (this.#descriptor === undefined) return;
    try {
      const octets = Buffer.from(line);
      for (let at = 0; at < octets.length; ) at += writeSync(this.#descriptor, octets, at);
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  /** Goes on in a new file of the same name; in the old one as long as there can be no new one. */
  reopen(): void {
    try {
      const descriptor = open(this.#path);
      this.close();
      this.#descriptor = descriptor;
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  close(): void {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor === undefined) return;
    try {
      closeSync(descriptor);
    } catch (thrown) {
      this.#failed(thrown);
    }
  }
}

function open(path: string): number {
  mkdirSync(dirname(path), { recursive: true });
  return openSync(path, 'a', 0o640);
}
