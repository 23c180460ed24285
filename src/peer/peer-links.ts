/**
 * Stands between the link layer, which knows rows and node ids, and the actors, which know rows and node names. It
 * remembers how each row's peer named itself, so that a peer that is gone still has a name.
 */
import { lookup } from 'node:dns/promises';
import { resolveLocally } from '../../actors/clusterdb/resolution.ts';
import {
  type ClusterConfiguration,
  type IpVersion,
  nodeNameOfRow,
  type OwnIdentity,
  ownRowIndex,
  type PeerLink,
  type ResolvedPeer,
} from '../../actors/index.ts';
import type { AlternateAddress } from '../../actors/replication/log-lines.ts';
import type { ClusterLinks, LinkStatus, PeerAddress } from '../net/index.ts';
import type { PeerConfiguration } from './configuration.ts';
import { shortName } from './peer-status.ts';

export class PeerLinks {
  readonly #links: Pick<ClusterLinks, 'status' | 'setPeers'>;
  readonly #portByText: ReadonlyMap<string, number>;
  readonly #defaultPort: number;
  readonly #ownNodeName: string;
  readonly #nameByText = new Map<string, string>();
  #resolved: readonly ResolvedPeer[] = [];

  constructor(links: Pick<ClusterLinks, 'status' | 'setPeers'>, configuration: PeerConfiguration) {
    this.#links = links;
    this.#ownNodeName = configuration.nodeName;
    this.#defaultPort = configuration.ports.cluster;
    this.#portByText = new Map(
      configuration.cluster.peers.map((text, row) => [text.toLowerCase(), configuration.peerPorts[row]!]),
    );
  }

  setPeers(peers: readonly ResolvedPeer[]): void {
    this.#resolved = peers;
    const others = peers.filter((peer) => !peer.own);
    this.#links.setPeers(
      others.map(
        ({ index, text, address }): PeerAddress => ({
          index,
          text,
          address,
          port: this.#portByText.get(text.toLowerCase()) ?? this.#defaultPort,
        }),
      ),
    );
  }

  status(): readonly LinkStatus[] {
    const rows = this.#links.status();
    for (const row of rows) if (row.name !== undefined) this.#nameByText.set(row.text.toLowerCase(), row.name);
    return rows;
  }

  /** For `cdb`. */
  peerLinks(): readonly PeerLink[] {
    return this.status().map(({ index, text, state }) => ({
      index,
      text,
      up: state === 'up',
      nodeName: this.#nameOf(text),
    }));
  }

  nodeNameOfPeer(index: number): string | undefined {
    const peer = this.#resolved.find((candidate) => candidate.index === index);
    if (peer === undefined) return undefined;
    return peer.own ? this.#ownNodeName : this.#nameOf(peer.text);
  }

  /** Of the other rows; as configured where the node behind it was never heard. */
  otherNodeNames(): string[] {
    return this.#resolved.filter(({ own }) => !own).map(({ text }) => this.#nameOf(text) ?? text);
  }

  addressOf(index: number): string | undefined {
    return this.#resolved.find((peer) => peer.index === index)?.address;
  }

  /** Every row in order with what it resolved to, for L2. */
  alternates(): readonly AlternateAddress[] {
    this.status();
    return this.#resolved.map(({ index, text, address }) => ({
      address: address ?? text,
      name: shortName(this.nodeNameOfPeer(index) ?? text),
    }));
  }

  #nameOf(text: string): string | undefined {
    return this.#nameByText.get(text.toLowerCase()) ?? nodeNameOfRow(text);
  }
}

/** DNS by the machine's own resolver. */
export async function lookupAddress(name: string, ipVersion: IpVersion): Promise<string> {
  const { address } = await lookup(name, { family: ipVersion === 'IPv6' ? 6 : 4 });
  return address;
}

/** Before the resolver runs: whom to dial so that tables can be loaded at all. DNS gets a moment, no more. */
export async function firstRows(
  configuration: ClusterConfiguration,
  own: OwnIdentity,
  lookUp: (name: string, ipVersion: IpVersion) => Promise<string>,
  limit: Promise<void>,
): Promise<readonly ResolvedPeer[]> {
  const { peers, names } = resolveLocally(configuration, ownRowIndex(configuration, own));
  const answers = new Map<string, string>();
  const asked = names.map(async (name) => {
    try {
      answers.set(name, await lookUp(name, configuration.ipVersion));
    } catch {
      // The resolver asks again as soon as it runs, and says then what is wrong with the name.
      answers.delete(name);
    }
  });
  await Promise.race([Promise.all(asked), limit]);
  return peers.map((peer) => {
    const address = answers.get(peer.text.toLowerCase());
    return peer.source !== 'none' || address === undefined ? peer : { ...peer, address, source: 'dns' };
  });
}
