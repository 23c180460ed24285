/**
 * The log files of one simulated machine. They live on its disc, share its time and its faults, and lose what was not
 * synced when the power goes: the end of a file may be torn anywhere, and a file that was removed may be back.
 */
import type { LogFile, LogFiles } from '../../storage/disc/log-files.ts';
import type { SeededRandom } from './seeded-random.ts';

/** Octets that grow in place. */
class FileContent {
  octets = new Uint8Array(1024);
  length = 0;
  synced = 0;

  append(more: Uint8Array): void {
    const needed = this.length + more.length;
    if (needed > this.octets.length) {
      const grown = new Uint8Array(2 * needed);
      grown.set(this.octets.subarray(0, this.length));
      this.octets = grown;
    }
    this.octets.set(more, this.length);
    this.length = needed;
  }

  cut(length: number): void {
    this.length = length;
    this.synced = Math.min(this.synced, length);
  }

  copy(): FileContent {
    const copy = new FileContent();
    copy.octets = this.octets.slice();
    copy.length = this.length;
    copy.synced = this.synced;
    return copy;
  }
}

/** How the machine does something that takes time: in order, and perhaps not at all. */
export interface Machine {
  /** `partly` is what a process that dies just then may leave. Rejects when the disc has failed. */
  change(kind: 'write' | 'sync', act: () => void, partly?: () => void): Promise<void>;
  /** Reads go on even when the disc has failed. */
  read<T>(act: () => T): Promise<T>;
}

export interface LogFilesImage {
  readonly files: ReadonlyMap<number, FileContent>;
  readonly noted: number | undefined;
}

export class SimulatedLogFiles {
  readonly #random: SeededRandom;
  #files = new Map<number, FileContent>();
  #noted: number | undefined = undefined;
  /** What a loss of power may bring back. */
  #notedBefore: number | undefined = undefined;
  #removed: [number, FileContent] | undefined = undefined;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  open(machine: Machine): LogFiles {
    return {
      list: () => machine.read(() => [...this.#files.keys()].sort((a, b) => a - b)),
      read: (number) =>
        machine.read(() => {
          const { octets, length } = this.#file(number);
          return octets.slice(0, length);
        }),
      create: async (number) => {
        await machine.change('write', () => this.#files.set(number, new FileContent()));
        return this.#handle(machine, number, this.#file(number));
      },
      settle: (number, length) =>
        machine.change('sync', () => {
          this.#file(number).cut(length);
          this.#file(number).synced = length;
        }),
      remove: (number) => machine.change('write', () => this.#remove(number)),
      setAside: async (number) => {
        await machine.change('sync', () => this.#files.delete(number));
        return `${number}.damaged`;
      },
      readSynced: () => machine.read(() => this.#noted),
      noteSynced: (sequence) => {
        this.#notedBefore = this.#noted;
        this.#noted = sequence;
      },
      close: () => undefined,
    };
  }

  /** Whether anything was lost. */
  powerLost(): boolean {
    let lost = false;
    for (const file of this.#files.values()) {
      const kept = this.#random.integer(file.synced, file.length);
      lost ||= kept < file.length;
      file.cut(kept);
    }
    const removed = this.#removed;
    if (removed !== undefined && this.#random.next() < 0.5 && !this.#files.has(removed[0])) this.#files.set(...removed);
    this.#removed = undefined;
    if (this.#random.next() < 0.5) this.#noted = this.#notedBefore;
    return lost;
  }

  image(): LogFilesImage {
    return { files: new Map([...this.#files].map(([number, file]) => [number, file.copy()])), noted: this.#noted };
  }

  restore(image: LogFilesImage): void {
    this.#files = new Map([...image.files].map(([number, file]) => [number, file.copy()]));
    for (const file of this.#files.values()) file.synced = file.length;
    this.#noted = image.noted;
    this.#notedBefore = image.noted;
    this.#removed = undefined;
  }

  /** Damage for tests: octet `at` of file `number` changes; everything from it on is gone if `cut`. */
  damage(number: number, at: number, cut: boolean): void {
    const file = this.#file(number);
    if (cut) file.cut(at);
    else file.octets[at] = (file.octets[at] as number) ^ 0xff;
  }

  #handle(machine: Machine, number: number, file: FileContent): LogFile {
    return {
      number,
      append: (octets) => {
        const copy = octets.slice();
        const torn = this.#random.integer(0, copy.length);
        return machine.change(
          'write',
          () => file.append(copy),
          () => file.append(copy.subarray(0, torn)),
        );
      },
      sync: () => {
        const { length } = file;
        return machine.change('sync', () => {
          file.synced = Math.max(file.synced, length);
        });
      },
      close: () => undefined,
    };
  }

  #remove(number: number): void {
    const file = this.#files.get(number);
    if (file === undefined) return;
    this.#files.delete(number);
    this.#removed = [number, file];
  }

  #file(number: number): FileContent {
    const file = this.#files.get(number);
    if (file === undefined) throw new Error(`The simulated machine has no log file ${number}.`);
    return file;
  }
}
