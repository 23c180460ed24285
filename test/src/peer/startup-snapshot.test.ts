import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { changeRequest } from '../../../src/peer/change-requests.ts';
import type { ClusterConfiguration } from '../../../src/peer/peer-handle.ts';
import { StartupSnapshot } from '../../../src/peer/startup-snapshot.ts';

const configuration: ClusterConfiguration = {
  name: 'cluster.example.com',
  configurationPrimary: 1,
  ipVersion: 'IPv4',
  tlsVerify: 'Enforcing',
  peers: ['peer1.example.com', 'peer2.example.com'],
  addressMapping: { enabled: true, mappings: [{ fqdn: 'peer1.example.com', ip: '10.15.13.15' }] },
};

describe('the copy of the configuration for the next start', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'peerage-snapshot-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('E74 gives back what was written last, and nothing at a first boot', async () => {
    const troubles: string[] = [];
    const snapshot = new StartupSnapshot(folder);
    expect(await snapshot.read((reason) => troubles.push(reason))).toBeUndefined();
    const written = (['Permissive', 'Enforcing'] as const).map((tlsVerify) =>
      snapshot.write({ ...configuration, tlsVerify }),
    );
    await Promise.all(written);
    expect(await new StartupSnapshot(folder).read((reason) => troubles.push(reason))).toEqual(configuration);
    expect(await readdir(folder)).toEqual(['startup.json']);
    expect(troubles).toEqual([]);
  });

  test('a file that cannot be understood counts as none, and is said', async () => {
    for (const text of ['{', '{"format":2}', JSON.stringify({ format: 1, ...configuration, tlsVerify: 'Off' })]) {
      await writeFile(join(folder, 'startup.json'), text);
      const troubles: string[] = [];
      expect(await new StartupSnapshot(folder).read((reason) => troubles.push(reason))).toBeUndefined();
      expect(troubles).toHaveLength(1);
    }
  });
});

describe('a change as a request to a table', () => {
  test('E145 the TLS mode is a row of clusterConfiguration, worded as the page words it', () => {
    expect(changeRequest({ item: 'tlsVerify', value: 'Permissive' }, configuration)).toEqual({
      table: 'clusterConfiguration',
      request: { type: 'insert', rows: [{ key: 'tls_verify', value: 'Permissive' }] },
      item: 'cluster/tls_verify',
      from: 'Enforcing',
      to: 'Permissive',
    });
  });

  test('E5 what is peer-specific goes to the table that is not replicated', () => {
    for (const change of [
      { item: 'clusterName', value: 'x.example.com' },
      { item: 'configurationPrimary', value: 2 },
      { item: 'ipVersion', value: 'IPv6' },
      { item: 'peerAddress', index: 3, value: 'peer3.example.com' },
    ] as const) {
      expect(changeRequest(change, configuration)?.table).toBe('peerConfiguration');
    }
    expect(changeRequest({ item: 'peerAddress', index: 2, value: '' }, configuration)?.request).toEqual({
      type: 'delete',
      keys: ['peer_2_address'],
    });
  });

  test('E88 a mapping is a row by its lower-case name, which all peers share', () => {
    expect(
      changeRequest({ item: 'addressMapping', fqdn: 'Peer2.example.com', ip: '10.15.13.16' }, configuration),
    ).toMatchObject({
      table: 'clusterAddressMapping',
      request: { type: 'insert', rows: [{ key: 'peer2.example.com', value: '10.15.13.16' }] },
    });
    expect(
      changeRequest({ item: 'addressMapping', fqdn: 'PEER1.example.com', ip: undefined }, configuration)?.request,
    ).toEqual({ type: 'delete', keys: ['peer1.example.com'] });
  });

  test('a value that is stored already asks for nothing', () => {
    expect(changeRequest({ item: 'tlsVerify', value: 'Enforcing' }, configuration)).toBeUndefined();
    expect(changeRequest({ item: 'peerAddress', index: 1, value: 'peer1.example.com' }, configuration)).toBeUndefined();
  });
});
