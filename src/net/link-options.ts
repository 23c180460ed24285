/** Options of ClusterLinks, checked once when they are given. */
import { isIP } from 'node:net';
import type { LogRecord } from '../../actors/otp/types.ts';
import type { Clock, Random } from '../../storage/environment.ts';
import { isCleanText } from './addresses.ts';
import { parseAuthorities } from './certificate-verdict.ts';
import type { FaultLayer } from './faults.ts';
import { CLUSTER_KEY_BYTES_MIN } from './limits.ts';
import type { PeerAddress, TlsVerify } from './row-match.ts';

export interface ClusterLinksOptions {
  /** Made once, kept in the data directory. */
  readonly nodeId: string;
  /** `clusterdb@<fqdn>`. */
  readonly nodeName: string;
  /** Persisted boot counter: a higher one is another life of the same node. */
  readonly incarnation: number;
  readonly bindAddress: string;
  /** Cluster port, 4372; 0 lets the system choose (tests). */
  readonly port: number;
  /** First and last source port of outgoing links: 30000–35999. */
  readonly sourcePorts: readonly [number, number];
  /** PEM, own certificate first, then those between it and the authority. */
  readonly certificate: string;
  readonly privateKey: string;
  readonly trustedAuthorities: readonly string[];
  readonly tlsVerify: TlsVerify;
  /** At least 32 octets, the same on all peers of the cluster. */
  readonly clusterKey: Uint8Array;
  readonly netTicktimeMs: number;
  readonly resumeWindowMs: number;
  readonly frameBytesMax?: number;
  readonly backlogBytesMax?: number;
  /** From the first octet of a dial to the end of the handshake; default netTicktimeMs. */
  readonly handshakeTimeoutMs?: number;
  readonly clock: Clock;
  readonly random: Random;
  log(record: LogRecord): void;
  /** Lab peers only. */
  readonly faults?: FaultLayer;
}

/** Frames must hold at least a handshake and a row of reasonable size. */
const FRAME_BYTES_MIN = 4096;
const TICKTIME_MS_MIN = 40;

export function checkOptions(options: ClusterLinksOptions): void {
  const [first, last] = options.sourcePorts;
  const frameBytesMax = options.frameBytesMax ?? FRAME_BYTES_MIN;
  check(isCleanText(options.nodeId), 'nodeId is empty or holds spaces or controls');
  check(isCleanText(options.nodeName) && options.nodeName.includes('@'), 'nodeName must read clusterdb@<fqdn>');
  check(isCount(options.incarnation), 'incarnation must be a whole number, 0 or more');
  check(isIP(options.bindAddress) !== 0, `bindAddress "${options.bindAddress}" is not an IP address`);
  check(isPort(options.port) || options.port === 0, `port ${options.port} is not 1 to 65535`);
  check(isPort(first) && isPort(last) && first <= last, `sourcePorts ${first}–${last} is not a range of ports`);
  check(
    options.clusterKey.byteLength >= CLUSTER_KEY_BYTES_MIN,
    `the cluster key has ${options.clusterKey.byteLength} octets; it needs ${CLUSTER_KEY_BYTES_MIN} or more`,
  );
  check(options.netTicktimeMs >= TICKTIME_MS_MIN, `netTicktimeMs must be ${TICKTIME_MS_MIN} or more`);
  check(options.resumeWindowMs >= 0, 'resumeWindowMs must be 0 or more');
  check(frameBytesMax >= FRAME_BYTES_MIN, `frameBytesMax must be ${FRAME_BYTES_MIN} or more`);
  if (options.trustedAuthorities.length > 0) parseAuthorities(options.trustedAuthorities);
  check(
    options.trustedAuthorities.length > 0 || options.tlsVerify === 'Permissive',
    'Enforcing needs at least one trusted authority',
  );
}

export function checkPeers(rows: readonly PeerAddress[]): void {
  const indexes = new Set<number>();
  for (const row of rows) {
    check(isCount(row.index) && row.index >= 1, `row number ${row.index} is not 1 or more`);
    check(!indexes.has(row.index), `row ${row.index} is given twice`);
    indexes.add(row.index);
    check(isCleanText(row.text), `row ${row.index} is empty or holds spaces or controls`);
    check(
      row.address === undefined || isIP(row.address) !== 0,
      `row ${row.index}: "${row.address}" is not an IP address`,
    );
    check(isPort(row.port), `row ${row.index}: port ${row.port} is not 1 to 65535`);
  }
}

function check(holds: boolean, otherwise: string): void {
  if (!holds) throw new RangeError(`Cluster links: ${otherwise}. Correct the peer's configuration.`);
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65_535;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
