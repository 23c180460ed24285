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
import type { Key } from '../types.ts';

export interface Change {
  readonly table: Table;
  readonly key: Key;
  readonly token: Token;
  readonly deleted: boolean;
}

export class RecentCommit {
  readonly n: number;
  readonly hlc: number;
  readonly participants: readonly NodeId[];
  readonly changes: readonly Change[];

  constructor(n: number, hlc: number, participants: readonly NodeId[], changes: readonly Change[]) {
    this.n = n;
    this.hlc = hlc;
    this.participants = participants;
    this.changes = changes;
  }
}

export class RecentCommits {
  readonly #byCoordinator = new Map<NodeId, Map<number, RecentCommit>>();

  add(coordinator: NodeId, commit: RecentCommit): void {
    let commits = this.#byCoordinator.get(coordinator);
    if (commits === undefined) {
      commits = new Map();
      this.#byCoordinator.set(coordinator, commits);
    }
    commits.set(commit.n, commit);
  }

  find(coordinator: NodeId, n: number): RecentCommit | undefined {
    return this.#byCoordinator.get(coordinator)?.get(n);
  }

  /**
   * Forgets what the coordinator's watermark covers, but for what `mayForget` holds back; calls `settled` for each
   * forgotten.
   */
  settle(
    coordinator: NodeId,
    watermark: number,
    mayForget: (commit: RecentCommit) => boolean,
    settled: (commit: RecentCommit) => void,
  ): void {
    const commits = this.#byCoordinator.get(coordinator);
    if (commits === undefined) return;
    for (const commit of commits.values()) {
      // Commits are noted nearly in version order; one that came early waits for the next announcement.
      if (commit.hlc > watermark) break;
      if (!mayForget(commit)) continue;
      commits.delete(commit.n);
      settled(commit);
    }
  }

  forget(coordinator: NodeId, n: number): void {
    this.#byCoordinator.get(coordinator)?.delete(n);
  }

  /** Calls `visit` for every commit that `node` took part in. */
  forParticipant(node: NodeId, visit: (coordinator: NodeId, commit: RecentCommit) => void): void {
    for (const [coordinator, commits] of this.#byCoordinator) {
      for (const commit of commits.values()) if (commit.participants.includes(node)) visit(coordinator, commit);
    }
  }

  get size(): number {
    let size = 0;
    for (const commits of this.#byCoordinator.values()) size += commits.size;
    return size;
  }
}
