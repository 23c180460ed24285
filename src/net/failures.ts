/** Why a link could not be made or did not last: stable codes for the page and the log, with texts for people. */
import type { HandshakeFailureCode } from './handshake.ts';

export type LinkFailureCode =
  /** Nothing listens there: the program is not running. */
  | 'refused'
  | 'timeout'
  | 'unreachable'
  /** The row's name has no address. */
  | 'unresolved'
  | 'source_port'
  | 'tls'
  | 'upgrade'
  /** The other side closed while it was being proved that both hold the cluster key. */
  | 'handshake_closed'
  | Exclude<HandshakeFailureCode, 'refusal'>
  | 'unknown_node'
  | 'address_mismatch'
  | 'certificate_missing'
  | 'certificate_unreadable'
  | 'certificate_name'
  | 'certificate_not_yet_valid'
  | 'certificate_expired'
  | 'certificate_untrusted'
  | 'certificate_unusable'
  /** Both sides dialled at once; the other connection is the link. */
  | 'duplicate'
  /** Two systems with one node identity. */
  | 'duplicate_node'
  | 'silent'
  | 'closed'
  | 'dropped'
  | 'backlog'
  | 'protocol'
  | 'frame_too_long'
  | 'frame_malformed'
  | 'frame_version'
  | 'forgotten'
  | 'replaced'
  | 'refusal';

export interface LinkFailure {
  readonly code: LinkFailureCode;
  readonly text: string;
}

const SYSTEM_FAILURES: Readonly<Record<string, LinkFailureCode>> = {
  ECONNREFUSED: 'refused',
  EADDRINUSE: 'source_port',
  EADDRNOTAVAIL: 'source_port',
  EACCES: 'source_port',
  ETIMEDOUT: 'timeout',
};

export function socketFailure(error: NodeJS.ErrnoException, endpoint: string): LinkFailure {
  const code = SYSTEM_FAILURES[error.code ?? ''] ?? 'unreachable';
  if (code === 'refused') {
    return { code, text: `Nothing listens at ${endpoint}. Is the peer running, and is the port right?` };
  }
  if (code === 'source_port') {
    return {
      code,
      text: `No source port could be bound towards ${endpoint} (${error.code}). Is the bind address one of this system's?`,
    };
  }
  return { code, text: `${endpoint} cannot be reached (${error.code ?? error.message}). Check network and firewall.` };
}

const REFUSAL_CODES: readonly LinkFailureCode[] = [
  'unknown_node',
  'address_mismatch',
  'certificate_missing',
  'certificate_unreadable',
  'certificate_name',
  'certificate_not_yet_valid',
  'certificate_expired',
  'certificate_untrusted',
  'certificate_unusable',
  'duplicate',
  'duplicate_node',
  'forgotten',
];

/** A no after the key was proved, said by us or told by the other side. Only a known code is used, whoever sent it. */
export function refusalFailure(code: string, text: string, isOurs: boolean): LinkFailure {
  const known = REFUSAL_CODES.find((candidate) => candidate === code) ?? 'refusal';
  return { code: known, text: isOurs ? text : `The other side refused the link: ${text}` };
}
