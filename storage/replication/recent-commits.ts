/**
 * Commits that some participant may not have applied durably yet, by coordinator. They answer a survivor that asks
 * for the outcome of an orphaned transaction, and they are what a lost node may lack.
 *
 * A coordinator announces a watermark: every commit of its own up to it is applied durably by all participants. What
 * lies at or under it is forgotten here.
 */
import type { NodeId } from '../environment.ts';
import type { Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import type { Key, Version } from '../types.ts';

export interface Change {
  readonly table: Table;
  readonly key: Key;
  readonly token: Token;
  readonly deleted: boolean;
  /** Of a delete that a merge took over: the version it has, which is not the merge's. */
  readonly version?: Version | undefined;
  /** Of a dirty write: the version that stood here before, if any. */
  readonly over?: Version | undefined;
}

/** Hears of a delete, and of the version it has. */
type Deleted = (change: Change, version: Version) => void;

/** In place of its number: a dirty write, for which nobody voted and whose outcome nobody asks. */
export const DIRTY = 0;

export class RecentCommit {
  readonly n: number;
  readonly hlc: number;
  participants: readonly NodeId[];
  changes: readonly Change[];

  constructor(n: number, hlc: number, participants: readonly NodeId[], changes: readonly Change[]) {
    this.n = n;
    this.hlc = hlc;
    this.participants = participants;
    this.changes = changes;
  }

  get isDirty(): boolean {
    return this.n === DIRTY;
  }
}

/**
 * The commits of one coordinator, a column for each of their parts: half a second's worth of them is remembered at any
 * time, and as objects of their own they would be most of what the collector of garbage has to carry about.
 */
class Log {
  n: number[] = [];
  hlc: number[] = [];
  participants: (readonly NodeId[])[] = [];
  /** Where the changes of a commit end; they begin where those of the one before do. */
  ends: number[] = [];
  tables: Table[] = [];
  keys: Key[] = [];
  tokens: Token[] = [];
  deleted: boolean[] = [];
  versions: (Version | undefined)[] = [];
  overs: (Version | undefined)[] = [];

  add({ n, hlc, participants, changes }: RecentCommit): void {
    for (const { table, key, token, deleted, version, over } of changes) {
      this.tables.push(table);
      this.keys.push(key);
      this.tokens.push(token);
      this.deleted.push(deleted);
      this.versions.push(version);
      this.overs.push(over);
    }
    this.#close(n, hlc, participants);
  }

  /** Takes over the commit at `index` of `other`. */
  copy(other: Log, index: number): void {
    for (let i = other.begin(index); i < (other.ends[index] as number); i++) {
      this.tables.push(other.tables[i] as Table);
      this.keys.push(other.keys[i] as Key);
      this.tokens.push(other.tokens[i] as Token);
      this.deleted.push(other.deleted[i] as boolean);
      this.versions.push(other.versions[i]);
      this.overs.push(other.overs[i]);
    }
    this.#close(other.n[index] as number, other.hlc[index] as number, other.participants[index] as readonly NodeId[]);
  }

  begin(index: number): number {
    return index === 0 ? 0 : (this.ends[index - 1] as number);
  }

  at(index: number): RecentCommit {
    const changes: Change[] = [];
    for (let i = this.begin(index); i < (this.ends[index] as number); i++) changes.push(this.change(i));
    const participants = this.participants[index] as readonly NodeId[];
    return new RecentCommit(this.n[index] as number, this.hlc[index] as number, participants, changes);
  }

  change(i: number): Change {
    return {
      table: this.tables[i] as Table,
      key: this.keys[i] as Key,
      token: this.tokens[i] as Token,
      deleted: this.deleted[i] as boolean,
      version: this.versions[i],
      over: this.overs[i],
    };
  }

  /** Calls `visit` for each delete of the commit at `index`, one of `coordinator`. */
  deletes(index: number, coordinator: NodeId, visit: Deleted): void {
    for (let i = this.begin(index); i < (this.ends[index] as number); i++) {
      if (!this.deleted[i]) continue;
      visit(this.change(i), this.versions[i] ?? { hlc: this.hlc[index] as number, node: coordinator });
    }
  }

  #close(n: number, hlc: number, participants: readonly NodeId[]): void {
    this.n.push(n);
    this.hlc.push(hlc);
    this.participants.push(participants);
    this.ends.push(this.tables.length);
  }
}

