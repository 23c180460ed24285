import { describe, expect, it } from 'vitest';
import { encodeHandshake } from '../../../src/net/frame-codec.ts';
import { Handshake, type HandshakeAnswer, type HandshakeEffect } from '../../../src/net/handshake.ts';
import type { NodeIdentity } from '../../../src/net/handshake-messages.ts';

const KEY = Buffer.alloc(32, 1);
const SESSION = 'ab'.repeat(16);
const ANNE: NodeIdentity = { nodeId: 'anne', name: 'clusterdb@anne.example', incarnation: 4, port: 4372 };
const BERT: NodeIdentity = { nodeId: 'bert', name: 'clusterdb@bert.example', incarnation: 9, port: 4372 };
const YES: HandshakeAnswer = { accept: true, moment: 2, session: SESSION, resumed: false, received: 0 };

interface Side {
  readonly role: 'dialler' | 'acceptor';
  readonly identity: NodeIdentity;
  readonly key?: Uint8Array;
  readonly binding?: Uint8Array;
  readonly nonce?: number;
}

function side(side: Side): Handshake {
  return new Handshake({
    role: side.role,
    identity: side.identity,
    clusterKey: side.key ?? KEY,
    binding: side.binding ?? Buffer.alloc(32, 2),
    nonce: Buffer.alloc(32, side.nonce ?? 3),
  });
}

function sent(effects: readonly HandshakeEffect[]): Buffer {
  const effect = effects.find((candidate) => candidate.type === 'send');
  if (effect?.type !== 'send') throw new Error(`nothing sent but ${JSON.stringify(effects)}`);
  return effect.octets;
}

function message(handshake: Handshake, octets: Uint8Array): readonly HandshakeEffect[] {
  return handshake.handle({ type: 'message', octets });
}

function hello(dialler: Handshake, challenge: Buffer): Buffer {
  message(dialler, challenge);
  return sent(dialler.handle({ type: 'offer', offer: { moment: 1, session: SESSION, resume: undefined } }));
}

function start(dialler: Handshake, acceptor: Handshake): { challenge: Buffer; hello: Buffer } {
  dialler.handle({ type: 'open' });
  const challenge = sent(acceptor.handle({ type: 'open' }));
  return { challenge, hello: hello(dialler, challenge) };
}

function failure(effects: readonly HandshakeEffect[]): string | undefined {
  // A failure never comes with an answer: there is no oracle.
  if (effects.some((effect) => effect.type === 'send')) return 'an answer was sent';
  const failed = effects.find((effect) => effect.type === 'failed');
  return failed?.type === 'failed' ? failed.code : undefined;
}

