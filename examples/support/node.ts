/** One database in a directory, alone or linked with others, out of the real parts: time, disc, sockets. */
import { ClusterLinks, type FaultLayer } from '../../src/net/index.ts';
import { openDataDirectory } from '../../storage/disc/data-directory.ts';
import { createClock, createRandom, Database, endOfTurn, type Links, probe } from '../../storage/index.ts';

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
  readonly faults?: FaultLayer;
}

export interface Node {
  readonly database: Database;
  close(): Promise<void>;
}

const SOURCE_PORTS = [30_000, 35_999] as const;

/** A node that knows nobody: nothing is sent, nobody comes. */
const nobody: Links = {
  send: () => undefined,
  isUp: () => false,
  backlogBytes: () => 0,
  drop: () => undefined,
  setHandlers: () => undefined,
};

export async function openNode(directory: string, nodeName: string, network?: Network): Promise<Node> {
  const clock = createClock();
  const random = createRandom();
  const data = await openDataDirectory(directory, random);
  const { nodeId, incarnation, disc } = data;
  const links = network === undefined ? undefined : await openLinks(network, { nodeId, nodeName, incarnation });
  const environment = { clock, random, links: links?.channel('db') ?? nobody, disc, endOfTurn, probe };
  const database = await Database.open({ environment, nodeId, incarnation, nodeName });
  if (network !== undefined) links?.setPeers(rowsOf(network));
  return {
    database,
    close: async () => {
      await database.close();
      await links?.close();
      await data.close();
    },
  };
}

function openLinks(
  network: Network,
  self: { nodeId: string; nodeName: string; incarnation: number },
): Promise<ClusterLinks> {
  const { bindAddress, port, certificate, privateKey, authority, clusterKey, faults } = network;
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
    clock: createClock(),
    random: createRandom(),
    log: () => undefined,
    faults,
  });
}

/** All rows but the node's own. */
function rowsOf({ addresses, bindAddress, port }: Network) {
  return addresses
    .map((address, at) => ({ index: at + 1, text: address, address, port }))
    .filter(({ address }) => address !== bindAddress);
}
