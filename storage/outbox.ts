/**
 * What leaves a node in one turn: messages to other nodes, one batch per node, and one batch to the disc. All prepares,
 * votes and commits of a turn share a frame, all its rows share a LevelDB batch (storage.md §4, batching).
 */
import type { DiscFailure, DiscOperation, Environment, Links, NodeId } from './environment.ts';
import type { HybridClock } from './hybrid-clock.ts';
import { PROPOSALS_BYTES_PER_MESSAGE } from './limits.ts';
import { Kind, type Message, type NumbersMessage, type PrepareMessage } from './transactions/messages.ts';

/** Told once the batch that held its operations is with the operating system (or on the medium, if it was synced). */
export interface DiscWaiter {
  discDone(failure: DiscFailure | undefined): void;
}

/** What goes to one node at the end of this turn. */
class Batch {
  /** The first is the moment it leaves at. */
  readonly messages: unknown[] = [0];
  /** The last message when it is one of numbers, and how many of them it holds. */
  numbers: NumbersMessage | undefined = undefined;
  count = 0;
}

export class Outbox {
  readonly #environment: Environment;
  readonly #hlc: HybridClock;
  readonly #batches = new Map<NodeId, Batch>();
  #sealers: (() => void)[] = [];
  #operations: DiscOperation[] = [];
  #waiters: DiscWaiter[] = [];
  #sync = false;
  #scheduled = false;
  /** Messages wait for one more turn. */
  #isHeld = false;
  /** The most that waited towards any node when the last frames left. */
  #backlogBytes = 0;
  #discPending = 0;
  #drained: (() => void)[] = [];
  /** Counts disc batches handed over: what was noted under one number shares one batch. */
  turn = 0;
  /** The first failure: from then on nothing is written, reads go on. */
  failure: DiscFailure | undefined = undefined;
  onDiscFailure: (failure: DiscFailure) => void = () => undefined;

  constructor(environment: Environment, hlc: HybridClock) {
    this.#environment = environment;
    this.#hlc = hlc;
  }

  send(node: NodeId, message: Message): void {
    const batch = this.#batchTo(node);
    batch.messages.push(message);
    batch.numbers = undefined;
  }

  /** One more number of `kind`, in place `place` of its order; those that follow each other share a message. */
  sendNumber(node: NodeId, kind: number, place: number, n: number): void {
    const batch = this.#batchTo(node);
    const { numbers, count } = batch;
    if (numbers === undefined || numbers[0] !== kind || (place > 0 && numbers[1] + count !== place)) {
      batch.numbers = [kind, place, n, 1];
      batch.messages.push(batch.numbers);
      batch.count = 1;
      return;
    }
    batch.count += 1;
    const end = numbers.length;
    if ((numbers[end - 2] as number) + (numbers[end - 1] as number) === n) (numbers[end - 1] as number) += 1;
    else numbers.push(n, 1);
  }

  /** Whether nothing follows `message` yet among what goes to `node`. */
  isLast(node: NodeId, message: Message): boolean {
    const messages = this.#batches.get(node)?.messages;
    return messages !== undefined && messages[messages.length - 1] === message;
  }

  /** `seal` finishes messages that were still growing. */
  beforeFlush(seal: () => void): void {
    this.#sealers.push(seal);
  }

