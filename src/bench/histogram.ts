/**
 * Counts of durations in buckets whose width grows with the duration: 64 to each doubling, so that a percentile is read
 * to about one part in a hundred, from nanoseconds to hours, in a fixed amount of memory.
 */

/** Bits of the mantissa that tell buckets within one doubling apart. */
const PART_BITS = 6;
const PARTS = 1 << PART_BITS;
/** Durations are kept in nanoseconds; 2^42 of them are more than an hour, and the last bucket takes what is longer. */
const DOUBLINGS = 42;
const BUCKETS = DOUBLINGS * PARTS;
const SHIFT = 20 - PART_BITS;
const EXPONENT_OF_ONE = 1023 << PART_BITS;

const octets = new DataView(new ArrayBuffer(8));
const asFloat = new Float64Array(octets.buffer);
const asWords = new Uint32Array(octets.buffer);
const IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
const HIGH_WORD = IS_LITTLE_ENDIAN ? 1 : 0;

/** The exponent and the first bits of the mantissa of a double are the logarithm, rounded down, that is wanted. */
function bucketOf(durationNs: number): number {
  if (!(durationNs >= 1)) return 0;
  asFloat[0] = durationNs;
  const bucket = (asWords[HIGH_WORD]! >>> SHIFT) - EXPONENT_OF_ONE;
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/** The middle of a bucket, in nanoseconds. */
function middleOf(bucket: number): number {
  const from = 2 ** Math.floor(bucket / PARTS);
  return from * (1 + ((bucket % PARTS) + 0.5) / PARTS);
}

/** As it travels between processes: the buckets that are not empty, `[bucket, count]`, in order. */
export type HistogramBuckets = readonly (readonly [number, number])[];

export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #total = 0;

  /** How many durations were added. */
  get total(): number {
    return this.#total;
  }

  add(durationMs: number): void {
    const bucket = bucketOf(durationMs * 1e6);
    this.#counts[bucket]! += 1;
    this.#total += 1;
  }

  merge(buckets: HistogramBuckets): void {
    for (const [bucket, count] of buckets) {
      this.#counts[bucket]! += count;
      this.#total += count;
    }
  }

  buckets(): HistogramBuckets {
    const filled: [number, number][] = [];
    this.#counts.forEach((count, bucket) => {
      if (count > 0) filled.push([bucket, count]);
    });
    return filled;
  }

  /** The duration, in microseconds, that `share` (0 to 1) of all did not exceed; 0 when there is none. */
  percentileUs(share: number): number {
    const goal = share * this.#total;
    let passed = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      passed += this.#counts[bucket]!;
      if (passed > 0 && passed >= goal) return middleOf(bucket) / 1000;
    }
    return 0;
  }
}
