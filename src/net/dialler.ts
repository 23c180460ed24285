/**
 * One dial: a source port of the cluster's range, TCP, TLS, WebSocket upgrade, handshake. Every step may fail, take too
 * long or be cancelled, and ends in exactly one call of `failed` or `established` (none after `cancel`).
 */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import type { TimerHandle } from '../../storage/environment.ts';
import { endpointText, sameAddress } from './addresses.ts';
import { Connection } from './connection.ts';
import { type LinkFailure, socketFailure } from './failures.ts';
import type { HandshakeAgreement } from './handshake.ts';
import { driveHandshake } from './handshake-driver.ts';
import type { SessionOffer } from './handshake-messages.ts';
import { SOURCE_PORT_TRIES_MAX, UPGRADE_HEADER_BYTES_MAX } from './limits.ts';
import { certificateSeenOn, type SeenCertificate } from './seen-certificate.ts';
import { TLS_TRUST, type Transport, UPGRADE_PATH } from './transport.ts';

export interface DialHooks {
  /** The other side's certificate is known: a failure ends the dial before anything of ours is told. */
  judge(certificate: SeenCertificate): LinkFailure | undefined;
  offer(): SessionOffer;
  established(connection: Connection, agreement: HandshakeAgreement): void;
  failed(failure: LinkFailure): void;
}

export class Dial {
  readonly #transport: Transport;
  readonly #address: string;
  readonly #port: number;
  readonly #hooks: DialHooks;
  readonly #triedPorts = new Set<number>();
  #deadline: TimerHandle | undefined;
  #delay: TimerHandle | undefined;
  #unsubscribe: (() => void) | undefined;
  #socket: Socket | TLSSocket | undefined;
  #webSocket: WebSocket | undefined;
  #cancelHandshake: (() => void) | undefined;
  #isOver = false;
  /** The hello has left: from here on the other side may take this connection for the link. */
  isHelloSent = false;

  constructor(transport: Transport, address: string, port: number, hooks: DialHooks) {
    this.#transport = transport;
    this.#address = address;
    this.#port = port;
    this.#hooks = hooks;
  }

  start(): void {
    const { clock, handshakeTimeoutMs } = this.#transport;
    this.#deadline = clock.after(handshakeTimeoutMs, () => this.#fail(this.#timeout()));
    this.#unsubscribe = this.#transport.faults?.onChange(() => this.#faultsChanged());
    this.#beginUnlessCut();
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#destroy();
  }

