import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConfigurationError, loadConfiguration } from '../../../src/peer/configuration.ts';

let folder: string;

const HASH = 'scrypt$32768$8$1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA';
const CERTIFICATE = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const KEY = '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n';

type Json = Record<string, unknown>;

function valid(): Json {
  return {
    systemName: 'peer1',
    domain: 'lab.example.com',
    dataDirectory: './data',
    bindAddress: '127.15.13.15',
    cluster: { name: 'cluster.lab.example.com', peers: ['peer1.lab.example.com', 'peer2.lab.example.com'] },
    clusterKeyFile: './cluster.key',
    certificate: { certificateFile: './peer.crt', privateKeyFile: './peer.key', authoritiesFile: './ca.crt' },
    web: { passwordHashFile: './admin.hash' },
    lab: { enabled: true, tokenFile: './lab.token' },
  };
}

async function secret(name: string, text: string): Promise<void> {
  await writeFile(join(folder, name), text, { mode: 0o600 });
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'peerage-configuration-'));
  await secret('cluster.key', `${'k'.repeat(40)}\n`);
  await secret('peer.crt', CERTIFICATE);
  await secret('peer.key', KEY);
  await secret('ca.crt', CERTIFICATE + CERTIFICATE);
  await secret('admin.hash', HASH);
  await secret('lab.token', 't'.repeat(43));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function load(change: (file: Json) => void = () => undefined) {
  const file = valid();
  change(file);
  await writeFile(join(folder, 'peer.json'), JSON.stringify(file));
  return loadConfiguration(join(folder, 'peer.json'));
}

async function problems(change: (file: Json) => void): Promise<ConfigurationError> {
  const failure = await load(change).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(ConfigurationError);
  return failure as ConfigurationError;
}

const OWN = 'peer1.lab.example.com';
const SEVEN = [1, 2, 3, 4, 5, 6, 7].map((n) => `peer${n}.lab.example.com`);
const NO_ADDRESS = { mappings: [{ fqdn: 'a.example.com', ip: 'a' }] };

function set(file: Json, field: string, value: unknown): void {
  const [first, second] = field.split('.') as [string, string | undefined];
  if (second === undefined) file[first] = value;
  else (file[first] as Json)[second] = value;
}

const clusterOf = (file: Json) => file.cluster as Json;

describe('a configuration file that is right', () => {
  test('gets defaults, absolute paths, its own row and what its files hold', async () => {
    const configuration = await load();
    expect(configuration.ports).toEqual({ cluster: 4372, recovery: 4371, ras: 1719, https: 8443 });
    expect(configuration.nodeType).toBe('core');
    expect(configuration.cluster.tlsVerify).toBe('Permissive');
    expect(configuration.timings.synchroniseIntervalMs).toBe(120_000);
    expect(configuration.dataDirectory).toBe(join(folder, 'data'));
    expect(configuration.nodeName).toBe('clusterdb@peer1.lab.example.com');
    expect(configuration.thisPeer).toBe(1);
    expect(configuration.secrets.clusterKey).toHaveLength(40);
    expect(configuration.secrets.authorities).toHaveLength(2);
    expect(configuration.secrets.labToken).toBe('t'.repeat(43));
  });

  test('has no lab token when the lab is off', async () => {
    const configuration = await load((file) => {
      file.lab = { enabled: false, tokenFile: './absent' };
    });
    expect(configuration.secrets.labToken).toBeUndefined();
  });

  test('R10 finds its row by the address mapping, and by the port where peers share an address', async () => {
    const mapped = await load((file) => {
      clusterOf(file).peers = ['a.example.com', 'b.example.com'];
      file.addressMapping = { enabled: true, mappings: [{ fqdn: 'B.example.com', ip: '127.15.13.15' }] };
    });
    expect(mapped.thisPeer).toBe(2);
    const shared = await load((file) => {
      file.ports = { cluster: 4400 };
      clusterOf(file).peers = ['127.15.13.15', '127.15.13.15'];
      clusterOf(file).peerPorts = [4372, 4400];
    });
    expect(shared.thisPeer).toBe(2);
    expect(shared.peerPorts).toEqual([4372, 4400]);
  });
});

