/**
 * The disc of a real peer: LevelDB.
 *
 * Written through chained batches: measured 5 to 10 times the operations a second of array batches, because no object
 * is made and checked per operation. A finished batch is in the operating system's hands; with sync it was fsynced.
 * A write that failed is wholly there or wholly not once the store is opened again, and nobody can say which.
 */
import type { ClassicLevel } from 'classic-level';
import { Level as LevelOfPlatform } from 'level';
import type { Disc, DiscFailure, DiscOperation } from '../environment.ts';
import { StorageError } from '../errors.ts';
import { WriteQueue } from './write-queue.ts';

/** Entries handed over at once by a scan. */
export const SCAN_CHUNK_ENTRIES = 1000;
/** Octets LevelDB may read ahead for a chunk; its own default of 16 KiB would cut chunks short. */
const SCAN_READ_AHEAD_BYTES = 4 << 20;
/** Larger than LevelDB's 4 MiB: fewer and larger table files, so that writers meet its slow-down later. */
const WRITE_BUFFER_BYTES = 16 << 20;
/** A key in no section (key-space.ts). Deleting it is how a sync without operations reaches the medium. */
const SYNC_MARK_KEY = Uint8Array.of(0);

/** `level` is classic-level where there are files; its own types know only what a browser can do too (no sync, no repair). */
export const Level = LevelOfPlatform as unknown as typeof ClassicLevel;
type Store = ClassicLevel<Uint8Array, Uint8Array>;

interface EntryIterator {
  nextv(count: number): Promise<[Uint8Array, Uint8Array][]>;
}

/** Operations handed to LevelDB in one go. It takes 2 to 3 microseconds for each, during which nothing else runs. */
const SLICE_OPERATIONS = 256;

export interface LevelStoreOptions {
  /** Awaited between the slices of a large batch, so that other work gets its turn. Default: no pause. */
  readonly pause?: () => Promise<void>;
  /** Make a store where there is none (default). When false, a missing store is damage. */
  readonly create?: boolean;
}

/** Opens the store in `directory`; StorageError `disc_locked`, `disc_corrupt` or `disc_io` when it does not open. */
export async function openLevelStore(directory: string, options: LevelStoreOptions = {}): Promise<Disc> {
  const db: Store = new Level(directory, { keyEncoding: 'view', valueEncoding: 'view' });
  try {
    await db.open({ createIfMissing: options.create ?? true, writeBufferSize: WRITE_BUFFER_BYTES });
  } catch (error) {
    throw openError(error, directory);
  }
  return new LevelStore(db, directory, options.pause);
}

class LevelStore implements Disc {
  readonly #db: Store;
  readonly #directory: string;
  readonly #queue: WriteQueue;
  readonly #pause: (() => Promise<void>) | undefined;
  #closing: Promise<void> | undefined;

  constructor(db: Store, directory: string, pause: (() => Promise<void>) | undefined) {
    this.#db = db;
    this.#pause = pause;
    this.#directory = directory;
    this.#queue = new WriteQueue((writes, sync) => this.#commit(writes, sync));
  }

  write(operations: readonly DiscOperation[], sync: boolean, done: (failure: DiscFailure | undefined) => void): void {
    this.#queue.write(operations, sync, done);
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    try {
      const value = await this.#db.get(key);
      return value === undefined ? undefined : plain(value);
    } catch (error) {
      throw this.#readError(error);
    }
  }

  async scan(
    from: Uint8Array,
    to: Uint8Array,
    chunk: (entries: readonly (readonly [Uint8Array, Uint8Array])[]) => void,
  ): Promise<void> {
    this.#checkOpen();
    const iterator = this.#db.iterator<Uint8Array, Uint8Array>({
      gte: from,
      lt: to,
      highWaterMarkBytes: SCAN_READ_AHEAD_BYTES,
    });
    try {
      let reading = this.#nextEntries(iterator);
      for (;;) {
        const entries = await reading;
        if (entries.length === 0) return;
        // LevelDB reads the next chunk in a thread of its own while this one is looked at.
        reading = this.#nextEntries(iterator);
        reading.catch(() => undefined);
        chunk(packed(entries));
      }
    } finally {
      await iterator.close();
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#queue.close();
    try {
      await this.#db.close();
    } catch (error) {
      throw this.#readError(error);
    }
  }

  async #commit(writes: readonly (readonly DiscOperation[])[], sync: boolean): Promise<DiscFailure | undefined> {
    try {
      const batch = this.#db.batch();
      for (const operations of writes) {
        for (const operation of operations) {
          if (operation.type === 'put') batch.put(operation.key, operation.value);
          else batch.del(operation.key);
          if (this.#pause !== undefined && batch.length % SLICE_OPERATIONS === 0) await this.#pause();
        }
      }
      if (batch.length === 0 && sync) batch.del(SYNC_MARK_KEY);
      await batch.write({ sync });
      return undefined;
    } catch (error) {
      return failureOf(error, this.#directory);
    }
  }

  async #nextEntries(iterator: EntryIterator): Promise<[Uint8Array, Uint8Array][]> {
    try {
      return await iterator.nextv(SCAN_CHUNK_ENTRIES);
    } catch (error) {
      throw this.#readError(error);
    }
  }

  #checkOpen(): void {
    if (this.#closing === undefined) return;
    throw new StorageError('closed', `The store in ${this.#directory} is closed. Open the database again.`);
  }

  #readError(error: unknown): StorageError {
    const failure = failureOf(error, this.#directory);
    return new StorageError(failure.code === 'disc_closed' ? 'closed' : failure.code, failure.message, {
      cause: error,
    });
  }
}

