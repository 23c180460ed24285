/** The items `xConfiguration` knows: path, value space, how to read it, and what a new value means. */
import { PEERS_MAX } from '../peer/configuration-schema.ts';
import type { ClusterConfiguration, ConfigurationChange } from '../peer/peer-handle.ts';

export type Parsed = { readonly change: ConfigurationChange } | { readonly problem: string };

export interface ConfigurationItem {
  readonly path: readonly string[];
  /** As `?` shows it: `<S: 0, 128>`, `<1..6>`, `<On/Off>`. */
  readonly space: string;
  readonly help: string;
  /** Peer-specific: set on each peer, never copied from the primary. */
  readonly peerSpecific: boolean;
  read(configuration: ClusterConfiguration): string | number;
  parse(value: string): Parsed;
}

function oneOf<T extends string>(value: string, words: readonly T[]): T | undefined {
  return words.find((word) => word.toLowerCase() === value.toLowerCase());
}

function wordItem<T extends string>(
  base: Omit<ConfigurationItem, 'space' | 'parse'>,
  words: readonly T[],
  change: (word: T) => ConfigurationChange,
): ConfigurationItem {
  return {
    ...base,
    space: `<${words.join('/')}>`,
    parse(value) {
      const word = oneOf(value, words);
      return word === undefined ? { problem: `it must be ${words.join(' or ')}` } : { change: change(word) };
    },
  };
}

const tlsVerify = wordItem(
  {
    path: ['clusterConfiguration', 'tls_verify'],
    help: 'TLS verification mode between peers. A change takes effect on each peer when that peer restarts.',
    peerSpecific: false,
    read: (configuration) => configuration.tlsVerify,
  },
  ['Permissive', 'Enforcing'] as const,
  (value) => ({ item: 'tlsVerify', value }),
);

const ipVersion = wordItem(
  {
    path: ['Alternates', 'Cluster', 'IPVersion'],
    help: 'IP version peers use among themselves, identical on all peers.',
    peerSpecific: true,
    read: (configuration) => configuration.ipVersion,
  },
  ['IPv4', 'IPv6'] as const,
  (value) => ({ item: 'ipVersion', value }),
);

const mappingEnabled = wordItem(
  {
    path: ['ClusterAddressMapping', 'Enabled'],
    help: 'Whether the address mapping is consulted before DNS. Shared by the cluster.',
    peerSpecific: false,
    read: (configuration) => (configuration.addressMapping.enabled ? 'On' : 'Off'),
  },
  ['On', 'Off'] as const,
  (value) => ({ item: 'addressMappingEnabled', value: value === 'On' }),
);

const clusterName: ConfigurationItem = {
  path: ['Alternates', 'Cluster', 'Name'],
  space: '<S: 0, 128>',
  help: 'Cluster name, an FQDN, identical on all peers.',
  peerSpecific: true,
  read: (configuration) => configuration.name,
  parse: (value) => ({ change: { item: 'clusterName', value } }),
};

const primary: ConfigurationItem = {
  path: ['Alternates', 'ConfigurationPrimary'],
  space: `<1..${PEERS_MAX}>`,
  help: 'Row of the peer whose configuration is copied to all others.',
  peerSpecific: true,
  read: (configuration) => configuration.configurationPrimary,
  parse: (value) =>
    /^[1-9]$/.test(value) && Number(value) <= PEERS_MAX
      ? { change: { item: 'configurationPrimary', value: Number(value) } }
      : { problem: `it must be a row from 1 to ${PEERS_MAX}` },
};

function peerAddress(index: number): ConfigurationItem {
  return {
    path: ['Alternates', 'Peer', String(index), 'Address'],
    space: '<S: 0, 128>',
    help: `Address of peer ${index}, an IP address or an FQDN; "" clears the row.`,
    peerSpecific: true,
    read: (configuration) => configuration.peers[index - 1] ?? '',
    parse: (value) => ({ change: { item: 'peerAddress', index, value } }),
  };
}

export const CONFIGURATION_ITEMS: readonly ConfigurationItem[] = [
  clusterName,
  ipVersion,
  primary,
  ...Array.from({ length: PEERS_MAX }, (_, row) => peerAddress(row + 1)),
  tlsVerify,
  mappingEnabled,
];
