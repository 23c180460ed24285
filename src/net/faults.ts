/**
 * Faults on demand, inside a lab peer's own network layer and without any right on the machine: links are cut like a
 * pulled cable (nothing is refused, nothing is closed, octets just do not pass) or made slow.
 *
 * Keyed by what tells the other peer: its address, or `address:port` of its cluster listener where several peers share
 * one address (`[address]:port` for IPv6). Each layer acts on its own side only: `out` stops what this peer sends, `in` what it receives,
 * and `delay` holds back what it sends. A cut both ways is imposed on both peers by whoever runs the lab.
 */
import { isIP } from 'node:net';
import type { Clock } from '../../storage/environment.ts';
import { endpointText, normaliseAddress } from './addresses.ts';

export type CutDirection = 'both' | 'in' | 'out';

export interface FaultEntry {
  readonly address: string;
  readonly cut: CutDirection | undefined;
  readonly delayMs: number;
  /** Wall clock, ms since the epoch. */
  readonly sinceMs: number;
}

export interface FaultState {
  readonly cutIn: boolean;
  readonly cutOut: boolean;
  readonly delayMs: number;
}

export interface FaultLayer {
  cut(address: string, direction: CutDirection): void;
  /** Ends the faults of one peer, or all of them. */
  heal(address?: string): void;
  delay(address: string, delayMs: number): void;
  list(): readonly FaultEntry[];
  /** What holds for one peer now; without a port, for the address as a whole. */
  stateOf(address: string, port: number | undefined): FaultState;
  onChange(listener: () => void): () => void;
}

/** More than any lab has peers; a script gone wild must not fill memory. */
export const FAULT_ENTRIES_MAX = 64;
export const FAULT_DELAY_MS_MAX = 60_000;

export function createFaultLayer(clock: Clock): FaultLayer {
  return new Faults(clock);
}

class Faults implements FaultLayer {
  readonly #clock: Clock;
  readonly #entries = new Map<string, FaultEntry>();
  readonly #listeners = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  cut(address: string, direction: CutDirection): void {
    if (!['both', 'in', 'out'].includes(direction)) {
      throw new RangeError(`A cut goes "both", "in" or "out", not ${JSON.stringify(direction)}.`);
    }
    const key = keyOf(address);
    const before = this.#entries.get(key);
    const cut = before?.cut !== undefined && before.cut !== direction ? 'both' : direction;
    this.#set(key, cut, before?.delayMs ?? 0);
  }

  heal(address?: string): void {
    if (address === undefined) this.#entries.clear();
    else this.#entries.delete(keyOf(address));
    this.#changed();
  }

  delay(address: string, delayMs: number): void {
    if (!Number.isFinite(delayMs) || delayMs < 0 || delayMs > FAULT_DELAY_MS_MAX) {
      throw new RangeError(`A delay is 0 to ${FAULT_DELAY_MS_MAX} ms, not ${delayMs}.`);
    }
    const key = keyOf(address);
    this.#set(key, this.#entries.get(key)?.cut, delayMs);
  }

  list(): readonly FaultEntry[] {
    return [...this.#entries.values()].toSorted((left, right) => (left.address < right.address ? -1 : 1));
  }

  stateOf(address: string, port: number | undefined): FaultState {
    const plain = this.#entries.get(normaliseAddress(address));
    const exact = port === undefined ? undefined : this.#entries.get(endpointText(address, port));
    const cuts = [plain?.cut, exact?.cut];
    return {
      cutIn: cuts.includes('in') || cuts.includes('both'),
      cutOut: cuts.includes('out') || cuts.includes('both'),
      delayMs: Math.max(plain?.delayMs ?? 0, exact?.delayMs ?? 0),
    };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #set(key: string, cut: CutDirection | undefined, delayMs: number): void {
    if (cut === undefined && delayMs === 0) this.#entries.delete(key);
    else if (!this.#entries.has(key) && this.#entries.size >= FAULT_ENTRIES_MAX) {
      throw new RangeError(`No more than ${FAULT_ENTRIES_MAX} faults at once. Heal some first.`);
    } else this.#entries.set(key, { address: key, cut, delayMs, sinceMs: this.#clock.wallMs() });
    this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

function keyOf(text: string): string {
  const match = /^\[(.+)\]:(\d{1,5})$/.exec(text) ?? /^([^:]+):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? text;
  if (isIP(address) === 0) {
    throw new RangeError(`"${text}" names no peer. Give its address, or address:port of its cluster listener.`);
  }
  return endpointText(address, match?.[2] === undefined ? undefined : Number(match[2]));
}
