/** One try to settle a promise without its coordinator: what was heard, and what follows from it (see settlement.ts). */
import type { NodeId } from '../environment.ts';
import type { Accepted, Ballot } from './promises.ts';
import { isLower } from './promises.ts';

/**
 * `holds`: it voted yes, to the proposal of `round` with that list, and takes it back for no lower ballot. `refused`: it
 * did not, and never will. `unsure`: it may have, in an earlier life of which it remembers nothing, and never will again.
 */
export interface Reply {
  readonly knows: 'holds' | 'refused' | 'unsure';
  /**
   * It has not forgotten what else it promised. Otherwise it is no part of any majority; but whether it said yes to this, as
   * its disc tells, is true all the same.
   */
  readonly counts: boolean;
  readonly round: number;
  readonly participants: readonly NodeId[];
  readonly accepted: Accepted | undefined;
}

export interface Quorums {
  /** More than half of the replicas of every table with `majority` concerned. */
  isMajority(nodes: readonly NodeId[]): boolean;
  /** Every replica of those tables that is not gone for good. */
  isEverybody(nodes: readonly NodeId[]): boolean;
  /** Of every other table written, one that was to keep it. */
  keepAll(nodes: readonly NodeId[]): boolean;
}

export class Settling {
  readonly ballot: Ballot;
  readonly sinceMs: number;
  /** Who has not answered yet. */
  readonly awaited: Set<NodeId>;
  readonly replies = new Map<NodeId, Reply>();
  choice: boolean | undefined = undefined;
  /** Who has accepted the choice. */
  readonly accepting: NodeId[] = [];

  constructor(ballot: Ballot, sinceMs: number, asked: Iterable<NodeId>) {
    this.ballot = ballot;
    this.sinceMs = sinceMs;
    this.awaited = new Set(asked);
  }

  those(knows: Reply['knows']): NodeId[] {
    return [...this.replies].filter(([, reply]) => reply.knows === knows).map(([node]) => node);
  }

  /**
   * How it may end, undefined while that cannot be told. What was accepted before may have been decided, so it stays. Else
   * one of those here who were asked with the last list has not said yes to it, so the coordinator cannot have decided. Or
   * all have, and it may have. Then more than half must hold it, as only they have locked all it touched; or all are here
   * who ever will be.
   */
  judge(quorums: Quorums): boolean | undefined {
    const isLast = quorums.isEverybody([...this.replies.keys()]);
    if (!isLast && !quorums.isMajority(this.sure())) return undefined;
    const accepted = this.#lastAccepted();
    if (accepted !== undefined) return accepted.commit;
    // Not even whoever settles it has its own promise to this ballot on its disc: no list is known to be held.
    const last = this.#lastHeld();
    if (last === undefined) return undefined;
    if (this.#isDenied(last)) return false;
    const backing = this.#backing(isLast);
    // Whoever else held it has lost its disc, and may have had it made.
    return (isLast || quorums.isMajority(backing)) && quorums.keepAll(backing) ? true : undefined;
  }

  /** Who holds it; where everybody has been heard, those who forgot stand for whoever is gone: nobody will ever know more. */
  #backing(isLast: boolean): NodeId[] {
    const isBacking = ({ knows, counts }: Reply): boolean =>
      isLast ? knows !== 'refused' || !counts : knows === 'holds' && counts;
    return [...this.replies].filter(([, reply]) => isBacking(reply)).map(([node]) => node);
  }

  #lastAccepted(): Accepted | undefined {
    let last: Accepted | undefined;
    for (const { accepted } of this.replies.values()) {
      if (accepted !== undefined && (last === undefined || isLower(last.ballot, accepted.ballot))) last = accepted;
    }
    return last;
  }

  /** The promise to the last list, also where who holds it counts for nothing: it was given. */
  #lastHeld(): Reply | undefined {
    let last: Reply | undefined;
    for (const reply of this.replies.values()) {
      if (reply.participants.length > 0 && (last === undefined || reply.round > last.round)) last = reply;
    }
    return last;
  }

  /** The coordinator went on with the shorter list only once it had given up the one before. */
  #isDenied({ round, participants }: Reply): boolean {
    return [...this.replies].some(
      ([node, { knows, round: its }]) =>
        participants.includes(node) && (knows === 'refused' || (knows === 'holds' && its < round)),
    );
  }

  /** Whether no other ballot can end differently: more than half have accepted it, or all who ever will. */
  isDecided(quorums: Quorums): boolean {
    if (this.choice === undefined) return false;
    const sure = this.sure();
    if (quorums.isMajority(sure.filter((node) => this.accepting.includes(node)))) return true;
    return quorums.isEverybody([...this.replies.keys()]) && sure.every((node) => this.accepting.includes(node));
  }

  /** Who may accept: whoever remembers what it did before. */
  sure(): NodeId[] {
    return [...this.replies].filter(([, { knows, counts }]) => counts && knows !== 'unsure').map(([node]) => node);
  }
}
