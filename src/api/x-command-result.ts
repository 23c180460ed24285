/** What a command needs of a peer, and what it answers. */
import type { PeerHandle } from '../peer/peer-handle.ts';

export type CommandPeer = Pick<
  PeerHandle,
  'status' | 'configuration' | 'alternatesConfiguration' | 'change' | 'forceConfigUpdate' | 'forceLoadTables'
>;

export interface CommandResult {
  readonly lines: readonly string[];
  /** 0 done · 1 refused or failed · 2 not understood. */
  readonly code: 0 | 1 | 2;
}

export function notUnderstood(what: string, remedy: string): CommandResult {
  return { lines: [`ERROR: ${what}. ${remedy}`], code: 2 };
}
