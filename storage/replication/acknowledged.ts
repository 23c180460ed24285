/**
 * How new each node's disc has been at least. A node whose disc is older than that came back with an old copy of it, or
 * has lost its end: what it lacks may be a delete that nobody remembers any more (see staleMembers).
 *
 * And how much of what this node decided each has: of dirty writes, for which nobody votes, nothing else tells what another
 * node has seen.
 */
import type { NodeId } from '../environment.ts';
import type { Table } from '../tables/table.ts';

export class Acknowledged {
  readonly #moments = new Map<NodeId, number>();
  readonly #ofThisNode = new Map<NodeId, number>();

  /** `node` has on its medium what was written at `hlc`, or something later. */
  note(node: NodeId, hlc: number): void {
    if (hlc > (this.#moments.get(node) ?? 0)) this.#moments.set(node, hlc);
  }

  /** `node` has on its medium all that this node decided up to some place, `hlc` being the latest moment among it. */
  noteDecided(node: NodeId, hlc: number): void {
    this.note(node, hlc);
    if (hlc > (this.#ofThisNode.get(node) ?? 0)) this.#ofThisNode.set(node, hlc);
  }

  /** Whether `node` has a dirty write of this node: its moment is later than those of all decided before it. */
  hasDirty(node: NodeId, hlc: number): boolean {
    return hlc <= (this.#ofThisNode.get(node) ?? 0);
  }

  /** All of `nodes` have on their medium what was written to `table`; where it is kept in memory that says nothing. */
  noteKept(table: Table, nodes: Iterable<NodeId>, hlc: number): void {
    const { replicas } = table.definition;
    for (const node of nodes) if (replicas.get(node) === 'disc_copies') this.note(node, hlc);
  }

  forget(node: NodeId): void {
    this.#moments.delete(node);
    this.#ofThisNode.delete(node);
  }

  packed(): [NodeId, number][] {
    return [...this.#moments];
  }
}
