/**
 * The order of writes to one disc, whatever the disc is: the level store and the memory store both stand on this, so the
 * simulator meets the very rules a peer lives by.
 *
 * At most one batch is under way. Writes that come meanwhile share the next one: under load a batch carries dozens of
 * commits, and a sync (group commit) is paid once for all of them. Where a sync is an act of its own, writes go on while
 * one is under way, and those who wait for the medium share the next. `done` calls come in the order of the writes,
 * those of synced ones among themselves, never inside `write`. After a failure nothing is tried any more: what was
 * written behind a hole could not be told from what was written before it.
 */
import type { DiscFailure, DiscOperation } from '../environment.ts';

/** Past so many operations, or octets, writes wait for the batch after the next. One single write is never cut. */
export const BATCH_OPERATIONS_MAX = 8192;
export const BATCH_BYTES_MAX = 4 << 20;

/** Makes `writes` take effect, all or none. It must not throw: a failure is its result. */
export type CommitBatch = (
  writes: readonly (readonly DiscOperation[])[],
  sync: boolean,
) => Promise<DiscFailure | undefined>;

/** Brings all that took effect before to the medium. It must not throw. */
export type SyncDisc = () => Promise<DiscFailure | undefined>;

type Done = (failure: DiscFailure | undefined) => void;

interface QueuedWrite {
  readonly operations: readonly DiscOperation[];
  readonly sync: boolean;
  readonly done: Done;
  /** Came after `close`: keeps its place in the order, but is refused. */
  readonly refused: boolean;
}

const CLOSED: DiscFailure = {
  code: 'disc_closed',
  message: 'The disc is closed: the database was stopped. Open it again.',
};

export class WriteQueue {
  readonly #commit: CommitBatch;
  readonly #sync: SyncDisc | undefined;
  #waiting: QueuedWrite[] = [];
  #pump: Promise<void> | undefined;
  /** In effect, not yet on the medium. */
  #unsynced: QueuedWrite[] = [];
  #syncPump: Promise<void> | undefined;
  #failure: DiscFailure | undefined;
  #closed = false;
  #killed = false;

  /** Without `sync` it is `commit` that syncs. */
  constructor(commit: CommitBatch, sync?: SyncDisc) {
    this.#commit = commit;
    this.#sync = sync;
  }

  write(operations: readonly DiscOperation[], sync: boolean, done: Done): void {
    this.#waiting.push({ operations, sync, done, refused: this.#closed });
    this.#pump ??= this.#run();
  }

  /** Lets what was written finish, refuses what comes later. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#pump !== undefined) await this.#pump;
    while (this.#syncPump !== undefined) await this.#syncPump;
  }

  /** The process is gone: no `done` is called any more. For discs that simulate. */
  kill(): void {
    this.#killed = true;
    this.#waiting = [];
    this.#unsynced = [];
  }

  async #run(): Promise<void> {
    // What the rest of this turn writes goes into the same batch.
    await undefined;
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      const failure = await this.#finish(group);
      this.#settle(group, failure);
    }
    this.#pump = undefined;
  }

  #settle(group: readonly QueuedWrite[], failure: DiscFailure | undefined): void {
    for (const write of group) {
      if (this.#killed) return;
      if (this.#sync !== undefined && write.sync && !write.refused) this.#unsynced.push(write);
      else callDone(write.done, failure);
    }
    if (this.#unsynced.length > 0) this.#syncPump ??= this.#runSync(this.#sync as SyncDisc);
  }

  async #runSync(sync: SyncDisc): Promise<void> {
    while (this.#unsynced.length > 0) {
      const group = this.#unsynced;
      this.#unsynced = [];
      // Never without a wait: this would end before whoever called it has noted that it runs.
      const failure = await (this.#failure ?? sync());
      this.#failure ??= failure;
      for (const write of group) {
        if (this.#killed) return;
        callDone(write.done, failure);
      }
    }
    this.#syncPump = undefined;
  }

  async #finish(group: readonly QueuedWrite[]): Promise<DiscFailure | undefined> {
    if (group[0]?.refused) {
      while (this.#syncPump !== undefined) await this.#syncPump;
      return CLOSED;
    }
    if (this.#failure === undefined) {
      this.#failure = await this.#commit(
        group.map((write) => write.operations),
        this.#sync === undefined && group.some((write) => write.sync),
      );
    }
    return this.#failure;
  }

  /** The longest head of the queue that may share a batch. */
  #takeGroup(): QueuedWrite[] {
    const waiting = this.#waiting;
    const refused = waiting[0]?.refused;
    let count = 0;
    let operations = 0;
    let bytes = 0;
    for (const write of waiting) {
      if (write.refused !== refused) break;
      operations += write.operations.length;
      bytes += bytesOf(write.operations);
      if (count > 0 && (operations > BATCH_OPERATIONS_MAX || bytes > BATCH_BYTES_MAX)) break;
      count++;
    }
    if (count === waiting.length) {
      this.#waiting = [];
      return waiting;
    }
    return waiting.splice(0, count);
  }
}

export function bytesOf(operations: readonly DiscOperation[]): number {
  let bytes = 0;
  for (const operation of operations) {
    bytes += operation.key.length + (operation.type === 'put' ? operation.value.length : 0);
  }
  return bytes;
}

function callDone(done: Done, failure: DiscFailure | undefined): void {
  try {
    done(failure);
  } catch (error) {
    // A bug of the caller's. It must stop the process as any uncaught error does, but not keep the writes behind it
    // from hearing their outcome.
    void Promise.reject(error);
  }
}