export class RecentCommits {
  readonly #logs = new Map<NodeId, Log>();

  add(coordinator: NodeId, commit: RecentCommit): void {
    let log = this.#logs.get(coordinator);
    if (log === undefined) {
      log = new Log();
      this.#logs.set(coordinator, log);
    }
    log.add(commit);
  }

  /** Asked only where something went wrong: of orphans, and by a coordinator that was thought lost. */
  has(coordinator: NodeId, n: number): boolean {
    return this.#logs.get(coordinator)?.n.includes(n) ?? false;
  }

  /**
   * Forgets what the coordinator's watermark covers, but for commits whose participants `mayForget` holds back; calls
   * `deleted` for each delete among what is forgotten, and `kept` for each table with the latest of those moments.
   */
  settle(
    coordinator: NodeId,
    watermark: number,
    mayForget: (participants: readonly NodeId[]) => boolean,
    deleted: Deleted,
    forgotten: (n: number) => void,
    kept: (table: Table, participants: readonly NodeId[], hlc: number) => void,
  ): void {
    const log = this.#logs.get(coordinator);
    if (log === undefined || log.n.length === 0) return;
    const left = new Log();
    let asked: readonly NodeId[] | undefined;
    let isForgettable = false;
    const latest = new Map<Table, number>();
    const tell = (): void => {
      for (const [table, hlc] of latest) kept(table, asked as readonly NodeId[], hlc);
      latest.clear();
    };
    for (let index = 0; index < log.n.length; index++) {
      const participants = log.participants[index] as readonly NodeId[];
      if (participants !== asked) {
        tell();
        asked = participants;
        isForgettable = mayForget(participants);
      }
      if (!isForgettable || (log.hlc[index] as number) > watermark) {
        left.copy(log, index);
        continue;
      }
      if (log.n[index] !== DIRTY) forgotten(log.n[index] as number);
      log.deletes(index, coordinator, deleted);
      const hlc = log.hlc[index] as number;
      for (let i = log.begin(index); i < (log.ends[index] as number); i++) {
        const table = log.tables[i] as Table;
        if (hlc > (latest.get(table) ?? 0)) latest.set(table, hlc);
      }
    }
    tell();
    if (left.n.length < log.n.length) this.#logs.set(coordinator, left);
  }

  /** How many commits of this coordinator are remembered. */
  count(coordinator: NodeId): number {
    return this.#logs.get(coordinator)?.n.length ?? 0;
  }

  /** Forgets the earliest `count` commits of a coordinator that will announce no watermark any more. */
  forget(coordinator: NodeId, count: number, deleted: Deleted, forgotten: (n: number) => void): void {
    const log = this.#logs.get(coordinator);
    if (log === undefined) return;
    const kept = new Log();
    for (let index = 0; index < log.n.length; index++) {
      if (index >= count) {
        kept.copy(log, index);
        continue;
      }
      forgotten(log.n[index] as number);
      log.deletes(index, coordinator, deleted);
    }
    if (kept.n.length > 0) this.#logs.set(coordinator, kept);
    else this.#logs.delete(coordinator);
  }

  /** Calls `visit` for every commit that `node` took part in. */
  forParticipant(node: NodeId, visit: (coordinator: NodeId, commit: RecentCommit) => void): void {
    for (const [coordinator, log] of this.#logs) {
      for (const [index, participants] of log.participants.entries()) {
        if (participants.includes(node)) visit(coordinator, log.at(index));
      }
    }
  }

  /** Calls `visit` for every dirty write of `writer`. */
  forDirty(writer: NodeId, visit: (commit: RecentCommit) => void): void {
    const log = this.#logs.get(writer);
    if (log === undefined) return;
    for (const [index, n] of log.n.entries()) if (n === DIRTY) visit(log.at(index));
  }

  get size(): number {
    let size = 0;
    for (const log of this.#logs.values()) size += log.n.length;
    return size;
  }
}
