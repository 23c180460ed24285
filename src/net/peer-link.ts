/**
 * The link to one node: its session, the connection that carries it at the moment, and what is measured on it. It lives
 * from `up` to `down`. It decides nothing about other links, dials nothing and keeps no timer: the cluster's side
 * (cluster-links.ts) does, and asks it.
 */
import type { LinkInfo, NodeId } from '../../storage/environment.ts';
import type { Connection } from './connection.ts';
import type { LinkFailureCode } from './failures.ts';
import {
  CHANNELS,
  type ChannelName,
  encodeAck,
  encodeLastWord,
  encodeTick,
  type Frame,
  FrameCodec,
  type FrameFault,
} from './frame-codec.ts';
import type { Moment, NodeIdentity } from './handshake-messages.ts';
import { FRAME_TARGET_BYTES, RESUME_RETRY_FIRST_MS, RESUME_RETRY_LAST_MS } from './limits.ts';
import { RoundTrip } from './round-trip.ts';
import { Session } from './session.ts';

/** Counted per row, across the links it had. */
export interface LinkCounters {
  framesIn: number;
  framesOut: number;
  bytesIn: number;
  bytesOut: number;
  blips: number;
}

export interface PeerLinkHandlers {
  deliver(link: PeerLink, channel: ChannelName, message: unknown): void;
  /** The connection is gone; the session may still be resumed. */
  broken(link: PeerLink): void;
  /** The other side ended the link. */
  ended(link: PeerLink, how: 'goodbye' | 'drop', text: string): void;
  /** The other side broke the protocol. */
  violated(link: PeerLink, code: LinkFailureCode, text: string): void;
  /** Called before anything of the other side is looked at; true when this process slept and the links are gone. */
  overslept(): boolean;
}

export interface PeerLinkOptions {
  readonly identity: NodeIdentity;
  readonly sessionId: string;
  readonly moment: Moment;
  readonly frameBytesMax: number;
  readonly counters: LinkCounters;
  readonly rowIndex: number;
  readonly sinceMs: number;
  readonly monotonicMs: () => number;
  readonly handlers: PeerLinkHandlers;
}

const FAULT_CODES: Readonly<Record<FrameFault, LinkFailureCode>> = {
  too_long: 'frame_too_long',
  malformed: 'frame_malformed',
  version: 'frame_version',
};

export class PeerLink {
  readonly identity: NodeIdentity;
  readonly session: Session;
  /** Wall clock, for people. */
  readonly sinceMs: number;
  /** Monotonic, for arithmetic. */
  readonly upAtMs: number;
  readonly roundTrip = new RoundTrip();
  counters: LinkCounters;
  rowIndex: number;
  /** The other node's, of the word that made or last resumed this link. */
  moment: Moment;
  lastHeardMs: number;
  brokenAtMs: number | undefined;
  /** Where the other side was last seen. */
  address = '';
  readonly #codec: FrameCodec;
  readonly #monotonicMs: () => number;
  readonly #handlers: PeerLinkHandlers;
  #connection: Connection | undefined;
  #resumeRetryMs = RESUME_RETRY_FIRST_MS;
  #isDown = false;

  constructor(options: PeerLinkOptions) {
    this.identity = options.identity;
    this.session = new Session(options.sessionId, Math.min(FRAME_TARGET_BYTES, options.frameBytesMax / 4));
    this.sinceMs = options.sinceMs;
    this.counters = options.counters;
    this.rowIndex = options.rowIndex;
    this.moment = options.moment;
    this.#codec = new FrameCodec(options.frameBytesMax);
    this.#monotonicMs = options.monotonicMs;
    this.#handlers = options.handlers;
    this.lastHeardMs = this.#monotonicMs();
    this.upAtMs = this.lastHeardMs;
  }

  /** Pause before the next try to resume; grows until the link is connected again. */
  nextResumeRetryMs(): number {
    const retryMs = this.#resumeRetryMs;
    this.#resumeRetryMs = Math.min(RESUME_RETRY_LAST_MS, retryMs * 2);
    return retryMs;
  }

  get node(): NodeId {
    return this.identity.nodeId;
  }

  get info(): LinkInfo {
    return { name: this.identity.name, incarnation: this.identity.incarnation };
  }

  get connection(): Connection | undefined {
    return this.#connection;
  }

  get isConnected(): boolean {
    return this.#connection !== undefined;
  }

  /** Queued here and in the socket; while the link is broken, everything that still has to be sent. */
  get backlogBytes(): number {
    const sent = this.#connection === undefined ? this.session.unackedBytes : this.#connection.bufferedBytes;
    return this.session.queuedBytes + sent;
  }

  /** What the link holds in memory: the bound is on this. */
  get heldBytes(): number {
    return this.session.queuedBytes + this.session.unackedBytes;
  }

