/**
 * The cluster listener (4372). Whoever connects is a stranger until the handshake has proved otherwise: strangers are
 * few at a time, have little time and little room, and are closed without an answer. Each kind of knock is logged once
 * per burst.
 */
import type { IncomingMessage } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type WebSocket, WebSocketServer } from 'ws';
import type { TimerHandle } from '../../storage/environment.ts';
import { endpointText, normaliseAddress } from './addresses.ts';
import type { BurstLogger } from './burst-logger.ts';
import { Connection } from './connection.ts';
import type { LinkFailure } from './failures.ts';
import type { HandshakeAgreement, HandshakeAnswer } from './handshake.ts';
import { driveHandshake } from './handshake-driver.ts';
import type { Hello } from './handshake-messages.ts';
import {
  PENDING_CONNECTIONS_MAX,
  PENDING_PER_SOURCE_MAX,
  PENDING_STRANGERS_MAX,
  UPGRADE_HEADER_BYTES_MAX,
} from './limits.ts';
import { certificateSeenOn, type SeenCertificate } from './seen-certificate.ts';
import { TLS_TRUST, type Transport, UPGRADE_PATH } from './transport.ts';

export interface AcceptorHooks {
  /** Is this the address of a row? Others may still prove the key and be told why not, but get less room. */
  isRowAddress(address: string): boolean;
  /** The certificate is known, nothing else: a failure closes the connection. */
  judge(certificate: SeenCertificate, address: string): LinkFailure | undefined;
  answer(connection: Connection, hello: Hello): HandshakeAnswer;
  established(connection: Connection, agreement: HandshakeAgreement): void;
  /** A handshake that came to nothing; true when it is worth a line in the log. */
  failed(address: string, failure: LinkFailure): boolean;
}

type Stage = 'tls' | 'http' | 'handshake' | 'over';

interface Pending {
  readonly raw: Socket;
  readonly address: string;
  readonly port: number;
  readonly isRow: boolean;
  stage: Stage;
  deadline: TimerHandle | undefined;
}

const STAGE_TEXTS: Readonly<Record<'tls' | 'http', string>> = {
  tls: 'A connection to the cluster port did not speak TLS 1.3 and was closed. If it is a peer, check its version',
  http: 'A connection to the cluster port did not ask for a cluster link and was closed',
};

export class Acceptor {
  readonly #transport: Transport;
  readonly #hooks: AcceptorHooks;
  readonly #bursts: BurstLogger;
  readonly #tcp: Server;
  readonly #https: HttpsServer;
  readonly #upgrades: WebSocketServer;
  readonly #pending = new Map<string, Pending>();

