/**
 * The database of one node: wires the parts and is what callers see. See storage/types.ts for the shapes and
 * storage/errors.ts for what can go wrong.
 */
import { DirtyCalls } from './dirty-calls.ts';
import type { LinkDownReason, LinkInfo, NodeId } from './environment.ts';
import { InvariantViolation, StorageError } from './errors.ts';
import { NodeState } from './node-state.ts';
import { Pulse } from './pulse.ts';
import { ConnectionLeader } from './replication/connection-leader.ts';
import { ConnectionMember } from './replication/connection-member.ts';
import { Ledger } from './replication/ledger.ts';
import { Loader } from './replication/loader.ts';
import { Membership } from './replication/membership.ts';
import { NodeRemoval } from './schema/node-removal.ts';
import { PendingChanges } from './schema/pending.ts';
import { Replicas } from './schema/replicas.ts';
import { Schema } from './schema/schema.ts';
import { TableProperties } from './schema/table-properties.ts';
import type { SchemaParts } from './schema-calls.ts';
import { readDisc } from './start-up.ts';
import { systemInfoOf, tableInfoOf } from './system-info.ts';
import type { Table } from './tables/table.ts';
import { Coordinator } from './transactions/coordinator.ts';
import { Dirty } from './transactions/dirty.ts';
import { checkBatch } from './transactions/message-shapes.ts';
import { Kind, type Message, type PrepareMessage } from './transactions/messages.ts';
import { Participant } from './transactions/participant.ts';
import type {
  DatabaseOptions,
  LedgerEntry,
  MergeFunction,
  SystemEvent,
  SystemInfo,
  TableEvent,
  TableInfo,
  Transaction,
  TransactionOptions,
} from './types.ts';

export class Database extends DirtyCalls {
  protected readonly parts: SchemaParts;
  readonly #node: NodeState;
  readonly #coordinator: Coordinator;
  readonly #participant: Participant;
  protected readonly dirty: Dirty;
  readonly #membership: Membership;
  readonly #leader: ConnectionLeader;
  readonly #member: ConnectionMember;
  readonly #loader: Loader;
  readonly #pending: PendingChanges;
  readonly #schema: Schema;
  readonly #ledger: Ledger;
  readonly #pulse: Pulse;
  /** Messages of this node to itself: a leader is also a member. */
  #loopback: Message[] = [];
  #settling = false;
  #persistedCommits = -1;

