/**
 * One call of `transaction`: its function, what the function read and wrote so far, and where its commit stands. Kept
 * over reruns; the age with it, so that a transaction that lost often wins in the end.
 */
import type { DiscFailure, NodeId, TimerHandle } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import type { DiscWaiter } from '../outbox.ts';
import type { Row, Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { checkKey, keyToken, prepareValue } from '../term.ts';
import type { Key, ReadLevel, Transaction, Value } from '../types.ts';
import type { LockHolder, Waiter } from './locker.ts';

export class WriteOperation {
  readonly table: Table;
  readonly key: Key;
  readonly token: Token;
  value: Value;
  deleted: boolean;
  bytes: Uint8Array | undefined = undefined;

  constructor(table: Table, key: Key, token: Token, value: Value, deleted: boolean) {
    this.table = table;
    this.key = key;
    this.token = token;
    this.value = value;
    this.deleted = deleted;
  }
}

export interface ReadNote {
  readonly table: Table;
  readonly key: Key;
  readonly token: Token;
  readonly row: Row | undefined;
  /** The node a row was fetched from, for a table without a replica here. */
  readonly remote: NodeId | undefined;
  /** To be confirmed by more than half of the table's replicas. */
  readonly majority: boolean;
}

export interface TableReadNote {
  readonly table: Table;
  readonly modifications: number;
}

/** Thrown inside the function to stop a run that must be done again; never seen outside. */
export const RERUN = new Error('this run of the transaction is abandoned and will be done again');

const NOBODY: readonly NodeId[] = [];

export type RunState = 'running' | 'waiting' | 'fetching' | 'voting' | 'withdrawing' | 'refusing' | 'deciding' | 'done';

/** What a run asks of the coordinator that owns it. */
export interface RunOwner {
  readonly node: NodeState;
  /** Begins the run anew, or lets it wait for what still stands in its way. */
  retry(run: TransactionRun): void;
  answerWritten(run: TransactionRun, failure: DiscFailure | undefined): void;
}

export type TransactionFunction = (transaction: Transaction) => unknown;

export class TransactionRun implements LockHolder, Waiter, DiscWaiter {
  readonly owner: RunOwner;
  readonly run: TransactionFunction;
  /** Answered only after every participant has it on its medium. */
  sync: boolean;
  readonly retriesMax: number;
  readonly deadlineMs: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly age: number;
  readonly node: NodeId;

  state: RunState = 'running';
  reruns = 0;
  /** Distinguishes this run's context from those of earlier runs, which must not write any more. */
  generation = 0;
  reads: ReadNote[] = [];
  tableReads: TableReadNote[] = [];
  writes: WriteOperation[] = [];
  /** Rows fetched from other nodes, by table and token, for the next run. */
  fetched: Map<Table, Map<Token, { row: Row | undefined; from: NodeId }>> | undefined = undefined;
  /** What was asked of another node and has not come yet. */
  unread: { readonly table: Table; readonly from: NodeId } | undefined = undefined;
  /** Why the current run is abandoned: a lock to wait for, or a row to fetch. */
  blockedOn: { table: Table; token: Token | undefined } | undefined = undefined;
  toFetch: { table: Table; key: Key; token: Token } | undefined = undefined;
  doomed = false;
  isAsync = false;
  value: unknown = undefined;
  timer: TimerHandle | undefined = undefined;

  n = 0;
  round = 0;
  version = 0;
  participants: readonly NodeId[] = NOBODY;
  locked = false;
  /** A participant was lost while one of its proposals was being voted on: that one may have made it. */
  doubtful = false;
  /** Nodes that may not have heard yet that a proposal was taken back, with its number: lost, they may make it. */
  promising: Map<NodeId, number> | undefined = undefined;
  /** Of a transaction that waits for discs: nodes whose disc is known to hold the commit. */
  keptBy: NodeId[] = [];
  /** Who has not voted yet: a bit for each place in `participants`. */
  missing = 0;
  /** It was proposed to others, whether they still are there or not. */
  isProposed = false;
  decision = 0;

  constructor(
    owner: RunOwner,
    run: TransactionFunction,
    sync: boolean,
    retriesMax: number,
    deadlineMs: number,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ) {
    this.owner = owner;
    this.run = run;
    this.sync = sync;
    this.retriesMax = retriesMax;
    this.deadlineMs = deadlineMs;
    this.resolve = resolve;
    this.reject = reject;
    this.age = owner.node.hlc.tick();
    this.node = owner.node.self;
  }

  /** A lock this run waited for was released, or its pause is over. */
  retry(): void {
    if (this.state === 'waiting') this.owner.retry(this);
  }

  /** The first row that the last run met and that somebody else is writing now, or has a right to write first. */
  get taken(): { table: Table; token: Token } | undefined {
    const { blockedOn } = this;
    if (blockedOn?.token !== undefined && blockedOn.table.locks.writerOf(blockedOn.token) !== undefined) {
      return { table: blockedOn.table, token: blockedOn.token };
    }
    for (const { table, token, remote } of this.reads) {
      if (remote === undefined && table.locks.writerOf(token) !== undefined) return { table, token };
    }
    for (const { table, token } of this.writes) {
      if (table.held && table.locks.conflictForWrite(token, this) !== undefined) return { table, token };
    }
    return undefined;
  }

  discDone(failure: DiscFailure | undefined): void {
    this.owner.answerWritten(this, failure);
  }

  reset(): void {
    this.generation += 1;
    // What an earlier run noted may still be in use: it is left alone, not emptied.
    if (this.reads.length > 0) this.reads = [];
    if (this.tableReads.length > 0) this.tableReads = [];
    if (this.writes.length > 0) this.writes = [];
    this.blockedOn = undefined;
    this.toFetch = undefined;
    this.doomed = false;
    this.isAsync = false;
    this.value = undefined;
  }

  findWrite(table: Table, token: Token): WriteOperation | undefined {
    const { writes } = this;
    for (let i = writes.length - 1; i >= 0; i--) {
      const write = writes[i]!;
      if (write.token === token && write.table === table) return write;
    }
    return undefined;
  }
}

/** What the function is given. Dead as soon as its run has ended or was abandoned. */
export class TransactionContext implements Transaction {
  readonly #run: TransactionRun;
  readonly #node: NodeState;
  readonly #generation: number;

  constructor(run: TransactionRun) {
    this.#run = run;
    this.#node = run.owner.node;
    this.#generation = run.generation;
  }

  read(tableName: string, key: Key, level?: ReadLevel): Value {
    const row = this.#row(tableName, key, level === 'majority');
    return row instanceof WriteValue ? row.value : row?.value;
  }

  has(tableName: string, key: Key): boolean {
    const row = this.#row(tableName, key, false);
    return row instanceof WriteValue ? !row.deleted : row !== undefined;
  }

  write(tableName: string, key: Key, value: Value): void {
    const run = this.#alive();
    const table = this.#node.writable(tableName);
    const kept = checkKey(tableName, key, this.#node.limits.keyBytesMax);
    const stored = prepareValue(tableName, kept, value, this.#node.limits);
    this.#put(run, table, kept, keyToken(kept), stored, false);
  }

  delete(tableName: string, key: Key): void {
    const run = this.#alive();
    const table = this.#node.writable(tableName);
    const kept = checkKey(tableName, key, this.#node.limits.keyBytesMax);
    this.#put(run, table, kept, keyToken(kept), undefined, true);
  }

  allKeys(tableName: string): Key[] {
    const keys: Key[] = [];
    this.forEach(tableName, (key) => keys.push(key));
    return keys;
  }

  forEach(tableName: string, visit: (key: Key, value: Value) => void): void {
    const run = this.#alive();
    const table = this.#node.readable(tableName);
    if (table.locks.hasWriters) this.#blocked(run, table, undefined);
    run.tableReads.push({ table, modifications: table.modifications });
    for (const row of table.rows.values()) {
      if (run.writes.length > 0 && run.findWrite(table, row.token) !== undefined) continue;
      visit(row.key, row.value);
    }
    for (const write of [...run.writes]) if (write.table === table && !write.deleted) visit(write.key, write.value);
  }

  abort(reason: unknown): never {
    this.#alive();
    throw new StorageError('aborted', `The transaction was aborted by its function: ${String(reason)}.`, { reason });
  }

  #alive(): TransactionRun {
    const run = this.#run;
    if (run.generation !== this.#generation || run.state !== 'running') {
      throw new StorageError(
        'aborted',
        'This transaction has ended: its function used it after returning, or after it was begun anew. Await everything inside the function.',
        { reason: 'ended' },
      );
    }
    if (run.doomed) throw RERUN;
    return run;
  }

  #put(run: TransactionRun, table: Table, key: Key, token: Token, value: Value, deleted: boolean): void {
    const earlier = run.writes.length === 0 ? undefined : run.findWrite(table, token);
    if (earlier === undefined) {
      run.writes.push(new WriteOperation(table, key, token, value, deleted));
    } else {
      earlier.value = value;
      earlier.deleted = deleted;
    }
  }

  #row(tableName: string, key: Key, majority: boolean): Row | WriteValue | undefined {
    const run = this.#alive();
    const table = this.#node.table(tableName);
    const token = keyToken(checkKey(tableName, key, this.#node.limits.keyBytesMax));
    if (run.writes.length > 0) {
      const own = run.findWrite(table, token);
      if (own !== undefined) return new WriteValue(own.deleted, own.value);
    }
    if (!table.loaded) return this.#remoteRow(run, table, key, token, majority);
    if (table.locks.writerOf(token) !== undefined) this.#blocked(run, table, token);
    const row = table.rows.get(token);
    run.reads.push({ table, key, token, row, remote: undefined, majority });
    return row;
  }

  #remoteRow(run: TransactionRun, table: Table, key: Key, token: Token, majority: boolean): Row | undefined {
    const known = run.fetched?.get(table)?.get(token);
    if (known !== undefined && this.#node.view.has(known.from)) {
      run.reads.push({ table, key, token, row: known.row, remote: known.from, majority });
      return known.row;
    }
    const holder = [...table.definition.replicas.keys()].some((node) => node !== run.node && this.#node.view.has(node));
    if (table.held || !holder) throw this.#node.notLoaded(table);
    run.toFetch = { table, key, token };
    run.doomed = true;
    throw RERUN;
  }

  #blocked(run: TransactionRun, table: Table, token: Token | undefined): never {
    run.blockedOn = { table, token };
    run.doomed = true;
    throw RERUN;
  }
}

/** A value the transaction itself wrote: seen by its own reads. */
class WriteValue {
  readonly deleted: boolean;
  readonly value: Value;

  constructor(deleted: boolean, value: Value) {
    this.deleted = deleted;
    this.value = value;
  }
}
