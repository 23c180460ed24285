/** Makes a lab directory: authority, certificates, keys, password, and one configuration file for each peer. */

import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { hashPassword } from '../api/passwords.ts';
import { CliError, systemCode } from '../cli/errors.ts';
import { createAuthority, createPeerCertificate, type PeerCertificate, validityFrom } from '../net/certificates.ts';
import type { ConfigurationFile } from '../peer/configuration.ts';
import type { PeerPlace } from './ports.ts';
import { LAB_FORMAT, type Lab, type LabPeer, type LabState, labFiles, readLab, writeState } from './state.ts';

export const LAB_DOMAIN = 'lab.peerage.example';
export const LAB_USER = 'admin';
const CLUSTER_NAME = `cluster.${LAB_DOMAIN}`;
const SECRET_BYTES = 32;
const CERTIFICATE_DAYS = 365;

/** Without 0/o, 1/l/i: a person may have to type it. */
const passwordLetters = 'abcdefghjkmnpqrstuvwxyz23456789';
const PASSWORD_GROUPS = 4;
const PASSWORD_GROUP_LETTERS = 5;

export interface NewLab {
  readonly lab: Lab;
  /** Known only now: the directory keeps its hash. */
  readonly password: string;
}

/** Twenty letters of 31, about 99 bits. */
export function makePassword(): string {
  const letter = () => passwordLetters[randomInt(passwordLetters.length)];
  const group = () => Array.from({ length: PASSWORD_GROUP_LETTERS }, letter).join('');
  return Array.from({ length: PASSWORD_GROUPS }, group).join('-');
}

export function labPeers(places: readonly PeerPlace[]): LabPeer[] {
  return places.map(({ address, ports }, at) => {
    const name = `peer${at + 1}`;
    return {
      index: at + 1,
      name,
      fqdn: `${name}.${LAB_DOMAIN}`,
      address,
      ports,
      folder: name,
      url: `https://${address}:${ports.https}`,
      process: null,
      stop: null,
    };
  });
}

/** What `peer --config` reads. Files that all peers share lie one folder up. */
export function peerConfiguration(peer: LabPeer, peers: readonly LabPeer[]): ConfigurationFile {
  const sharesAddress = new Set(peers.map((each) => each.address)).size < peers.length;
  return {
    systemName: peer.name,
    domain: LAB_DOMAIN,
    nodeType: 'core',
    dataDirectory: './data',
    bindAddress: peer.address,
    ports: peer.ports,
    cluster: {
      name: CLUSTER_NAME,
      configurationPrimary: 1,
      ipVersion: 'IPv4',
      tlsVerify: 'Permissive',
      peers: peers.map((each) => each.fqdn),
      ...(sharesAddress ? { peerPorts: peers.map((each) => each.ports.cluster) } : {}),
    },
    addressMapping: { enabled: true, mappings: peers.map((each) => ({ fqdn: each.fqdn, ip: each.address })) },
    clusterKeyFile: `../${labFiles.clusterKey}`,
    certificate: {
      certificateFile: './peer.crt',
      privateKeyFile: './peer.key',
      authoritiesFile: `../${labFiles.authority}`,
    },
    web: { passwordHashFile: `../${labFiles.passwordHash}`, sessionMinutes: 30 },
    log: { file: './peer.log', console: false },
    timings: { synchroniseIntervalMs: 120_000, forcedUpdateMs: 300_000, netTicktimeMs: 4_000, resumeWindowMs: 1_000 },
    lab: { enabled: true, tokenFile: `../${labFiles.token}` },
  };
}

function writeSecret(path: string, text: string): void {
  writeFileSync(path, `${text.trimEnd()}\n`, { mode: 0o600 });
}

/** The password of the page and the command line; prints are the caller's business. */
export async function setPassword(directory: string): Promise<string> {
  const password = makePassword();
  writeSecret(join(directory, labFiles.passwordHash), await hashPassword(password));
  return password;
}