  private constructor(options: DatabaseOptions) {
    super();
    const node = new NodeState(options);
    this.#node = node;
    const post = (to: NodeId, message: Message): void => this.#post(to, message);
    const later = (act: () => void): void => node.environment.endOfTurn(() => this.#turn(act));
    this.#coordinator = new Coordinator(node);
    const exclude = (member: NodeId): void => this.#membership.exclude(member);
    const isUndecided = (n: number): boolean => this.#coordinator.committer.isUndecided(n);
    this.#participant = new Participant(node, { isUndecided, exclude });
    this.dirty = new Dirty(node, this.#coordinator.committer, {
      isInside: () => this.#coordinator.isInside,
      applied: (writer, decision) => this.#participant.appliedFrom(writer).add(decision, false),
      exclude,
      begun: () => this.#pulse.quicken(),
      isStaged: () => this.#member.isStaged,
    });
    this.#loader = new Loader(node);
    this.#leader = new ConnectionLeader({
      node,
      nextNumber: () => this.#coordinator.committer.nextNumber(),
      post,
      later,
      failed: (members, error) => this.#membership.connectFailed(members, error),
      succeeded: () => this.#membership.consider(),
      memberSilent: (member) => this.#dropSilent(member),
    });
    this.#member = new ConnectionMember({
      node,
      isQuiet: () => this.#coordinator.committer.isQuiet(),
      refuseWaiting: () => this.#participant.refuseWaiting(),
      promisedRows: () => this.#participant.promisedRows(),
      viewChanged: () => this.#viewChanged(),
      surveyed: () => this.#pending.dropObstructed(),
      allApplied: () => this.#pending.settled(),
      inConflict: (conflict, members) => this.#membership.inConflict(conflict, members),
      memberGone: (member, reason) => this.#membership.nodeDown(member, reason),
      post,
      later,
    });
    this.#membership = new Membership({
      node,
      isStarting: () => this.#loader.isStarting(),
      watermark: () => this.#watermark(),
      mayConnect: () => !this.#leader.isBusy && !this.#member.isBusy && node.outbox.failure === undefined,
      connect: (members) => this.#leader.start(members),
      nodeLost: (lost, wasRunning) => this.#nodeLost(lost, wasRunning),
      settle: (coordinator, watermark, view) => this.#settle(coordinator, watermark, view),
    });
    this.#ledger = new Ledger(node, (fn) => this.transaction(fn));
    this.#pending = new PendingChanges({
      node,
      proposed: () => this.#turn(() => this.#membership.consider()),
      underWay: () => this.#member.changesUnderWay,
      isConnecting: () => this.#member.isBusy,
    });
    this.#schema = new Schema(node, this.#pending);
    this.parts = {
      node,
      loader: this.#loader,
      schema: this.#schema,
      replicas: new Replicas(node, this.#pending),
      properties: new TableProperties(node, this.#pending),
      removal: new NodeRemoval(node, this.#pending),
    };
    this.#pulse = new Pulse(node.environment.clock, {
      isRestless: () => this.#isRestless(),
      beat: (nowMs, isTick) => this.#turn(() => this.#beat(nowMs, isTick)),
    });
  }

  /**
   * Reads the disc, then joins by itself whoever is linked. Tables load in the background: see waitForTables.
   * @throws StorageError `disc_corrupt`, `disc_io`
   */
  static async open(options: DatabaseOptions): Promise<Database> {
    const database = new Database(options);
    await database.#start(options);
    return database;
  }

  async #start(options: DatabaseOptions): Promise<void> {
    const node = this.#node;
    await readDisc(node);
    this.#participant.restore();
    this.#schema.ensureLedger();
    node.outbox.onDiscFailure = (failure) => {
      node.emit({ type: 'disc_failed', code: failure.code, message: failure.message });
      // The others go on without this node; it keeps serving reads.
      for (const member of [...node.view]) if (member !== node.self) this.#membership.exclude(member);
    };
    for (const [table, nodes] of Object.entries(options.masterNodes ?? {})) {
      this.#loader.setMasters([node.table(table)], nodes);
    }
    this.#loader.evaluate();
    node.environment.links.setHandlers({
      up: (other, info: LinkInfo) => this.#turn(() => this.#membership.linkUp(other, info)),
      down: (other, reason: LinkDownReason) => this.#turn(() => this.#membership.linkDown(other, reason)),
      message: (other, batch) => this.#receive(other, batch),
    });
    this.#pulse.start();
  }

  // -- names ---------------------------------------------------------------------------------------------------------

  get nodeId(): NodeId {
    return this.#node.self;
  }

  get nodeName(): string {
    return this.#node.selfName;
  }

  // -- transactions ------------------------------------------------------------------------------------------------------

  /**
   * Runs `fn`, perhaps several times, and commits what it wrote, on all replicas or on none. Answers when every running
   * replica has promised the commit and, for disc tables, this node's disc batch is with the operating system.
   * @throws StorageError `aborted`, `deadline`, `nested_await`, `no_majority`, `table_not_loaded`, `overloaded`,
   * `transaction_too_large` when replicas elsewhere would have to be sent more than 8 MiB, `disc_…`, `closed`
   */
  transaction<T>(fn: (tx: Transaction) => T | Promise<T>, options: TransactionOptions = {}): Promise<T> {
    return this.#transaction(fn, options, false);
  }

  /** As `transaction`, but answers after every running replica has applied the commit and synced its disc. */
  syncTransaction<T>(fn: (tx: Transaction) => T | Promise<T>, options: TransactionOptions = {}): Promise<T> {
    return this.#transaction(fn, options, true);
  }

  #transaction<T>(fn: (tx: Transaction) => T | Promise<T>, options: TransactionOptions, sync: boolean): Promise<T> {
    const answer = this.#coordinator.transaction(fn, options, sync) as Promise<T>;
    // It may have ended already, as reads do.
    this.#pulse.quicken();
    return answer;
  }

  // -- schema and nodes ---------------------------------------------------------------------------------------------------

  /** @throws StorageError `table_not_loaded`, whose `nodes` are those waited for */
  waitForTables(names: readonly string[], timeoutMs: number): Promise<void> {
    return this.#loader.waitFor(names, timeoutMs);
  }

  /**
   * Loads the table now (M72): from a replica that is active, if one can be reached; else with whoever is here, which alone
   * means from this node's disc. Rows that others hold come back by merging later.
   * @throws StorageError `no_such_table`, `table_not_loaded` without a replica here, `deadline`
   */
  async forceLoadTable(name: string): Promise<void> {
    const node = this.#node;
    const table = node.table(name);
    if (!table.held) throw node.notLoaded(table);
    if (!table.loaded) await this.#membership.meet();
    if (table.loaded) return;
    await this.#pending.propose(
      {
        publish: () => node.proposals.forced.add(name),
        make: () => this.#loader.load(table, node.selfName),
        obstacle: () => undefined,
        late: (ms, cause) =>
          new StorageError('deadline', `Table "${name}" was not loaded within ${ms} ms: ${cause}`, { table: name }),
      },
      {},
    );
  }

  /**
   * Overrides, on this node and over its restarts, whom a table waits for when it starts (M73): it is loaded as soon as
   * one of `nodes` is there, and not before; resolves once that is on disc. It does not choose whose rows stand: those are merged. `all`: every table
   * with replicas there; no nodes: the usual rule again.
   * @throws StorageError `no_such_table`, `bad_definition` when a node holds no replica of a table, `disc_…`
   */
  async setMasterNodes(tables: readonly string[] | 'all', nodes: readonly string[]): Promise<void> {
    const shared = [...this.#node.tables.values()].filter(
      ({ definition: { deletedAt, localContent } }) => deletedAt === 0 && !localContent,
    );
    const holds = ({ definition }: Table): boolean =>
      nodes.every((name) => definition.replicas.has(this.#node.idOf(name) ?? ''));
    const chosen = tables === 'all' ? shared.filter(holds) : tables.map((name) => this.#node.table(name));
    this.#turn(() => {
      this.#loader.setMasters(chosen, nodes);
      // In an island the connection transaction loads: it is asked for.
      if (this.#loader.isStarting()) this.#node.schema.next();
      this.#membership.consider();
    });
    await this.#node.synced();
  }

  /** Resolves when `name` and this node are one island. @throws StorageError with the reason of the failed try */
  connectNode(name: string): Promise<void> {
    let connected: Promise<void> | undefined;
    this.#turn(() => {
      connected = this.#membership.connectNode(name);
    });
    return connected as unknown as Promise<void>;
  }

  // -- events, ledger, information --------------------------------------------------------------------------------------

  subscribeSystem(listener: (event: SystemEvent) => void): () => void {
    return this.#node.subscribe(listener);
  }

  /** Calls `listener` for each change of the local replica, in commit order, once it is made. */
  subscribeTable(table: string, listener: (event: TableEvent) => void): () => void {
    const { listeners } = this.#node.table(table);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Versions that lost a conflict when islands were merged, oldest first. */
  ledger(): LedgerEntry[] {
    return this.#ledger.entries();
  }

  /**
   * Puts the losing version back, as a transaction of its own. If the row was written again since the merge, that value
   * gets an entry of its own.
   * @throws StorageError `no_such_ledger_entry`, `ledger_entry_settled`, `no_such_table`
   */
  restoreFromLedger(id: string): Promise<void> {
    return this.#ledger.restore(id);
  }

  /** Settles an entry: what stands is right. One that is settled already stays as it is. @throws `no_such_ledger_entry` */
  acceptLedgerEntry(id: string): Promise<void> {
    return this.#ledger.accept(id);
  }

  /** Deletes entries that were put back or accepted, but for the latest `keep`; returns how many. */
  pruneLedger(keep = 0): Promise<number> {
    return this.#ledger.prune(keep);
  }

  /** Gives this node the function that tables with `merge: { function: name }` need; it takes the place of an earlier one. */
  registerMergeFunction(name: string, run: MergeFunction): void {
    this.#node.mergeFunctions.register(name, run);
    this.#turn(() => this.#membership.consider());
  }

  tableInfo(name: string): TableInfo {
    return tableInfoOf(this.#node, this.#node.table(name), this.#loader);
  }

  /** Names of the nodes this one runs with, itself among them (M10); `systemInfo` says the same and much more. */
  runningDbNodes(): string[] {
    return this.#node.namesOf(this.#node.view);
  }

  systemInfo(): SystemInfo {
    return systemInfoOf(this.#node, this.#loader, this.#coordinator.runningCount + this.#participant.preparedCount);
  }

  /** Ends what runs, with errors, and waits until everything decided is on disc. */
  async close(): Promise<void> {
    const node = this.#node;
    if (node.closed) return;
    node.closed = true;
    this.#pulse.stop();
    this.#coordinator.close();
    this.#leader.close();
    const closed = new StorageError('closed', 'The database of this node was closed.');
    this.#membership.close(closed);
    this.#pending.close(closed);
    this.#loader.close(closed);
    node.outbox.finish();
    await new Promise<void>((resolve) => node.outbox.drained(resolve));
  }

  // -- turns -------------------------------------------------------------------------------------------------------------

  #post(to: NodeId, message: Message): void {
    if (to === this.#node.self) this.#loopback.push(message);
    else this.#node.send(to, message);
  }

  /** Does something, then everything that follows from it on this node. */
  #turn(act: () => void): void {
    if (this.#node.closed) return;
    act();
    if (this.#settling) return;
    this.#settling = true;
    do {
      const messages = this.#loopback;
      this.#loopback = [];
      for (const message of messages) this.#dispatch(this.#node.self, message, this.#node.hlc.now());
      this.#member.poll();
      this.dirty.resume();
      this.#node.wake.drain();
    } while (this.#loopback.length > 0 || !this.#node.wake.isEmpty);
    this.#settling = false;
    this.#pulse.quicken();
  }

  #receive(from: NodeId, batch: unknown): void {
    this.#turn(() => {
      try {
        checkBatch(batch);
        const [moment, ...messages] = batch;
        this.#node.hlc.witness(moment);
        for (const message of messages) this.#dispatch(from, message, moment);
      } catch (error) {
        if (error instanceof InvariantViolation) throw error;
        // Whatever the other end sent, it harms that link only.
        this.#node.environment.links.drop(from, `malformed database message: ${String(error)}`);
      }
    });
  }

  #dispatch(from: NodeId, message: Message, sentHlc: number): void {
    if (this.#participant.handle(from, message) || this.#coordinator.handle(from, message)) return;
    switch (message[0]) {
      case Kind.dirty:
        return this.dirty.onDirty(from, message as unknown as PrepareMessage);
      case Kind.tick:
        return this.#membership.onTick(from, message);
      case Kind.exclude:
        return this.#membership.onExclude(from, sentHlc);
      case Kind.removed:
        return this.#membership.onRemoved(from, message[1] as NodeId[], message[2] as NodeId[]);
      case Kind.nudge:
        return this.#membership.onNudge();
      default:
        if (this.#member.handle(from, message) || this.#leader.handle(from, message)) return;
        throw new TypeError(`unknown kind ${String(message[0])}`);
    }
  }

  #nodeLost(lost: NodeId, wasRunning: boolean): void {
    this.#coordinator.participantLost(lost);
    this.#participant.coordinatorLost(lost);
    this.#node.guards.nodeLost(lost);
    if (wasRunning) this.dirty.writerLost(lost);
    this.#member.nodeLost(lost);
    this.#leader.nodeLost(lost);
    this.#pending.dropObstructed();
    this.#loader.evaluate();
  }

  /** A node that took part in a merge and then said nothing: out of the view, to be met anew. */
  #dropSilent(member: NodeId): void {
    if (this.#node.view.has(member) && member !== this.#node.self) this.#membership.exclude(member);
    else this.#leader.nodeLost(member);
  }

  #viewChanged(): void {
    this.#participant.afterMerge();
    this.#membership.joined();
    this.#loader.evaluate();
  }

  // -- time --------------------------------------------------------------------------------------------------------------

  #watermark(): number {
    const { watermark } = this.#coordinator.committer;
    const open = this.#leader.openHlc;
    return open === undefined ? watermark : Math.min(open - 1, watermark);
  }

  /** What waits here has a deadline, or an island is not whole. */
  #isRestless(): boolean {
    return (
      this.#coordinator.runningCount > 0 ||
      this.#participant.preparedCount > 0 ||
      this.#member.isBusy ||
      this.#leader.isBusy ||
      this.#membership.isUnsettled ||
      this.#pending.isWaiting ||
      this.#loader.isStarting()
    );
  }

  #beat(nowMs: number, isTick: boolean): void {
    this.#coordinator.sweep(nowMs);
    this.#participant.sweep(nowMs);
    this.#member.sweep(nowMs);
    this.#leader.sweep(nowMs);
    this.#membership.checkCliques(nowMs);
    this.#membership.consider();
    this.#pending.sweep(nowMs);
    if (this.#loader.isStarting()) this.#loader.evaluate();
    if (isTick) this.#tick();
  }

  #tick(): void {
    this.#participant.resolveOrphans();
    this.#coordinator.committer.open.sync();
    this.#participant.syncApplied();
    const watermark = this.#watermark();
    this.#node.watermarks.set(this.#node.self, watermark);
    this.#settle(this.#node.self, watermark, this.#node.view);
    this.dirty.forgetDeletes(this.#membership.isAgreed);
    this.#node.changed.bound(this.#node.tables);
    this.#node.promises.sweep();
    this.#membership.lookForMajorities(this.#node.environment.clock.monotonicMs());
    this.#membership.repeatTick();
    if (this.#persistedCommits === this.#node.changes) return;
    this.#persistedCommits = this.#node.changes;
    this.#node.persistWatermarks();
  }

  /**
   * A coordinator no longer waits for a participant it lost. This node may still run with that one, which may ask here
   * what became of the commit: it is remembered until both agree who is lost.
   */
  #settle(coordinator: NodeId, watermark: number, itsView: ReadonlySet<NodeId>): void {
    const { view, recent } = this.#node;
    const mayForget = (participants: readonly NodeId[]): boolean =>
      participants.every((participant) => itsView.has(participant) || !view.has(participant));
    recent.settle(
      coordinator,
      watermark,
      mayForget,
      this.#node.stored.dropTombstone,
      (n) => this.#node.promises.covered(coordinator, n),
      (table, participants, hlc) => {
        // Who was lost meanwhile was awaited no longer; all came back by a merge, whose end says what they have.
        if (hlc <= this.#node.mergedHlc) return;
        const keptBy = participants.filter(
          (participant) => itsView.has(participant) && participant !== this.#node.self,
        );
        this.#node.acknowledged.noteKept(table, keptBy, hlc);
      },
    );
  }
}
