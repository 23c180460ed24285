/**
 * One session: the numbered frames between two nodes, over as many connections as it takes. Pure, no time, no socket.
 *
 * Sending: messages of a turn are queued, sealed into frames, and kept until the other side has acknowledged them.
 * Receiving: frame n + 1 is new, anything up to n was seen before, anything beyond n + 1 is a gap and breaks the
 * connection. After a break both sides tell the last number they received and send the rest again, in order: every
 * message arrives exactly once for as long as the session lasts.
 */
import { encodeDataFrame, type MessagePart } from './frame-codec.ts';
import { ACK_BYTES_MAX, ACK_FRAMES_MAX } from './limits.ts';

export type Arrival = 'new' | 'duplicate' | 'gap';

export class Session {
  readonly id: string;
  readonly #frameTargetBytes: number;
  #parts: MessagePart[] = [];
  #partBytes = 0;
  /** Sealed and not acknowledged, oldest first; entries before #unackedHead are gone. */
  #unacked: (Buffer | undefined)[] = [];
  #unackedHead = 0;
  #unackedBytes = 0;
  #sealed = 0;
  #acked = 0;
  #received = 0;
  #framesSinceAck = 0;
  #bytesSinceAck = 0;

  constructor(id: string, frameTargetBytes: number) {
    this.id = id;
    this.#frameTargetBytes = frameTargetBytes;
  }

  /** Number of the last frame received: what the other side need not send again. */
  get received(): number {
    return this.#received;
  }

  get sealed(): number {
    return this.#sealed;
  }

  get queuedBytes(): number {
    return this.#partBytes;
  }

  get unackedBytes(): number {
    return this.#unackedBytes;
  }

  get hasQueued(): boolean {
    return this.#parts.length > 0;
  }

  enqueue(part: MessagePart): void {
    this.#parts.push(part);
    this.#partBytes += part.octets.byteLength + 1;
  }

  /** Everything queued as frames ready to send, split at the target size; they stay here until acknowledged. */
  seal(): readonly Buffer[] {
    const frames: Buffer[] = [];
    let from = 0;
    let bytes = 0;
    for (let i = 0; i < this.#parts.length; i++) {
      const size = this.#parts[i]?.octets.byteLength ?? 0;
      if (i > from && bytes + size > this.#frameTargetBytes) {
        frames.push(this.#sealFrame(this.#parts.slice(from, i), bytes));
        from = i;
        bytes = 0;
      }
      bytes += size;
    }
    if (from < this.#parts.length) frames.push(this.#sealFrame(this.#parts.slice(from), bytes));
    this.#parts = [];
    this.#partBytes = 0;
    return frames;
  }

  /** The other side may go on from here: nothing it lacks has been thrown away. */
  canReplayFrom(receivedByPeer: number): boolean {
    return receivedByPeer >= this.#acked && receivedByPeer <= this.#sealed;
  }

  /** Frames the other side has not received, in order; undefined when it asks for what is no longer kept. */
  replay(receivedByPeer: number): readonly Buffer[] | undefined {
    if (!this.canReplayFrom(receivedByPeer)) return undefined;
    this.acknowledge(receivedByPeer);
    return this.#unacked.slice(this.#unackedHead).flatMap((frame) => frame ?? []);
  }

  /** False when the other side acknowledges what was never sent. */
  acknowledge(ack: number): boolean {
    if (ack > this.#sealed) return false;
    while (this.#acked < ack) {
      const frame = this.#unacked[this.#unackedHead];
      this.#unacked[this.#unackedHead++] = undefined;
      this.#unackedBytes -= frame?.byteLength ?? 0;
      this.#acked++;
    }
    // The consumed half is cut off now and then: constant work per frame, no array that only grows.
    if (this.#unackedHead > 64 && this.#unackedHead * 2 > this.#unacked.length) {
      this.#unacked = this.#unacked.slice(this.#unackedHead);
      this.#unackedHead = 0;
    }
    return true;
  }

  /** Judges the number of an incoming data frame and counts it in when it is new. */
  arrive(seq: number, bytes: number): Arrival {
    if (seq <= this.#received) return 'duplicate';
    if (seq > this.#received + 1) return 'gap';
    this.#received = seq;
    this.#framesSinceAck++;
    this.#bytesSinceAck += bytes;
    return 'new';
  }

  /** So much has come in that the other side should hear of it before the next tick. */
  get isAckDue(): boolean {
    return this.#framesSinceAck >= ACK_FRAMES_MAX || this.#bytesSinceAck >= ACK_BYTES_MAX;
  }

  /** The number to put into an outgoing frame; the debt of acknowledgements is paid with it. */
  takeAck(): number {
    this.#framesSinceAck = 0;
    this.#bytesSinceAck = 0;
    return this.#received;
  }

  #sealFrame(parts: readonly MessagePart[], partBytes: number): Buffer {
    this.#sealed++;
    const octets = encodeDataFrame(this.#sealed, this.takeAck(), parts, partBytes);
    this.#unacked.push(octets);
    this.#unackedBytes += octets.byteLength;
    return octets;
  }
}