  /** Takes a connection whose handshake is done and sends again what the other side has not received. */
  attach(connection: Connection, receivedByPeer: number): number | undefined {
    const replay = this.session.replay(receivedByPeer);
    if (replay === undefined) return undefined;
    this.#connection?.terminate();
    this.#connection = connection;
    this.address = connection.address;
    this.brokenAtMs = undefined;
    this.#resumeRetryMs = RESUME_RETRY_FIRST_MS;
    this.lastHeardMs = this.#monotonicMs();
    connection.setHandlers({
      message: (octets) => this.#received(connection, octets),
      violation: (text) => this.#violated(connection, text),
      closed: () => this.#closed(connection),
    });
    for (const octets of replay) this.#send(octets);
    this.flush();
    return replay.length;
  }

  enqueue(channel: ChannelName, message: unknown): void {
    this.session.enqueue({ channel: CHANNELS.indexOf(channel), octets: this.#codec.encodeMessage(message) });
  }

  /** Everything queued leaves in as few frames as fit; an acknowledgement that is due leaves by itself if need be. */
  flush(): void {
    if (this.#connection === undefined) return;
    if (this.session.hasQueued) for (const octets of this.session.seal()) this.#send(octets);
    else if (this.session.isAckDue) this.#send(encodeAck(this.session.takeAck()), true);
  }

  tick(): void {
    this.#send(encodeTick('tick', this.session.takeAck(), this.#monotonicMs()), true);
  }

  /** Nothing of this session is delivered or sent any more. */
  takeDown(): void {
    this.#release()?.terminate();
  }

  /** As takeDown, but everything queued and a last word to the other side still leave; resolves when they have. */
  async finish(type: 'goodbye' | 'drop', text: string): Promise<void> {
    this.flush();
    this.#send(encodeLastWord(type, this.session.takeAck(), text));
    await this.#release()?.finish();
  }

  #release(): Connection | undefined {
    const connection = this.#connection;
    this.#isDown = true;
    this.#connection = undefined;
    return connection;
  }

  #send(octets: Buffer, disposable = false): void {
    if (this.#connection === undefined) return;
    this.counters.framesOut++;
    this.counters.bytesOut += octets.byteLength;
    this.#connection.send(octets, disposable);
  }

  #received(connection: Connection, octets: Buffer): void {
    if (this.#isDown || connection !== this.#connection || this.#handlers.overslept()) return;
    this.lastHeardMs = this.#monotonicMs();
    this.counters.framesIn++;
    this.counters.bytesIn += octets.byteLength;
    const frame = this.#codec.decodeFrame(octets);
    if (frame.type === 'error') {
      this.#handlers.violated(this, FAULT_CODES[frame.fault], frame.text);
      return;
    }
    if (!this.session.acknowledge(frame.ack)) {
      this.#handlers.violated(this, 'frame_malformed', 'an acknowledgement of a frame that was never sent');
      return;
    }
    this.#take(frame, octets.byteLength);
  }

  #take(frame: Frame, bytes: number): void {
    switch (frame.type) {
      case 'data':
        this.#takeData(frame.seq, frame.body, bytes);
        return;
      case 'tick':
        this.#send(encodeTick('tock', this.session.takeAck(), frame.sentMs), true);
        return;
      case 'tock':
        this.roundTrip.add(this.#monotonicMs() - frame.sentMs);
        return;
      case 'ack':
        return;
      case 'goodbye':
      case 'drop':
        this.#handlers.ended(this, frame.type, frame.text);
        return;
    }
  }

  #takeData(seq: number, body: Buffer, bytes: number): void {
    const arrival = this.session.arrive(seq, bytes);
    if (arrival === 'duplicate') return;
    if (arrival === 'gap') {
      // A connection that lost something in the middle is no use; what is missing is sent again on the next one.
      this.#breakOff();
      return;
    }
    const messages = this.#codec.decodeMessages(body);
    if (messages === undefined) {
      this.#handlers.violated(this, 'frame_malformed', 'a data frame that does not hold messages');
      return;
    }
    for (const { channel, message } of messages) {
      // A handler may drop the link: nothing arrives after down.
      if (this.#isDown) return;
      this.#handlers.deliver(this, CHANNELS[channel] ?? 'db', message);
    }
    if (!this.#isDown && this.session.isAckDue) this.#send(encodeAck(this.session.takeAck()), true);
  }

  #violated(connection: Connection, text: string): void {
    if (this.#isDown || connection !== this.#connection || this.#handlers.overslept()) return;
    const isLong = text.includes('Max payload size exceeded');
    this.#handlers.violated(this, isLong ? 'frame_too_long' : 'frame_malformed', text);
  }

  #closed(connection: Connection): void {
    if (this.#isDown || connection !== this.#connection || this.#handlers.overslept()) return;
    this.#breakOff();
  }

  #breakOff(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.brokenAtMs = this.#monotonicMs();
    connection?.terminate();
    this.#handlers.broken(this);
  }
}
