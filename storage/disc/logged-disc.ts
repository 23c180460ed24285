/**
 * A disc that writes fast: every batch is appended to a log as one record, a large one as several, a turn of the event
 * loop for each. In the background what has piled up there is folded into an ordered store, each key once however often
 * it was written.
 *
 * The log is cut into generations of about `foldBytes`. A generation is folded as one atomic, synced batch of the store,
 * together with the number of its last record; then its file goes. So the store always is what it was after some record,
 * and the disc is that and the records after it: a process that dies in the middle of a fold leaves the generation in
 * the log, to be folded again. Writers do not wait for a fold, unless the store is so far behind that the log holds
 * `debtBytesMax` that are not folded: then they wait for the one under way. Reads see the log laid over the store.
 *
 * At start the records are read up to the first that is torn or missing. What lies behind never was acknowledged as
 * synced, and goes, as the unsynced tail of any disc may; except where the number noted with the last sync says
 * otherwise. Then acknowledged writes are lost: the damaged files are set aside, and `loss` says so.
 */
import type { Clock, Disc, DiscFailure, DiscLoss, DiscOperation } from '../environment.ts';
import { StorageError } from '../errors.ts';
import { Generation, operationsBetween, sortedOperations } from './generation.ts';
import { compareOctets } from './key-codec.ts';
import type { LogFile, LogFiles } from './log-files.ts';
import { BATCH_BYTES_MAX, BATCH_OPERATIONS_MAX, bytesOf, WriteQueue } from './write-queue.ts';

export const FOLD_BYTES = 8 << 20;
export const DEBT_BYTES_MAX = 64 << 20;
/** Between notes of how far the log is synced: they are for finding damage, not for recovery. */
const NOTE_SYNCED_MS = 200;
/** Operations gathered for the store before other work has its turn. */
const SLICE_OPERATIONS = 1000;
/** Entries of the log handed over at once, after those of the store, by a scan. */
const CHUNK_ENTRIES = 1000;
/** In the store: the number of the last record that was folded. In no section, and beyond every range (key-space.ts). */
const FOLDED_KEY = Uint8Array.of(0xff, 0x01);

export interface LoggedDiscOptions {
  readonly store: Disc;
  readonly files: LogFiles;
  readonly clock: Clock;
  readonly foldBytes?: number;
  readonly debtBytesMax?: number;
  /** Of one record, which is written in one turn. */
  readonly recordOperationsMax?: number;
}

type Entry = readonly [Uint8Array, Uint8Array];

/** What is left of the log. */
interface FoundLog {
  /** Files with records that are not folded, and how many of their octets are whole. */
  readonly kept: { readonly number: number; readonly length: number }[];
  /** Files of which nothing is needed. */
  readonly spent: number[];
  /** Files from the first torn or missing record on; the first of them may be among those kept. */
  readonly torn: number[];
}

export class LoggedDisc implements Disc {
  loss: DiscLoss | undefined = undefined;
  readonly #store: Disc;
  readonly #files: LogFiles;
  readonly #clock: Clock;
  readonly #foldBytes: number;
  readonly #debtBytesMax: number;
  readonly #recordOperationsMax: number;
  readonly #queue: WriteQueue;
  #opened: Promise<void> | undefined;
  #isOpen = false;
  #closing: Promise<void> | undefined;
  #failure: DiscFailure | undefined;
  /** Number of the last batch. */
  #sequence = 0;
  #file: LogFile | undefined;
  /** Files whose records are not all folded, and not being folded: the last is `#file`. */
  #unfolded: (LogFile | number)[] = [];
  readonly #unsynced = new Set<LogFile>();
  #syncing: Promise<unknown> = Promise.resolve();
  #notedMs = Number.NEGATIVE_INFINITY;
  #pending: Generation;
  #folding: Generation | undefined;
  /** What is in the log, for the scans of a start, which come one after the other with no write between them. */
  #sorted: readonly DiscOperation[] | undefined;
  #folded: Promise<void> = Promise.resolve();

