/**
 * Octets of a link. Every WebSocket message, handshake included, begins with the version octet and a type octet:
 *
 *   handshake   version type body
 *   data        version type seq(6) ack(6) msgpack array [channel, message, channel, message, …]
 *   tick, tock  version type 0(6)   ack(6) float64 the dialling clock of the sender of the tick
 *   ack         version type 0(6)   ack(6)
 *   goodbye     version type 0(6)   ack(6) utf-8 text
 *   drop        version type 0(6)   ack(6) utf-8 text
 *
 * A frame is complete in itself (no shared records), because it may be sent again on another connection. Size is
 * checked before anything is decoded, and what was decoded is checked before anybody sees it.
 */
import { Packr, Unpackr } from 'msgpackr';
import { GOODBYE_BYTES_MAX } from './limits.ts';

export const PROTOCOL_VERSION = 1;

export const FRAME_TYPES = {
  challenge: 16,
  hello: 17,
  welcome: 18,
  refusal: 19,
  data: 32,
  tick: 33,
  tock: 34,
  ack: 35,
  goodbye: 36,
  drop: 37,
} as const;

export const CHANNELS = ['db', 'otp'] as const;
export type ChannelName = (typeof CHANNELS)[number];

export const FRAME_HEADER_BYTES = 14;
/** What a frame adds to its messages: header, array header. */
export const FRAME_OVERHEAD_BYTES = FRAME_HEADER_BYTES + 5;

export type FrameFault = 'too_long' | 'malformed' | 'version';

export interface FrameError {
  readonly type: 'error';
  readonly fault: FrameFault;
  readonly text: string;
}

export type Frame =
  | { readonly type: 'data'; readonly seq: number; readonly ack: number; readonly body: Buffer }
  | { readonly type: 'tick' | 'tock'; readonly ack: number; readonly sentMs: number }
  | { readonly type: 'ack'; readonly ack: number }
  | { readonly type: 'goodbye' | 'drop'; readonly ack: number; readonly text: string };

export interface ChannelMessage {
  readonly channel: number;
  readonly message: unknown;
}

/** One message as it lies in a frame: its channel octet and its msgpack octets. */
export interface MessagePart {
  readonly channel: number;
  readonly octets: Uint8Array;
}

/** One per session: the encoder reuses its buffer, and nobody else may be between its turns. */
export class FrameCodec {
  readonly #packr = new Packr({ useRecords: false, useBigIntExtension: true });
  readonly #unpackr = new Unpackr({ useRecords: false, copyBuffers: true, useBigIntExtension: true });
  readonly #frameBytesMax: number;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** Throws a TypeError for what msgpack cannot carry and a RangeError for what no frame can hold. */
  encodeMessage(message: unknown): Buffer {
    const octets = this.#packr.pack(message);
    if (octets.byteLength + FRAME_OVERHEAD_BYTES + 1 <= this.#frameBytesMax) return octets;
    throw new RangeError(
      `A message of ${octets.byteLength} octets is longer than a frame may be (${this.#frameBytesMax}). Send it in parts.`,
    );
  }

  /** Size, version and header of a frame of a link. The body of a data frame stays encoded. */
  decodeFrame(octets: Buffer): Frame | FrameError {
    if (octets.byteLength > this.#frameBytesMax) {
      return frameError('too_long', `a frame of ${octets.byteLength} octets; the limit is ${this.#frameBytesMax}`);
    }
    if (octets[0] !== PROTOCOL_VERSION) return versionError(octets[0]);
    if (octets.byteLength < FRAME_HEADER_BYTES) return frameError('malformed', 'a frame shorter than its header');
    return decodeBody(octets, octets.readUIntBE(2, 6), octets.readUIntBE(8, 6));
  }

  /** The messages of a data frame, or undefined when they are not what a data frame may hold. */
  decodeMessages(body: Buffer): readonly ChannelMessage[] | undefined {
    let items: unknown;
    try {
      items = this.#unpackr.unpack(body);
    } catch (error) {
      if (error instanceof Error) return undefined;
      throw error;
    }
    if (!Array.isArray(items) || items.length === 0 || items.length % 2 !== 0) return undefined;
    const messages: ChannelMessage[] = [];
    for (let i = 0; i < items.length; i += 2) {
      const channel: unknown = items[i];
      if (typeof channel !== 'number' || CHANNELS[channel] === undefined) return undefined;
      messages.push({ channel, message: items[i + 1] });
    }
    return messages;
  }
}

export function encodeDataFrame(seq: number, ack: number, parts: readonly MessagePart[], partBytes: number): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_OVERHEAD_BYTES + parts.length + partBytes);
  writeHeader(frame, FRAME_TYPES.data, seq, ack);
  frame[FRAME_HEADER_BYTES] = 0xdd;
  frame.writeUInt32BE(parts.length * 2, FRAME_HEADER_BYTES + 1);
  let offset = FRAME_OVERHEAD_BYTES;
  for (const part of parts) {
    frame[offset++] = part.channel;
    frame.set(part.octets, offset);
    offset += part.octets.byteLength;
  }
  return frame;
}

