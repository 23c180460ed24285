/** Runs a Handshake over a Connection: octets, deadline, and the two questions it asks of the cluster's side. */
import { randomBytes } from 'node:crypto';
import type { Clock, TimerHandle } from '../../storage/environment.ts';
import type { Connection } from './connection.ts';
import { type LinkFailure, refusalFailure } from './failures.ts';
import {
  Handshake,
  type HandshakeAgreement,
  type HandshakeAnswer,
  type HandshakeEffect,
  type HandshakeEvent,
} from './handshake.ts';
import type { Hello, NodeIdentity, SessionOffer } from './handshake-messages.ts';
import { CHANNEL_BINDING_BYTES, CHANNEL_BINDING_LABEL, NONCE_BYTES, type ProofRole } from './key-proof.ts';

export interface HandshakeHooks {
  /** Dialler: the offer, made at the moment it is sent. */
  offer(): SessionOffer;
  /** Acceptor: what to answer a node that has proved the key. */
  answer(hello: Hello): HandshakeAnswer;
  established(agreement: HandshakeAgreement): void;
  /** The connection is gone. */
  failed(failure: LinkFailure): void;
}

export interface HandshakeDriverOptions {
  readonly connection: Connection;
  readonly role: ProofRole;
  readonly identity: NodeIdentity;
  readonly clusterKey: Uint8Array;
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly hooks: HandshakeHooks;
}

/** Returns a function that gives the handshake up without a word to the hooks. */
export function driveHandshake(options: HandshakeDriverOptions): () => void {
  const driver = new HandshakeDriver(options);
  driver.start();
  return () => driver.cancel();
}

class HandshakeDriver {
  readonly #options: HandshakeDriverOptions;
  readonly #handshake: Handshake;
  #timer: TimerHandle | undefined;
  #isOver = false;

  constructor(options: HandshakeDriverOptions) {
    this.#options = options;
    const { tls } = options.connection;
    this.#handshake = new Handshake({
      role: options.role,
      identity: options.identity,
      clusterKey: options.clusterKey,
      binding: tls.exportKeyingMaterial(CHANNEL_BINDING_BYTES, CHANNEL_BINDING_LABEL, Buffer.alloc(0)),
      nonce: randomBytes(NONCE_BYTES),
    });
  }

  start(): void {
    const { connection, clock, deadlineMs } = this.#options;
    this.#timer = clock.after(deadlineMs, () => this.#handle({ type: 'deadline' }));
    connection.setHandlers({
      message: (octets) => this.#handle({ type: 'message', octets }),
      violation: (text) => this.#fail({ code: 'malformed', text: `The other side broke the protocol: ${text}` }),
      closed: () => this.#closed(),
    });
    connection.limitHandshakeBytes();
    this.#handle({ type: 'open' });
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#options.connection.terminate();
  }

  #handle(event: HandshakeEvent): void {
    // A cable cut in the middle of a handshake: nothing comes, nothing goes, until the deadline.
    if (this.#isOver || (this.#options.connection.isCut && event.type !== 'deadline')) return;
    for (const effect of this.#handshake.handle(event)) this.#perform(effect);
  }

  #perform(effect: HandshakeEffect): void {
    const { connection, hooks } = this.#options;
    switch (effect.type) {
      case 'send':
        connection.send(effect.octets);
        return;
      case 'challenged':
        this.#handle({ type: 'offer', offer: hooks.offer() });
        return;
      case 'proven':
        connection.setPort(effect.hello.identity.port);
        if (!connection.isCut) this.#handle({ type: 'answer', answer: hooks.answer(effect.hello) });
        return;
      case 'established':
        this.#finish();
        connection.handshakeDone();
        hooks.established(effect.agreement);
        return;
      case 'failed':
        this.#failed(effect);
        return;
    }
  }

  #failed(effect: Extract<HandshakeEffect, { type: 'failed' }>): void {
    const { connection, role, hooks } = this.#options;
    if (effect.code !== 'refusal') {
      this.#fail({ code: effect.code, text: effect.text });
      return;
    }
    this.#finish();
    // The refusal must still leave; whoever was refused hears it and closes.
    if (role === 'acceptor') void connection.finish();
    else connection.terminate();
    const { code, text } = effect.refusal ?? { code: 'refusal', text: effect.text };
    hooks.failed(refusalFailure(code, text, role === 'acceptor'));
  }

  #closed(): void {
    this.#fail({
      code: 'handshake_closed',
      text: 'The other side closed during the handshake. Do both peers have the same cluster key and list each other?',
    });
  }

  #fail(failure: LinkFailure): void {
    if (this.#isOver) return;
    this.#finish();
    this.#options.connection.terminate();
    this.#options.hooks.failed(failure);
  }

  #finish(): void {
    this.#isOver = true;
    if (this.#timer !== undefined) this.#options.clock.cancel(this.#timer);
  }
}
