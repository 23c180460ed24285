/** A peer that holds the key but does not keep the rules: links to a real peer and sends whatever a test wants. */
import type { Connection } from '../../../src/net/connection.ts';
import { Dial } from '../../../src/net/dialler.ts';
import type { HandshakeAgreement } from '../../../src/net/handshake.ts';
import type { SessionOffer } from '../../../src/net/handshake-messages.ts';
import { secureContextOf } from '../../../src/net/transport.ts';
import { SeededRandom } from '../../../src/simulation/seeded-random.ts';
import { CLUSTER_KEY, type NetLab, realClock, type TestPeer } from './net-lab.ts';

export interface RawLinkOptions {
  readonly from: string;
  readonly to: Pick<TestPeer, 'address'> & { readonly links: { readonly port: number } };
  readonly incarnation?: number;
  readonly clusterKey?: Uint8Array;
  readonly resume?: SessionOffer['resume'];
}

export interface RawLink {
  readonly session: string;
  /** Everything the real peer sent. */
  readonly frames: Buffer[];
  readonly isClosed: () => boolean;
  send(octets: Buffer): void;
  terminate(): void;
}

let moment = 0;

export async function rawLink(lab: NetLab, options: RawLinkOptions): Promise<RawLink> {
  const certificate = await lab.certificate('raw.example', ['raw.example'], [options.from]);
  const { connection, agreement } = await dial(options, certificate.certificatePem, certificate.privateKeyPem);
  const frames: Buffer[] = [];
  let isClosed = false;
  connection.setHandlers({
    message: (octets) => frames.push(octets),
    violation: () => undefined,
    closed: () => {
      isClosed = true;
    },
  });
  return {
    session: agreement.session,
    frames,
    isClosed: () => isClosed,
    send: (octets) => connection.send(octets),
    terminate: () => connection.terminate(),
  };
}

function dial(
  options: RawLinkOptions,
  certificatePem: string,
  privateKeyPem: string,
): Promise<{ connection: Connection; agreement: HandshakeAgreement }> {
  moment++;
  const random = new SeededRandom(`raw ${moment}`);
  const transport = {
    identity: { nodeId: 'id-raw', name: 'clusterdb@raw.example', incarnation: options.incarnation ?? 1, port: 4372 },
    bindAddress: options.from,
    sourcePorts: [30_000, 35_999] as const,
    clusterKey: options.clusterKey ?? CLUSTER_KEY,
    ...secureContextOf(certificatePem, privateKeyPem, []),
    frameBytesMax: 1 << 24,
    handshakeTimeoutMs: 5000,
    clock: realClock,
    random,
    faults: undefined,
  };
  return new Promise((resolve, reject) => {
    new Dial(transport, options.to.address, options.to.links.port, {
      judge: () => undefined,
      offer: () => ({ moment, session: random.hex(16), resume: options.resume }),
      established: (connection, agreement) => resolve({ connection, agreement }),
      failed: (failure) => reject(new Error(`${failure.code}: ${failure.text}`)),
    }).start();
  });
}
