/**
 * The cluster recovery port (TCP 4371). No recovery service is offered on it, so whoever connects is closed at once,
 * unanswered; it is counted and logged once per burst.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { LogRecord } from '../../actors/otp/types.ts';
import type { Clock } from '../../storage/environment.ts';
import { endpointText, normaliseAddress } from './addresses.ts';
import type { BurstLimits } from './burst-log.ts';
import { BurstLogger } from './burst-logger.ts';
import { linkRecord } from './log-records.ts';

export interface RecoveryListenerOptions {
  readonly nodeName: string;
  readonly bindAddress: string;
  /** 4371; 0 lets the system choose (tests). */
  readonly port: number;
  readonly clock: Clock;
  log(record: LogRecord): void;
  readonly burstLimits?: Partial<BurstLimits>;
}

export interface RecoveryListener {
  readonly port: number;
  /** Connections closed so far. */
  readonly closedCount: number;
  close(): Promise<void>;
}

export function openRecoveryListener(options: RecoveryListenerOptions): Promise<RecoveryListener> {
  const bursts = new BurstLogger({
    clock: options.clock,
    log: (record) => options.log(record),
    record: (level, detail, fields) => linkRecord(options.nodeName, level, detail, fields),
    ...(options.burstLimits === undefined ? {} : { limits: options.burstLimits }),
  });
  const server = createServer((socket) => turnAway(socket, bursts));
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const endpoint = endpointText(options.bindAddress, options.port);
      const text = `The recovery port ${endpoint} cannot be opened (${error.code}). Does another program listen there?`;
      reject(new Error(text, { cause: error }));
    });
    server.listen({ host: options.bindAddress, port: options.port, exclusive: true }, () => {
      resolve({
        port: portOf(server, options.port),
        get closedCount() {
          return bursts.total;
        },
        close: () => closeServer(server, bursts),
      });
    });
  });
}

function turnAway(socket: Socket, bursts: BurstLogger): void {
  const address = normaliseAddress(socket.remoteAddress) || 'unknown address';
  socket.on('error', () => socket.destroy());
  // With a reset instead of a farewell nothing stays behind here, however many come.
  socket.resetAndDestroy();
  const detail = 'A connection to the cluster recovery port was closed: no recovery is under way';
  bursts.note(address, 'recovery_port', detail);
}

function portOf(server: Server, fallback: number): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : fallback;
}

function closeServer(server: Server, bursts: BurstLogger): Promise<void> {
  bursts.close();
  return new Promise((resolve) => server.close(() => resolve()));
}
