/**
 * What members do that have voted for a merge and lose its leader: they ask each other whether it told anybody that the
 * merge is made. The frames of a link come in order, so only who has lost its own link to the leader knows that it will be
 * told nothing more. Whoever still has it keeps the question until it knows: until it is told, the leader takes the merge
 * back, or that link is down too, which takes no longer than `net_ticktime`; the merge is given up anyway when its
 * deadlines are over (ConnectionMember.sweep).
 */
import type { NodeId } from '../environment.ts';

export class LostLeader {
  readonly #tell: (member: NodeId, isMade: boolean) => void;
  /** Members that ask this one. They hear how it ends here, also those that have heard "not told" before. */
  readonly #askers = new Set<NodeId>();
  /** Members that have not answered; undefined: the link to the leader is there. */
  #asked: Set<NodeId> | undefined = undefined;

  constructor(tell: (member: NodeId, isMade: boolean) => void) {
    this.#tell = tell;
  }

  get isLost(): boolean {
    return this.#asked !== undefined;
  }

  /** Nobody is left who may know that the merge is made. */
  get isUnknownToAll(): boolean {
    return this.#asked?.size === 0;
  }

  /** The link to the leader is down; these members are asked. */
  lost(others: readonly NodeId[]): void {
    this.#asked = new Set(others);
    for (const asker of this.#askers) this.#tell(asker, false);
  }

  askedBy(member: NodeId): void {
    this.#askers.add(member);
    if (this.isLost) this.#tell(member, false);
  }

  /** It was not told, or is lost itself. */
  doesNotKnow(member: NodeId): void {
    this.#asked?.delete(member);
  }

  /** The merge was made here, or given up. */
  ended(isMade: boolean): void {
    for (const asker of this.#askers) this.#tell(asker, isMade);
  }
}
