import { describe, expect, test } from 'vitest';
import { ChangeRefused, checkChange, type ThisSystem } from '../../../src/peer/changes.ts';
import type { ClusterConfiguration, ConfigurationChange } from '../../../src/peer/peer-handle.ts';

const now: ClusterConfiguration = {
  name: 'cluster.example.com',
  configurationPrimary: 2,
  ipVersion: 'IPv4',
  tlsVerify: 'Permissive',
  peers: ['peer1.example.com', '10.15.13.16', 'peer3.example.com'],
  addressMapping: { enabled: true, mappings: [{ fqdn: 'peer1.example.com', ip: '10.15.13.15' }] },
};
const system: ThisSystem = { row: 1, isOwn: (text) => ['peer1.example.com', '10.15.13.15'].includes(text) };
const check = (change: ConfigurationChange) => () => checkChange(change, now, system);

describe('changes of the cluster configuration', () => {
  test.each<[string, ConfigurationChange]>([
    ['a new name', { item: 'clusterName', value: 'other.example.com' }],
    ['another primary', { item: 'configurationPrimary', value: 3 }],
    ['the TLS mode', { item: 'tlsVerify', value: 'Enforcing' }],
    ['the first empty row', { item: 'peerAddress', index: 4, value: 'peer4.example.com' }],
    ['the last row cleared', { item: 'peerAddress', index: 3, value: '' }],
    ['E82 the own row from a name to an address', { item: 'peerAddress', index: 1, value: '10.15.13.15' }],
    ['a new mapping', { item: 'addressMapping', fqdn: 'peer2.example.com', ip: '10.15.13.16' }],
    ['a mapping removed', { item: 'addressMapping', fqdn: 'PEER1.example.com', ip: undefined }],
  ])('%s is allowed', (_name, change) => {
    expect(check(change)).not.toThrow();
  });

  test.each<[string, ConfigurationChange, RegExp]>([
    ['B12 a bad name', { item: 'clusterName', value: '-a.com' }, /hyphen/],
    ['a primary without a row', { item: 'configurationPrimary', value: 4 }, /row 4 is not filled.*1 to 3/],
    ['E1 a seventh row', { item: 'peerAddress', index: 7, value: 'x.example.com' }, /at most 6 peers/],
    ['a row after a gap', { item: 'peerAddress', index: 5, value: 'x.example.com' }, /first empty row is Peer 4/],
    ['a row that is there', { item: 'peerAddress', index: 4, value: 'PEER3.example.com' }, /Peer 3 already/],
    ['R10 the own row cleared', { item: 'peerAddress', index: 1, value: '' }, /must stay/],
    [
      'R10 the own row for another system',
      { item: 'peerAddress', index: 1, value: 'x.example.com' },
      /row of this system/,
    ],
    ['a row cleared in the middle', { item: 'peerAddress', index: 2, value: '' }, /no gaps/],
    ['half an address', { item: 'peerAddress', index: 4, value: '10.15.13' }, /neither a complete/],
    ['the IP version against the rows', { item: 'ipVersion', value: 'IPv6' }, /10.15.13.16/],
    ['a mapping that is not there', { item: 'addressMapping', fqdn: 'x.example.com', ip: undefined }, /no mapping/],
    ['a mapping to a name', { item: 'addressMapping', fqdn: 'x.example.com', ip: 'y' }, /not an IP address/],
    ['a mapping of the other version', { item: 'addressMapping', fqdn: 'x.example.com', ip: '::1' }, /IPv4/],
  ])('%s is refused and said why', (_name, change, text) => {
    expect(check(change)).toThrow(ChangeRefused);
    expect(check(change)).toThrow(text);
  });

  test('the primary row cannot be cleared', () => {
    const last: ClusterConfiguration = { ...now, configurationPrimary: 3 };
    expect(() => checkChange({ item: 'peerAddress', index: 3, value: '' }, last, system)).toThrow(/primary/);
  });
});
