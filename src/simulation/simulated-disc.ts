/**
 * The disc of one simulated machine: it outlives the processes that use it, takes virtual time, and can be slow, full,
 * broken, or lose what was not synced when the power goes.
 */
import type { Disc, DiscFailure, DiscOperation } from '../../storage/environment.ts';
import type { NodeProcess } from './network.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Octets of a key, one character each: they compare as the octets do, and serve as the key of a map. */
type KeyName = string;
type Entries = Map<KeyName, Uint8Array>;

interface Batch {
  /** `undefined` deletes. */
  readonly changes: readonly (readonly [KeyName, Uint8Array | undefined])[];
  readonly sync: boolean;
}

const WRITE_US: readonly [number, number] = [20, 200];
const SYNC_US: readonly [number, number] = [400, 3000];
const READ_US: readonly [number, number] = [20, 300];
const SCAN_CHUNK_ENTRIES = 64;
const SYNCED_BATCHES_MAX = 4096;

export class SimulatedDisc {
  /** Every operation takes that many times longer. */
  slowness = 1;
  failure: DiscFailure['code'] | undefined;
  readonly counts = { batches: 0, syncs: 0, failures: 0, tailsLost: 0 };
  private readonly time: VirtualTime;
  private readonly random: SeededRandom;
  /** What a reader sees: with the operating system. */
  private visible: Entries = new Map();
  /**
   * What survives a loss of power: an earlier state, with all batches up to the last synced one on top. Few discs ever
   * lose their power, so the batches are put in place when that happens, or now and then.
   */
  private medium: Entries = new Map();
  private synced: Batch[] = [];
  /** The batches after that. */
  private unsynced: Batch[] = [];
  /** Handed over and not yet done. */
  private pending: Batch[] = [];
  private freeAtUs = 0;
  private user: NodeProcess | undefined;

  constructor(time: VirtualTime, random: SeededRandom) {
    this.time = time;
    this.random = random;
  }

  /** The port for one process. */
  open(process: NodeProcess): Disc {
    this.user = process;
    this.freeAtUs = this.time.nowUs;
    let closed = false;
    return {
      write: (operations, sync, done) => {
        if (process.state === 'dead') return;
        this.write(process, { changes: operations.map(changeOf), sync }, closed, done);
      },
      get: (key) =>
        this.later(process, () => {
          return this.visible.get(nameOf(key))?.slice();
        }),
      scan: (from, to, chunk) => this.later(process, () => this.scan(from, to, chunk)),
      close: () =>
        this.later(process, () => {
          closed = true;
        }),
    };
  }

  /** The process is gone. What it had handed over and was not told of may have been done, from the front. */
  processDied(): void {
    const done = this.random.integer(0, this.pending.length);
    for (const batch of this.pending.slice(0, done)) this.apply(batch);
    this.pending = [];
    this.user = undefined;
  }

  /** The machine is gone, and with it everything that had not reached the medium, but for a lucky front part. */
  powerLost(): void {
    this.pending = [];
    this.user = undefined;
    const kept = this.random.integer(0, this.unsynced.length);
    if (kept < this.unsynced.length) this.counts.tailsLost++;
    this.fold();
    for (const batch of this.unsynced.slice(0, kept)) applyTo(this.medium, batch);
    this.unsynced = [];
    this.visible = new Map(this.medium);
  }

  snapshot(): Entries {
    return new Map(this.visible);
  }

  /** As an operator who brings back an old copy of the machine. */
  restore(snapshot: Entries): void {
    this.visible = new Map(snapshot);
    this.medium = new Map(snapshot);
    this.synced = [];
    this.unsynced = [];
    this.pending = [];
  }

  private write(
    process: NodeProcess,
    batch: Batch,
    closed: boolean,
    done: (failure: DiscFailure | undefined) => void,
  ): void {
    this.pending.push(batch);
    const [least, most] = batch.sync ? SYNC_US : WRITE_US;
    const tookUs = this.random.between(least, most) * this.slowness;
    this.freeAtUs = Math.max(this.freeAtUs, this.time.nowUs) + tookUs;
    this.time.schedule(this.freeAtUs - this.time.nowUs, process, () => {
      if (this.user !== process) return;
      this.pending.shift();
      const code = closed ? 'disc_closed' : this.failure;
      if (code !== undefined) {
        this.counts.failures++;
        done({ code, message: `The simulated disc of ${process.label} failed: ${code}.` });
        return;
      }
      this.apply(batch);
      done(undefined);
    });
  }

  private apply(batch: Batch): void {
    this.counts.batches++;
    applyTo(this.visible, batch);
    this.unsynced.push(batch);
    if (!batch.sync) return;
    this.counts.syncs++;
    for (const earlier of this.unsynced) this.synced.push(earlier);
    this.unsynced = [];
    if (this.synced.length > SYNCED_BATCHES_MAX) this.fold();
  }

  private fold(): void {
    for (const batch of this.synced) applyTo(this.medium, batch);
    this.synced = [];
  }

  private scan(
    from: Uint8Array,
    to: Uint8Array,
    chunk: (entries: readonly (readonly [Uint8Array, Uint8Array])[]) => void,
  ): void {
    const [first, end] = [nameOf(from), nameOf(to)];
    const found: KeyName[] = [];
    for (const name of this.visible.keys()) if (name >= first && name < end) found.push(name);
    found.sort();
    for (let start = 0; start < found.length; start += SCAN_CHUNK_ENTRIES) {
      chunk(
        found
          .slice(start, start + SCAN_CHUNK_ENTRIES)
          .map((name) => [octetsOf(name), (this.visible.get(name) as Uint8Array).slice()] as const),
      );
    }
  }

  private later<T>(process: NodeProcess, run: () => T): Promise<T> {
    const tookUs = this.random.between(READ_US[0], READ_US[1]) * this.slowness;
    return new Promise((resolve, reject) => {
      this.time.schedule(tookUs, process, () => {
        try {
          resolve(run());
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}

function applyTo(entries: Entries, batch: Batch): void {
  for (const [name, value] of batch.changes) {
    if (value === undefined) entries.delete(name);
    else entries.set(name, value);
  }
}

/** The caller may use its octets again once `write` has returned. */
function changeOf(operation: DiscOperation): readonly [KeyName, Uint8Array | undefined] {
  return [nameOf(operation.key), operation.type === 'del' ? undefined : operation.value.slice()];
}

function nameOf(key: Uint8Array): KeyName {
  let name = '';
  for (let index = 0; index < key.length; index++) name += String.fromCharCode(key[index] as number);
  return name;
}

function octetsOf(name: KeyName): Uint8Array {
  const octets = new Uint8Array(name.length);
  for (let index = 0; index < name.length; index++) octets[index] = name.charCodeAt(index);
  return octets;
}
