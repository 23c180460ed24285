/** What every connection of a peer shares: its TLS identity, the limits, the clock, the faults. */
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { Clock, Random } from '../../storage/environment.ts';
import type { FaultLayer } from './faults.ts';
import type { NodeIdentity } from './handshake-messages.ts';

export const UPGRADE_PATH = '/peerage/cluster/link';

export interface Transport {
  readonly identity: NodeIdentity;
  readonly bindAddress: string;
  readonly sourcePorts: readonly [number, number];
  readonly clusterKey: Uint8Array;
  /** The dialling side takes a finished context, the listening side only its options. */
  readonly secureContext: SecureContext;
  readonly secureContextOptions: SecureContextOptions;
  readonly frameBytesMax: number;
  readonly handshakeTimeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: FaultLayer | undefined;
}

/** Throws with what to do when certificate and key do not belong together or cannot be read. */
export function secureContextOf(
  certificate: string,
  privateKey: string,
  authorities: readonly string[],
): Pick<Transport, 'secureContext' | 'secureContextOptions'> {
  const options: SecureContextOptions = {
    cert: certificate,
    key: privateKey,
    ca: [...authorities],
    minVersion: 'TLSv1.3',
  };
  try {
    return { secureContext: createSecureContext(options), secureContextOptions: options };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TypeError(
      `Certificate, private key or trusted authorities cannot be used (${why}). Check that the files are PEM and that the key belongs to the certificate.`,
      { cause: error },
    );
  }
}

/** Options both ends of TLS share. Trust is decided after the handshake by our own verdict, in both modes. */
export const TLS_TRUST = { requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.3' } as const;
