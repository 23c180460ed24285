/** Sessions of people who logged in. Tokens are 256 random bits; only their hashes are kept, so a core dump opens no door. */
import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../../storage/environment.ts';

export const SESSIONS_MAX = 64;
const TOKEN_BYTES = 32;

export interface Session {
  readonly user: string;
  /** Monotonic ms; every use moves it on. */
  readonly expiresAtMs: number;
}

const hashOf = (token: string) => createHash('sha256').update(token).digest('base64url');

export class Sessions {
  readonly #clock: Clock;
  readonly #lifeMs: number;
  /** In order of last use: the oldest is first. */
  readonly #byHash = new Map<string, Session>();

  constructor(clock: Clock, lifeMs: number) {
    this.#clock = clock;
    this.#lifeMs = lifeMs;
  }

  /** Past the limit the session unused for longest ends: only a person with the password can bring that about. */
  open(user: string): string {
    this.#sweep();
    if (this.#byHash.size >= SESSIONS_MAX) {
      const oldest = this.#byHash.keys().next().value;
      if (oldest !== undefined) this.#byHash.delete(oldest);
    }
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    this.#byHash.set(hashOf(token), { user, expiresAtMs: this.#clock.monotonicMs() + this.#lifeMs });
    return token;
  }

  /** The session of a token that is still good, its life prolonged. */
  use(token: string): Session | undefined {
    const hash = hashOf(token);
    const session = this.#byHash.get(hash);
    if (session === undefined) return undefined;
    this.#byHash.delete(hash);
    if (session.expiresAtMs <= this.#clock.monotonicMs()) return undefined;
    const prolonged = { user: session.user, expiresAtMs: this.#clock.monotonicMs() + this.#lifeMs };
    this.#byHash.set(hash, prolonged);
    return prolonged;
  }

  /** As `use`, but a watching page does not keep its own session alive. */
  isOpen(token: string): boolean {
    const session = this.#byHash.get(hashOf(token));
    return session !== undefined && session.expiresAtMs > this.#clock.monotonicMs();
  }

  close(token: string): void {
    this.#byHash.delete(hashOf(token));
  }

  get size(): number {
    return this.#byHash.size;
  }

  #sweep(): void {
    const now = this.#clock.monotonicMs();
    for (const [hash, session] of this.#byHash) if (session.expiresAtMs <= now) this.#byHash.delete(hash);
  }
}
