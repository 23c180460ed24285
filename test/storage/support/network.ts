/** Links between the nodes of one test: first in, first out, on virtual time; cut, healed and slowed when the test says so. */

import { CopyingCarrier } from '../../../src/simulation/message-carrier.ts';
import type { LinkDownReason, LinkHandlers, LinkInfo, Links, NodeId } from '../../../storage/environment.ts';
import type { Message } from '../../../storage/transactions/messages.ts';
import type { VirtualClock } from '../../support/virtual-clock.ts';

/** How long two nodes that may reach each other need to make a link. */
const DIAL_MS = 5;
const LATENCY_MS = 1;

interface Session {
  readonly ends: readonly [NodeId, NodeId];
  /** Ends that have not heard that the link is down. */
  readonly up: Set<NodeId>;
  alive: boolean;
}

/** One frame between two databases, as it was sent. */
export interface SentBatch {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly messages: readonly Message[];
}

interface Listener {
  readonly info: LinkInfo;
  readonly handlers: LinkHandlers;
}

export class MemoryNetwork {
  readonly sent: SentBatch[] = [];
  readonly #clock: VirtualClock;
  readonly #listeners = new Map<NodeId, Listener>();
  readonly #sessions = new Map<string, Session>();
  readonly #cut = new Set<string>();
  readonly #latencyMs = new Map<string, number>();
  readonly #lastDueMs = new Map<string, number>();
  readonly #carrier = new CopyingCarrier();

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  /** The port of one process; `isAlive` tells whether it still runs. */
  links(node: NodeId, info: LinkInfo, isAlive: () => boolean): Links {
    const sessionTo = (other: NodeId): Session | undefined => {
      const session = this.#sessions.get(pairOf(node, other));
      return session?.up.has(node) ? session : undefined;
    };
    return {
      send: (to, message) => {
        const session = sessionTo(to);
        if (session !== undefined && isAlive()) this.#send(session, node, to, message);
      },
      isUp: (other) => sessionTo(other) !== undefined,
      backlogBytes: () => 0,
      drop: (other) => {
        const session = sessionTo(other);
        if (session !== undefined && isAlive()) this.#end(session, { [node]: 'dropped', [other]: 'closed' });
      },
      setHandlers: (handlers) => {
        this.#listeners.set(node, { info, handlers });
        for (const other of this.#listeners.keys()) if (other !== node) this.#dial(node, other);
      },
    };
  }

  /** The process of `node` is gone; the others hear `reason`, after what it had `sent` or at once. */
  leave(node: NodeId, reason: LinkDownReason, sent: 'arrives' | 'lost' = 'lost'): void {
    this.#listeners.delete(node);
    for (const session of [...this.#sessions.values()]) {
      if (!session.ends.includes(node)) continue;
      session.up.delete(node);
      const [a, b] = session.ends;
      const dueMs = this.#lastDueMs.get(`${node}>${node === a ? b : a}`) ?? 0;
      const underWayMs = sent === 'arrives' ? Math.max(0, dueMs - this.#clock.monotonicMs()) : 0;
      const end = (): void => this.#end(session, { [a]: reason, [b]: reason });
      if (underWayMs > 0) this.#clock.after(underWayMs, end);
      else end();
    }
  }

  /** What is under way is lost. Each end hears of it after its own while. */
  cut(a: NodeId, b: NodeId, heardAfterMs: Record<NodeId, number> = {}): void {
    this.#cut.add(pairOf(a, b));
    const session = this.#sessions.get(pairOf(a, b));
    if (session !== undefined) this.#end(session, { [a]: 'silent', [b]: 'silent' }, heardAfterMs);
  }

  isUp(a: NodeId, b: NodeId): boolean {
    return this.#sessions.get(pairOf(a, b))?.up.size === 2;
  }

  /** Something arrives that no database has sent, over a link that is there. */
  inject(from: NodeId, to: NodeId, message: unknown): void {
    if (this.#sessions.get(pairOf(from, to))?.up.has(to)) this.#listeners.get(to)?.handlers.message(from, message);
  }

  heal(a: NodeId, b: NodeId): void {
    this.#cut.delete(pairOf(a, b));
    this.#dial(a, b);
  }

  delay(from: NodeId, to: NodeId, latencyMs: number): void {
    this.#latencyMs.set(`${from}>${to}`, latencyMs);
  }

  #dial(a: NodeId, b: NodeId): void {
    this.#clock.after(DIAL_MS, () => {
      const pair = pairOf(a, b);
      const [one, other] = [this.#listeners.get(a), this.#listeners.get(b)];
      if (one === undefined || other === undefined || this.#cut.has(pair) || this.#sessions.has(pair)) return;
      this.#sessions.set(pair, { ends: [a, b], up: new Set([a, b]), alive: true });
      one.handlers.up(b, other.info);
      other.handlers.up(a, one.info);
    });
  }

  #send(session: Session, from: NodeId, to: NodeId, message: unknown): void {
    const copy = this.#carrier.pack(message).unpack(() => undefined);
    this.sent.push({ from, to, messages: (copy as Message[]).slice(1) });
    const direction = `${from}>${to}`;
    const nowMs = this.#clock.monotonicMs();
    const wantedMs = nowMs + (this.#latencyMs.get(direction) ?? LATENCY_MS);
    const dueMs = Math.max(wantedMs, this.#lastDueMs.get(direction) ?? 0);
    this.#lastDueMs.set(direction, dueMs);
    this.#clock.after(dueMs - nowMs, () => {
      if (session.alive && session.up.has(to)) this.#listeners.get(to)?.handlers.message(from, copy);
    });
  }

  #end(session: Session, reasons: Record<NodeId, LinkDownReason>, heardAfterMs: Record<NodeId, number> = {}): void {
    session.alive = false;
    const [a, b] = session.ends;
    const over = (): void => {
      if (session.up.size > 0 || this.#sessions.get(pairOf(a, b)) !== session) return;
      this.#sessions.delete(pairOf(a, b));
      this.#lastDueMs.delete(`${a}>${b}`);
      this.#lastDueMs.delete(`${b}>${a}`);
      this.#dial(a, b);
    };
    for (const end of [a, b]) {
      this.#clock.after(heardAfterMs[end] ?? 0, () => {
        const heard = session.up.delete(end);
        if (heard) this.#listeners.get(end)?.handlers.down(end === a ? b : a, reasons[end] as LinkDownReason);
        over();
      });
    }
  }
}

function pairOf(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
