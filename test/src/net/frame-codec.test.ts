import { describe, expect, it } from 'vitest';
import {
  encodeAck,
  encodeDataFrame,
  encodeLastWord,
  encodeTick,
  FRAME_HEADER_BYTES,
  FrameCodec,
  PROTOCOL_VERSION,
} from '../../../src/net/frame-codec.ts';

const FRAME_BYTES_MAX = 4096;

function dataFrame(codec: FrameCodec, ...messages: readonly (readonly [channel: number, message: unknown])[]): Buffer {
  const parts = messages.map(([channel, message]) => ({ channel, octets: codec.encodeMessage(message) }));
  const bytes = parts.reduce((sum, part) => sum + part.octets.byteLength, 0);
  return encodeDataFrame(7, 3, parts, bytes);
}

describe('frame codec', () => {
  it('carries what msgpack carries, in order, over both channels', () => {
    const codec = new FrameCodec(FRAME_BYTES_MAX);
    const value = {
      text: 'é',
      big: 5n,
      bigger: 2n ** 80n,
      list: [1.5, -3, null, true],
      octets: new Uint8Array([1, 2]),
    };
    const frame = codec.decodeFrame(dataFrame(codec, [0, value], [1, 'second'], [0, 3]));
    if (frame.type !== 'data') throw new Error(frame.type);
    expect([frame.seq, frame.ack]).toEqual([7, 3]);
    const messages = codec.decodeMessages(frame.body);
    expect(messages?.map(({ channel }) => channel)).toEqual([0, 1, 0]);
    expect(messages?.[0]?.message).toEqual({ ...value, octets: Buffer.from([1, 2]) });
    expect(messages?.[1]?.message).toBe('second');
  });

  it('gives octets of their own, not a view of the receive buffer', () => {
    const codec = new FrameCodec(FRAME_BYTES_MAX);
    const octets = dataFrame(codec, [0, new Uint8Array([1, 2, 3])]);
    const frame = codec.decodeFrame(octets);
    if (frame.type !== 'data') throw new Error(frame.type);
    const [message] = codec.decodeMessages(frame.body) ?? [];
    octets.fill(0);
    expect(message?.message).toEqual(Buffer.from([1, 2, 3]));
  });

  it('reads ticks, acknowledgements and last words', () => {
    const codec = new FrameCodec(FRAME_BYTES_MAX);
    expect(codec.decodeFrame(encodeTick('tick', 9, 1234.5))).toEqual({ type: 'tick', ack: 9, sentMs: 1234.5 });
    expect(codec.decodeFrame(encodeAck(2 ** 40))).toEqual({ type: 'ack', ack: 2 ** 40 });
    const goodbye = codec.decodeFrame(encodeLastWord('goodbye', 1, 'stopping\n\u0000'));
    expect(goodbye).toEqual({ type: 'goodbye', ack: 1, text: 'stopping??' });
  });

  it('refuses a frame that is too long before looking into it', () => {
    const codec = new FrameCodec(FRAME_BYTES_MAX);
    const frame = codec.decodeFrame(Buffer.alloc(FRAME_BYTES_MAX + 1, 0xff));
    expect(frame).toMatchObject({ type: 'error', fault: 'too_long' });
  });

  it('refuses another version and says which', () => {
    const codec = new FrameCodec(FRAME_BYTES_MAX);
    const octets = dataFrame(codec, [0, 'x']);
    octets[0] = PROTOCOL_VERSION + 1;
    expect(codec.decodeFrame(octets)).toMatchObject({ fault: 'version', text: expect.stringContaining('version 2') });
  });

  it('refuses whatever is no frame', () => {
    const codec = new FrameCodec(FRAME_BYTES_MAX);
    const header = dataFrame(codec, [0, 'x']).subarray(0, FRAME_HEADER_BYTES);
    const unnumbered = Buffer.from(header);
    unnumbered.writeUIntBE(0, 2, 6);
    const unknownType = Buffer.from(encodeAck(1));
    unknownType[1] = 99;
    const numberedTick = Buffer.from(encodeTick('tick', 1, 1));
    numberedTick.writeUIntBE(1, 2, 6);
    for (const octets of [header.subarray(0, 5), unnumbered, unknownType, numberedTick]) {
      expect(codec.decodeFrame(octets)).toMatchObject({ type: 'error', fault: 'malformed' });
    }
  });

  it('refuses a body that does not hold messages', () => {
    const codec = new FrameCodec(FRAME_BYTES_MAX);
    const bodies = [
      Buffer.alloc(0),
      Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
      Buffer.from([0x90]),
      Buffer.from([0x91, 0x00]),
      Buffer.from([0x92, 0x02, 0x01]),
      Buffer.from([0x92, 0xa1, 0x61, 0x01]),
      Buffer.from([0x80]),
      Buffer.from([0x92, 0x00, 0x01, 0x01]),
      Buffer.alloc(20_000, 0x91),
    ];
    for (const body of bodies) expect(codec.decodeMessages(body)).toBeUndefined();
  });

  it('does not let a message poison prototypes', () => {
    const codec = new FrameCodec(FRAME_BYTES_MAX);
    const hostile = codec.encodeMessage(JSON.parse('{"__proto__": {"isAdmin": true}}'));
    const messages = codec.decodeMessages(Buffer.concat([Buffer.from([0x92, 0x00]), hostile]));
    expect(messages).toHaveLength(1);
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });

  it('throws at the sender for a message no frame can hold', () => {
    const codec = new FrameCodec(FRAME_BYTES_MAX);
    expect(() => codec.encodeMessage('x'.repeat(FRAME_BYTES_MAX))).toThrow(/longer than a frame may be/);
  });
});
