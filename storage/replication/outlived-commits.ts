/**
 * Recent commits of coordinators that will not return: nobody announces a watermark for them any more. A node connection
 * transaction brings all its members to one state, on disc; what was remembered before it, for one of them, is not needed
 * after it. Who was not there has its set.
 */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';

export class OutlivedCommits {
  readonly #node: NodeState;
  /** By coordinator: how many commits there were when the last merge was applied here. */
  #counts: readonly (readonly [coordinator: NodeId, count: number])[] = [];

  constructor(node: NodeState) {
    this.#node = node;
  }

  /** A merge was applied here. */
  merged(): void {
    const { retired, recent } = this.#node;
    this.#counts = [...retired].map((coordinator) => [coordinator, recent.count(coordinator)] as const);
  }

  /** These have it on disc. */
  allApplied(members: readonly NodeId[]): void {
    const { view, recent, promises, stored } = this.#node;
    const counts = this.#counts;
    this.#counts = [];
    for (const member of view) if (!members.includes(member)) return;
    for (const [coordinator, count] of counts) {
      recent.forget(coordinator, count, stored.dropTombstone, (n) => promises.covered(coordinator, n));
    }
  }
}