describe('handshake of a cluster link', () => {
  it('tells each side who the other is and which session they share', () => {
    const dialler = side({ role: 'dialler', identity: ANNE });
    const acceptor = side({ role: 'acceptor', identity: BERT });
    const proven = message(acceptor, start(dialler, acceptor).hello);
    expect(proven).toMatchObject([{ type: 'proven', hello: { identity: ANNE } }]);
    const accepted = acceptor.handle({ type: 'answer', answer: YES });
    expect(accepted[1]).toMatchObject({ type: 'established', agreement: { peer: ANNE, session: SESSION } });
    const welcomed = message(dialler, sent(accepted));
    expect(welcomed).toMatchObject([{ type: 'established', agreement: { peer: BERT, session: SESSION } }]);
    expect([dialler.isDone, acceptor.isDone]).toEqual([true, true]);
  });

  it('resumes a session and tells each side what the other has received', () => {
    const dialler = side({ role: 'dialler', identity: ANNE });
    const acceptor = side({ role: 'acceptor', identity: BERT });
    dialler.handle({ type: 'open' });
    message(dialler, sent(acceptor.handle({ type: 'open' })));
    const resume = { session: 'cd'.repeat(16), received: 41 };
    const offered = dialler.handle({ type: 'offer', offer: { moment: 1, session: SESSION, resume } });
    message(acceptor, sent(offered));
    const answer: HandshakeAnswer = { accept: true, moment: 2, session: resume.session, resumed: true, received: 17 };
    const accepted = acceptor.handle({ type: 'answer', answer });
    expect(accepted[1]).toMatchObject({ agreement: { resumed: true, receivedByPeer: 41 } });
    expect(message(dialler, sent(accepted))).toMatchObject([{ agreement: { resumed: true, receivedByPeer: 17 } }]);
  });

  it('refuses a dialler with another key, without a word', () => {
    const dialler = side({ role: 'dialler', identity: ANNE, key: Buffer.alloc(32, 9) });
    const acceptor = side({ role: 'acceptor', identity: BERT });
    expect(failure(message(acceptor, start(dialler, acceptor).hello))).toBe('wrong_key');
  });

  it('refuses an acceptor with another key', () => {
    const dialler = side({ role: 'dialler', identity: ANNE });
    const rogue = side({ role: 'acceptor', identity: BERT, key: Buffer.alloc(32, 9) });
    const honest = side({ role: 'acceptor', identity: BERT });
    const { hello } = start(dialler, honest);
    rogue.handle({ type: 'open' });
    expect(failure(message(rogue, hello))).toBe('wrong_key');
    const forged = encodeHandshake('welcome', Buffer.from([0x92, 0xc4, 0x00, 0xc4, 0x20, ...Buffer.alloc(32)]));
    expect(failure(message(dialler, forged))).toBe('wrong_key');
  });

  it('refuses a proof that was made on another TLS connection: nobody can sit in the middle', () => {
    const dialler = side({ role: 'dialler', identity: ANNE, binding: Buffer.alloc(32, 5) });
    const acceptor = side({ role: 'acceptor', identity: BERT, binding: Buffer.alloc(32, 6) });
    expect(failure(message(acceptor, start(dialler, acceptor).hello))).toBe('wrong_key');
  });

  it('refuses a hello that is replayed against another challenge', () => {
    const recorded = start(side({ role: 'dialler', identity: ANNE }), side({ role: 'acceptor', identity: BERT }));
    const acceptor = side({ role: 'acceptor', identity: BERT, nonce: 4 });
    acceptor.handle({ type: 'open' });
    expect(failure(message(acceptor, recorded.hello))).toBe('wrong_key');
  });

  it('refuses its own words reflected at it', () => {
    const dialler = side({ role: 'dialler', identity: ANNE });
    const { hello } = start(dialler, side({ role: 'acceptor', identity: BERT }));
    // Turned into a welcome, the dialler's own hello carries a proof of the wrong role.
    const reflected = encodeHandshake('welcome', hello.subarray(2));
    expect(failure(message(dialler, reflected))).toBe('wrong_key');
    const second = side({ role: 'dialler', identity: ANNE });
    const acceptor = side({ role: 'acceptor', identity: ANNE });
    expect(failure(message(acceptor, start(second, acceptor).hello))).toBe('self');
  });

  it('refuses a hello in which one octet was changed', () => {
    const { hello } = start(side({ role: 'dialler', identity: ANNE }), side({ role: 'acceptor', identity: BERT }));
    let accepted = 0;
    for (let i = 2; i < hello.byteLength; i++) {
      const acceptor = side({ role: 'acceptor', identity: BERT });
      acceptor.handle({ type: 'open' });
      const changed = Buffer.from(hello);
      changed[i] = (changed[i] ?? 0) ^ 1;
      const code = failure(message(acceptor, changed));
      if (code !== 'wrong_key' && code !== 'malformed') accepted++;
    }
    expect(accepted).toBe(0);
  });

  it('names the version of a peer that speaks another', () => {
    const acceptor = side({ role: 'acceptor', identity: BERT });
    acceptor.handle({ type: 'open' });
    const effects = message(acceptor, Buffer.from([2, 17, 0]));
    expect(failure(effects)).toBe('version_mismatch');
    expect(effects).toMatchObject([
      { text: expect.stringMatching(/version 2, this one version 1\. Run the same version/) },
    ]);
  });

  it('refuses rubbish, messages out of turn and messages that are too long', () => {
    const long = Buffer.alloc(5000, 1);
    const outOfTurn = encodeHandshake('welcome', Buffer.alloc(10));
    for (const octets of [Buffer.alloc(0), Buffer.from([1]), Buffer.from([1, 99, 0]), long, outOfTurn]) {
      const acceptor = side({ role: 'acceptor', identity: BERT });
      acceptor.handle({ type: 'open' });
      expect(failure(message(acceptor, octets))).toBe('malformed');
      expect(acceptor.isDone).toBe(true);
    }
  });

  it('tells a peer that has proved the key why it is refused, and only such a peer', () => {
    const dialler = side({ role: 'dialler', identity: ANNE });
    const acceptor = side({ role: 'acceptor', identity: BERT });
    message(acceptor, start(dialler, acceptor).hello);
    const refusal = { code: 'unknown_node', text: 'in no row' };
    const refused = acceptor.handle({ type: 'answer', answer: { accept: false, refusal } });
    expect(refused[1]).toMatchObject({ type: 'failed', code: 'refusal', refusal });
    expect(message(dialler, sent(refused))).toMatchObject([{ type: 'failed', code: 'refusal', refusal }]);
  });

  it('does not believe a welcome into a session that was not offered', () => {
    const dialler = side({ role: 'dialler', identity: ANNE });
    const acceptor = side({ role: 'acceptor', identity: BERT });
    message(acceptor, start(dialler, acceptor).hello);
    const answer: HandshakeAnswer = { accept: true, moment: 2, session: 'ef'.repeat(16), resumed: false, received: 0 };
    const accepted = acceptor.handle({ type: 'answer', answer });
    expect(failure(message(dialler, sent(accepted)))).toBe('malformed');
  });

  it('refuses names with NUL in them (B28)', () => {
    const dialler = side({ role: 'dialler', identity: { ...ANNE, name: 'clusterdb@anne\u0000.example' } });
    const acceptor = side({ role: 'acceptor', identity: BERT });
    expect(failure(message(acceptor, start(dialler, acceptor).hello))).toBe('malformed');
  });

  it('ends at its deadline and ignores everything afterwards', () => {
    const acceptor = side({ role: 'acceptor', identity: BERT });
    const dialler = side({ role: 'dialler', identity: ANNE });
    const { hello } = start(dialler, acceptor);
    expect(failure(acceptor.handle({ type: 'deadline' }))).toBe('deadline');
    expect(message(acceptor, hello)).toEqual([]);
  });
});
