/**
 * Where a cluster's configuration is kept: table names, their definitions, their keys, and how they are read together.
 *
 * One row an item, so that two islands that changed different items keep both. What an operator sets on each peer (†:
 * cluster name, configuration primary, IP version, peer rows) is `local_content` and never leaves its peer (E5); the
 * TLS verification mode and the address mapping are replicated at once (E7, E72, E88); everything else that is
 * cluster-wide lies in `systemConfiguration`, which the synchroniser copies from the primary every two minutes (E3).
 */
import type { TableDefinition, Value } from '../../storage/index.ts';
import type { ReadPort, TableRow } from './ports.ts';

export const TABLE = {
  clusterConfiguration: 'clusterConfiguration',
  clusterAddressMapping: 'clusterAddressMapping',
  peerConfiguration: 'peerConfiguration',
  alternatesConfiguration: 'alternatesConfiguration',
  systemConfiguration: 'systemConfiguration',
  alarms: 'alarms',
} as const;

/** Keys of `clusterConfiguration`. `pending_change` is no item of the operator: it records a change that waits for restarts. */
export const CLUSTER_ITEM = {
  tlsVerify: 'tls_verify',
  addressMapping: 'address_mapping',
  pendingChange: 'pending_change',
} as const;

/** Keys of `peerConfiguration`; rows are `peer_1_address` … `peer_6_address`. */
export const PEER_ITEM = {
  name: 'cluster_name',
  primary: 'configuration_primary',
  ipVersion: 'ip_version',
} as const;

/** A cluster has at most six peers (E1). */
export const peersMax = 6;

export function peerAddressItem(index: number): string {
  return `peer_${index}_address`;
}

export type TlsVerify = 'Permissive' | 'Enforcing';
export type IpVersion = 'IPv4' | 'IPv6';

export interface AddressMapping {
  readonly fqdn: string;
  readonly ip: string;
}

export interface ClusterConfiguration {
  readonly name: string;
  /** Row number of the configuration primary, 1 to 6. */
  readonly configurationPrimary: number;
  readonly ipVersion: IpVersion;
  readonly tlsVerify: TlsVerify;
  /** Texts of the rows in order, the first is row 1. Empty: this system is in no cluster. */
  readonly peers: readonly string[];
  readonly addressMapping: { readonly enabled: boolean; readonly mappings: readonly AddressMapping[] };
}

/** Definitions of the tables above for one node; identical on every peer, so that they meet as the same tables. */
export function tableDefinitions(nodeName: string): readonly TableDefinition[] {
  const disc_copies = [nodeName];
  return [
    // Two islands that set the mode differently follow the configuration primary, as everything else does (E6).
    { name: TABLE.clusterConfiguration, disc_copies, merge: 'primary', load_order: 10 },
    { name: TABLE.clusterAddressMapping, disc_copies, merge: 'primary', load_order: 10 },
    // An alarm is true or not at the peer that raised it; no other peer's copy may win over its own (E118).
    { name: TABLE.alarms, disc_copies, merge: 'owner', owner_field: 'owner' },
    { name: TABLE.peerConfiguration, disc_copies, local_content: true, load_order: 20 },
    { name: TABLE.alternatesConfiguration, disc_copies, local_content: true },
    { name: TABLE.systemConfiguration, disc_copies, local_content: true },
  ];
}

/** Rows that hold `configuration`, by table: what a first boot writes from the configuration file. */
export function configurationRows(configuration: ClusterConfiguration): ReadonlyMap<string, readonly TableRow[]> {
  return new Map<string, readonly TableRow[]>([
    [
      TABLE.clusterConfiguration,
      [
        { key: CLUSTER_ITEM.tlsVerify, value: configuration.tlsVerify },
        { key: CLUSTER_ITEM.addressMapping, value: configuration.addressMapping.enabled ? 'On' : 'Off' },
      ],
    ],
    [
      TABLE.clusterAddressMapping,
      configuration.addressMapping.mappings.map(({ fqdn, ip }) => ({ key: fqdn.toLowerCase(), value: ip })),
    ],
    [
      TABLE.peerConfiguration,
      [
        { key: PEER_ITEM.name, value: configuration.name },
        { key: PEER_ITEM.primary, value: configuration.configurationPrimary },
        { key: PEER_ITEM.ipVersion, value: configuration.ipVersion },
        ...configuration.peers.map((text, at) => ({ key: peerAddressItem(at + 1), value: text })),
      ],
    ],
  ]);
}

function textOf(value: Value): string {
  return typeof value === 'string' ? value : '';
}

export function readClusterConfiguration(read: ReadPort): ClusterConfiguration {
  const peerItem = (item: string) => read.dirtyRead(TABLE.peerConfiguration, item);
  const peers: string[] = [];
  for (let index = 1; index <= peersMax; index += 1) {
    const text = textOf(peerItem(peerAddressItem(index)));
    if (text !== '') peers.push(text);
  }
  const mappings: AddressMapping[] = [];
  read.dirtyForEach(TABLE.clusterAddressMapping, (key, value) => {
    if (typeof key === 'string' && typeof value === 'string') mappings.push({ fqdn: key, ip: value });
  });
  mappings.sort((a, b) => (a.fqdn < b.fqdn ? -1 : 1));
  const primary = peerItem(PEER_ITEM.primary);
  return {
    name: textOf(peerItem(PEER_ITEM.name)),
    configurationPrimary: typeof primary === 'number' ? primary : 1,
    ipVersion: peerItem(PEER_ITEM.ipVersion) === 'IPv6' ? 'IPv6' : 'IPv4',
    tlsVerify:
      read.dirtyRead(TABLE.clusterConfiguration, CLUSTER_ITEM.tlsVerify) === 'Enforcing' ? 'Enforcing' : 'Permissive',
    peers,
    addressMapping: {
      enabled: read.dirtyRead(TABLE.clusterConfiguration, CLUSTER_ITEM.addressMapping) === 'On',
      mappings,
    },
  };
}

/** How this system recognises its own row. */
export interface OwnIdentity {
  readonly fqdn: string;
  /** IP addresses of its own interfaces that peers may use. */
  readonly addresses: readonly string[];
}

/** The address the mapping gives for a row, when it is switched on (E87). */
export function mappedAddress(configuration: ClusterConfiguration, text: string): string | undefined {
  if (!configuration.addressMapping.enabled) return undefined;
  const wanted = text.toLowerCase();
  return configuration.addressMapping.mappings.find((one) => one.fqdn.toLowerCase() === wanted)?.ip;
}

/** 1-based number of this system's own row; undefined when it is not in the list (20015). */
export function ownRowIndex(configuration: ClusterConfiguration, own: OwnIdentity): number | undefined {
  const name = own.fqdn.toLowerCase();
  const at = configuration.peers.findIndex((text) => {
    if (text.toLowerCase() === name || own.addresses.includes(text)) return true;
    const mapped = mappedAddress(configuration, text);
    return mapped !== undefined && own.addresses.includes(mapped);
  });
  return at === -1 ? undefined : at + 1;
}

/** `clusterdb@<fqdn>` of a row that is a name; an IP row says nothing about the node's name. */
export function nodeNameOfRow(text: string): string | undefined {
  return isAddressLiteral(text) ? undefined : `clusterdb@${text.toLowerCase()}`;
}

const ipv4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;

/** Whether a row is an address already and needs no resolution. Names never hold a colon. */
export function isAddressLiteral(text: string): boolean {
  return ipv4.test(text) || text.includes(':');
}
