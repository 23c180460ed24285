/**
 * The disc of a simulated node: the same port, rules and write queue as the level store, and it fails when it is told to.
 *
 * Time comes from the Clock port and chance from the Random port, so one seed gives one history. A test holds the
 * MemoryDisc, the node under test sees only the Disc in it.
 */
import type { Clock, Disc, DiscFailure, DiscOperation, Random, TimerHandle } from '../environment.ts';
import { StorageError } from '../errors.ts';
import { WriteQueue } from './write-queue.ts';

/** Entries handed over at once by a scan. */
export const SCAN_CHUNK_ENTRIES = 500;
/** Finished batches that may be lost with the unsynced tail. An operating system too writes old ones back by itself. */
export const UNSYNCED_BATCHES_MAX = 10_000;

/** What is on the medium of a disc that is not open: pass it to `createMemoryDisc` to open it again. */
export interface DiscImage {
  readonly entries: ReadonlyMap<string, Uint8Array>;
}

export interface MemoryDiscOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** How long each batch and each read takes. Default 0: the next timer turn. */
  readonly latencyMs?: number;
  /** Default: an empty disc. */
  readonly image?: DiscImage;
}

export interface MemoryDisc extends Disc {
  /**
   * The node dies now: nothing of this disc is heard of again. A batch under way is on the image wholly or not at all.
   * - `process`: the process was killed; every finished batch is there.
   * - `synced`: the power went too; every batch up to the last sync is there, and of the later ones a seeded number of
   *   the first.
   * - `medium`: the same, and nothing of what was not synced is there.
   */
  crash(survive: 'process' | 'synced' | 'medium'): DiscImage;
  /** What is on the disc now, for opening it again after `close`. */
  image(): DiscImage;
  /**
   * The next batch fails, and by the rule of the write queue every one after it until the disc is opened again.
   * `lost`: it is not there afterwards. `doubtful`: it may be (a real disc can fail after it has written); chance decides
   * when the image is taken.
   */
  failNext(code: DiscFailure['code'], outcome?: 'lost' | 'doubtful'): void;
  /** While full, a write fails with disc_full. */
  setFull(full: boolean): void;
  /** A disc that is slow: each batch and read takes `latencyMs`, and up to `jitterMs` more by chance. */
  setLatencyMs(latencyMs: number, jitterMs?: number): void;
  /** Batches that reached the medium, and how many of them were synced. */
  readonly batches: number;
  readonly syncs: number;
}

export function createMemoryDisc(options: MemoryDiscOptions): MemoryDisc {
  return new MemoryStore(options);
}

type Batch = readonly DiscOperation[];

class MemoryStore implements MemoryDisc {
  batches = 0;
  syncs = 0;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #queue: WriteQueue;
  readonly #timers = new Set<TimerHandle>();
  /** What readers see: all finished batches. */
  readonly #current: Map<string, Uint8Array>;
  /** What is on the medium whatever happens. */
  readonly #synced: Map<string, Uint8Array>;
  /** Finished since the last sync, in order. */
  #unsynced: Batch[] = [];
  #underWay: Batch | undefined;
  #doubtful: Batch | undefined;
  #nextFailure: { readonly failure: DiscFailure; readonly outcome: 'lost' | 'doubtful' } | undefined;
  #latencyMs: number;
  #jitterMs = 0;
  #full = false;
  #state: 'open' | 'closed' | 'dead' = 'open';
  #sortedKeys: string[] | undefined;

