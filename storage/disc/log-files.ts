/**
 * The files of a turn log, as LoggedDisc needs them and as a real directory has them.
 *
 *     <number>.turns    records (turn-record.ts); its number is the sequence number of the first one that may be in it
 *     synced            the highest sequence number known to be on the medium, as decimal digits
 */
import { closeSync, constants, fdatasync, openSync, writeSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, syncDirectory } from './file-errors.ts';

/** A file that only grows. What fails rejects with a StorageError `disc_full` or `disc_io`. */
export interface LogFile {
  readonly number: number;
  /**
   * Resolves once the octets are with the operating system. They are the caller's again when this returns. After a
   * failure the file is as before, but for garbage past its end that the next append overwrites.
   */
  append(octets: Uint8Array): Promise<void>;
  /** Resolves once all that was appended, and the file itself, are on the medium. */
  sync(): Promise<void>;
  close(): void;
}

export interface LogFiles {
  /** Numbers of the files there are, ascending. */
  list(): Promise<number[]>;
  read(number: number): Promise<Uint8Array>;
  /** A new file; one of that number that holds nothing of use is replaced. */
  create(number: number): Promise<LogFile>;
  /** Cuts a torn end off, if there is one, and brings what is left of the file to the medium. */
  settle(number: number, length: number): Promise<void>;
  remove(number: number): Promise<void>;
  /** Renames a damaged file, so that it is no longer of the log and can still be looked at. Returns its new name. */
  setAside(number: number): Promise<string>;
  /** What was noted last; undefined when nothing ever was. */
  readSynced(): Promise<number | undefined>;
  /** Noted where a store or log that loses its end does not take it along. Not synced itself: it may lag behind. */
  noteSynced(sequence: number): void;
  close(): void;
}

const NAME = /^(\d{16})\.turns$/;
const SYNCED = 'synced';
const SYNCED_DIGITS = 16;

export async function openLogFiles(directory: string): Promise<LogFiles> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const synced = openSync(join(directory, SYNCED), constants.O_RDWR | constants.O_CREAT, 0o600);
    return new RealLogFiles(directory, synced);
  } catch (error) {
    throw fileError(error, directory);
  }
}

class RealLogFiles implements LogFiles {
  readonly #directory: string;
  readonly #synced: number;

  constructor(directory: string, synced: number) {
    this.#directory = directory;
    this.#synced = synced;
  }

  async list(): Promise<number[]> {
    const names = await this.#attempt(() => readdir(this.#directory));
    const numbers: number[] = [];
    for (const name of names) {
      const digits = NAME.exec(name)?.[1];
      if (digits !== undefined) numbers.push(Number(digits));
    }
    return numbers.sort((a, b) => a - b);
  }

  read(number: number): Promise<Uint8Array> {
    return this.#attempt(async () => {
      const { buffer, byteOffset, byteLength } = await readFile(this.#path(number));
      return new Uint8Array(buffer, byteOffset, byteLength);
    });
  }

  create(number: number): Promise<LogFile> {
    return this.#attempt(async () => {
      const { O_WRONLY, O_CREAT, O_TRUNC } = constants;
      const descriptor = openSync(this.#path(number), O_WRONLY | O_CREAT | O_TRUNC, 0o600);
      return new RealLogFile(number, descriptor, this.#directory);
    });
  }

  settle(number: number, length: number): Promise<void> {
    return this.#attempt(async () => {
      const file = await open(this.#path(number), 'r+');
      try {
        await file.truncate(length);
        await file.sync();
      } finally {
        await file.close();
      }
      await syncDirectory(this.#directory);
    });
  }

  remove(number: number): Promise<void> {
    return this.#attempt(() => rm(this.#path(number), { force: true }));
  }

  setAside(number: number): Promise<string> {
    return this.#attempt(async () => {
      const aside = `${this.#path(number)}.damaged`;
      await rename(this.#path(number), aside);
      await syncDirectory(this.#directory);
      return aside;
    });
  }

  readSynced(): Promise<number | undefined> {
    return this.#attempt(async () => {
      const text = await readFile(join(this.#directory, SYNCED), 'latin1');
      return /^\d{16}$/.test(text) ? Number(text) : undefined;
    });
  }

  noteSynced(sequence: number): void {
    try {
      writeSync(this.#synced, String(sequence).padStart(SYNCED_DIGITS, '0'), 0, 'latin1');
    } catch (error) {
      throw fileError(error, this.#directory);
    }
  }

  close(): void {
    closeSync(this.#synced);
  }

  #path(number: number): string {
    return join(this.#directory, `${String(number).padStart(16, '0')}.turns`);
  }

  async #attempt<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw fileError(error, this.#directory);
    }
  }
}

class RealLogFile implements LogFile {
  readonly number: number;
  readonly #descriptor: number;
  readonly #directory: string;
  #length = 0;
  /** Whether the directory knows the file on the medium. */
  #isEntered = false;

  constructor(number: number, descriptor: number, directory: string) {
    this.number = number;
    this.#descriptor = descriptor;
    this.#directory = directory;
  }

  /**
   * Writes at once: handing some kilobytes to the operating system takes less time than handing the task to another
   * thread and hearing back, ten times less for a single row. LoggedDisc never appends while it syncs, so this does not
   * wait for the medium.
   */
  async append(octets: Uint8Array): Promise<void> {
    try {
      let written = 0;
      while (written < octets.length) {
        const rest = octets.length - written;
        written += writeSync(this.#descriptor, octets, written, rest, this.#length + written);
      }
      this.#length += written;
    } catch (error) {
      throw fileError(error, this.#directory);
    }
  }

  async sync(): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        fdatasync(this.#descriptor, (error) => (error === null ? resolve() : reject(error)));
      });
      if (this.#isEntered) return;
      await syncDirectory(this.#directory);
      this.#isEntered = true;
    } catch (error) {
      throw fileError(error, this.#directory);
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
