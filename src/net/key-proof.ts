/**
 * Proof that the other side holds the cluster key, bound to this TLS connection.
 *
 * The MAC covers the role (nothing can be reflected), the keying material exported from the TLS connection (nothing can
 * be carried to another connection, so nobody can sit in the middle although certificates are not verified in
 * Permissive mode), both nonces and the exact octets both sides sent about themselves.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export const CHANNEL_BINDING_LABEL = 'EXPERIMENTAL-peerage-cluster-link-1';
export const CHANNEL_BINDING_BYTES = 32;
export const NONCE_BYTES = 32;
export const PROOF_BYTES = 32;

export type ProofRole = 'dialler' | 'acceptor';

const DOMAIN = Buffer.from('peerage cluster key proof 1');

/** Parts are length-prefixed, so that no two lists of parts give the same octets. */
export function keyProof(key: Uint8Array, role: ProofRole, parts: readonly Uint8Array[]): Buffer {
  const mac = createHmac('sha256', key);
  for (const part of [DOMAIN, Buffer.from(role), ...parts]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.byteLength);
    mac.update(length).update(part);
  }
  return mac.digest();
}

/** Takes the same time wherever the first difference is. */
export function proofHolds(expected: Uint8Array, presented: Uint8Array): boolean {
  return presented.byteLength === expected.byteLength && timingSafeEqual(expected, presented);
}