/** LevelDB hands out Buffers, which would differ from a plain Uint8Array wherever values are compared. */
function plain(octets: Uint8Array): Uint8Array {
  return Buffer.isBuffer(octets) ? new Uint8Array(octets.buffer, octets.byteOffset, octets.byteLength) : octets;
}

/**
 * The same entries as plain octets, in one piece of memory. LevelDB's own are two pieces for each entry, which whoever
 * keeps them would keep too: for a table of many rows that is several times the octets.
 */
function packed(entries: readonly (readonly [Uint8Array, Uint8Array])[]): [Uint8Array, Uint8Array][] {
  let length = 0;
  for (const [key, value] of entries) length += key.length + value.length;
  const octets = new Uint8Array(length);
  let at = 0;
  const copy = (source: Uint8Array): Uint8Array => {
    octets.set(source, at);
    at += source.length;
    return octets.subarray(at - source.length, at);
  };
  return entries.map(([key, value]) => [copy(key), copy(value)]);
}

/** The kind of failure behind an error of LevelDB. Exported for its test. */
export function failureOf(error: unknown, directory: string): DiscFailure {
  const { codes, text } = look(error);
  if (codes.some((code) => code === 'LEVEL_DATABASE_NOT_OPEN' || code === 'LEVEL_ITERATOR_NOT_OPEN')) {
    return { code: 'disc_closed', message: `The store in ${directory} is closed. Open the database again.` };
  }
  if (codes.includes('LEVEL_CORRUPTION')) {
    return {
      code: 'disc_corrupt',
      message: `The store in ${directory} is damaged (${text}). Stop the node and repair its data directory.`,
    };
  }
  // EFBIG too: a limit on the size of files stops the store just as a full disc does.
  if (/no space left|ENOSPC|quota exceeded|EDQUOT|file too large|EFBIG/i.test(text)) {
    return {
      code: 'disc_full',
      message: `The disc that holds ${directory} is full (${text}). Free space on it, then start the node again.`,
    };
  }
  return {
    code: 'disc_io',
    message: `The disc that holds ${directory} failed (${text}). Look at the system's log and the disc, then start the node again.`,
  };
}

function openError(error: unknown, directory: string): StorageError {
  const { codes, text } = look(error);
  if (codes.includes('LEVEL_LOCKED')) {
    return new StorageError(
      'disc_locked',
      `The store in ${directory} is open elsewhere (${text}). Two nodes cannot share one: stop the other process, ` +
        'or give this node a data directory of its own.',
      { cause: error },
    );
  }
  // LevelDB says "invalid argument" of a store whose parts do not fit together, such as one without its CURRENT file.
  if (codes.includes('LEVEL_CORRUPTION') || /invalid argument|does not exist/i.test(text)) {
    return new StorageError(
      'disc_corrupt',
      `The store in ${directory} does not open: it is damaged (${text}). Nothing was changed. Repair the data ` +
        'directory, or set it aside and let the node copy its tables from another one.',
      { cause: error },
    );
  }
  const failure = failureOf(error, directory);
  return new StorageError(failure.code === 'disc_full' ? 'disc_full' : 'disc_io', failure.message, { cause: error });
}

/** Codes of an error and its causes, and the text of the innermost: LevelDB's own words. */
function look(error: unknown): { codes: string[]; text: string } {
  const codes: string[] = [];
  let text = String(error);
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') codes.push(at.code);
    text = at.message;
  }
  return { codes, text };
}