  constructor(options: MemoryDiscOptions) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#latencyMs = options.latencyMs ?? 0;
    this.#current = new Map(options.image?.entries);
    this.#synced = new Map(options.image?.entries);
    this.#queue = new WriteQueue((writes, sync) => this.#commit(writes.flat(), sync));
  }

  write(operations: Batch, sync: boolean, done: (failure: DiscFailure | undefined) => void): void {
    if (this.#state !== 'dead') this.#queue.write(operations, sync, done);
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    await this.#latency();
    return this.#current.get(textOf(key))?.slice();
  }

  async scan(
    from: Uint8Array,
    to: Uint8Array,
    chunk: (entries: readonly (readonly [Uint8Array, Uint8Array])[]) => void,
  ): Promise<void> {
    this.#checkOpen();
    // All values of this moment, as a LevelDB iterator sees them.
    const entries = this.#between(textOf(from), textOf(to));
    for (let at = 0; at < entries.length; at += SCAN_CHUNK_ENTRIES) {
      await this.#latency();
      this.#checkOpen();
      chunk(entries.slice(at, at + SCAN_CHUNK_ENTRIES).map(([key, value]) => [octetsOf(key), value.slice()]));
    }
    if (entries.length === 0) await this.#latency();
  }

  async close(): Promise<void> {
    if (this.#state === 'dead') return never();
    this.#state = 'closed';
    await this.#queue.close();
  }

  crash(survive: 'process' | 'synced' | 'medium'): DiscImage {
    this.#state = 'dead';
    this.#queue.kill();
    for (const timer of this.#timers) this.#clock.cancel(timer);
    this.#timers.clear();
    if (survive === 'medium') return { entries: new Map(this.#synced) };
    return survive === 'process' ? this.#imageOf(this.#current, this.#uncertain()) : this.#imageWithoutTail();
  }

  image(): DiscImage {
    return this.#imageOf(this.#current, this.#uncertain());
  }

  failNext(code: DiscFailure['code'], outcome: 'lost' | 'doubtful' = 'lost'): void {
    this.#nextFailure = { failure: { code, message: `This simulated disc was told to fail with ${code}.` }, outcome };
  }

  setFull(full: boolean): void {
    this.#full = full;
  }

  setLatencyMs(latencyMs: number, jitterMs = 0): void {
    this.#latencyMs = latencyMs;
    this.#jitterMs = jitterMs;
  }

  async #commit(batch: Batch, sync: boolean): Promise<DiscFailure | undefined> {
    this.#underWay = batch;
    await this.#latency();
    this.#underWay = undefined;
    const failing = this.#nextFailure;
    if (failing !== undefined) {
      this.#nextFailure = undefined;
      if (failing.outcome === 'doubtful') this.#doubtful = batch;
      return failing.failure;
    }
    if (this.#full && batch.length > 0) {
      return { code: 'disc_full', message: 'This simulated disc is full. Make room on it, then open it again.' };
    }
    apply(this.#current, batch);
    this.#sortedKeys = undefined;
    this.#unsynced.push(batch);
    this.batches++;
    if (sync) this.syncs++;
    this.#writeBack(sync ? 0 : UNSYNCED_BATCHES_MAX);
    return undefined;
  }

  /** Puts all but the last `keep` unsynced batches on the medium. */
  #writeBack(keep: number): void {
    const count = this.#unsynced.length - keep;
    if (count <= 0) return;
    for (const batch of this.#unsynced.splice(0, count)) apply(this.#synced, batch);
  }

  /** Batches that may or may not be there, the older first. */
  #uncertain(): Batch[] {
    return [this.#doubtful, this.#underWay].filter((batch) => batch !== undefined);
  }

  #imageOf(entries: ReadonlyMap<string, Uint8Array>, uncertain: readonly Batch[]): DiscImage {
    return withFirst(entries, uncertain, Math.floor(this.#random.next() * (uncertain.length + 1)));
  }

  #imageWithoutTail(): DiscImage {
    const tail = [...this.#unsynced, ...this.#uncertain()];
    return withFirst(this.#synced, tail, Math.floor(this.#random.next() * (tail.length + 1)));
  }

  #between(from: string, to: string): [string, Uint8Array][] {
    this.#sortedKeys ??= [...this.#current.keys()].sort();
    const keys = this.#sortedKeys;
    const entries: [string, Uint8Array][] = [];
    for (let at = firstAtLeast(keys, from); at < keys.length; at++) {
      const key = keys[at] as string;
      if (key >= to) break;
      entries.push([key, this.#current.get(key) as Uint8Array]);
    }
    return entries;
  }

  #latency(): Promise<void> {
    if (this.#state === 'dead') return never();
    const delayMs = this.#latencyMs + (this.#jitterMs > 0 ? this.#random.next() * this.#jitterMs : 0);
    return new Promise((resolve) => {
      const timer = this.#clock.after(delayMs, () => {
        this.#timers.delete(timer);
        resolve();
      });
      this.#timers.add(timer);
    });
  }

  #checkOpen(): void {
    if (this.#state === 'closed') throw new StorageError('closed', 'This simulated disc is closed. Open it again.');
  }
}

/** Keys are kept as texts of one UTF-16 unit an octet: equal and ordered exactly as the octets are. */
function textOf(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString('latin1');
}

function octetsOf(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}

function apply(entries: Map<string, Uint8Array>, batch: Batch): void {
  for (const operation of batch) {
    if (operation.type === 'put') entries.set(textOf(operation.key), operation.value);
    else entries.delete(textOf(operation.key));
  }
}

function withFirst(entries: ReadonlyMap<string, Uint8Array>, batches: readonly Batch[], count: number): DiscImage {
  const copy = new Map(entries);
  for (const batch of batches.slice(0, count)) apply(copy, batch);
  return { entries: copy };
}

function firstAtLeast(keys: readonly string[], wanted: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as string) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What a call to a dead process is answered with. */
function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}
