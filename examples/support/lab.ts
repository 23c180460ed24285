/** The peers of a lab on this machine, with the token that lets a program at them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PeerAddress } from './peer-api.ts';

export function peersOfLab(directory: string): PeerAddress[] {
  const read = (name: string) => readFileSync(join(directory, name), 'utf8').trim();
  const { peers } = JSON.parse(read('lab.json')) as { peers: readonly { url: string }[] };
  return peers.map(({ url }) => ({ url, authority: read('ca.crt'), token: read('lab.token') }));
}
