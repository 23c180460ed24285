/**
 * Everything a cluster needs before its first start, written into one directory: an authority, a certificate and a
 * configuration file for each peer, the key the peers share, and the hash of the administrator's password.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { hashPassword } from '../../src/api/passwords.ts';
import { createAuthority, createPeerCertificate, validityFrom } from '../../src/net/index.ts';
import type { ConfigurationFile } from '../../src/peer/configuration.ts';

const DOMAIN = 'peers.peerage.example';
const CLUSTER_NAME = `cluster.${DOMAIN}`;
const CERTIFICATE_DAYS = 90;

export interface ClusterFilesOptions {
  readonly directory: string;
  readonly peers: number;
  /** Of peer 1; the others follow: `127.16.2.1`, `127.16.2.2`, … */
  readonly firstAddress: string;
  /** With faults and writes on demand, for the bearer of the lab's token. */
  readonly lab?: boolean;
  readonly timings?: ConfigurationFile['timings'];
}

export interface PeerFiles {
  readonly index: number;
  readonly systemName: string;
  readonly fqdn: string;
  readonly address: string;
  readonly url: string;
  readonly configurationFile: string;
}

export interface ClusterFiles {
  readonly directory: string;
  readonly peers: readonly PeerFiles[];
  readonly authority: string;
  readonly password: string;
  readonly labToken: string | undefined;
}

function addressAfter(first: string, offset: number): string {
  const parts = first.split('.').map(Number);
  return [...parts.slice(0, 3), parts[3]! + offset].join('.');
}

/** Secrets are readable by their owner only: a peer refuses others. */
function writeSecret(path: string, text: string): void {
  writeFileSync(path, `${text}\n`, { mode: 0o600 });
}

function peersOf(options: ClusterFilesOptions, directory: string): PeerFiles[] {
  return Array.from({ length: options.peers }, (_, at) => {
    const systemName = `peer${at + 1}`;
    const address = addressAfter(options.firstAddress, at);
    return {
      index: at + 1,
      systemName,
      fqdn: `${systemName}.${DOMAIN}`,
      address,
      url: `https://${address}:8443`,
      configurationFile: join(directory, systemName, 'peer.json'),
    };
  });
}

function configurationOf(peer: PeerFiles, peers: readonly PeerFiles[], options: ClusterFilesOptions) {
  const file: ConfigurationFile = {
    systemName: peer.systemName,
    domain: DOMAIN,
    dataDirectory: './data',
    bindAddress: peer.address,
    cluster: { name: CLUSTER_NAME, peers: peers.map(({ fqdn }) => fqdn) },
    // Instead of DNS: these names exist nowhere else.
    addressMapping: { enabled: true, mappings: peers.map(({ fqdn, address }) => ({ fqdn, ip: address })) },
    clusterKeyFile: '../cluster.key',
    certificate: {
      certificateFile: './peer.crt',
      privateKeyFile: './peer.key',
      authoritiesFile: '../ca.crt',
    },
    web: { passwordHashFile: '../admin.hash' },
    log: { file: './peer.log' },
    ...(options.timings === undefined ? {} : { timings: options.timings }),
    ...(options.lab === true ? { lab: { enabled: true, tokenFile: '../lab.token' } } : {}),
  };
  return file;
}

export async function writeClusterFiles(options: ClusterFilesOptions): Promise<ClusterFiles> {
  const directory = resolve(options.directory);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const peers = peersOf(options, directory);
  const validity = validityFrom(Date.now(), CERTIFICATE_DAYS);
  const authority = await createAuthority('peerage example authority', validity);
  writeFileSync(join(directory, 'ca.crt'), authority.certificatePem);
  writeSecret(join(directory, 'ca.key'), authority.privateKeyPem);
  writeSecret(join(directory, 'cluster.key'), randomBytes(32).toString('hex'));
  const password = randomBytes(12).toString('base64url');
  writeSecret(join(directory, 'admin.hash'), await hashPassword(password));
  const labToken = options.lab === true ? randomBytes(32).toString('hex') : undefined;
  if (labToken !== undefined) writeSecret(join(directory, 'lab.token'), labToken);
  for (const peer of peers) {
    mkdirSync(join(directory, peer.systemName), { recursive: true, mode: 0o700 });
    const { certificatePem, privateKeyPem } = await createPeerCertificate({
      authority,
      commonName: peer.fqdn,
      dnsNames: [peer.fqdn, CLUSTER_NAME],
      ipAddresses: [peer.address],
      validity,
    });
    writeFileSync(join(directory, peer.systemName, 'peer.crt'), certificatePem);
    writeSecret(join(directory, peer.systemName, 'peer.key'), privateKeyPem);
    writeFileSync(peer.configurationFile, `${JSON.stringify(configurationOf(peer, peers, options), null, 2)}\n`);
  }
  return { directory, peers, authority: authority.certificatePem, password, labToken };
}
