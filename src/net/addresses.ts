/** Small pure helpers for addresses, ports and node names. */
import { isIP } from 'node:net';

/** One spelling per address: no zone, no IPv4-in-IPv6, IPv6 compressed in lower case. */
export function normaliseAddress(address: string | undefined): string {
  if (address === undefined) return '';
  const withoutZone = address.split('%', 1)[0] ?? '';
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(withoutZone);
  if (mapped?.[1] !== undefined && isIP(mapped[1]) === 4) return mapped[1];
  if (isIP(withoutZone) !== 6) return withoutZone;
  return new URL(`http://[${withoutZone}]/`).hostname.slice(1, -1);
}

export function sameAddress(left: string | undefined, right: string | undefined): boolean {
  return left !== undefined && right !== undefined && normaliseAddress(left) === normaliseAddress(right);
}

/** `10.0.0.1:4372` or `[fd00::1]:4372`. */
export function endpointText(address: string, port: number | undefined): string {
  const plain = normaliseAddress(address);
  if (port === undefined) return plain;
  return isIP(plain) === 6 ? `[${plain}]:${port}` : `${plain}:${port}`;
}

/** `clusterdb@expc01.apolo.local` → `expc01.apolo.local`. */
export function hostOfNodeName(name: string): string {
  const at = name.indexOf('@');
  return at < 0 ? name : name.slice(at + 1);
}

/** The short system name the clustering line shows: the first label of the host, or the whole address. */
export function shortNameOf(nodeName: string): string {
  const host = hostOfNodeName(nodeName);
  return isIP(host) === 0 ? (host.split('.', 1)[0] ?? host) : host;
}

/** DNS names compare without case and without the root dot; addresses in their one spelling. Wildcards mean nothing. */
export function comparableName(text: string): string {
  if (isIP(text) !== 0) return normaliseAddress(text);
  const lower = text.toLowerCase();
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

/** NUL, controls and spaces have no place in a name (B28). */
export function isCleanText(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code === 0x7f) return false;
  }
  return text.length > 0;
}
