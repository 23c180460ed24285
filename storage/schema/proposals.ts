/** What this node's next reports propose: the node connection transaction that hears of it makes it on all nodes. */
import type { NodeId } from '../environment.ts';
import type { ReplicaMove } from './definition.ts';
import type { PropertyChange } from './properties.ts';

export class Proposals {
  /** By table: changes of replicas, made together with their rows. */
  readonly moves = new Map<string, Map<NodeId, ReplicaMove>>();
  readonly changes: PropertyChange[] = [];
  /** Nodes that are to leave the cluster for good. */
  readonly removed = new Set<NodeId>();
  /** Of those, the ones whose majorities are given up on purpose. */
  readonly withoutMajority = new Set<NodeId>();
  /** Tables that are to be loaded with whoever is there. */
  readonly forced = new Set<string>();

  clear(): void {
    this.moves.clear();
    this.changes.length = 0;
    this.removed.clear();
    this.withoutMajority.clear();
    this.forced.clear();
  }

  move(table: string, moves: ReadonlyMap<NodeId, ReplicaMove>): void {
    const all = this.moves.get(table) ?? new Map<NodeId, ReplicaMove>();
    for (const [node, move] of moves) all.set(node, move);
    this.moves.set(table, all);
  }
}
