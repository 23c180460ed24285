/** Nodes of a simulation share a heap and must not notice: each of the two ways to carry a message keeps them apart. */
import { describe, expect, it } from 'vitest';
import { CopyingCarrier, EncodingCarrier, type MessageCarrier } from '../../src/simulation/message-carrier.ts';

const MESSAGE = [17, [1, 'text', true, null, [2 ** 40, -1.5, { name: 'x', list: [1] }]], new Uint8Array([1, 2, 3])];

const none = (what: string): void => {
  throw new Error(what);
};

const WAYS: readonly [string, () => MessageCarrier][] = [
  ['copied', () => new CopyingCarrier()],
  ['encoded', () => new EncodingCarrier()],
];

describe.each(WAYS)('a message that is %s', (_, make) => {
  it('arrives with the content it was sent with', () => {
    const arrived = make().pack(MESSAGE, none).unpack(none) as unknown[];
    expect([...arrived.slice(0, 2), [...(arrived[2] as Uint8Array)]]).toEqual([...MESSAGE.slice(0, 2), [1, 2, 3]]);
  });

  it('shares no array and no object with what was sent', () => {
    const sent = [1, [2, { three: [3] }]];
    const arrived = make().pack(sent, none).unpack(none) as typeof sent;
    expect(arrived).not.toBe(sent);
    expect(arrived[1]).not.toBe(sent[1]);
    const [, inner] = sent as [number, [number, { three: number[] }]];
    const [, innerArrived] = arrived as unknown as typeof sent as [number, [number, { three: number[] }]];
    innerArrived[1].three.push(4);
    expect(inner[1].three).toEqual([3]);
  });

  it('does not change when its sender goes on using it', () => {
    const sent = ['before'];
    const parcel = make().pack(sent, none);
    sent[0] = 'after';
    expect(parcel.unpack(() => undefined)).toEqual(['before']);
  });

  it('is refused when no link carries it', () => {
    expect(() => make().pack([Symbol('x')], none)).toThrow();
  });

  it('has about the size it has on a wire', () => {
    const { bytes } = make().pack([1, 'x'.repeat(1000), new Uint8Array(500)], none);
    expect(bytes).toBeGreaterThan(1480);
    expect(bytes).toBeLessThan(1530);
  });
});

describe('the encoded way', () => {
  it('tells of a sender that changed what it had sent', () => {
    const told: string[] = [];
    const sent = ['before'];
    const parcel = new EncodingCarrier().pack(sent, none);
    sent[0] = 'after';
    parcel.unpack((what) => told.push(what));
    expect(told.join()).toContain('changed a message after sending it');
  });

  it('tells of octets that were written into while they were on their way', () => {
    const told: string[] = [];
    const octets = new Uint8Array([1, 2, 3]);
    const parcel = new EncodingCarrier().pack([octets], none);
    octets[0] = 9;
    parcel.unpack((what) => told.push(what));
    expect(told.join()).toContain('changed a message after sending it');
  });

  it('tells of what arrives as something else', () => {
    const told: string[] = [];
    new EncodingCarrier().pack([() => 1], (what) => told.push(what));
    expect(told.join()).toContain('arrives as something else');
  });
});
