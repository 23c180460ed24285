/** How to reach the peers of a lab: its authority, its token, the name in each certificate. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Endpoint } from '../cli/api-client.ts';
import { CliError, messageOf } from '../cli/errors.ts';
import { type Lab, type LabPeer, labFiles } from './state.ts';

interface LabAccess {
  readonly authority: string;
  readonly token: string;
}

function readLabFile(lab: Lab, name: string): string {
  try {
    return readFileSync(join(lab.directory, name), 'utf8').trim();
  } catch (failure) {
    throw new CliError(
      'lab_unreadable',
      `The file ${name} of the lab cannot be read`,
      messageOf(failure),
      'run the command as the user who made the lab, or make the lab anew',
    );
  }
}

export function labAccess(lab: Lab): LabAccess {
  return { authority: readLabFile(lab, labFiles.authority), token: readLabFile(lab, labFiles.token) };
}

export function labEndpoint(access: LabAccess, peer: LabPeer): Endpoint {
  return { label: `peer ${peer.index}`, url: peer.url, serverName: peer.fqdn, ...access };
}

export function labEndpoints(lab: Lab): Array<{ peer: LabPeer; endpoint: Endpoint }> {
  const access = labAccess(lab);
  return lab.state.peers.map((peer) => ({ peer, endpoint: labEndpoint(access, peer) }));
}
