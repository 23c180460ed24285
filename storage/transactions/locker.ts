/**
 * Locks of one table. Only transactions that are committing hold any: the coordinator from its check of the reads to
 * the outcome, a participant from its yes vote to the outcome. Deadlock cannot arise: a holder waits at another node
 * only for younger ones (wait-die), and who holds nothing yet may wait for anybody.
 */
import type { NodeId } from '../environment.ts';
import type { Token } from '../tables/row.ts';

/** A committing transaction as its locks know it. The age is kept over reruns, so that it wins in the end. */
export interface LockHolder {
  /** Hybrid clock when the transaction first began: lower is older. */
  readonly age: number;
  /** Its coordinator. */
  readonly node: NodeId;
  /** Settled by a majority only, and not before one has met: nobody waits for it, its rows stay locked over merges. */
  readonly outlivesMerges?: boolean;
}

export function isOlder(a: LockHolder, b: LockHolder): boolean {
  return a.age < b.age || (a.age === b.age && a.node < b.node);
}

/** Somebody who tries again when a lock it met is released. */
export interface Waiter {
  readonly age: number;
  readonly node: NodeId;
  retry(): void;
}

/** Waiters whose lock was released in this turn, tried again oldest first before anything new is looked at. */
export class WakeQueue {
  #woken: Waiter[] = [];

  add(waiters: Waiter[]): void {
    for (const waiter of waiters) this.#woken.push(waiter);
  }

  get isEmpty(): boolean {
    return this.#woken.length === 0;
  }

  drain(): void {
    while (this.#woken.length > 0) {
      const woken = this.#woken;
      this.#woken = [];
      if (woken.length > 1) woken.sort((a, b) => (isOlder(a, b) ? -1 : 1));
      for (const waiter of woken) waiter.retry();
    }
  }
}

class Lock {
  writer: LockHolder | undefined = undefined;
  readers: LockHolder[] | undefined = undefined;
  waiters: Waiter[] | undefined = undefined;
  /** An older transaction that waits here or at another row it needs: younger ones may not get in before it. */
  reservedBy: LockHolder | undefined = undefined;
}

export class TableLocks {
  readonly #locks = new Map<Token, Lock>();
  #tableReaders: LockHolder[] = [];
  #tableWaiters: Waiter[] = [];
  #writers = 0;
  #readers = 0;
  /** The node connection transaction that holds the whole table, 0 when none. */
  #frozenBy = 0;
  readonly #wake: WakeQueue;

  constructor(wake: WakeQueue) {
    this.#wake = wake;
  }

  get held(): number {
    return this.#writers + this.#readers + this.#tableReaders.length + (this.#frozenBy === 0 ? 0 : 1);
  }