  get #faults() {
    return this.#transport.faults?.stateOf(this.#address, this.#port);
  }

  get #isCut(): boolean {
    return this.#faults?.cutIn === true || this.#faults?.cutOut === true;
  }

  /** Through a cut cable no dial is refused: it hangs, and goes on when the cable is mended in time. */
  #beginUnlessCut(): void {
    if (this.#isCut || this.#socket !== undefined || this.#delay !== undefined) return;
    const delayMs = this.#faults?.delayMs ?? 0;
    if (delayMs === 0) {
      this.#connect();
      return;
    }
    this.#delay = this.#transport.clock.after(delayMs, () => {
      this.#delay = undefined;
      if (!this.#isCut && this.#socket === undefined) this.#connect();
    });
  }

  #faultsChanged(): void {
    if (this.#isOver) return;
    // What was under way when the cable was cut is lost; the next try begins from the start.
    if (!this.#isCut) {
      this.#beginUnlessCut();
      return;
    }
    this.isHelloSent = false;
    this.#destroy();
  }

  #connect(): void {
    const { bindAddress } = this.#transport;
    const localPort = this.#choosePort();
    if (localPort === undefined) {
      this.#fail(socketFailure({ name: 'Error', message: '', code: 'EADDRINUSE' }, this.#endpoint()));
      return;
    }
    const socket = connectTcp({ host: this.#address, port: this.#port, localAddress: bindAddress, localPort });
    this.#socket = socket;
    socket.on('error', (error: NodeJS.ErrnoException) => this.#tcpFailed(socket, error));
    socket.once('connect', () => this.#secure(socket));
  }

  /** Random, because a port in use by a half-closed older link would be met again and again when counting up. */
  #choosePort(): number | undefined {
    if (this.#triedPorts.size >= SOURCE_PORT_TRIES_MAX) return undefined;
    const [first, last] = this.#transport.sourcePorts;
    const sameHost = sameAddress(this.#address, this.#transport.bindAddress);
    for (let i = 0; i < SOURCE_PORT_TRIES_MAX; i++) {
      const port = first + Math.floor(this.#transport.random.next() * (last - first + 1));
      // From its own port to itself, TCP connects to itself although nobody listens.
      if (this.#triedPorts.has(port) || (sameHost && port === this.#port)) continue;
      this.#triedPorts.add(port);
      return port;
    }
    return undefined;
  }

  #tcpFailed(socket: Socket, error: NodeJS.ErrnoException): void {
    if (socket !== this.#socket) return;
    const isPortTaken = error.code === 'EADDRINUSE' || error.code === 'EADDRNOTAVAIL';
    if (!isPortTaken || this.#triedPorts.size >= SOURCE_PORT_TRIES_MAX) {
      this.#fail(socketFailure(error, this.#endpoint()));
      return;
    }
    socket.destroy();
    this.#socket = undefined;
    this.#beginUnlessCut();
  }

  #secure(socket: Socket): void {
    if (socket !== this.#socket) return;
    socket.removeAllListeners('error');
    const tls = connectTls({
      ...TLS_TRUST,
      socket,
      secureContext: this.#transport.secureContext,
      // Names are judged against the row, not against DNS.
      checkServerIdentity: () => undefined,
    });
    this.#socket = tls;
    socket.on('error', () => tls.destroy());
    tls.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET') this.#lost(tls, 'handshake_closed', this.#closedText());
      else this.#lost(tls, 'tls', `TLS with ${this.#endpoint()} failed (${error.message})`);
    });
    tls.once('close', () => this.#lost(tls, 'handshake_closed', this.#closedText()));
    tls.once('secureConnect', () => this.#secured(tls));
  }

  #secured(tls: TLSSocket): void {
    if (this.#isOver || tls !== this.#socket) return;
    const certificate = certificateSeenOn(tls);
    const failure = this.#hooks.judge(certificate);
    if (failure !== undefined) {
      this.#fail(failure);
      return;
    }
    const webSocket = new WebSocket(`ws://peer${UPGRADE_PATH}`, {
      createConnection: () => tls,
      perMessageDeflate: false,
      maxPayload: this.#transport.frameBytesMax,
      maxHeaderSize: UPGRADE_HEADER_BYTES_MAX,
      followRedirects: false,
      generateMask: zeroMask,
    });
    this.#webSocket = webSocket;
    webSocket.once('unexpected-response', () => this.#lost(tls, 'upgrade', `${this.#endpoint()} is no cluster peer`));
    webSocket.on('error', (error) => this.#lost(tls, 'upgrade', `${this.#endpoint()}: ${error.message}`));
    webSocket.once('open', () => this.#opened(tls, webSocket, certificate));
  }

  #opened(tls: TLSSocket, webSocket: WebSocket, certificate: SeenCertificate): void {
    if (this.#isOver || tls !== this.#socket) return;
    const { clock, faults, identity, clusterKey, handshakeTimeoutMs } = this.#transport;
    const connection = new Connection({
      webSocket,
      tls,
      dialledHere: true,
      address: this.#address,
      port: this.#port,
      certificate,
      clock,
      faults,
    });
    this.#cancelHandshake = driveHandshake({
      connection,
      role: 'dialler',
      identity,
      clusterKey,
      clock,
      deadlineMs: handshakeTimeoutMs,
      hooks: {
        offer: () => {
          this.isHelloSent = true;
          return this.#hooks.offer();
        },
        answer: () => ({ accept: false, refusal: { code: 'refusal', text: '' } }),
        established: (agreement) => {
          this.#finish();
          this.#hooks.established(connection, agreement);
        },
        failed: (failure) => this.#fail(failure),
      },
    });
  }

  /** Something before or beside the handshake broke. A handshake under way gives the better reason itself. */
  #lost(tls: TLSSocket, code: 'tls' | 'upgrade' | 'handshake_closed', text: string): void {
    if (tls !== this.#socket || this.#cancelHandshake !== undefined) return;
    this.#fail({ code, text });
  }

  #fail(failure: LinkFailure): void {
    if (this.#isOver) return;
    this.#finish();
    this.#destroy();
    this.#hooks.failed(failure);
  }

  #finish(): void {
    this.#isOver = true;
    const { clock } = this.#transport;
    if (this.#deadline !== undefined) clock.cancel(this.#deadline);
    if (this.#delay !== undefined) clock.cancel(this.#delay);
    this.#unsubscribe?.();
  }

  #destroy(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#cancelHandshake?.();
    this.#cancelHandshake = undefined;
    this.#webSocket?.terminate();
    this.#webSocket = undefined;
    socket?.destroy();
  }

  #endpoint(): string {
    return endpointText(this.#address, this.#port);
  }

  #closedText(): string {
    return `${this.#endpoint()} closed the connection without a word. Does that peer list this one, and is it a peer?`;
  }

  #timeout(): LinkFailure {
    return { code: 'timeout', text: `${this.#endpoint()} did not answer in time. Check network and firewall.` };
  }
}

/**
 * WebSocket asks the dialling side to mask what it sends, so that a page in a browser cannot make octets of its choice
 * appear before a proxy. Here both ends are peers and TLS is around it: a mask of zeros says the same and costs no pass
 * over every frame at either end.
 */
function zeroMask(mask: Buffer): void {
  mask.fill(0);
}
