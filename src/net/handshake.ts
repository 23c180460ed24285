/**
 * The handshake of a cluster link, as a pure state machine, after TLS and the WebSocket upgrade.
 *
 *   acceptor → challenge  nonce
 *   dialler  → hello      who I am, which session; proof over binding, challenge and hello
 *   acceptor → welcome    who I am, which session; proof over binding, challenge, hello and welcome
 *            or refusal   why not; same proof, and only to somebody who has proved the key
 *
 * A stranger learns one nonce and nothing else: whatever it sends that is wrong, it is closed without a word, so it
 * cannot tell a wrong key from a malformed message. `binding` is keying material of this TLS connection.
 */

import { encodeHandshake, PROTOCOL_VERSION } from './frame-codec.ts';
import {
  decodeHello,
  decodeProven,
  decodeRefusal,
  decodeWelcome,
  encodeHello,
  encodeProven,
  encodeRefusal,
  encodeWelcome,
  type HandshakeMessageType,
  type Hello,
  type Moment,
  type NodeIdentity,
  type Refusal,
  readHandshakeMessage,
  type SessionOffer,
} from './handshake-messages.ts';
import { keyProof, NONCE_BYTES, type ProofRole, proofHolds } from './key-proof.ts';

export type HandshakeFailureCode = 'wrong_key' | 'version_mismatch' | 'malformed' | 'deadline' | 'self' | 'refusal';

export type HandshakeAnswer =
  | {
      readonly accept: true;
      readonly moment: Moment;
      readonly session: string;
      readonly resumed: boolean;
      readonly received: number;
    }
  | { readonly accept: false; readonly refusal: Refusal };

export interface HandshakeAgreement {
  readonly peer: NodeIdentity;
  /** The other side's, of the word that made this agreement. */
  readonly moment: Moment;
  readonly session: string;
  readonly resumed: boolean;
  /** Last frame of the session the other side has received. */
  readonly receivedByPeer: number;
}

export type HandshakeEvent =
  /** TLS and WebSocket are open. */
  | { readonly type: 'open' }
  | { readonly type: 'message'; readonly octets: Uint8Array }
  /** Answers `challenged`: the dialler's offer, made at the last moment. */
  | { readonly type: 'offer'; readonly offer: SessionOffer }
  /** Answers `proven`: what the acceptor's side decided about a peer that holds the key. */
  | { readonly type: 'answer'; readonly answer: HandshakeAnswer }
  | { readonly type: 'deadline' };

export type HandshakeEffect =
  | { readonly type: 'send'; readonly octets: Buffer }
  | { readonly type: 'challenged' }
  | { readonly type: 'proven'; readonly hello: Hello }
  | { readonly type: 'established'; readonly agreement: HandshakeAgreement }
  | { readonly type: 'failed'; readonly code: HandshakeFailureCode; readonly text: string; readonly refusal?: Refusal };

export interface HandshakeOptions {
  readonly role: ProofRole;
  readonly identity: NodeIdentity;
  readonly clusterKey: Uint8Array;
  readonly binding: Uint8Array;
  readonly nonce: Uint8Array;
}

/**
 * - `new`: nothing happened yet.
 * - `await_challenge` → `await_offer` → `await_welcome`: the dialler's way.
 * - `await_hello` → `await_answer`: the acceptor's way.
 * - `done`: established or failed; every further event is ignored.
 */
type HandshakeState =
  | 'new'
  | 'await_challenge'
  | 'await_offer'
  | 'await_welcome'
  | 'await_hello'
  | 'await_answer'
  | 'done';

export class Handshake {
  readonly #options: HandshakeOptions;
  #state: HandshakeState = 'new';
  #challenge: Uint8Array = new Uint8Array();
  #helloOctets: Uint8Array = new Uint8Array();
  #hello: Hello | undefined;

  constructor(options: HandshakeOptions) {
    if (options.nonce.byteLength !== NONCE_BYTES) throw new RangeError(`A nonce has ${NONCE_BYTES} octets.`);
    this.#options = options;
  }

  get isDone(): boolean {
    return this.#state === 'done';
  }