  constructor(transport: Transport, hooks: AcceptorHooks, bursts: BurstLogger) {
    this.#transport = transport;
    this.#hooks = hooks;
    this.#bursts = bursts;
    this.#upgrades = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: transport.frameBytesMax,
    });
    // ws would explain to a stranger what is wrong with its upgrade request.
    this.#upgrades.on('wsClientError', (_error, socket) => socket.destroy());
    this.#https = this.#createHttps();
    this.#tcp = createTcpServer((socket) => this.#accepted(socket));
  }

  /** Resolves with the port listened on. */
  listen(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#tcp.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, this.#transport, port)));
      this.#tcp.listen({ host: this.#transport.bindAddress, port, exclusive: true }, () => {
        const address = this.#tcp.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  close(): Promise<void> {
    for (const pending of [...this.#pending.values()]) this.#discard(pending);
    this.#https.close();
    this.#upgrades.close();
    return new Promise((resolve) => this.#tcp.close(() => resolve()));
  }

  #createHttps(): HttpsServer {
    const https = createHttpsServer({
      ...TLS_TRUST,
      ...this.#transport.secureContextOptions,
      maxHeaderSize: UPGRADE_HEADER_BYTES_MAX,
    });
    https.on('secureConnection', (tls) => this.#secured(tls));
    https.on('tlsClientError', (_error, tls) => tls.destroy());
    https.on('clientError', (_error, socket) => socket.destroy());
    https.on('request', (request) => request.socket.destroy());
    https.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as TLSSocket, head));
    return https;
  }

  #accepted(raw: Socket): void {
    const address = normaliseAddress(raw.remoteAddress);
    const port = raw.remotePort ?? 0;
    raw.on('error', () => raw.destroy());
    if (address === '') {
      raw.destroy();
      return;
    }
    const isRow = this.#hooks.isRowAddress(address);
    if (!this.#hasRoom(address, isRow)) {
      raw.destroy();
      const text =
        'Too many unfinished connections to the cluster port; this one was closed. Is something scanning it?';
      this.#bursts.note(address, 'too_many', text);
      return;
    }
    const pending: Pending = { raw, address, port, isRow, stage: 'tls', deadline: undefined };
    this.#pending.set(endpointText(address, port), pending);
    pending.deadline = this.#transport.clock.after(this.#transport.handshakeTimeoutMs, () => this.#expired(pending));
    raw.once('close', () => this.#rawClosed(pending));
    const state = this.#transport.faults?.stateOf(address, undefined);
    // Behind a cut cable nobody answers: the kernel has accepted, and that is all that will ever happen.
    if (state?.cutIn === true || state?.cutOut === true) {
      pending.stage = 'over';
      return;
    }
    this.#https.emit('connection', raw);
  }

  #hasRoom(address: string, isRow: boolean): boolean {
    if (this.#pending.size >= PENDING_CONNECTIONS_MAX) return false;
    const others = [...this.#pending.values()];
    if (others.filter((pending) => pending.address === address).length >= PENDING_PER_SOURCE_MAX) return false;
    return isRow || others.filter((pending) => !pending.isRow).length < PENDING_STRANGERS_MAX;
  }

  #pendingOf(socket: TLSSocket): Pending | undefined {
    return this.#pending.get(endpointText(normaliseAddress(socket.remoteAddress), socket.remotePort ?? 0));
  }

  #secured(tls: TLSSocket): void {
    const pending = this.#pendingOf(tls);
    tls.on('error', () => tls.destroy());
    if (pending === undefined) {
      tls.destroy();
      return;
    }
    pending.stage = 'http';
    const failure = this.#hooks.judge(certificateSeenOn(tls), pending.address);
    if (failure !== undefined) this.#refuse(pending, failure);
  }

  #upgrade(request: IncomingMessage, tls: TLSSocket, head: Buffer): void {
    const pending = this.#pendingOf(tls);
    if (pending === undefined || request.url !== UPGRADE_PATH || request.method !== 'GET') {
      tls.destroy();
      return;
    }
    pending.stage = 'handshake';
    this.#upgrades.handleUpgrade(request, tls, head, (webSocket) => this.#upgraded(pending, tls, webSocket));
  }

  #upgraded(pending: Pending, tls: TLSSocket, webSocket: WebSocket): void {
    const { identity, clusterKey, clock, faults, handshakeTimeoutMs } = this.#transport;
    const { address } = pending;
    const certificate = certificateSeenOn(tls);
    const connection = new Connection({
      webSocket,
      tls,
      dialledHere: false,
      address,
      port: undefined,
      certificate,
      clock,
      faults,
    });
    driveHandshake({
      connection,
      role: 'acceptor',
      identity,
      clusterKey,
      clock,
      deadlineMs: handshakeTimeoutMs,
      hooks: {
        offer: () => ({ moment: 0, session: '', resume: undefined }),
        answer: (hello) => this.#hooks.answer(connection, hello),
        established: (agreement) => {
          this.#release(pending);
          this.#hooks.established(connection, agreement);
        },
        failed: (failure) => this.#handshakeFailed(pending, failure),
      },
    });
  }

  #handshakeFailed(pending: Pending, failure: LinkFailure): void {
    this.#release(pending);
    // Two dials that crossed are no failure, and the other side already knows.
    if (failure.code === 'duplicate') return;
    this.#failed(pending, failure);
  }

  #failed(pending: Pending, failure: LinkFailure): void {
    const isNews = this.#hooks.failed(pending.address, failure);
    if (isNews) this.#bursts.note(pending.address, failure.code, failure.text);
  }

  #refuse(pending: Pending, failure: LinkFailure): void {
    this.#failed(pending, failure);
    pending.stage = 'over';
    this.#discard(pending);
  }

  #rawClosed(pending: Pending): void {
    const { stage } = pending;
    this.#release(pending);
    if (stage === 'tls' || stage === 'http') this.#bursts.note(pending.address, `no_${stage}`, STAGE_TEXTS[stage]);
  }

  /** The handshake has a deadline of its own and says so itself. */
  #expired(pending: Pending): void {
    if (pending.stage !== 'handshake') this.#discard(pending);
  }

  #discard(pending: Pending): void {
    pending.raw.destroy();
  }

  #release(pending: Pending): void {
    pending.stage = 'over';
    if (pending.deadline !== undefined) this.#transport.clock.cancel(pending.deadline);
    this.#pending.delete(endpointText(pending.address, pending.port));
  }
}

function listenError(error: NodeJS.ErrnoException, transport: Transport, port: number): Error {
  const why =
    error.code === 'EADDRINUSE'
      ? 'another program listens there; is this peer running already?'
      : `${error.code ?? error.message}; is the bind address one of this system's?`;
  return new Error(`The cluster port ${endpointText(transport.bindAddress, port)} cannot be opened: ${why}`, {
    cause: error,
  });
}
