/** What a participant keeps of a transaction it was asked about, and how it tells a coordinator what it has applied. */
import type { DiscFailure, NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import type { DiscWaiter } from '../outbox.ts';
import { RecentCommit } from '../replication/recent-commits.ts';
import { needsMajority } from '../schema/majorities.ts';
import { isNewer } from '../tables/row.ts';
import type { Handover } from './handover.ts';
import type { LockHolder, Waiter } from './locker.ts';
import { Kind } from './messages.ts';
import { type Accepted, type Ballot, NO_BALLOT } from './promises.ts';
import type { ProposedCheck, ProposedWrite } from './proposals.ts';
import type { Settling } from './settling.ts';

/** Tries a waiting transaction again. */
export interface Considering {
  consider(prepared: Prepared): void;
}

const NOBODY: readonly NodeId[] = [];

/** Becomes the recent commit once it is made. */
export class Prepared extends RecentCommit implements LockHolder, Waiter {
  readonly participant: Considering;
  readonly node: NodeId;
  readonly age: number;
  readonly sync: boolean;
  readonly writes: readonly ProposedWrite[];
  readonly checks: readonly ProposedCheck[];
  /** It names a table this node does not know. */
  readonly isUnknown: boolean;
  readonly sinceMs: number;
  round = 0;
  state: 'waiting' | 'prepared' | 'orphaned' | 'done' = 'waiting';
  /** While orphaned and this node resolves: who has not said yet what it knows. */
  asked: Set<NodeId> | undefined = undefined;
  hasReserved = false;
  /** Who has said so far that it holds it prepared. */
  agreed: readonly NodeId[] = NOBODY;
  /** Who was asked and has forgotten what it knew. */
  forgot: readonly NodeId[] = NOBODY;
  /** Others than those this node runs with have made it: who is to be told, and who is known to have voted for it. */
  elsewhere: { readonly tell: readonly NodeId[]; readonly voters: readonly NodeId[] } | undefined = undefined;
  /** Of one of a majority, while orphaned: see settlement.ts. */
  ballot: Ballot = NO_BALLOT;
  accepted: Accepted | undefined = undefined;
  settling: Settling | undefined = undefined;
  /** It is decided that it is made; this node waits for those it runs with: see handover.ts. */
  handover: Handover | undefined = undefined;
  /** The other members guard its rows: see guards.ts. */
  isGuarded = false;
  /** When somebody else was last promised to be helped with settling it. */
  helpedMs = Number.NEGATIVE_INFINITY;
  /** It writes a table of which a majority must agree. */
  isOfMajority: boolean;
  /** A yes that must outlive the process is on the disc by now; one that need not is as good. */
  isKept = true;

  constructor(
    participant: Considering,
    node: NodeId,
    participants: readonly NodeId[],
    sinceMs: number,
    n: number,
    version: number,
    age: number,
    sync: boolean,
    writes: readonly ProposedWrite[],
    checks: readonly ProposedCheck[],
    isUnknown: boolean,
  ) {
    super(n, version, participants, writes);
    this.participant = participant;
    this.node = node;
    this.age = age;
    this.sync = sync;
    this.writes = writes;
    this.checks = checks;
    this.isUnknown = isUnknown;
    this.sinceMs = sinceMs;
    this.isOfMajority = !isUnknown && writes.some(({ table }) => needsMajority(table.definition));
  }

  get outlivesMerges(): boolean {
    return this.isOfMajority && this.state === 'orphaned';
  }

  /** Not settled in the middle of a merge: the others count on what was reported. */
  get isFrozen(): boolean {
    return this.writes.some(({ table }) => table.locks.frozenBy !== 0);
  }

  retry(): void {
    if (this.state === 'waiting') this.participant.consider(this);
  }
}

/** Whether a row that it writes is there: then it was made, and whoever made it brought that row. */
export function hasCome({ writes, hlc, node }: Prepared): boolean {
  return writes.some(({ table, token }) => {
    const row = table.rows.get(token);
    return row?.hlc === hlc && row.node === node;
  });
}

/** Whether what is there is this write, or came after it. */
export function isPast({ changed }: NodeState, { hlc, node }: Prepared, { table, token }: ProposedWrite): boolean {
  const there = table.rows.get(token) ?? table.tombstones.get(token) ?? changed.lastDelete(table.name, token);
  return there !== undefined && !isNewer(hlc, node, there.hlc, there.node);
}

/** A sync of the disc under way, and the last decision it covers. */
class AppliedBatch implements DiscWaiter {
  decision: number;
  readonly turn: number;
  readonly #node: NodeState;
  readonly #coordinator: NodeId;

  constructor(node: NodeState, coordinator: NodeId, decision: number) {
    this.#node = node;
    this.#coordinator = coordinator;
    this.decision = decision;
    this.turn = node.outbox.turn;
  }

  discDone(failure: DiscFailure | undefined): void {
    if (failure !== undefined) return;
    this.#node.send(this.#coordinator, [Kind.applied, this.decision]);
    this.#node.environment.probe('participant.acknowledged');
  }
}

/** How far one coordinator's decisions have come here: applied, and covered by a sync of the disc. */
export class Applied {
  readonly #node: NodeState;
  readonly #coordinator: NodeId;
  #applied = 0;
  #covered = 0;
  #batch: AppliedBatch | undefined = undefined;

  constructor(node: NodeState, coordinator: NodeId) {
    this.#node = node;
    this.#coordinator = coordinator;
  }

  /** The coordinator hears of it with the next sync, or with one made for it when somebody waits there. */
  add(decision: number, isAwaited: boolean): void {
    this.#applied = decision;
    const batch = this.#batch;
    if (batch !== undefined && batch.turn === this.#node.outbox.turn) {
      batch.decision = decision;
      this.#covered = decision;
    } else if (isAwaited) this.sync();
  }

  /**
   * Syncs the disc and acknowledges what was applied since the last time. Until then the others remember the commits:
   * a node that loses the unsynced tail of its disc gets it back, deletes included.
   */
  sync(): void {
    if (this.#applied <= this.#covered) return;
    this.#covered = this.#applied;
    this.#batch = new AppliedBatch(this.#node, this.#coordinator, this.#applied);
    this.#node.outbox.whenWritten(this.#batch, true);
  }
}
