/**
 * One WebSocket over one TLS connection: frames in, frames out, and what happened when it ends. It knows nothing of
 * sessions. After `terminate` nobody hears of it again; while its incoming direction is cut, neither does anybody hear
 * that it closed, as with a real cable.
 */
import type { TLSSocket } from 'node:tls';
import type { RawData, WebSocket } from 'ws';
import type { Clock, TimerHandle } from '../../storage/environment.ts';
import { FaultGate } from './fault-gate.ts';
import type { FaultLayer } from './faults.ts';
import { GOODBYE_WAIT_MS, HANDSHAKE_BYTES_MAX } from './limits.ts';
import type { SeenCertificate } from './seen-certificate.ts';

export interface ConnectionHandlers {
  message(octets: Buffer): void;
  /** The other side broke the rules of WebSocket or of size. The connection is about to close. */
  violation(text: string): void;
  closed(): void;
}

export interface ConnectionOptions {
  readonly webSocket: WebSocket;
  readonly tls: TLSSocket;
  readonly dialledHere: boolean;
  readonly address: string;
  /** The other peer's cluster port when it is known: always when dialled here. */
  readonly port: number | undefined;
  readonly certificate: SeenCertificate;
  readonly clock: Clock;
  readonly faults: FaultLayer | undefined;
}

const SILENT_HANDLERS: ConnectionHandlers = {
  message: () => undefined,
  violation: () => undefined,
  closed: () => undefined,
};

export class Connection {
  readonly dialledHere: boolean;
  readonly address: string;
  readonly certificate: SeenCertificate;
  readonly tls: TLSSocket;
  readonly #clock: Clock;
  readonly #webSocket: WebSocket;
  readonly #gate: FaultGate | undefined;
  #handlers: ConnectionHandlers = SILENT_HANDLERS;
  /** Messages that were already read when the incoming direction was cut: at most one read of the socket. */
  #stranded: Buffer[] = [];
  #isClosed = false;
  #isCloseTold = false;
  #handshakeBytes = 0;
  #finishTimer: TimerHandle | undefined;

  constructor(options: ConnectionOptions) {
    this.dialledHere = options.dialledHere;
    this.address = options.address;
    this.certificate = options.certificate;
    this.tls = options.tls;
    this.#clock = options.clock;
    this.#webSocket = options.webSocket;
    this.#gate =
      options.faults &&
      new FaultGate({
        faults: options.faults,
        clock: options.clock,
        address: options.address,
        port: options.port,
        write: (octets) => this.#write(octets),
        readable: (isReadable) => this.#setReadable(isReadable),
      });
    this.#webSocket.on('message', (data, isBinary) => this.#received(data, isBinary));
    this.#webSocket.on('error', (error) => this.#failed(error));
    this.#webSocket.on('close', () => this.#closed());
  }

  setHandlers(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
  }

  /** Counts every octet from the upgrade on; past the limit of a handshake the socket is gone. */
  limitHandshakeBytes(): void {
    this.tls.on('data', this.#countHandshake);
  }

  handshakeDone(): void {
    this.tls.off('data', this.#countHandshake);
  }

  /** Which of several peers on one address this is. */
  setPort(port: number): void {
    this.#gate?.setPort(port);
  }

  /** A link to be is cut while it is being made: nobody may answer it. */
  get isCut(): boolean {
    return this.#gate?.isCut ?? false;
  }

  get bufferedBytes(): number {
    return this.#webSocket.bufferedAmount + (this.#gate?.heldBytes ?? 0);
  }

  send(octets: Buffer, disposable = false): void {
    if (this.#isClosed) return;
    if (this.#gate === undefined) this.#write(octets);
    else this.#gate.send(octets, disposable);
  }

  /** Lets what was sent leave, then closes; resolves when it is closed. Nobody hears of it any more. */
  finish(): Promise<void> {
    this.#handlers = SILENT_HANDLERS;
    this.#gate?.drain();
    if (this.#gate?.isCut === true) this.terminate();
    else this.#webSocket.close(1000);
    if (this.#isClosed) return Promise.resolve();
    this.#finishTimer ??= this.#clock.after(GOODBYE_WAIT_MS, () => this.terminate());
    return new Promise((resolve) => this.#webSocket.once('close', () => resolve()));
  }

  /** Ends it at once. No handler is called any more. */
  terminate(): void {
    this.#handlers = SILENT_HANDLERS;
    if (this.#finishTimer !== undefined) this.#clock.cancel(this.#finishTimer);
    this.#gate?.close();
    this.#stranded = [];
    this.#webSocket.terminate();
    this.tls.destroy();
  }

  readonly #countHandshake = (chunk: Buffer): void => {
    this.#handshakeBytes += chunk.byteLength;
    if (this.#handshakeBytes <= HANDSHAKE_BYTES_MAX) return;
    this.handshakeDone();
    this.#handlers.violation(`more than ${HANDSHAKE_BYTES_MAX} octets before the end of the handshake`);
  };

  #write(octets: Buffer): void {
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return;
    this.#webSocket.send(octets, { binary: true, compress: false });
  }

  #received(data: RawData, isBinary: boolean): void {
    if (!isBinary || !Buffer.isBuffer(data)) {
      this.#handlers.violation('a text message where only frames may be');
      return;
    }
    if (this.#gate?.cutIn === true) this.#stranded.push(data);
    else this.#handlers.message(data);
  }

  #setReadable(isReadable: boolean): void {
    if (!isReadable) {
      this.#webSocket.pause();
      return;
    }
    const stranded = this.#stranded;
    this.#stranded = [];
    for (const octets of stranded) this.#handlers.message(octets);
    this.#webSocket.resume();
    if (this.#isClosed) this.#tellClosed();
  }

  #failed(error: Error & { code?: string }): void {
    // ws marks what the other side did wrong with codes of its own; everything else is the network's doing.
    if (error.code?.startsWith('WS_ERR_') === true) this.#handlers.violation(error.message);
  }

  #closed(): void {
    this.#isClosed = true;
    if (this.#finishTimer !== undefined) this.#clock.cancel(this.#finishTimer);
    if (this.#gate?.cutIn !== true) this.#tellClosed();
  }

  #tellClosed(): void {
    if (this.#isCloseTold) return;
    this.#isCloseTold = true;
    this.#gate?.close();
    this.#handlers.closed();
  }
}