  get waiting(): number {
    let count = this.#tableWaiters.length;
    for (const lock of this.#locks.values()) count += lock.waiters?.length ?? 0;
    return count;
  }

  get frozenBy(): number {
    return this.#frozenBy;
  }

  /** Whether any transaction holds a lock here; a freeze counts only once these are gone. */
  get isBusy(): boolean {
    return this.#writers + this.#readers + this.#tableReaders.length > 0;
  }

  /** Nobody holds a lock but those that may have to wait for nodes that are away. */
  get isDrained(): boolean {
    if (!this.isBusy) return true;
    if (this.#tableReaders.some((reader) => !reader.outlivesMerges)) return false;
    for (const { writer, readers } of this.#locks.values()) {
      if (writer !== undefined && !writer.outlivesMerges) return false;
      if (readers?.some((reader) => !reader.outlivesMerges)) return false;
    }
    return true;
  }

  /** Some release will come that wakes whoever waits here. */
  get isInUse(): boolean {
    return this.isBusy || this.#frozenBy !== 0;
  }

  writerOf(token: Token): LockHolder | undefined {
    return this.#locks.size === 0 ? undefined : this.#locks.get(token)?.writer;
  }

  /** Somebody holds a lock on this row itself, whose release wakes those who wait at it. */
  isHeld(token: Token): boolean {
    const lock = this.#locks.get(token);
    return lock !== undefined && (lock.writer !== undefined || lock.readers !== undefined);
  }

  get hasWriters(): boolean {
    return this.#writers > 0;
  }

  hasWritersBut(holder: LockHolder): boolean {
    if (this.#writers === 0) return false;
    for (const { writer } of this.#locks.values()) if (writer !== undefined && writer !== holder) return true;
    return false;
  }

  /** Who stands in the way of `holder` writing `token`. */
  conflictForWrite(token: Token, holder: LockHolder): LockHolder | undefined {
    for (const reader of this.#tableReaders) if (reader !== holder) return reader;
    const lock = this.#locks.get(token);
    if (lock === undefined) return undefined;
    if (lock.writer !== undefined && lock.writer !== holder) return lock.writer;
    if (lock.readers !== undefined) for (const reader of lock.readers) if (reader !== holder) return reader;
    const { reservedBy } = lock;
    if (reservedBy !== undefined && reservedBy !== holder && isOlder(reservedBy, holder)) return reservedBy;
    return undefined;
  }

  /** Keeps younger transactions from a row that `holder` waits for. The oldest of those that wait has it. */
  reserve(token: Token, holder: LockHolder): void {
    const lock = this.#lockOf(token);
    if (lock.reservedBy === undefined || isOlder(holder, lock.reservedBy)) lock.reservedBy = holder;
  }

  unreserve(token: Token, holder: LockHolder): void {
    const lock = this.#locks.get(token);
    if (lock === undefined || lock.reservedBy !== holder) return;
    lock.reservedBy = undefined;
    this.#released(token, lock);
  }

  lockWrite(token: Token, holder: LockHolder): void {
    const lock = this.#lockOf(token);
    if (lock.writer === holder) return;
    lock.writer = holder;
    this.#writers += 1;
  }

  lockRead(token: Token, holder: LockHolder): void {
    const lock = this.#lockOf(token);
    if (lock.readers === undefined) lock.readers = [holder];
    else lock.readers.push(holder);
    this.#readers += 1;
  }

  lockTableRead(holder: LockHolder): void {
    this.#tableReaders.push(holder);
  }

  unlockWrite(token: Token, holder: LockHolder): void {
    const lock = this.#locks.get(token);
    if (lock === undefined || lock.writer !== holder) return;
    lock.writer = undefined;
    this.#writers -= 1;
    this.#released(token, lock);
  }

  unlockRead(token: Token, holder: LockHolder): void {
    const lock = this.#locks.get(token);
    const index = lock?.readers?.indexOf(holder) ?? -1;
    if (lock === undefined || index < 0) return;
    if (lock.readers!.length === 1) lock.readers = undefined;
    else lock.readers!.splice(index, 1);
    this.#readers -= 1;
    this.#released(token, lock);
  }

  unlockTableRead(holder: LockHolder): void {
    const index = this.#tableReaders.indexOf(holder);
    if (index < 0) return;
    this.#tableReaders.splice(index, 1);
    this.#wakeTable();
  }

  freeze(id: number): void {
    this.#frozenBy = id;
  }

  unfreeze(): void {
    this.#frozenBy = 0;
    this.#wakeTable();
  }

  /** Waits for whatever stands in the way at `token`: a lock of that row, or one on the whole table. */
  waitForRow(token: Token, waiter: Waiter): void {
    const lock = this.#locks.get(token);
    if (lock === undefined) this.#tableWaiters.push(waiter);
    else if (lock.waiters === undefined) lock.waiters = [waiter];
    else lock.waiters.push(waiter);
  }

  /** Woken whenever a lock on the table as a whole, or any row lock, goes. */
  waitForTable(waiter: Waiter): void {
    this.#tableWaiters.push(waiter);
  }

  #lockOf(token: Token): Lock {
    let lock = this.#locks.get(token);
    if (lock === undefined) {
      lock = new Lock();
      this.#locks.set(token, lock);
    }
    return lock;
  }

  #released(token: Token, lock: Lock): void {
    if (lock.waiters !== undefined) {
      this.#wake.add(lock.waiters);
      lock.waiters = undefined;
    }
    if (lock.writer === undefined && lock.readers === undefined && lock.reservedBy === undefined)
      this.#locks.delete(token);
    if (this.#tableWaiters.length > 0) this.#wakeTable();
  }

  #wakeTable(): void {
    if (this.#tableWaiters.length === 0) return;
    this.#wake.add(this.#tableWaiters);
    this.#tableWaiters = [];
  }
}
