/** Pure: which changes of the cluster configuration are allowed, and why not. The same rules for page, API and commands. */
import { isIPv4, isIPv6 } from 'node:net';
import { MAPPINGS_MAX, PEERS_MAX } from './configuration-schema.ts';
import { hostNameProblem, isAddress, peerAddressProblem } from './host-names.ts';
import type { ClusterConfiguration, ConfigurationChange } from './peer-handle.ts';

/** Says what was refused, why, and what to do instead. */
export class ChangeRefused extends Error {
  readonly what: string;
  readonly why: string;
  readonly remedy: string;

  constructor(what: string, why: string, remedy: string) {
    super(`${what}: ${why}. ${remedy}`);
    this.name = 'ChangeRefused';
    this.what = what;
    this.why = why;
    this.remedy = remedy;
  }
}

const HOST_RULE = 'Use dot-separated levels of letters, digits and hyphens, as in cluster.example.com.';

export interface ThisSystem {
  /** Its row, from 1. */
  readonly row: number;
  /** Whether a row with this text stands for it (R10). */
  isOwn(text: string): boolean;
}

/** Throws `ChangeRefused`. */
export function checkChange(change: ConfigurationChange, now: ClusterConfiguration, system: ThisSystem): void {
  if (change.item === 'clusterName') checkClusterName(change.value);
  if (change.item === 'configurationPrimary') checkPrimary(change.value, now);
  if (change.item === 'ipVersion') checkIpVersion(change.value, now);
  if (change.item === 'peerAddress') checkPeerAddress(change.index, change.value, now, system);
  if (change.item === 'addressMapping') checkMapping(change.fqdn, change.ip, now);
}

function checkClusterName(name: string): void {
  const problem = hostNameProblem(name);
  if (problem !== undefined) throw new ChangeRefused('The cluster name was not changed', problem, HOST_RULE);
}

function checkPrimary(primary: number, now: ClusterConfiguration): void {
  if (Number.isInteger(primary) && primary >= 1 && primary <= now.peers.length) return;
  throw new ChangeRefused(
    'The configuration primary was not changed',
    `row ${primary} is not filled; the list has ${now.peers.length}`,
    `Give a number from 1 to ${now.peers.length}.`,
  );
}

function checkIpVersion(version: ClusterConfiguration['ipVersion'], now: ClusterConfiguration): void {
  const other = now.peers.find((text) => isAddress(text) && (isIPv4(text) ? 'IPv4' : 'IPv6') !== version);
  if (other === undefined) return;
  throw new ChangeRefused(
    'The cluster IP version was not changed',
    `the peer list holds ${other}, which is not an ${version} address`,
    'Change that row first.',
  );
}

function checkPeerAddress(index: number, text: string, now: ClusterConfiguration, system: ThisSystem): void {
  const what = `Peer ${index} address was not changed`;
  const rows = now.peers.length;
  if (!Number.isInteger(index) || index < 1 || index > PEERS_MAX) {
    throw new ChangeRefused(what, `a cluster has at most ${PEERS_MAX} peers`, `Give a row from 1 to ${PEERS_MAX}.`);
  }
  if (index > rows + 1) {
    throw new ChangeRefused(what, 'the list may have no gaps', `The first empty row is Peer ${rows + 1}.`);
  }
  if (text === '') {
    checkCleared(what, index, now, system.row);
    return;
  }
  const problem = peerAddressProblem(text, now.ipVersion);
  if (problem !== undefined) throw new ChangeRefused(what, problem, 'Give an IP address or an FQDN.');
  const other = now.peers.findIndex((row, at) => at + 1 !== index && row.toLowerCase() === text.toLowerCase());
  if (other >= 0) throw new ChangeRefused(what, `${text} is Peer ${other + 1} already`, 'Every peer has one row.');
  if (index === system.row && !system.isOwn(text)) {
    throw new ChangeRefused(
      what,
      `it is the row of this system, and ${text} does not stand for it`,
      'Give its own address.',
    );
  }
}

function checkCleared(what: string, index: number, now: ClusterConfiguration, thisPeer: number): void {
  if (index === thisPeer) {
    throw new ChangeRefused(what, "this system's address must stay in its peer list", 'Clear other rows only.');
  }
  if (index < now.peers.length) {
    throw new ChangeRefused(
      what,
      'the list may have no gaps',
      `Move Peer ${now.peers.length} up to this row, then clear that.`,
    );
  }
  if (index === now.configurationPrimary) {
    throw new ChangeRefused(what, 'it is the configuration primary', 'Name another primary first.');
  }
}

function checkMapping(fqdn: string, ip: string | undefined, now: ClusterConfiguration): void {
  const what = 'The address mapping was not changed';
  const problem = hostNameProblem(fqdn);
  if (problem !== undefined) throw new ChangeRefused(what, problem, HOST_RULE);
  const known = now.addressMapping.mappings.some((mapping) => mapping.fqdn.toLowerCase() === fqdn.toLowerCase());
  if (ip === undefined) {
    if (!known) throw new ChangeRefused(what, `${fqdn} has no mapping`, 'See xConfiguration ClusterAddressMapping.');
    return;
  }
  if (!isIPv4(ip) && !isIPv6(ip)) throw new ChangeRefused(what, `${ip} is not an IP address`, 'Give an IP address.');
  if ((isIPv4(ip) ? 'IPv4' : 'IPv6') !== now.ipVersion) {
    throw new ChangeRefused(what, `the cluster's IP version is ${now.ipVersion}`, `Give an ${now.ipVersion} address.`);
  }
  if (!known && now.addressMapping.mappings.length >= MAPPINGS_MAX) {
    throw new ChangeRefused(what, `there are ${MAPPINGS_MAX} mappings already`, 'Delete one first.');
  }
}
