/** Token buckets against guessing passwords: one for each address, one for all together. Bounded in memory. */
import type { Clock } from '../../storage/environment.ts';

interface Bucket {
  tokens: number;
  atMs: number;
}

export interface RateLimitOptions {
  /** Attempts at once. */
  readonly burst: number;
  /** One attempt comes back after this. */
  readonly refillMs: number;
}

export const LOGIN_PER_ADDRESS: RateLimitOptions = { burst: 5, refillMs: 12_000 };
export const LOGIN_IN_ALL: RateLimitOptions = { burst: 30, refillMs: 1_000 };
const ADDRESSES_MAX = 1_024;

export class LoginLimiter {
  readonly #clock: Clock;
  readonly #addresses = new Map<string, Bucket>();
  readonly #all: Bucket;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#all = { tokens: LOGIN_IN_ALL.burst, atMs: clock.monotonicMs() };
  }

  /** Takes one attempt. `undefined`: go on; else ms to wait. */
  take(address: string): number | undefined {
    const own = this.#addresses.get(address) ?? { tokens: LOGIN_PER_ADDRESS.burst, atMs: this.#clock.monotonicMs() };
    this.#addresses.delete(address);
    this.#addresses.set(address, own);
    if (this.#addresses.size > ADDRESSES_MAX) {
      const oldest = this.#addresses.keys().next().value;
      if (oldest !== undefined) this.#addresses.delete(oldest);
    }
    const ownWait = this.#wait(own, LOGIN_PER_ADDRESS);
    if (ownWait > 0) return ownWait;
    const allWait = this.#wait(this.#all, LOGIN_IN_ALL);
    if (allWait > 0) return allWait;
    own.tokens -= 1;
    this.#all.tokens -= 1;
    return undefined;
  }

  /** A right password shows that no guessing went on at this address. */
  succeeded(address: string): void {
    this.#addresses.delete(address);
    this.#all.tokens = Math.min(LOGIN_IN_ALL.burst, this.#all.tokens + 1);
  }

  #wait(bucket: Bucket, options: RateLimitOptions): number {
    const now = this.#clock.monotonicMs();
    bucket.tokens = Math.min(options.burst, bucket.tokens + (now - bucket.atMs) / options.refillMs);
    bucket.atMs = now;
    return bucket.tokens >= 1 ? 0 : Math.ceil((1 - bucket.tokens) * options.refillMs);
  }
}