export function encodeTick(type: 'tick' | 'tock', ack: number, sentMs: number): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + 8);
  writeHeader(frame, FRAME_TYPES[type], 0, ack);
  frame.writeDoubleBE(sentMs, FRAME_HEADER_BYTES);
  return frame;
}

export function encodeAck(ack: number): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  writeHeader(frame, FRAME_TYPES.ack, 0, ack);
  return frame;
}

export function encodeLastWord(type: 'goodbye' | 'drop', ack: number, text: string): Buffer {
  const body = Buffer.from(text.slice(0, GOODBYE_BYTES_MAX / 4));
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + body.byteLength);
  writeHeader(frame, FRAME_TYPES[type], 0, ack);
  body.copy(frame, FRAME_HEADER_BYTES);
  return frame;
}

export function encodeHandshake(type: 'challenge' | 'hello' | 'welcome' | 'refusal', body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([PROTOCOL_VERSION, FRAME_TYPES[type]]), body]);
}

function writeHeader(frame: Buffer, type: number, seq: number, ack: number): void {
  frame[0] = PROTOCOL_VERSION;
  frame[1] = type;
  frame.writeUIntBE(seq, 2, 6);
  frame.writeUIntBE(ack, 8, 6);
}

function decodeBody(octets: Buffer, seq: number, ack: number): Frame | FrameError {
  const body = octets.subarray(FRAME_HEADER_BYTES);
  const type = octets[1];
  if (type === FRAME_TYPES.data) {
    return seq > 0 ? { type: 'data', seq, ack, body } : frameError('malformed', 'a data frame without a number');
  }
  if (seq !== 0) return frameError('malformed', `a numbered frame of type ${type}`);
  if (type === FRAME_TYPES.tick || type === FRAME_TYPES.tock) {
    if (body.byteLength !== 8) return frameError('malformed', 'a tick of the wrong length');
    return { type: type === FRAME_TYPES.tick ? 'tick' : 'tock', ack, sentMs: body.readDoubleBE(0) };
  }
  if (type === FRAME_TYPES.ack && body.byteLength === 0) return { type: 'ack', ack };
  if (type === FRAME_TYPES.goodbye || type === FRAME_TYPES.drop) {
    if (body.byteLength > GOODBYE_BYTES_MAX) return frameError('malformed', 'a goodbye that is too long');
    const text = body.toString('utf8').replaceAll(/[^\x20-\x7e]/g, '?');
    return { type: type === FRAME_TYPES.goodbye ? 'goodbye' : 'drop', ack, text };
  }
  return frameError('malformed', `a frame of unknown type ${type}`);
}

function versionError(version: number | undefined): FrameError {
  return frameError('version', `a frame of protocol version ${version}; this peer speaks ${PROTOCOL_VERSION}`);
}

function frameError(fault: FrameFault, text: string): FrameError {
  return { type: 'error', fault, text };
}
