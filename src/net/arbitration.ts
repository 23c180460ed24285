/**
 * One link per pair of nodes, however both sides dial. Pure.
 *
 * Two dials cross when both sides have sent their hello. Then the dial of the smaller node id wins: its owner refuses
 * the other connection, the owner of the greater id accepts and gives its own dial up. In every other case the
 * connection that arrives is accepted and a dial of one's own, not yet that far, is given up. So no hello is ever sent
 * by a node that has accepted, and no two connections are both taken for the link.
 *
 * A hello may also be overtaken: its sender has meanwhile accepted our dial, which we know, and the hello still says what
 * it knew before. Its moment is smaller than that of the word that made the link, and it is refused.
 */
import type { LinkDownReason } from '../../storage/environment.ts';
import type { Moment, SessionOffer } from './handshake-messages.ts';

export interface ExistingLink {
  readonly sessionId: string;
  readonly incarnation: number;
  readonly received: number;
  /** The other node's moment of the word that made or resumed the link. */
  readonly moment: Moment;
}

export interface ArbitrationQuestion {
  readonly ownNodeId: string;
  readonly peerNodeId: string;
  readonly peerIncarnation: number;
  readonly offer: SessionOffer;
  readonly link: ExistingLink | undefined;
  /** A dial of our own to the same peer has sent its hello and waits for the welcome. */
  readonly isOwnHelloOut: boolean;
}

export type Arbitration =
  | { readonly type: 'refuse' }
  | { readonly type: 'resume'; readonly session: string; readonly received: number }
  | { readonly type: 'begin'; readonly session: string };

export function arbitrate(question: ArbitrationQuestion): Arbitration {
  const { link, offer } = question;
  if (question.isOwnHelloOut && question.ownNodeId < question.peerNodeId) return { type: 'refuse' };
  const isSameLife = link !== undefined && link.incarnation === question.peerIncarnation;
  if (isSameLife && offer.moment < link.moment) return { type: 'refuse' };
  if (isSameLife && offer.resume?.session === link.sessionId) {
    return { type: 'resume', session: link.sessionId, received: link.received };
  }
  return { type: 'begin', session: offer.session };
}

/** What the old session of a node is told when a new one begins: another incarnation means that process is gone. */
export function replacedReason(oldIncarnation: number, newIncarnation: number): LinkDownReason {
  return oldIncarnation === newIncarnation ? 'silent' : 'refused';
}
