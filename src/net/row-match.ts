/** Which row of the peer list a node belongs to that has proved the cluster key. Pure. */
import { comparableName, endpointText, hostOfNodeName, sameAddress } from './addresses.ts';
import type { LinkFailure } from './failures.ts';
import type { NodeIdentity } from './handshake-messages.ts';

/** A row of the peer list, without this system's own. */
export interface PeerAddress {
  /** Row number as on the page, from 1. */
  readonly index: number;
  /** The row as typed: IP address or FQDN. */
  readonly text: string;
  /** What it resolved to, if it did. */
  readonly address: string | undefined;
  readonly port: number;
}

export type TlsVerify = 'Permissive' | 'Enforcing';

export type RowMatch =
  | { readonly row: PeerAddress; readonly failure?: undefined }
  /** `row` when it is known which row failed. */
  | { readonly row: PeerAddress | undefined; readonly failure: LinkFailure };

/**
 * The source address decides, and the cluster port tells peers on one address apart. A row that does not resolve is
 * matched by name, but never in Enforcing mode: there name and address must both be right (B17).
 */
export function matchRow(
  rows: readonly PeerAddress[],
  source: string,
  identity: NodeIdentity,
  tlsVerify: TlsVerify,
): RowMatch {
  const exact = rows.find((row) => sameAddress(row.address, source) && row.port === identity.port);
  if (exact !== undefined) return { row: exact };
  const named = rows.find((row) => comparableName(row.text) === comparableName(hostOfNodeName(identity.name)));
  if (named === undefined) {
    const [neighbour, ...others] = rows.filter((row) => sameAddress(row.address, source));
    if (neighbour !== undefined && others.length === 0) {
      return { row: neighbour, failure: mismatch(neighbour, source, identity) };
    }
    const text = `${identity.name} at ${endpointText(source, identity.port)} is in no row of the peer list`;
    return { row: undefined, failure: { code: 'unknown_node', text: `${text}. Enter the same peers on every peer.` } };
  }
  if (named.address === undefined) {
    if (tlsVerify === 'Permissive') return { row: named };
    const text = `Peer ${named.index} address "${named.text}" cannot be resolved, so its source address cannot be checked`;
    return { row: named, failure: { code: 'address_mismatch', text: `${text}. Correct DNS or the address mapping.` } };
  }
  return { row: named, failure: mismatch(named, source, identity) };
}

function mismatch(row: PeerAddress, source: string, identity: NodeIdentity): LinkFailure {
  if (sameAddress(row.address, source)) {
    const text = `Peer ${row.index} listens on port ${identity.port} but its row says ${row.port}`;
    return { code: 'address_mismatch', text };
  }
  const text = `Peer ${row.index} connects from ${source} but its row resolves to ${row.address}`;
  return { code: 'address_mismatch', text: `${text}: address translation between peers is not supported` };
}
