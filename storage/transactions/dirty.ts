/**
 * Dirty writes: made here at once, outside of every transaction, and told to the other replicas with what else leaves this
 * turn (M37, M54). Nobody is asked. A row takes a change only if nothing newer stands there, so that replicas are alike
 * once all have heard of all; who writes the same row elsewhere meanwhile is not noticed.
 *
 * As nobody voted, nobody is known to have seen a dirty write before it says so: what a lost node may lack of them is noted
 * with what was there before (unacknowledged.ts). A writer that is lost may have reached some only: they tell the others.
 */
import type { DiscFailure, NodeId } from '../environment.ts';
import { PARTICIPANT_BACKLOG_BYTES_MAX, TRANSACTION_BYTES_MAX } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import { DIRTY, RecentCommit } from '../replication/recent-commits.ts';
import { Row, type Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { checkKey, encodeValue, keyToken, prepareValue } from '../term.ts';
import type { Key, Value } from '../types.ts';
import type { Committer } from './committer.ts';
import type { LockHolder } from './locker.ts';
import { Kind, type PrepareMessage } from './messages.ts';
import { ProposalReader, type ProposedWrite } from './proposals.ts';
import { closedError, discFailed, overloaded } from './refusals.ts';

export interface DirtyHost {
  /** A transaction's function is being called. */
  isInside(): boolean;
  /** `decision` of `writer` is applied here. */
  applied(writer: NodeId, decision: number): void;
  /** Takes a node out of the view. */
  exclude(member: NodeId): void;
  /** Others are to be told, and will answer. */
  begun(): void;
  /** This node waits to hear whether a merge is made. */
  isStaged(): boolean;
}

/** What came while this node did not know yet whether a merge was made. */
interface Waiting {
  readonly from: NodeId;
  readonly message: PrepareMessage;
}

interface Written {
  readonly table: Table;
  readonly key: Key;
  readonly token: Token;
  readonly value: Value;
  readonly deleted: boolean;
  readonly bytes: Uint8Array | undefined;
}

export class Dirty {
  readonly #node: NodeState;
  readonly #committer: Committer;
  readonly #host: DirtyHost;
  /** Writes that wait for this node's disc. */
  #waiting = 0;
  #held: Waiting[] = [];
  #heldBytes = 0;
  /** Younger than every transaction: it stands behind all that hold or await a row. */
  readonly #youngest: LockHolder;

  constructor(node: NodeState, committer: Committer, host: DirtyHost) {
    this.#node = node;
    this.#committer = committer;
    this.#host = host;
    this.#youngest = { age: Number.POSITIVE_INFINITY, node: node.self };
  }

  /**
   * Undefined when it has to be a transaction of its own: a majority is to agree, rows are being committed or merged, the
   * table is not here, only other nodes keep it on disc, or a link is congested.
   * @throws StorageError as a transaction that writes
   */
  write(name: string, key: Key, value: Value, deleted: boolean): Promise<void> | undefined {
    const node = this.#node;
    if (node.closed) throw closedError();
    if (this.#host.isInside()) return undefined;
    const table = node.writable(name);
    const kept = checkKey(name, key, node.limits.keyBytesMax);
    const stored = deleted ? undefined : prepareValue(name, kept, value, node.limits);
    const token = keyToken(kept);
    if (!this.#mayWrite(table, token)) return undefined;
    const participants = this.#committer.reach.writersOf(table);
    const isAlone = participants.length === 1;
    if (!isAlone && node.outbox.congested(participants, PARTICIPANT_BACKLOG_BYTES_MAX) !== undefined) return undefined;
    const bytes = deleted || isAlone ? undefined : encodeValue(stored);
    if (bytes !== undefined && bytes.length > TRANSACTION_BYTES_MAX) return undefined;
    if (this.#waiting >= node.limits.transactionsMax) throw overloaded(this.#waiting);
    this.#make({ table, key: kept, token, value: stored, deleted, bytes }, participants);
    return table.onDisc ? this.#written() : Promise.resolve();
  }

  #mayWrite(table: Table, token: Token): boolean {
    const { definition, locks } = table;
    if (!table.held || !table.loaded || definition.majority || locks.frozenBy !== 0) return false;
    if (locks.conflictForWrite(token, this.#youngest) !== undefined) return false;
    if (table.onDisc) return this.#node.outbox.failure === undefined;
    for (const kind of definition.replicas.values()) if (kind === 'disc_copies') return false;
    return true;
  }

  #make(written: Written, participants: readonly NodeId[]): void {
    const node = this.#node;
    const { table, token, deleted } = written;
    const version = node.hlc.tick();
    const over = table.versionAt(token);
    this.#apply(written, version, node.self, participants);
    node.statistics.commits += 1;
    if (participants.length === 1) return;
    const place = this.#committer.open.decideDirty(version, participants, table.onDisc);
    const change = { table, key: written.key, token, deleted, over };
    node.recent.add(node.self, new RecentCommit(DIRTY, version, participants, [change]));
    this.#committer.proposals.sendDirty(participants, participants, node.self, place, { ...written, version });
    node.environment.probe('dirty.sent');
    this.#host.begun();
  }

  #apply(
    { table, key, token, value, deleted, bytes }: Written,
    version: number,
    by: NodeId,
    to: readonly NodeId[],
  ): void {
    const row = deleted ? undefined : new Row(key, token, version, by, value, bytes);
    const origin = by === this.#node.self ? 'local' : 'remote';
    this.#node.applyChange(table, key, token, row, version, by, to, origin, undefined, true);
  }

  #written(): Promise<void> {
    this.#waiting += 1;
    return new Promise((resolve, reject) => {
      const discDone = (failure: DiscFailure | undefined): void => {
        this.#waiting -= 1;
        if (failure === undefined) resolve();
        else reject(discFailed(this.#node, failure));
      };
      this.#node.outbox.whenWritten({ discDone }, false);
    });
  }

  // -- told by others ---------------------------------------------------------------------------------------------------

  /**
   * A member that has made a merge goes on writing. Here the merge would take the place of what it wrote, or its rows and
   * its writer be unknown: it waits until this node has made the merge, or given it up.
   */
  onDirty(from: NodeId, message: PrepareMessage): void {
    this.resume();
    if (!this.#host.isStaged()) return this.#onDirty(from, message);
    this.#heldBytes += message[4].length;
    if (this.#heldBytes <= PARTICIPANT_BACKLOG_BYTES_MAX) this.#held.push({ from, message });
    // Whoever is let go notes what this node lacks.
    else if (this.#node.view.has(from)) this.#host.exclude(from);
    else this.#node.send(from, [Kind.exclude]);
  }

  /** Called after every turn's messages. */
  resume(): void {
    if (this.#held.length === 0 || this.#host.isStaged()) return;
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const { from, message } of held) this.#onDirty(from, message);
  }

  #onDirty(from: NodeId, message: PrepareMessage): void {
    const writer = message[5] as NodeId;
    const told = new ProposalReader(message, this.#node.tables).all(
      (decision, version, _age, _sync, writes, _checks, isUnknown) => ({ decision, version, writes, isUnknown }),
    );
    if (!this.#node.view.has(from)) {
      // It still counts on this node, and must note what it lacks.
      if (from === writer) this.#node.send(from, [Kind.exclude]);
      return;
    }
    if (writer === this.#node.self) return;
    for (const { decision, version, writes, isUnknown } of told) {
      if (!isUnknown) for (const write of writes) this.#take(from, writer, version, message[1], write);
      // Taken out of the view by what it could not take.
      if (!this.#node.view.has(from)) return;
      if (from === writer) this.#host.applied(writer, decision);
    }
    this.#node.environment.probe('dirty.applied');
  }

  #take(from: NodeId, writer: NodeId, version: number, participants: readonly NodeId[], write: ProposedWrite): void {
    const { table, key, token, deleted, bytes } = write;
    if (!table.held) return;
    if (!table.loaded && !table.fresh) return this.#host.exclude(from);
    const over = table.versionAt(token);
    if (over?.hlc === version && over.node === writer) return;
    const change = { table, key, token, deleted, over };
    if (table.isOvertaken(token, version, writer)) return;
    this.#apply({ ...write, value: undefined, bytes }, version, writer, participants);
    const lacking = from === writer ? this.#leftOut(table, participants) : [];
    const all = lacking.length === 0 ? participants : [...participants, ...lacking];
    const commit = new RecentCommit(DIRTY, version, all, [change]);
    this.#node.recent.add(writer, commit);
    if (lacking.length > 0) this.#tell(writer, commit, lacking);
  }

  /** Replicas of this view that the writer no longer runs with: one island has to be alike. */
  #leftOut({ definition }: Table, participants: readonly NodeId[]): NodeId[] {
    const { view } = this.#node;
    return [...view].filter((member) => definition.replicas.has(member) && !participants.includes(member));
  }

  /**
   * A writer is lost: what it told this node it may not have told the others. All have it who are about to make a merge, and
   * some may have made it.
   */
  writerLost(writer: NodeId): void {
    if (this.#host.isStaged()) return;
    const { self, view, recent } = this.#node;
    recent.forDirty(writer, (commit) => {
      const table = commit.changes[0]?.table;
      if (table === undefined) return;
      const others = [...view].filter((member) => member !== self && table.definition.replicas.has(member));
      if (others.length > 0) this.#tell(writer, commit, others);
    });
  }

  /** Unless it is overtaken here: then the newer one reaches them too. */
  #tell(writer: NodeId, { hlc, participants, changes }: RecentCommit, to: readonly NodeId[]): void {
    const { proposals } = this.#committer;
    for (const { table, key, token, deleted } of changes) {
      const standing = table.versionAt(token);
      if (standing?.hlc !== hlc || standing.node !== writer) continue;
      const bytes = deleted ? undefined : table.rows.get(token)?.bytes;
      const own = { table, key, value: undefined, deleted, bytes, version: hlc };
      proposals.sendDirty([this.#node.self, ...to], participants, writer, 0, own);
      this.#node.environment.probe('dirty.handed_on');
    }
  }

  // -- deletes ---------------------------------------------------------------------------------------------------------

  /**
   * Forgets deletes that nothing older can follow: every node of the view has said that all its own up to there have come,
   * after which its link brings none. `isAgreed`: nobody of the view may still hand on what a lost one wrote.
   */
  forgetDeletes(isAgreed: boolean): void {
    const { self, view, watermarks, tables } = this.#node;
    if (!isAgreed) return;
    let everywhere = this.#node.hlc.now();
    for (const member of view) if (member !== self) everywhere = Math.min(everywhere, watermarks.get(member) ?? 0);
    everywhere = Math.min(everywhere, this.#committer.watermark);
    for (const { graves, locks } of tables.values()) {
      for (const [token, { hlc }] of graves) if (hlc <= everywhere && !locks.isHeld(token)) graves.delete(token);
    }
  }
}