describe('a configuration file that is wrong', () => {
  test('is refused with the nearest known name for a key nobody knows', async () => {
    const error = await problems((file) => {
      file.bindAdress = '127.0.0.1';
      clusterOf(file).configPrimary = 1;
    });
    expect(error.problems.map((problem) => [problem.path, problem.what])).toEqual(
      expect.arrayContaining([
        ['bindAdress', 'there is no such field. Did you mean "bindAddress"?'],
        ['cluster.configPrimary', expect.stringContaining('there is no such field.')],
      ]),
    );
  });

  test('names every problem at once, with what is allowed and an example', async () => {
    const error = await problems((file) => {
      file.ports = { cluster: 70_000 };
      file.nodeType = 'middle';
      delete file.domain;
    });
    expect(error.problems).toHaveLength(3);
    expect(error.message).toContain('ports.cluster: 70000 is not allowed.');
    expect(error.message).toContain('allowed: a whole number from 1 to 65535');
    expect(error.message).toContain('example: 4372');
    expect(error.message).toContain('domain: it is missing.');
  });

  test.each<[name: string, field: string, value: unknown, path: string, text: string]>([
    ['E1 a seventh peer', 'cluster.peers', SEVEN, 'cluster.peers', '1 to 6'],
    ['E1 no peer', 'cluster.peers', [], 'cluster.peers', '1 to 6'],
    ['a gap', 'cluster.peers', [OWN, '', 'c.example.com'], 'cluster.peers[1]', 'no gaps'],
    ['a duplicate', 'cluster.peers', [OWN, OWN.toUpperCase()], 'cluster.peers[1]', 'row 1 already'],
    ['R10 a list without this system', 'cluster.peers', ['x.example.com'], 'cluster.peers', 'not in the peer list'],
    ['B12 a hyphen at the end', 'cluster.name', 'cluster-.example.com', 'cluster.name', 'hyphen'],
    ['B12 a last level of digits', 'cluster.name', 'cluster.example.1', 'cluster.name', 'start with a letter'],
    ['B12 two dots', 'cluster.name', 'cluster..com', 'cluster.name', 'two dots'],
    ['a primary that is no row', 'cluster.configurationPrimary', 3, 'cluster.configurationPrimary', 'names no row'],
    ['ports that do not fit the rows', 'cluster.peerPorts', [4372], 'cluster.peerPorts', '1 entries'],
    ['an address of the other IP version', 'cluster.peers', [OWN, '::1'], 'cluster.peers[1]', 'IPv6'],
    ['one port twice', 'ports', { https: 4372 }, 'ports.https', 'ports.cluster already'],
    ['timings out of range', 'timings', { netTicktimeMs: 1 }, 'timings.netTicktimeMs', 'not allowed'],
    ['a mapping to a name', 'addressMapping', NO_ADDRESS, 'addressMapping.mappings[0].ip', 'not an IP address'],
    ['a file that is not there', 'clusterKeyFile', './nowhere', 'clusterKeyFile', 'no such file'],
  ])('is refused for %s', async (_name, field, value, path, text) => {
    const error = await problems((file) => set(file, field, value));
    const problem = error.problems.find((candidate) => candidate.path === path);
    expect(problem?.what + (problem?.allowed ?? '')).toContain(text);
    expect(problem?.example).toBeDefined();
  });

  test('is refused when a key can be read by everybody, with the command that mends it', async () => {
    await chmod(join(folder, 'peer.key'), 0o644);
    const error = await problems(() => undefined);
    expect(error.problems).toHaveLength(1);
    expect(error.problems[0]!.path).toBe('certificate.privateKeyFile');
    expect(error.problems[0]!.what).toContain('chmod 600');
  });

  test('is refused for secrets that are none', async () => {
    await secret('cluster.key', 'short');
    await secret('admin.hash', 'password');
    await secret('lab.token', 'abc');
    const error = await problems(() => undefined);
    expect(error.problems.map((problem) => problem.path)).toEqual([
      'clusterKeyFile',
      'web.passwordHashFile',
      'lab.tokenFile',
    ]);
    expect(error.message).not.toContain('short,');
  });

  test('is refused when it is no JSON or not there', async () => {
    await writeFile(join(folder, 'broken.json'), '{ "systemName": ');
    await expect(loadConfiguration(join(folder, 'broken.json'))).rejects.toThrow('it is not JSON');
    await expect(loadConfiguration(join(folder, 'absent.json'))).rejects.toThrow('there is no such file');
  });
});
