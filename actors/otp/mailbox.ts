import type { Monitor } from './monitors.ts';
import type { From, HostInfo, MailboxPolicy } from './types.ts';

/** What waits in a mailbox. `call`, `cast` and `info` come from others and are bounded; the rest is the host's own. */
export type Envelope =
  | { readonly kind: 'call'; readonly message: unknown; readonly from: From }
  | { readonly kind: 'cast'; readonly message: unknown }
  | { readonly kind: 'info'; readonly message: unknown }
  | { readonly kind: 'timeout'; readonly name: string; readonly generation: number; readonly message: unknown }
  | { readonly kind: 'down'; readonly monitor: Monitor; readonly info: HostInfo }
  | { readonly kind: 'host'; readonly info: HostInfo }
  /** A worker's first and only turn. */
  | { readonly kind: 'begin' }
  /** A supervisor tries again to start children that could not be restarted. */
  | { readonly kind: 'retry' };

/**
 * FIFO with a bound on what others send. Timeouts, DOWN and worker results keep their place in the order (a process
 * must see what another sent before it hears of its death) but always fit: each is bounded where it is made.
 */
export class Mailbox {
  private readonly max: number;
  private readonly policy: MailboxPolicy;
  private items: (Envelope | undefined)[] = [];
  private head = 0;
  private bounded = 0;

  constructor(max: number, policy: MailboxPolicy) {
    this.max = max;
    this.policy = policy;
  }

  get length(): number {
    return this.items.length - this.head;
  }

  /** Answers what did not fit: the envelope itself, an older one it pushed out, or nothing. */
  push(envelope: Envelope): Envelope | undefined {
    let dropped: Envelope | undefined;
    if (isBounded(envelope)) {
      if (this.bounded >= this.max) {
        dropped = this.policy === 'refuse' ? envelope : (this.takeOldestDroppable() ?? envelope);
        if (dropped === envelope) return dropped;
      }
      this.bounded += 1;
    }
    this.items.push(envelope);
    return dropped;
  }

  shift(): Envelope | undefined {
    if (this.head === this.items.length) return undefined;
    const envelope = this.items[this.head];
    this.items[this.head] = undefined;
    this.head += 1;
    if (this.head === this.items.length) {
      this.items = [];
      this.head = 0;
    } else if (this.head >= 1024 && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    if (envelope !== undefined && isBounded(envelope)) this.bounded -= 1;
    return envelope;
  }

  /** A caller waits for its answer, so a call is refused when it comes and never taken back afterwards. */
  private takeOldestDroppable(): Envelope | undefined {
    for (let index = this.head; index < this.items.length; index += 1) {
      const candidate = this.items[index];
      if (candidate === undefined || (candidate.kind !== 'cast' && candidate.kind !== 'info')) continue;
      if (index === this.head) return this.shift();
      this.items.splice(index, 1);
      this.bounded -= 1;
      return candidate;
    }
    return undefined;
  }
}

function isBounded(envelope: Envelope): boolean {
  return envelope.kind === 'cast' || envelope.kind === 'info' || envelope.kind === 'call';
}
