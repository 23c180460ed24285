/**
 * The RAS port between peers (UDP 1719). Call control does not speak RAS yet: every datagram is counted and dropped
 * without being read, and logged once per burst. The socket sends nothing.
 */
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import type { LogRecord } from '../../actors/otp/types.ts';
import type { Clock } from '../../storage/environment.ts';
import { endpointText, normaliseAddress } from './addresses.ts';
import type { BurstLimits } from './burst-log.ts';
import { BurstLogger } from './burst-logger.ts';
import { rasRecord } from './log-records.ts';

export interface RasSocketOptions {
  readonly bindAddress: string;
  /** 1719; 0 lets the system choose (tests). */
  readonly port: number;
  readonly clock: Clock;
  log(record: LogRecord): void;
  readonly burstLimits?: Partial<BurstLimits>;
}

export interface RasSocket {
  readonly port: number;
  readonly droppedDatagrams: number;
  readonly droppedBytes: number;
  close(): Promise<void>;
}

/** What the kernel may hold for us; beyond it, it drops by itself. */
const RECEIVE_BUFFER_BYTES = 64 * 1024;

export function openRasSocket(options: RasSocketOptions): Promise<RasSocket> {
  const bursts = new BurstLogger({
    clock: options.clock,
    log: (record) => options.log(record),
    record: rasRecord,
    ...(options.burstLimits === undefined ? {} : { limits: options.burstLimits }),
  });
  const type = isIP(options.bindAddress) === 6 ? 'udp6' : 'udp4';
  const socket = createSocket({ type, recvBufferSize: RECEIVE_BUFFER_BYTES, ipv6Only: type === 'udp6' });
  let droppedBytes = 0;
  socket.on('message', (datagram, source) => {
    droppedBytes += datagram.byteLength;
    const detail = 'A RAS datagram was dropped: this peer does not answer RAS yet';
    bursts.note(normaliseAddress(source.address), 'ras', detail, [['Src-port', String(source.port)]]);
  });
  return new Promise((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const endpoint = endpointText(options.bindAddress, options.port);
      const text = `The RAS port ${endpoint} cannot be opened (${error.code}). Does another program listen there?`;
      reject(new Error(text, { cause: error }));
    });
    socket.bind({ address: options.bindAddress, port: options.port, exclusive: true }, () => {
      socket.removeAllListeners('error');
      socket.on('error', (error) => {
        options.log(rasRecord('WARN', `The RAS socket reported ${error.message}; it stays open`));
      });
      resolve({
        port: socket.address().port,
        get droppedDatagrams() {
          return bursts.total;
        },
        get droppedBytes() {
          return droppedBytes;
        },
        close: () => {
          bursts.close();
          return new Promise((closed) => socket.close(() => closed()));
        },
      });
    });
  });
}
