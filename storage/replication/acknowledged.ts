/**
 * How new each node's disc has been at least. A node whose disc is older than that came back with an old copy of it, or
 * has lost its end: what it lacks may be a delete that nobody remembers any more (see staleMembers).
 */
import type { NodeId } from '../environment.ts';
import type { Table } from '../tables/table.ts';

export class Acknowledged {
  readonly #moments = new Map<NodeId, number>();

  /** `node` has on its medium what was written at `hlc`, or something later. */
  note(node: NodeId, hlc: number): void {
    if (hlc > (this.#moments.get(node) ?? 0)) this.#moments.set(node, hlc);
  }

  /** All of `nodes` have on their medium what was written to `table`; where it is kept in memory that says nothing. */
  noteKept(table: Table, nodes: Iterable<NodeId>, hlc: number): void {
    const { replicas } = table.definition;
    for (const node of nodes) if (replicas.get(node) === 'disc_copies') this.note(node, hlc);
  }

  forget(node: NodeId): void {
    this.#moments.delete(node);
  }

  packed(): [NodeId, number][] {
    return [...this.#moments];
  }
}
