/** One database in a directory, linked with others over TLS. A database alone is `openDatabase({ directory })`. */
import { ClusterLinks } from '../../src/net/index.ts';
import { type Database, type LocalNode, openDatabase } from '../../storage/index.ts';

/** Where the others are, and what a node needs to be let in. */
export interface Network {
  readonly bindAddress: string;
  /** Addresses of all nodes, in the same order everywhere. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly certificate: string;
  readonly privateKey: string;
  readonly authority: string;
  readonly clusterKey: Uint8Array;
}

export interface Node {
  readonly database: Database;
  close(): Promise<void>;
}

const SOURCE_PORTS = [30_000, 35_999] as const;

export async function openNode(directory: string, nodeName: string, network: Network): Promise<Node> {
  let links: ClusterLinks | undefined;
  const { database, close } = await openDatabase({
    directory,
    nodeName,
    links: async (self) => {
      links = await openLinks(network, self);
      return links.channel('db');
    },
  });
  // Dialled only now, when the database listens.
  links?.setPeers(rowsOf(network));
  return {
    database,
    close: async () => {
      await close();
      await links?.close();
    },
  };
}

function openLinks(network: Network, self: LocalNode): Promise<ClusterLinks> {
  const { bindAddress, port, certificate, privateKey, authority, clusterKey } = network;
  return ClusterLinks.open({
    ...self,
    bindAddress,
    port,
    sourcePorts: SOURCE_PORTS,
    certificate,
    privateKey,
    trustedAuthorities: [authority],
    tlsVerify: 'Enforcing',
    clusterKey,
    netTicktimeMs: 2_000,
    resumeWindowMs: 500,
    log: () => undefined,
  });
}

/** All rows but the node's own. */
function rowsOf({ addresses, bindAddress, port }: Network) {
  return addresses
    .map((address, at) => ({ index: at + 1, text: address, address, port }))
    .filter(({ address }) => address !== bindAddress);
}
