/**
 * The disc of one simulated machine: it outlives the processes that use it, takes virtual time, and can be slow, full,
 * broken, or lose what was not synced when the power goes. Its processes use it as a peer does, through a log that is
 * folded into a store; the log is kept short, so that nodes die in the middle of folds too.
 */
import { LoggedDisc } from '../../storage/disc/logged-disc.ts';
import type { Clock, Disc, DiscFailure, DiscOperation } from '../../storage/environment.ts';
import { StorageError } from '../../storage/errors.ts';
import type { NodeProcess } from './network.ts';
import type { SeededRandom } from './seeded-random.ts';
import { type LogFilesImage, type Machine, SimulatedLogFiles } from './simulated-log-files.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Handed over and not yet done. */
interface Act {
  run(): void;
  /** What a process that dies just then may leave. */
  readonly partly: (() => void) | undefined;
}

/** Octets of a key, one character each: they compare as the octets do, and serve as the key of a map. */
type KeyName = string;
type Entries = Map<KeyName, Uint8Array>;
/** `undefined` deletes. */
type Change = readonly [KeyName, Uint8Array | undefined];

export interface DiscImage {
  readonly entries: Entries;
  readonly log: LogFilesImage;
}

const TOOK_US: Record<'write' | 'sync', readonly [number, number]> = { write: [20, 200], sync: [400, 3000] };
const READ_US: readonly [number, number] = [20, 300];
const SCAN_CHUNK_ENTRIES = 64;
const FOLD_BYTES = 8 << 10;
const DEBT_BYTES_MAX = 64 << 10;
/** So that many a merge is several records, and nodes die between them. */
const RECORD_OPERATIONS_MAX = 8;

export class SimulatedDisc {
  /** Every operation takes that many times longer. */
  slowness = 1;
  failure: Extract<DiscFailure['code'], 'disc_full' | 'disc_io'> | undefined;
  readonly counts = { batches: 0, syncs: 0, failures: 0, tailsLost: 0 };
  readonly log: SimulatedLogFiles;
  private readonly time: VirtualTime;
  private readonly random: SeededRandom;
  /** The store. It is only ever written with a sync, so it loses nothing. */
  private entries: Entries = new Map();
  private pending: Act[] = [];
  private freeAtUs = { write: 0, sync: 0 };
  private user: NodeProcess | undefined;

  constructor(time: VirtualTime, random: SeededRandom) {
    this.time = time;
    this.random = random;
    this.log = new SimulatedLogFiles(random);
  }

  /** The port for one process. */
  open(process: NodeProcess, clock: Clock): Disc {
    this.user = process;
    this.freeAtUs = { write: this.time.nowUs, sync: this.time.nowUs };
    const machine: Machine = {
      change: (kind, act, partly) =>
        new Promise((resolve, reject) => {
          if (kind === 'sync') this.counts.syncs++;
          this.perform(process, kind, { run: act, partly }, (failure) => {
            if (failure === undefined) resolve();
            else reject(new StorageError(failure.code === 'disc_full' ? 'disc_full' : 'disc_io', failure.message));
          });
        }),
      read: (act) => this.later(process, act),
    };
    return new LoggedDisc({
      store: this.store(process),
      files: this.log.open(machine),
      clock,
      foldBytes: FOLD_BYTES,
      debtBytesMax: DEBT_BYTES_MAX,
      recordOperationsMax: RECORD_OPERATIONS_MAX,
    });
  }

  /** The process is gone. What it had handed over and was not told of may have been done, from the front. */
  processDied(): void {
    const done = this.random.integer(0, this.pending.length);
    for (const act of this.pending.slice(0, done)) act.run();
    this.pending[done]?.partly?.();
    this.pending = [];
    this.user = undefined;
  }

  /** The machine is gone, and with it everything that had not reached the medium, but for a lucky front part. */
  powerLost(): void {
    this.pending = [];
    this.user = undefined;
    if (this.log.powerLost()) this.counts.tailsLost++;
  }

  snapshot(): DiscImage {
    return { entries: new Map(this.entries), log: this.log.image() };
  }

  /** A disc out of the box. */
  empty(): DiscImage {
    return { entries: new Map(), log: new SimulatedLogFiles(this.random).image() };
  }

  /** As an operator who brings back an old copy of the machine. */
  restore({ entries, log }: DiscImage): void {
    this.entries = new Map(entries);
    this.log.restore(log);
    this.pending = [];
  }

  private store(process: NodeProcess): Disc {
    let closed = false;
    return {
      write: (operations, sync, done) => {
        if (!sync) throw new Error('The store of a simulated machine is written with a sync only.');
        const changes = operations.map(changeOf);
        this.perform(process, 'sync', { run: () => this.apply(changes), partly: undefined }, (failure) => {
          done(closed ? { code: 'disc_closed', message: 'The simulated store was closed.' } : failure);
        });
      },
      get: (key) => {
        const value = this.entries.get(nameOf(key));
        return this.later(process, () => value?.slice());
      },
      scan: (from, to, chunk) => {
        const found = this.between(from, to);
        return this.later(process, () => {
          for (let at = 0; at < found.length; at += SCAN_CHUNK_ENTRIES) chunk(found.slice(at, at + SCAN_CHUNK_ENTRIES));
        });
      },
      close: () =>
        this.later(process, () => {
          closed = true;
        }),
    };
  }

  /** Writes go on while a sync is under way; each kind keeps its order. */
  private perform(
    process: NodeProcess,
    kind: 'write' | 'sync',
    act: Act,
    done: (failure: DiscFailure | undefined) => void,
  ): void {
    if (process.state === 'dead') return;
    this.pending.push(act);
    const [least, most] = TOOK_US[kind];
    const tookUs = this.random.between(least, most) * this.slowness;
    this.freeAtUs[kind] = Math.max(this.freeAtUs[kind], this.time.nowUs) + tookUs;
    this.time.schedule(this.freeAtUs[kind] - this.time.nowUs, process, () => {
      if (this.user !== process) return;
      this.pending.splice(this.pending.indexOf(act), 1);
      if (this.failure !== undefined) {
        this.counts.failures++;
        done({ code: this.failure, message: `The simulated disc of ${process.label} failed: ${this.failure}.` });
        return;
      }
      act.run();
      this.counts.batches++;
      done(undefined);
    });
  }

  private apply(changes: readonly Change[]): void {
    this.counts.syncs++;
    for (const [name, value] of changes) {
      if (value === undefined) this.entries.delete(name);
      else this.entries.set(name, value);
    }
  }

  /** As of this moment, as an iterator of a real store sees it. */
  private between(from: Uint8Array, to: Uint8Array): (readonly [Uint8Array, Uint8Array])[] {
    const [first, end] = [nameOf(from), nameOf(to)];
    const found: KeyName[] = [];
    for (const name of this.entries.keys()) if (name >= first && name < end) found.push(name);
    return found.sort().map((name) => [octetsOf(name), (this.entries.get(name) as Uint8Array).slice()]);
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

/** The caller may use its octets again once `write` has returned. */
function changeOf(operation: DiscOperation): Change {
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
