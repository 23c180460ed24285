/** The peers of a lab on this machine, with the token that lets a program at them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PeerAddress } from './peer-api.ts';

export interface LabPeer extends PeerAddress {
  readonly index: number;
  /** Started, and not ended by a command since: it runs, or is about to. */
  readonly isUp: boolean;
}

interface LabFile {
  readonly peers: readonly { index: number; url: string; process: unknown; stop: unknown }[];
}

export function peersOfLab(directory: string): LabPeer[] {
  const read = (name: string) => readFileSync(join(directory, name), 'utf8').trim();
  const { peers } = JSON.parse(read('lab.json')) as LabFile;
  const access = { authority: read('ca.crt'), token: read('lab.token') };
  return peers.map(({ index, url, process, stop }) => ({
    index,
    url,
    isUp: process !== null && stop === null,
    ...access,
  }));
}