  #batchTo(node: NodeId): Batch {
    let batch = this.#batches.get(node);
    if (batch === undefined) {
      batch = new Batch();
      this.#batches.set(node, batch);
      this.#schedule();
    }
    return batch;
  }

  write(operation: DiscOperation): void {
    this.#operations.push(operation);
    this.#schedule();
  }

  /** `waiter` hears when everything written so far in this turn is safe. */
  whenWritten(waiter: DiscWaiter, sync: boolean): void {
    this.#waiters.push(waiter);
    if (sync) this.#sync = true;
    this.#schedule();
  }

  /** Messages to a lost node of this turn go nowhere. */
  discard(node: NodeId): void {
    this.#batches.delete(node);
  }

  /** Calls `run` once no disc batch is under way. */
  drained(run: () => void): void {
    if (this.#discPending === 0) run();
    else this.#drained.push(run);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#environment.endOfTurn(() => this.flush());
  }

  flush(): void {
    this.#scheduled = false;
    // Who is answered when the disc has it mostly asks for more at once: what that sends shares the frame. A sync takes
    // longer than a turn: nobody is answered before the frames leave.
    if (this.#waiters.length > 0 && !this.#sync && !this.#isHeld && this.#batches.size > 0) {
      this.#isHeld = true;
      this.#schedule();
      this.#flushDisc();
      return;
    }
    this.#isHeld = false;
    // The others can work while this node writes.
    this.#sendAll();
    this.#flushDisc();
  }

  /** The node stops: everything leaves now. */
  finish(): void {
    this.flush();
    if (this.#isHeld) this.flush();
  }

  #sendAll(): void {
    if (this.#batches.size === 0) return;
    for (const seal of this.#sealers) seal();
    const moment = this.#hlc.now();
    const { links } = this.#environment;
    let backlogBytes = 0;
    for (const [node, { messages }] of this.#batches) {
      messages[0] = moment;
      if (!links.isUp(node)) continue;
      sendInParts(links, node, messages);
      backlogBytes = Math.max(backlogBytes, links.backlogBytes(node));
    }
    this.#batches.clear();
    this.#backlogBytes = backlogBytes;
  }

  /** The first of `nodes` towards which more than `limitBytes` wait. */
  congested(nodes: readonly NodeId[], limitBytes: number): NodeId | undefined {
    // Looked at with each frame; only where one was congested is it asked again before the next.
    if (this.#backlogBytes <= limitBytes) return undefined;
    const { links } = this.#environment;
    return nodes.find((node) => links.isUp(node) && links.backlogBytes(node) > limitBytes);
  }

  #flushDisc(): void {
    if (this.#operations.length === 0 && this.#waiters.length === 0) return;
    const operations = this.#operations;
    const waiters = this.#waiters;
    const sync = this.#sync;
    this.#operations = [];
    this.#waiters = [];
    this.#sync = false;
    this.turn += 1;
    this.#discPending += 1;
    if (this.failure === undefined) {
      this.#environment.disc.write(operations, sync, (failure) => this.#discDone(waiters, failure));
    } else this.#environment.clock.after(0, () => this.#discDone(waiters, this.failure));
  }

  #discDone(waiters: readonly DiscWaiter[], failure: DiscFailure | undefined): void {
    this.#discPending -= 1;
    if (failure !== undefined) this.#failed(failure);
    for (const waiter of waiters) waiter.discDone(failure);
    if (this.#discPending > 0 || this.#drained.length === 0) return;
    for (const run of this.#drained.splice(0)) run();
  }

  #failed(failure: DiscFailure): void {
    if (this.failure !== undefined) return;
    this.failure = failure;
    this.onDiscFailure(failure);
  }
}

/** The messages of a turn leave together, but for proposals so large that together they would not fit a frame. */
function sendInParts(links: Links, node: NodeId, messages: unknown[]): void {
  let from = 1;
  let bytes = 0;
  for (let at = 1; at < messages.length; at++) {
    const message = messages[at] as Message;
    const isOfOctets = message[0] === Kind.prepare || message[0] === Kind.dirty;
    const size = isOfOctets ? (message as unknown as PrepareMessage)[4].length : 0;
    if (bytes > 0 && bytes + size > PROPOSALS_BYTES_PER_MESSAGE) {
      links.send(node, [messages[0], ...messages.slice(from, at)]);
      from = at;
      bytes = 0;
    }
    bytes += size;
  }
  links.send(node, from === 1 ? messages : [messages[0], ...messages.slice(from)]);
}