  constructor(options: LoggedDiscOptions) {
    this.#store = options.store;
    this.#files = options.files;
    this.#clock = options.clock;
    this.#foldBytes = options.foldBytes ?? FOLD_BYTES;
    this.#debtBytesMax = options.debtBytesMax ?? DEBT_BYTES_MAX;
    this.#recordOperationsMax = options.recordOperationsMax ?? BATCH_OPERATIONS_MAX;
    this.#pending = this.#newGeneration();
    this.#queue = new WriteQueue(
      (writes) => this.#commit(writes),
      () => this.#sync(),
    );
  }

  /** Reads the log. Reads and writes wait for it; whoever wants its errors now calls it. */
  open(): Promise<void> {
    this.#opened ??= this.#recover();
    return this.#opened;
  }

  write(operations: readonly DiscOperation[], sync: boolean, done: (failure: DiscFailure | undefined) => void): void {
    this.#queue.write(operations, sync, done);
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    if (!this.#isOpen) await this.open();
    const operation = this.#pending.get(key) ?? this.#folding?.get(key);
    if (operation === undefined) return this.#store.get(key);
    return operation.type === 'put' ? operation.value.slice() : undefined;
  }

  async scan(from: Uint8Array, to: Uint8Array, chunk: (entries: readonly Entry[]) => void): Promise<void> {
    this.#checkOpen();
    if (!this.#isOpen) await this.open();
    const generations = this.#folding === undefined ? [this.#pending] : [this.#folding, this.#pending];
    this.#sorted ??= sortedOperations(generations);
    const operations = operationsBetween(this.#sorted, from, to);
    let next = 0;
    const laid: Entry[] = [];
    const layUpTo = (key: Uint8Array | undefined): boolean => {
      for (; next < operations.length; next++) {
        const operation = operations[next] as DiscOperation;
        const order = key === undefined ? -1 : compareOctets(operation.key, key);
        if (order > 0) return false;
        if (operation.type === 'put') laid.push([operation.key.slice(), operation.value.slice()]);
        if (order === 0) {
          next++;
          return true;
        }
      }
      return false;
    };
    await this.#store.scan(from, to, (entries) => {
      if (next === operations.length) return chunk(entries);
      for (const entry of entries) if (!layUpTo(entry[0])) laid.push(entry);
      if (laid.length > 0) chunk(laid.splice(0));
    });
    layUpTo(undefined);
    while (laid.length > 0) chunk(laid.splice(0, CHUNK_ENTRIES));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#queue.close();
    await this.#folded;
    for (const file of this.#unfolded) if (typeof file !== 'number') file.close();
    this.#files.close();
    await this.#store.close();
  }

  // -- writing -----------------------------------------------------------------------------------------------------

  async #commit(writes: readonly (readonly DiscOperation[])[]): Promise<DiscFailure | undefined> {
    try {
      if (!this.#isOpen) await this.open();
      if (this.#folding !== undefined && this.#debt > this.#debtBytesMax) await this.#folded;
      if (this.#folding === undefined && this.#pending.bytes >= this.#foldBytes) await this.#fold();
      if (this.#failure !== undefined) return this.#failure;
      if (writes.some((operations) => operations.length > 0)) await this.#append(writes);
    } catch (error) {
      this.#failed(error);
    }
    return this.#failure;
  }

  async #append(writes: readonly (readonly DiscOperation[])[]): Promise<void> {
    this.#file ??= await this.#nextFile();
    const records = recordsOf(writes, this.#recordOperationsMax);
    try {
      for (const [at, record] of records.entries()) {
        if (at > 0) await this.#pause();
        await this.#file.append(this.#pending.encode(this.#sequence + 1, record, at === records.length - 1));
      }
    } catch (error) {
      this.#pending.drop();
      throw error;
    }
    while (!this.#pending.keep(this.#recordOperationsMax)) await this.#pause();
    this.#sorted = undefined;
    this.#sequence += 1;
    this.#unsynced.add(this.#file);
  }

  async #sync(): Promise<DiscFailure | undefined> {
    try {
      if (this.#failure === undefined) await this.#syncFiles();
    } catch (error) {
      this.#failed(error);
    }
    return this.#failure;
  }

  /** All records so far; nothing to do when none is new since the last time. Appends go on meanwhile. */
  async #syncFiles(): Promise<void> {
    if (this.#unsynced.size === 0) return;
    const through = this.#sequence;
    const files = [...this.#unsynced];
    this.#unsynced.clear();
    this.#syncing = Promise.all(files.map((file) => file.sync()));
    await this.#syncing;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#notedMs < NOTE_SYNCED_MS) return;
    this.#notedMs = nowMs;
    this.#files.noteSynced(through);
  }

  async #nextFile(): Promise<LogFile> {
    const file = await this.#files.create(this.#sequence + 1);
    this.#unfolded.push(file);
    return file;
  }

  get #debt(): number {
    return this.#pending.bytes + (this.#folding?.bytes ?? 0);
  }

  // -- folding -----------------------------------------------------------------------------------------------------

  /** Never one whose memory was used before: a scan may still read the last one's. */
  #newGeneration(): Generation {
    // Some room for the writes that come while the one before is still being folded.
    return new Generation(this.#foldBytes + (this.#foldBytes >> 2));
  }

  /** Begins a new generation and hands the last one to the store. Resolves when writers may go on, not when it is done. */
  async #fold(): Promise<void> {
    const covered = this.#unfolded;
    this.#unfolded = [];
    this.#file = await this.#nextFile();
    const generation = this.#pending;
    this.#pending = this.#newGeneration();
    this.#folding = generation;
    this.#folded = this.#foldInto(generation, this.#sequence, covered);
  }

  async #foldInto(generation: Generation, through: number, covered: readonly (LogFile | number)[]): Promise<void> {
    try {
      await this.#writeStore(generation, through);
      this.#folding = undefined;
      for (const file of covered) if (typeof file !== 'number') this.#unsynced.delete(file);
      await this.#syncing;
      for (const file of covered) {
        if (typeof file !== 'number') file.close();
        await this.#files.remove(typeof file === 'number' ? file : file.number);
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  async #writeStore(generation: Generation, through: number): Promise<void> {
    const operations: DiscOperation[] = [];
    for (const operation of generation.operations()) {
      operations.push(operation);
      if (operations.length % SLICE_OPERATIONS === 0) await this.#pause();
    }
    operations.push({ type: 'put', key: FOLDED_KEY, value: new Uint8Array(Float64Array.of(through).buffer) });
    await new Promise<void>((resolve, reject) => {
      this.#store.write(operations, true, (failure) => {
        if (failure === undefined) resolve();
        else reject(new FailedStore(failure));
      });
    });
  }

  /** Lets other work have its turn. */
  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(0, resolve);
    });
  }

  #failed(error: unknown): void {
    this.#failure ??= failureOf(error);
  }

  // -- start -------------------------------------------------------------------------------------------------------

  async #recover(): Promise<void> {
    const folded = await this.#store.get(FOLDED_KEY);
    this.#sequence = folded === undefined ? 0 : (new Float64Array(folded.slice().buffer)[0] as number);
    const synced = await this.#files.readSynced();
    const found = await this.#readLog();
    if (synced !== undefined && synced > this.#sequence) await this.#lost(synced, found);
    else await this.#settle(found);
    this.#isOpen = true;
  }

  /** Lays the records over the store, up to the first that is not whole or not the next. */
  async #readLog(): Promise<FoundLog> {
    const found: FoundLog = { kept: [], spent: [], torn: [] };
    for (const number of await this.#files.list()) {
      if (found.torn.length > 0) {
        found.torn.push(number);
        continue;
      }
      const octets = await this.#files.read(number);
      const before = this.#sequence;
      const length = this.#readRecords(octets);
      if (this.#sequence > before) found.kept.push({ number, length });
      else if (length === octets.length) found.spent.push(number);
      if (length < octets.length) found.torn.push(number);
    }
    return found;
  }

  /** Returns how many octets are whole records, each the next one or folded already. */
  #readRecords(octets: Uint8Array): number {
    let at = 0;
    while (at < octets.length) {
      const record = this.#pending.restore(octets, at);
      if (record === undefined || record.sequence > this.#sequence + 1) break;
      if (record.sequence === this.#sequence + 1) {
        this.#sequence = record.sequence;
        this.#pending.keepRestored(record.end - at);
      }
      at = record.end;
    }
    return at;
  }

  /**
   * Drops what a power failure left of records nobody was told were synced, and brings the others to the medium: the
   * process before may have died before it did, and what is written from now on must not be there without them.
   */
  async #settle({ kept, spent, torn }: FoundLog): Promise<void> {
    for (const { number, length } of kept) {
      await this.#files.settle(number, length);
      this.#unfolded.push(number);
    }
    for (const number of [...spent, ...torn]) if (!this.#unfolded.includes(number)) await this.#files.remove(number);
  }

  /** Keeps what came before the damage in the store, and the damaged files for whoever wants to look at them. */
  async #lost(synced: number, { kept, spent, torn }: FoundLog): Promise<void> {
    const first = this.#sequence + 1;
    await this.#writeStore(this.#pending, synced);
    this.#pending = this.#newGeneration();
    this.#sequence = synced;
    const setAside: string[] = [];
    for (const number of torn) setAside.push(await this.#files.setAside(number));
    for (const number of [...spent, ...kept.map((file) => file.number)]) {
      if (!torn.includes(number)) await this.#files.remove(number);
    }
    this.loss = { first, last: synced, setAside };
  }

  #checkOpen(): void {
    if (this.#closing === undefined) return;
    throw new StorageError('closed', 'The disc is closed: the database was stopped. Open it again.');
  }
}