  handle(event: HandshakeEvent): readonly HandshakeEffect[] {
    if (this.#state === 'done') return [];
    switch (event.type) {
      case 'open':
        return this.#open();
      case 'message':
        return this.#message(event.octets);
      case 'offer':
        return this.#state === 'await_offer' ? this.#sendHello(event.offer) : this.#outOfTurn();
      case 'answer':
        return this.#state === 'await_answer' ? this.#answer(event.answer) : this.#outOfTurn();
      case 'deadline':
        return this.#fail('deadline', 'The handshake did not finish in time');
    }
  }

  #open(): readonly HandshakeEffect[] {
    if (this.#options.role === 'dialler') {
      this.#state = 'await_challenge';
      return [];
    }
    this.#state = 'await_hello';
    this.#challenge = this.#options.nonce;
    return [{ type: 'send', octets: encodeHandshake('challenge', this.#challenge) }];
  }

  #message(octets: Uint8Array): readonly HandshakeEffect[] {
    const message = readHandshakeMessage(octets);
    if (message.type === 'malformed') return this.#malformed();
    if (message.type === 'version') {
      const { version } = message;
      const text = `The other side speaks link protocol version ${version}, this one version ${PROTOCOL_VERSION}. Run the same version of the program on both`;
      return this.#fail('version_mismatch', text);
    }
    const expected: Partial<Record<HandshakeState, readonly HandshakeMessageType[]>> = {
      await_challenge: ['challenge'],
      await_welcome: ['welcome', 'refusal'],
      await_hello: ['hello'],
    };
    if (!(expected[this.#state] ?? []).includes(message.type)) return this.#malformed();
    switch (message.type) {
      case 'challenge':
        return this.#takeChallenge(message.body);
      case 'hello':
        return this.#takeHello(message.body);
      case 'welcome':
        return this.#takeWelcome(message.body);
      case 'refusal':
        return this.#takeRefusal(message.body);
    }
  }

  #takeChallenge(body: Uint8Array): readonly HandshakeEffect[] {
    if (body.byteLength !== NONCE_BYTES) return this.#malformed();
    this.#challenge = Uint8Array.from(body);
    this.#state = 'await_offer';
    return [{ type: 'challenged' }];
  }

  #sendHello(offer: SessionOffer): readonly HandshakeEffect[] {
    const { identity, nonce } = this.#options;
    this.#hello = { nonce, identity, offer };
    this.#helloOctets = encodeHello(this.#hello);
    this.#state = 'await_welcome';
    const body = encodeProven(this.#helloOctets, this.#proofOf('dialler', []));
    return [{ type: 'send', octets: encodeHandshake('hello', body) }];
  }

  #takeHello(body: Uint8Array): readonly HandshakeEffect[] {
    const proven = decodeProven(body);
    if (proven === undefined) return this.#malformed();
    this.#helloOctets = proven.message;
    // Nothing in the message is looked at before its proof holds.
    if (!proofHolds(this.#proofOf('dialler', []), proven.proof)) return this.#wrongKey();
    const hello = decodeHello(proven.message);
    if (hello === undefined) return this.#malformed();
    if (hello.identity.nodeId === this.#options.identity.nodeId) return this.#self();
    this.#hello = hello;
    this.#state = 'await_answer';
    return [{ type: 'proven', hello }];
  }

  #answer(answer: HandshakeAnswer): readonly HandshakeEffect[] {
    const hello = this.#hello;
    if (hello === undefined) return this.#outOfTurn();
    this.#state = 'done';
    if (!answer.accept) {
      const send = this.#provenMessage('refusal', encodeRefusal(answer.refusal));
      return [send, { type: 'failed', code: 'refusal', text: answer.refusal.text, refusal: answer.refusal }];
    }
    const { moment, session, resumed, received } = answer;
    const welcome = encodeWelcome({ identity: this.#options.identity, moment, session, resumed, received });
    const receivedByPeer = resumed ? (hello.offer.resume?.received ?? 0) : 0;
    return [
      this.#provenMessage('welcome', welcome),
      {
        type: 'established',
        agreement: { peer: hello.identity, moment: hello.offer.moment, session, resumed, receivedByPeer },
      },
    ];
  }

  #takeWelcome(body: Uint8Array): readonly HandshakeEffect[] {
    const proven = decodeProven(body);
    if (proven === undefined) return this.#malformed();
    if (!proofHolds(this.#proofOf('acceptor', [proven.message]), proven.proof)) return this.#wrongKey();
    const welcome = decodeWelcome(proven.message);
    if (welcome === undefined) return this.#malformed();
    if (welcome.identity.nodeId === this.#options.identity.nodeId) return this.#self();
    const offer = this.#hello?.offer;
    const expectedSession = welcome.resumed ? offer?.resume?.session : offer?.session;
    if (welcome.session !== expectedSession) return this.#malformed();
    this.#state = 'done';
    const { identity: peer, moment, session, resumed, received: receivedByPeer } = welcome;
    return [{ type: 'established', agreement: { peer, moment, session, resumed, receivedByPeer } }];
  }

  #takeRefusal(body: Uint8Array): readonly HandshakeEffect[] {
    const proven = decodeProven(body);
    if (proven === undefined) return this.#malformed();
    if (!proofHolds(this.#proofOf('acceptor', [proven.message]), proven.proof)) return this.#wrongKey();
    const refusal = decodeRefusal(proven.message);
    if (refusal === undefined) return this.#malformed();
    this.#state = 'done';
    return [{ type: 'failed', code: 'refusal', text: refusal.text, refusal }];
  }

  #provenMessage(type: 'welcome' | 'refusal', message: Uint8Array): HandshakeEffect {
    const body = encodeProven(message, this.#proofOf('acceptor', [message]));
    return { type: 'send', octets: encodeHandshake(type, body) };
  }

  #proofOf(role: ProofRole, more: readonly Uint8Array[]): Buffer {
    const { clusterKey, binding } = this.#options;
    return keyProof(clusterKey, role, [binding, this.#challenge, this.#helloOctets, ...more]);
  }

  #malformed(): readonly HandshakeEffect[] {
    return this.#fail('malformed', 'The other side sent something that is no handshake of a cluster link');
  }

  #wrongKey(): readonly HandshakeEffect[] {
    return this.#fail('wrong_key', 'The other side does not hold the cluster key of this peer');
  }

  #self(): readonly HandshakeEffect[] {
    return this.#fail('self', 'The other side has the node identity of this very peer');
  }

  #outOfTurn(): readonly HandshakeEffect[] {
    return this.#fail('malformed', 'The handshake was answered out of turn');
  }

  #fail(code: HandshakeFailureCode, text: string): readonly HandshakeEffect[] {
    this.#state = 'done';
    return [{ type: 'failed', code, text }];
  }
}
