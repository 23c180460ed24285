/** Every draw of a simulation comes from here: sfc32, one stream per purpose, so that a new draw in one place does not shift all others. */
import type { Random } from '../../storage/environment.ts';

const WARM_UP_DRAWS = 12;
const UINT32 = 0x1_0000_0000;

export class SeededRandom implements Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;
  private readonly seed: string;

  constructor(seed: number | string) {
    this.seed = String(seed);
    this.a = hashText(this.seed, 0x9e3779b9);
    this.b = hashText(this.seed, 0x243f6a88);
    this.c = hashText(this.seed, 0xb7e15162);
    for (let draw = 0; draw < WARM_UP_DRAWS; draw++) this.uint32();
  }

  /** A stream of its own that depends on this stream's seed and the label only, not on what was drawn so far. */
  fork(label: string): SeededRandom {
    return new SeededRandom(`${this.seed}/${label}`);
  }

  next(): number {
    return this.uint32() / UINT32;
  }

  hex(count: number): string {
    let text = '';
    for (let octet = 0; octet < count; octet++) text += (this.uint32() >>> 24).toString(16).padStart(2, '0');
    return text;
  }

  /** Uniform in [least, most], both included. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new RangeError('pick needs at least one element to choose from.');
    return list[Math.floor(this.next() * list.length)] as T;
  }

  shuffle<T>(list: readonly T[]): T[] {
    const shuffled = [...list];
    for (let last = shuffled.length - 1; last > 0; last--) {
      const other = this.integer(0, last);
      const held = shuffled[last] as T;
      shuffled[last] = shuffled[other] as T;
      shuffled[other] = held;
    }
    return shuffled;
  }

  private uint32(): number {
    const sum = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (this.c << 21) | (this.c >>> 11);
    this.c = (this.c + sum) | 0;
    return sum >>> 0;
  }
}

/** FNV-1a with a final mix; only used to spread seeds, never for anything secret. */
export function hashText(text: string, basis: number): number {
  let hash = basis | 0;
  for (let index = 0; index < text.length; index++) {
    hash ^= text.charCodeAt(index);
    hash = Math.imul(hash, 0x01000193);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