/** Cuts a batch into what one turn writes. Only a single write can be larger than that (see write-queue.ts). */
function recordsOf(
  writes: readonly (readonly DiscOperation[])[],
  operationsMax: number,
): (readonly (readonly DiscOperation[])[])[] {
  const [operations = []] = writes;
  if (writes.length > 1 || (operations.length <= operationsMax && bytesOf(operations) <= BATCH_BYTES_MAX))
    return [writes];
  const records: (readonly DiscOperation[])[][] = [];
  let from = 0;
  let bytes = 0;
  for (const [at, operation] of operations.entries()) {
    const size = bytesOf([operation]);
    if (at > from && (at - from === operationsMax || bytes + size > BATCH_BYTES_MAX)) {
      records.push([operations.slice(from, at)]);
      from = at;
      bytes = 0;
    }
    bytes += size;
  }
  records.push([operations.slice(from)]);
  return records;
}

/** Carries the failure of the store through a promise. */
class FailedStore extends Error {
  readonly failure: DiscFailure;

  constructor(failure: DiscFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

function failureOf(error: unknown): DiscFailure {
  if (error instanceof FailedStore) return error.failure;
  if (!(error instanceof StorageError)) throw error;
  const { code, message } = error;
  const advice =
    'Then start the node again: until then it answers reads, takes no writes, and loses nothing it acknowledged.';
  return {
    code: code === 'disc_full' || code === 'disc_corrupt' ? code : 'disc_io',
    message: `${message} ${advice}`,
  };
}
