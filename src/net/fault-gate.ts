/**
 * The fault layer as one connection sees it: a gate in front of its frames, both ways, that keeps their order. A frame
 * held back on its way out is still unacknowledged in its session, so the session's bound on memory covers it.
 */
import type { Clock, TimerHandle } from '../../storage/environment.ts';
import type { FaultLayer, FaultState } from './faults.ts';

export interface FaultGateOptions {
  readonly faults: FaultLayer;
  readonly clock: Clock;
  readonly address: string;
  /** The other peer's cluster port, as soon as it is known. */
  readonly port: number | undefined;
  readonly write: (octets: Buffer) => void;
  /** Called when octets may come in again, or may not. */
  readonly readable: (isReadable: boolean) => void;
}

export class FaultGate {
  readonly #options: FaultGateOptions;
  readonly #unsubscribe: () => void;
  #port: number | undefined;
  #held: { readonly octets: Buffer; readonly dueMs: number }[] = [];
  #heldBytes = 0;
  #timer: TimerHandle | undefined;
  #cutIn = false;
  /** As of the last change: asked for each frame. */
  #state: FaultState;

  constructor(options: FaultGateOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#state = this.#stateNow();
    this.#cutIn = this.#state.cutIn;
    this.#unsubscribe = options.faults.onChange(() => this.#changed());
  }

  get cutIn(): boolean {
    return this.#cutIn;
  }

  get isCut(): boolean {
    return this.#cutIn || this.#state.cutOut;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  setPort(port: number): void {
    this.#port = port;
    this.#changed();
  }

  /** Ticks and acknowledgements are `disposable`: a cable that is cut loses them, and the next one says the same. */
  send(octets: Buffer, disposable: boolean): void {
    const state = this.#state;
    if (state.cutOut && disposable) return;
    if (!state.cutOut && state.delayMs === 0 && this.#held.length === 0) {
      this.#options.write(octets);
      return;
    }
    this.#held.push({ octets, dueMs: this.#options.clock.monotonicMs() + state.delayMs });
    this.#heldBytes += octets.byteLength;
    this.#schedule();
  }

  /** The last words of a connection leave without the delay: there is no time left for it. */
  drain(): void {
    if (this.#state.cutOut) return;
    for (const { octets } of this.#held.splice(0)) this.#options.write(octets);
    this.#heldBytes = 0;
  }

  close(): void {
    this.#unsubscribe();
    if (this.#timer !== undefined) this.#options.clock.cancel(this.#timer);
    this.#timer = undefined;
    this.#held = [];
    this.#heldBytes = 0;
  }

  #stateNow(): FaultState {
    return this.#options.faults.stateOf(this.#options.address, this.#port);
  }

  #changed(): void {
    this.#state = this.#stateNow();
    const { cutIn } = this.#state;
    this.#release();
    if (cutIn === this.#cutIn) return;
    this.#cutIn = cutIn;
    this.#options.readable(!cutIn);
  }

  #release(): void {
    if (this.#state.cutOut) return;
    const nowMs = this.#options.clock.monotonicMs();
    let count = 0;
    // A delay that was shortened meanwhile still never lets a frame overtake the one before it.
    while (count < this.#held.length && (this.#held[count]?.dueMs ?? 0) <= nowMs) count++;
    for (const { octets } of this.#held.splice(0, count)) {
      this.#heldBytes -= octets.byteLength;
      this.#options.write(octets);
    }
    this.#schedule();
  }

  #schedule(): void {
    const first = this.#held[0];
    if (first === undefined || this.#timer !== undefined || this.#state.cutOut) return;
    const delayMs = Math.max(0, first.dueMs - this.#options.clock.monotonicMs());
    this.#timer = this.#options.clock.after(Math.ceil(delayMs), () => {
      this.#timer = undefined;
      this.#release();
    });
  }
}
