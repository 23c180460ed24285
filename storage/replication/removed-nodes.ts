/**
 * What nodes say to each other about those that never take part again, when they meet: removed for good (see
 * schema/node-removal.ts), or replaced by another identity under their name.
 */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { Kind } from '../transactions/messages.ts';

export class RemovedNodes {
  readonly #node: NodeState;
  readonly #exclude: (member: NodeId) => void;
  /** Of how many each linked node was told. */
  readonly #told = new Map<NodeId, number>();

  /** `exclude` takes a node out of the view. */
  constructor(node: NodeState, exclude: (member: NodeId) => void) {
    this.#node = node;
    this.#exclude = exclude;
  }

  /** Before anything else is said on a link. */
  linkUp(other: NodeId): void {
    this.#tell(other);
    if (!this.#node.retired.has(other)) return;
    const name = this.#node.nameOf(other);
    const why = this.#node.removed.has(other)
      ? 'was removed from the cluster for good and is back with its old data'
      : 'is back with the data of an identity that another one has replaced under this name';
    const message = `Node ${name} ${why}: it is refused. Start it with an empty data directory; it then joins as a new node.`;
    this.#node.emit({ type: 'removed_node_refused', node: name, message });
  }

  linkDown(other: NodeId): void {
    this.#told.delete(other);
  }

  /** Some more were removed, or were heard of. */
  tell(linked: Iterable<NodeId>): void {
    for (const other of linked) this.#tell(other);
  }

  #tell(other: NodeId): void {
    const { removed, retired } = this.#node;
    const count = removed.size + retired.size;
    if (count === (this.#told.get(other) ?? 0)) return;
    this.#told.set(other, count);
    this.#node.send(other, [Kind.removed, [...removed], [...retired]]);
  }

  onRemoved(from: NodeId, removed: readonly NodeId[], retired: readonly NodeId[]): void {
    const node = this.#node;
    // Such a node's word about others is of no account.
    if (node.retired.has(from)) return;
    if (retired.includes(node.self)) return node.wasRemoved(from);
    for (const one of retired) {
      this.#exclude(one);
      node.retire(one);
    }
    node.remove(removed);
  }
}
