/** Everything the rest of `src` may take from the network layer. */

export {
  type CertificateFault,
  type CertificateQuestion,
  type CertificateVerdict,
  verifyPeerCertificate,
} from './certificate-verdict.ts';
export {
  type Authority,
  createAuthority,
  createPeerCertificate,
  type PeerCertificate,
  type PeerCertificateRequest,
  type Validity,
  validityFrom,
} from './certificates.ts';
export { ClusterLinks } from './cluster-links.ts';
export type { LinkFailure, LinkFailureCode } from './failures.ts';
export { type CutDirection, createFaultLayer, type FaultEntry, type FaultLayer, type FaultState } from './faults.ts';
export type { ChannelName } from './frame-codec.ts';
export type { ClusterLinksOptions } from './link-options.ts';
export type { LinkCertificate, LinkStatus } from './peer-row.ts';
export { openRasSocket, type RasSocket, type RasSocketOptions } from './ras-socket.ts';
export { openRecoveryListener, type RecoveryListener, type RecoveryListenerOptions } from './recovery-listener.ts';
export type { PeerAddress, TlsVerify } from './row-match.ts';
