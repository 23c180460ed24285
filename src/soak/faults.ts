/** What peers of a soak suffer: one fault at a time, each ended before the next begins. */

import { sleep } from '../lab/processes.ts';
import type { SeededRandom } from '../simulation/seeded-random.ts';
import type { PeerProcess } from './peer-process.ts';

export type FaultKind =
  | 'kill'
  | 'kill several'
  | 'pause'
  | 'cut off'
  | 'cut one link'
  | 'cut one way'
  | 'delay'
  | 'full disc';

export interface FaultReport {
  readonly kind: FaultKind;
  readonly peer: string;
  readonly forMs: number;
}

export interface FaultsOptions {
  readonly peers: readonly PeerProcess[];
  readonly random: SeededRandom;
  /** Which faults; one named twice comes twice as often. */
  readonly kinds: readonly FaultKind[];
  /** Lives through the whole run, so that its memory tells something: it is never killed. None when undefined. */
  readonly steady: number | undefined;
  /** Called before a process is ended by a fault. */
  killing(peer: PeerProcess): void;
  say(text: string): void;
}

/** All but those that would end the steady peer too. */
export const SOAK_FAULTS: readonly FaultKind[] = [
  'kill',
  'kill',
  'pause',
  'cut off',
  'cut one link',
  'cut one way',
  'delay',
  'full disc',
];

export class Faults {
  readonly counts: Partial<Record<FaultKind, number>> = {};
  /** Processes ended by kill -9. */
  kills = 0;
  readonly #options: FaultsOptions;

  constructor(options: FaultsOptions) {
    this.#options = options;
  }

  /** Resolves when the fault is over and every peer runs again. */
  async one(): Promise<FaultReport> {
    const { random, peers, steady, kinds, say } = this.#options;
    const kind = random.pick(kinds);
    const mortal = peers.filter((peer) => peer.index !== steady);
    const peer = random.pick(kind === 'kill' || kind === 'full disc' ? mortal : peers);
    const forMs = Math.round(DURATION_MS[kind](random));
    say(`${kind}: ${peer.label} for ${(forMs / 1000).toFixed(1)} s`);
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
    await this.#suffer(kind, peer, forMs);
    return { kind, peer: peer.label, forMs };
  }

  async #suffer(kind: FaultKind, peer: PeerProcess, forMs: number): Promise<void> {
    const { peers, random } = this.#options;
    const others = peers.filter((other) => other !== peer);
    switch (kind) {
      case 'kill':
        return this.#kill([peer], forMs);
      case 'kill several':
        return this.#kill(random.chance(0.5) ? peers : [peer, random.pick(others)], forMs);
      case 'pause':
        peer.pause();
        await sleep(forMs);
        return peer.resume();
      case 'cut off':
        return this.#cut(peer, others, forMs);
      case 'cut one link':
        return this.#cut(peer, [random.pick(others)], forMs);
      case 'cut one way':
        await peer.fault({ op: 'cut', address: random.pick(others).address, direction: 'out' });
        await sleep(forMs);
        return peer.fault({ op: 'heal' });
      case 'delay': {
        const ms = random.integer(20, 300);
        for (const other of others) await peer.fault({ op: 'delay', address: other.address, ms });
        await sleep(forMs);
        return peer.fault({ op: 'heal' });
      }
      case 'full disc':
        peer.fillDisc();
        await sleep(forMs);
        // What an operator does: room is made, and the peer is started again.
        return this.#kill([peer], 0);
    }
  }

  /** At one moment; then each starts again by itself, as a service manager would start it. */
  async #kill(peers: readonly PeerProcess[], forMs: number): Promise<void> {
    const gone = peers.map((peer) => {
      this.kills += 1;
      this.#options.killing(peer);
      return peer.end('SIGKILL');
    });
    await Promise.all(gone);
    await sleep(forMs);
    for (const peer of peers) peer.start();
    await Promise.all(peers.map((peer) => peer.ready()));
  }

  /** Both sides stop sending and receiving, as if the cable were out. */
  async #cut(peer: PeerProcess, others: readonly PeerProcess[], forMs: number): Promise<void> {
    for (const other of others) {
      await peer.fault({ op: 'cut', address: other.address, direction: 'both' });
      await other.fault({ op: 'cut', address: peer.address, direction: 'both' });
    }
    await sleep(forMs);
    for (const each of [peer, ...others]) await each.fault({ op: 'heal' });
  }
}

const DURATION_MS: Readonly<Record<FaultKind, (random: SeededRandom) => number>> = {
  kill: (random) => random.between(1000, 6000),
  'kill several': (random) => random.between(0, 1000),
  pause: (random) => random.between(300, 9000),
  'cut off': (random) => random.between(500, 10_000),
  'cut one link': (random) => random.between(500, 10_000),
  'cut one way': (random) => random.between(500, 10_000),
  delay: (random) => random.between(3000, 10_000),
  'full disc': (random) => random.between(2000, 6000),
};
