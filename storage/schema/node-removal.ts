/**
 * Nodes that are down for good (M8): they leave every table's list, and nothing is kept for them. One that comes back all
 * the same is refused: what it holds is of another time, and nobody has remembered what it lacks.
 */
import type { NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import { keepForgetful, learnForgetful } from '../replication/forgetful.ts';
import { noMajority } from '../transactions/refusals.ts';
import { hasMajority } from '../transactions/replicas.ts';
import type { RemoveNodeOptions } from '../types.ts';
import { deletedDefinition, type SchemaTable, withoutNodes } from './definition.ts';
import { listsOf, needsMajority, withFormers } from './majorities.ts';
import type { PendingChanges } from './pending.ts';

/** The definition without these nodes; deleted when nobody is left who holds it. */
export function withoutRemoved(table: SchemaTable, removed: ReadonlySet<NodeId>, at: number): SchemaTable {
  if (table.deletedAt > 0) return table;
  const isLeft = [...table.replicas.keys()].some((node) => !removed.has(node));
  if (!isLeft) return deletedDefinition(table, at);
  const left = withoutNodes(table, removed);
  return withFormers(left, left.formers, removed);
}

export class NodeRemoval {
  readonly #node: NodeState;
  readonly #pending: PendingChanges;

  constructor(node: NodeState, pending: PendingChanges) {
    this.#node = node;
    this.#pending = pending;
  }

  async remove(name: string, { withoutMajority = false, ...options }: RemoveNodeOptions): Promise<void> {
    const node = this.#node;
    if (node.closed) throw new StorageError('closed', 'The database of this node is closed.');
    const target = node.idOf(name);
    if (target === undefined) {
      if (node.namesOf(node.removed).includes(name)) return;
      const why = `Node ${name} cannot be removed: this node has never met it. Check the name; systemInfo().dbNodes has those known.`;
      throw new StorageError('node_not_running', why, { node: name });
    }
    await this.#pending.propose(
      {
        publish: () => {
          node.proposals.removed.add(target);
          if (withoutMajority) node.proposals.withoutMajority.add(target);
        },
        make: () => this.#make(target),
        obstacle: () => this.#obstacle(target, name, withoutMajority),
        late: (ms, cause) =>
          new StorageError('deadline', `Node ${name} was not removed within ${ms} ms: ${cause}`, { node: name }),
      },
      options,
    );
  }

  #obstacle(target: NodeId, name: string, withoutMajority: boolean): StorageError | undefined {
    const { self, view, tables } = this.#node;
    if (target === self || view.has(target) || this.#node.isLinked(target)) {
      const where = target === self ? 'it is this node' : 'it runs, and is linked to this node';
      const why = `Node ${name} cannot be removed: ${where}. Stop it, and call removeNode at another one.`;
      return new StorageError('node_running', why, { node: name });
    }
    if (withoutMajority) return undefined;
    for (const table of tables.values()) {
      const { definition } = table;
      const isListed = listsOf(definition).some((list) => list.includes(target));
      if (!needsMajority(definition) || definition.deletedAt > 0 || !isListed || hasMajority(table, [...view]))
        continue;
      const { message, fields } = noMajority(this.#node, table);
      const why = `${message} If the missing nodes are gone for good, remove them with { withoutMajority: true }: what only they have is lost.`;
      return new StorageError('no_majority', why, { ...fields, node: name });
    }
    return undefined;
  }

  /** Where this node is alone. */
  #make(target: NodeId): void {
    const node = this.#node;
    node.remove([target]);
    for (const table of [...node.tables.values()]) {
      const { definition } = table;
      if (definition.localContent) continue;
      node.redefine(table, withoutRemoved(definition, node.removed, node.hlc.tick()));
      learnForgetful(node, table, table.forgetful);
    }
    keepForgetful(node);
  }
}
