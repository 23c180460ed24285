/**
 * How a message gets from the memory of one node into that of another, so that neither can see what the other does to
 * it afterwards. Two ways, of which a seed uses one:
 *
 * - encoded by the very codec of the real links, and decoded. What comes out is compared with what was sent, at once and
 *   when it arrives: the first says that msgpack carries it, the second that its sender left it alone meanwhile.
 * - copied when it is sent, array by array and object by object; several times as fast. Octets are shared: no part of the database
 *   writes into octets once they are a value, and the encoded seeds would notice it.
 *
 * Both refuse what msgpack does not carry.
 */
import { CHANNELS, encodeDataFrame, FRAME_HEADER_BYTES, FrameCodec } from '../net/frame-codec.ts';
import { batchText } from './message-text.ts';

export interface Parcel {
  /** Octets on the wire; estimated where nothing was encoded. */
  readonly bytes: number;
  /** To be called once, at arrival. `onMisuse` hears of a message its sender changed meanwhile. */
  unpack(onMisuse: (what: string) => void): unknown;
}

export interface MessageCarrier {
  /** @throws TypeError for what no link carries */
  pack(message: unknown, onMisuse: (what: string) => void): Parcel;
}

const FRAME_BYTES_MAX = 64 << 20;
const CHANNEL = CHANNELS.indexOf('db');

export class EncodingCarrier implements MessageCarrier {
  readonly #codec = new FrameCodec(FRAME_BYTES_MAX);

  pack(message: unknown, onMisuse: (what: string) => void): Parcel {
    const octets = Uint8Array.prototype.slice.call(this.#codec.encodeMessage(message));
    const decoded = this.#decode(octets);
    if (!isSame(decoded, message)) onMisuse(`sent a message that arrives as something else: ${batchText(message)}`);
    return {
      bytes: octets.length,
      unpack: (changed) => {
        if (!isSame(decoded, message)) changed(`changed a message after sending it; now it is ${batchText(message)}`);
        return decoded;
      },
    };
  }

  #decode(octets: Uint8Array): unknown {
    const frame = encodeDataFrame(1, 0, [{ channel: CHANNEL, octets }], octets.length);
    return this.#codec.decodeMessages(frame.subarray(FRAME_HEADER_BYTES))?.[0]?.message;
  }
}

/** Whether two values are the same to msgpack. */
function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) {
    return Number.isNaN(one) && Number.isNaN(other);
  }
  if (Array.isArray(one)) {
    return Array.isArray(other) && one.length === other.length && one.every((part, at) => isSame(part, other[at]));
  }
  if (one instanceof Uint8Array) return other instanceof Uint8Array && Buffer.compare(one, other) === 0;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && isSame(Reflect.get(one, name), Reflect.get(other, name)))
  );
}

export class CopyingCarrier implements MessageCarrier {
  pack(message: unknown): Parcel {
    bytesCopied = 0;
    const copy = copyOf(message);
    return { bytes: bytesCopied, unpack: () => copy };
  }
}

let bytesCopied = 0;

function copyOf(part: unknown): unknown {
  switch (typeof part) {
    case 'number':
      bytesCopied += Number.isInteger(part) && part >= -0x80000000 && part <= 0xffffffff ? 3 : 9;
      return part;
    case 'string':
      bytesCopied += part.length + 1;
      return part;
    case 'boolean':
    case 'undefined':
      bytesCopied += 1;
      return part;
    case 'bigint':
      bytesCopied += 9;
      return part;
    case 'object':
      return part === null ? nothing() : copyOfObject(part);
    default:
      throw new TypeError(`A link carries no ${typeof part}.`);
  }
}

function nothing(): null {
  bytesCopied += 1;
  return null;
}

function copyOfObject(part: object): unknown {
  if (Array.isArray(part)) {
    bytesCopied += 1;
    const { length } = part;
    const copy: unknown[] = [];
    for (let index = 0; index < length; index++) copy.push(copyOf(part[index]));
    return copy;
  }
  if (part instanceof Uint8Array) {
    bytesCopied += part.length + 2;
    return part;
  }
  const prototype: unknown = Object.getPrototypeOf(part);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new TypeError(`A link carries no instance of ${part.constructor.name}.`);
  }
  bytesCopied += 1;
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(part)) {
    bytesCopied += name.length + 1;
    copy[name] = copyOf((part as Record<string, unknown>)[name]);
  }
  return copy;
}
