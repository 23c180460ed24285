import { expect, test } from 'vitest';
import {
  type ClusterConfiguration,
  configurationRows,
  isAddressLiteral,
  nodeNameOfRow,
  ownRowIndex,
  type ReadPort,
  readClusterConfiguration,
  tableDefinitions,
} from '../../../actors/index.ts';
import type { Value } from '../../../storage/index.ts';

const configuration: ClusterConfiguration = {
  name: 'expc-cluster.apolo.local',
  configurationPrimary: 2,
  ipVersion: 'IPv6',
  tlsVerify: 'Enforcing',
  peers: ['expc01.apolo.local', '10.15.13.16'],
  addressMapping: {
    enabled: true,
    mappings: [
      { fqdn: 'expc01.apolo.local', ip: '10.15.13.15' },
      { fqdn: 'expc02.apolo.local', ip: '10.15.13.16' },
    ],
  },
};

function reading(tables: ReadonlyMap<string, readonly { readonly key: unknown; readonly value: Value }[]>): ReadPort {
  return {
    dirtyRead: (table, key) => tables.get(table)?.find((row) => row.key === key)?.value,
    dirtyForEach: (table, visit) => {
      for (const row of tables.get(table) ?? []) visit(row.key as string, row.value);
    },
  };
}

test('E40 a configuration that was written as rows is read back as it was', () => {
  expect(readClusterConfiguration(reading(configurationRows(configuration)))).toEqual(configuration);
});

test('E46 E85 empty tables read as the defaults: no cluster, Permissive, mapping off', () => {
  expect(readClusterConfiguration(reading(new Map()))).toEqual({
    name: '',
    configurationPrimary: 1,
    ipVersion: 'IPv4',
    tlsVerify: 'Permissive',
    peers: [],
    addressMapping: { enabled: false, mappings: [] },
  });
});

test('E5 E42 what is set on each peer is local content, what is shared is replicated', () => {
  const local = tableDefinitions('clusterdb@a').flatMap((one) => (one.local_content === true ? [one.name] : []));
  expect(local).toEqual(['peerConfiguration', 'alternatesConfiguration', 'systemConfiguration']);
});

test('E118 a peer’s alarms are merged by their owner', () => {
  expect(tableDefinitions('clusterdb@a').find((one) => one.name === 'alarms')).toMatchObject({
    merge: 'owner',
    owner_field: 'owner',
  });
});

test.each([
  [{ fqdn: 'EXPC01.apolo.local', addresses: [] }, 1],
  [{ fqdn: 'x', addresses: ['10.15.13.16'] }, 2],
  [{ fqdn: 'x', addresses: ['10.15.13.15'] }, 1],
  [{ fqdn: 'x', addresses: ['10.15.13.99'] }, undefined],
])('E51 this system finds its own row by name, by address or by mapping: %j', (own, row) => {
  expect(ownRowIndex(configuration, own)).toBe(row);
});

test.each([
  ['10.15.13.15', true],
  ['256.1.1.1', false],
  ['1.2.3', false],
  ['fe80::1', true],
  ['peer1.lab', false],
])('a row %s is an address: %s', (text, address) => {
  expect(isAddressLiteral(text)).toBe(address);
});

test('a row that is a name says the node’s name, a row that is an address does not', () => {
  expect(nodeNameOfRow('EXPC02.apolo.local')).toBe('clusterdb@expc02.apolo.local');
  expect(nodeNameOfRow('10.15.13.16')).toBeUndefined();
});
