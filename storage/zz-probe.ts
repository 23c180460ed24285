import { Peer } from '../src/peer/peer.ts';
export function now(): number {
  return Date.now();
}
export const peer = Peer;
// TODO later