function writePeerFolder(directory: string, peer: LabPeer, peers: readonly LabPeer[], issued: PeerCertificate): void {
  const folder = join(directory, peer.folder);
  mkdirSync(folder, { mode: 0o700 });
  writeFileSync(
    join(folder, labFiles.peerConfiguration),
    `${JSON.stringify(peerConfiguration(peer, peers), null, 2)}\n`,
  );
  writeFileSync(join(folder, 'peer.crt'), issued.certificatePem);
  writeSecret(join(folder, 'peer.key'), issued.privateKeyPem);
}

async function fillDirectory(directory: string, places: readonly PeerPlace[]): Promise<string> {
  const peers = labPeers(places);
  const validity = validityFrom(Date.now(), CERTIFICATE_DAYS);
  const authority = await createAuthority('peerage lab authority', validity);
  writeFileSync(join(directory, labFiles.authority), authority.certificatePem);
  writeSecret(join(directory, labFiles.authorityKey), authority.privateKeyPem);
  writeSecret(join(directory, labFiles.clusterKey), randomBytes(SECRET_BYTES).toString('hex'));
  writeSecret(join(directory, labFiles.token), randomBytes(SECRET_BYTES).toString('hex'));
  const password = await setPassword(directory);
  for (const peer of peers) {
    const { fqdn, address } = peer;
    const request = { authority, commonName: fqdn, dnsNames: [fqdn, CLUSTER_NAME], ipAddresses: [address], validity };
    writePeerFolder(directory, peer, peers, await createPeerCertificate(request));
  }
  const state: LabState = {
    format: LAB_FORMAT,
    created: new Date().toISOString(),
    clusterName: CLUSTER_NAME,
    user: LAB_USER,
    peers,
    supervisor: null,
  };
  writeState(directory, state);
  return password;
}

function notALab(directory: string, why: string): CliError {
  return new CliError(
    'lab_not_a_lab',
    `No lab can be made in ${directory}`,
    why,
    'name a new or empty directory with --dir',
  );
}

function requireNewOrEmpty(directory: string): void {
  if (!existsSync(directory)) return;
  try {
    if (readdirSync(directory).length === 0) return;
  } catch (failure) {
    if (systemCode(failure) !== 'ENOTDIR') throw failure;
    throw notALab(directory, 'it is a file');
  }
  throw notALab(directory, 'it holds files that are not a lab’s');
}

/**
 * Fills a directory beside the wanted one and moves it there when it is complete, so that a lab is there wholly or not
 * at all, and of two commands that make the same lab one fails.
 */
export async function createLab(dir: string, places: readonly PeerPlace[]): Promise<NewLab> {
  const directory = resolve(dir);
  requireNewOrEmpty(directory);
  const fresh = `${directory}.${randomBytes(4).toString('hex')}.new`;
  mkdirSync(dirname(directory), { recursive: true });
  mkdirSync(fresh, { mode: 0o700 });
  try {
    const password = await fillDirectory(fresh, places);
    if (existsSync(directory)) rmdirSync(directory);
    renameSync(fresh, directory);
    return { lab: readLab(directory), password };
  } catch (failure) {
    rmSync(fresh, { recursive: true, force: true });
    const code = systemCode(failure);
    if (code === 'ENOTEMPTY' || code === 'EEXIST') throw notALab(directory, 'another command has just filled it');
    throw failure;
  }
}

/** Removes what the lab made and nothing else; gives the names of what was left because it is somebody's own. */
export function purgeLab(lab: Lab): string[] {
  const { directory, state } = lab;
  // The state file goes last: a purge that was interrupted can be run again.
  const own = [
    ...state.peers.map((peer) => peer.folder),
    ...Object.values(labFiles).filter((name) => name !== labFiles.state),
  ];
  for (const name of own) rmSync(join(directory, name), { recursive: true, force: true });
  rmSync(join(directory, labFiles.state), { force: true });
  const left = readdirSync(directory);
  if (left.length === 0) rmdirSync(directory);
  return left;
}
