import { describe, expect, it } from 'vitest';
import { FrameCodec } from '../../../src/net/frame-codec.ts';
import { ACK_FRAMES_MAX } from '../../../src/net/limits.ts';
import { Session } from '../../../src/net/session.ts';
import { SeededRandom } from '../../../src/simulation/seeded-random.ts';

const codec = new FrameCodec(1 << 20);

function enqueue(session: Session, message: unknown): void {
  session.enqueue({ channel: 0, octets: Buffer.from(codec.encodeMessage(message)) });
}

/** What a receiver does with frames: the messages it delivers. */
function receive(session: Session, frames: readonly Buffer[]): unknown[] {
  return frames.flatMap((octets) => {
    const frame = codec.decodeFrame(octets);
    if (frame.type !== 'data') throw new Error('no data frame');
    if (session.arrive(frame.seq, octets.byteLength) !== 'new') return [];
    return (codec.decodeMessages(frame.body) ?? []).map(({ message }) => message);
  });
}

describe('session', () => {
  it('puts all messages of a turn into one frame', () => {
    const session = new Session('s', 1 << 16);
    for (let i = 0; i < 100; i++) enqueue(session, i);
    const frames = session.seal();
    expect(frames).toHaveLength(1);
    expect(receive(new Session('s', 1 << 16), frames)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it('begins a new frame at the target size', () => {
    const session = new Session('s', 1000);
    for (let i = 0; i < 10; i++) enqueue(session, 'x'.repeat(300));
    const frames = session.seal();
    expect(frames).toHaveLength(4);
    expect(Math.max(...frames.map((frame) => frame.byteLength))).toBeLessThan(1100);
  });

  it('keeps frames until they are acknowledged, and no longer', () => {
    const session = new Session('s', 1000);
    for (let i = 0; i < 500; i++) {
      enqueue(session, i);
      session.seal();
      expect(session.acknowledge(Math.max(0, i - 3))).toBe(true);
    }
    expect(session.replay(session.sealed - 4)).toHaveLength(4);
    session.acknowledge(session.sealed);
    expect(session.unackedBytes).toBe(0);
  });

  it('does not believe acknowledgements of frames it never sent, nor replays what it has thrown away', () => {
    const session = new Session('s', 1000);
    enqueue(session, 1);
    session.seal();
    expect(session.acknowledge(2)).toBe(false);
    expect(session.replay(2)).toBeUndefined();
    session.acknowledge(1);
    expect(session.replay(0)).toBeUndefined();
    expect(session.replay(1)).toEqual([]);
  });

  it('sees duplicates and gaps', () => {
    const session = new Session('s', 1000);
    expect([1, 2, 2, 1, 4, 3].map((seq) => session.arrive(seq, 10))).toEqual([
      'new',
      'new',
      'duplicate',
      'duplicate',
      'gap',
      'new',
    ]);
  });

  it('owes an acknowledgement after a number of frames', () => {
    const session = new Session('s', 1000);
    for (let seq = 1; seq < ACK_FRAMES_MAX; seq++) session.arrive(seq, 10);
    expect(session.isAckDue).toBe(false);
    session.arrive(ACK_FRAMES_MAX, 10);
    expect(session.isAckDue).toBe(true);
    expect(session.takeAck()).toBe(ACK_FRAMES_MAX);
    expect(session.isAckDue).toBe(false);
  });

  it.each([1, 2, 3, 4, 5])(
    'delivers every message exactly once over connections that break anywhere (seed %i)',
    (seed) => {
      const random = new SeededRandom(seed);
      const sender = new Session('s', 200);
      const receiver = new Session('s', 200);
      const delivered: unknown[] = [];
      let wire: Buffer[] = [];
      let sent = 0;
      for (let step = 0; step < 2000; step++) {
        for (let n = random.integer(0, 4); n > 0; n--) enqueue(sender, sent++);
        wire.push(...sender.seal());
        delivered.push(...receive(receiver, wire.splice(0, random.integer(0, wire.length))));
        if (random.chance(0.3)) sender.acknowledge(receiver.received);
        if (!random.chance(0.1)) continue;
        const replay = sender.replay(receiver.received);
        if (replay === undefined) throw new Error('nothing to replay from');
        wire = [...replay];
      }
      delivered.push(...receive(receiver, wire));
      expect(delivered).toEqual(Array.from({ length: sent }, (_, i) => i));
    },
  );
});
