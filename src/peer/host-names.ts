/** Syntax of cluster names and peer addresses, shared by the configuration file and the commands. */
import { isIPv4, isIPv6 } from 'node:net';
import type { IpVersion } from '../../actors/clusterdb/cluster-configuration.ts';

export const HOST_NAME_LENGTH_MAX = 128;
const LEVEL_LENGTH_MAX = 63;
const LEVEL = /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/;

/** B12. `undefined` when the name is right, else what is wrong with it. */
export function hostNameProblem(name: string): string | undefined {
  if (name.length === 0) return 'it is empty';
  if (name.length > HOST_NAME_LENGTH_MAX) {
    return `it is ${name.length} characters long; at most ${HOST_NAME_LENGTH_MAX} are allowed`;
  }
  const levels = name.split('.');
  for (const level of levels) {
    if (level === '') return 'two dots stand together, or a dot stands at the start or the end';
    if (level.length > LEVEL_LENGTH_MAX)
      return `"${level.slice(0, 20)}…" is longer than ${LEVEL_LENGTH_MAX} characters`;
    if (level.startsWith('-') || level.endsWith('-')) return `"${level}" has a hyphen at its start or end`;
    if (!LEVEL.test(level)) return `"${level}" holds something else than letters, digits and hyphens`;
  }
  const last = levels.at(-1)!;
  if (!/^[A-Za-z]/.test(last)) return `its last level "${last}" does not start with a letter`;
  return undefined;
}

export function isAddress(text: string): boolean {
  return isIPv4(text) || isIPv6(text);
}

/** A Peer N address: an IP address of the cluster's version, or an FQDN. `undefined` when it is right. */
export function peerAddressProblem(text: string, ipVersion: IpVersion): string | undefined {
  if (isIPv4(text) || isIPv6(text)) {
    const version: IpVersion = isIPv4(text) ? 'IPv4' : 'IPv6';
    return version === ipVersion ? undefined : `it is an ${version} address, the cluster's IP version is ${ipVersion}`;
  }
  // 10.15.13 or 300.1.1.1 is a mistyped address, not a host name with a strange last level.
  if (/^[0-9.]+$/.test(text)) return 'it is neither a complete IPv4 address nor a host name';
  return hostNameProblem(text);
}
