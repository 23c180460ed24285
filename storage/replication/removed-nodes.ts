/** What nodes say to each other about those that were removed for good, when they meet: see schema/node-removal.ts. */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { Kind } from '../transactions/messages.ts';

export class RemovedNodes {
  readonly #node: NodeState;
  readonly #exclude: (member: NodeId) => void;
  /** How many of them each linked node was told of. */
  readonly #told = new Map<NodeId, number>();

  /** `exclude` takes a node out of the view. */
  constructor(node: NodeState, exclude: (member: NodeId) => void) {
    this.#node = node;
    this.#exclude = exclude;
  }

  /** Before anything else is said on a link. */
  linkUp(other: NodeId): void {
    this.#tell(other);
    if (!this.#node.removed.has(other)) return;
    const name = this.#node.nameOf(other);
    const message = `Node ${name} was removed from the cluster for good and is back with its old data: it is refused. Start it with an empty data directory; it then joins as a new node.`;
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
    const { removed } = this.#node;
    if (removed.size === (this.#told.get(other) ?? 0)) return;
    this.#told.set(other, removed.size);
    this.#node.send(other, [Kind.removed, [...removed]]);
  }

  onRemoved(from: NodeId, removed: readonly NodeId[]): void {
    const node = this.#node;
    // A removed node's word about others is of no account.
    if (node.removed.has(from)) return;
    if (removed.includes(node.self)) return node.wasRemoved(from);
    for (const one of removed) this.#exclude(one);
    node.remove(removed);
  }
}
