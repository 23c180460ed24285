/** Which replicas a transaction reaches. */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import type { SchemaTable } from '../schema/definition.ts';
import { areMajority, remembering } from '../schema/majorities.ts';
import type { Table } from '../tables/table.ts';
import type { TransactionRun } from './run.ts';

export function hasReplicaAt(table: Table, nodes: { has(node: NodeId): boolean }): boolean {
  for (const node of table.definition.replicas.keys()) if (nodes.has(node)) return true;
  return false;
}

/** Who has forgotten what it promised does not count. `unmet`: how many more there may be that nobody here has heard of. */
export function hasMajority({ definition, forgetful }: Table, participants: readonly NodeId[], unmet = 0): boolean {
  const taking = { has: (node: NodeId): boolean => participants.includes(node) };
  return areMajority(definition, remembering(taking, forgetful), unmet);
}

/** No disc of this node keeps a written table but another's does: that one must have it before the caller is answered. */
export function isKeptElsewhere(run: TransactionRun): boolean {
  return run.writes.some(({ table }) => {
    if (table.onDisc) return false;
    for (const kind of table.definition.replicas.values()) if (kind === 'disc_copies') return true;
    return false;
  });
}

/** A written table that some disc is to keep, and none of those that are known to hold the commit does. */
export function tableOnNoDisc(run: TransactionRun): Table | undefined {
  for (const { table } of run.writes) {
    const { replicas, moves } = table.definition;
    const isForDisc = [...replicas.values()].includes('disc_copies');
    // A replica that was removed or changed meanwhile has handed the rows over.
    if (isForDisc && !run.keptBy.some((node) => replicas.get(node) === 'disc_copies' || moves.has(node))) return table;
  }
  return undefined;
}

/**
 * The nodes a commit to a table goes to, this one first. Asked for every transaction, different once in a while: the
 * same nodes are the same list, so that whoever is given it may compare lists instead of what is in them.
 */
export class Reach {
  readonly #node: NodeState;
  #view: ReadonlySet<NodeId> | undefined = undefined;
  #viewSize = 0;
  readonly #byDefinition = new Map<SchemaTable, readonly NodeId[]>();
  readonly #lists = new Map<string, readonly NodeId[]>();

  constructor(node: NodeState) {
    this.#node = node;
  }

  writersOf({ definition }: Table): readonly NodeId[] {
    const { self, view } = this.#node;
    // A view only shrinks as it is; to grow it is replaced.
    if (view !== this.#view || view.size !== this.#viewSize) {
      this.#view = view;
      this.#viewSize = view.size;
      this.#byDefinition.clear();
      this.#lists.clear();
    }
    let writers = this.#byDefinition.get(definition);
    if (writers === undefined) {
      const others = [...definition.replicas.keys()].filter((node) => node !== self && view.has(node));
      writers = this.list([self, ...others]);
      this.#byDefinition.set(definition, writers);
    }
    return writers;
  }

  /** The list that stands for these nodes in this order. */
  list(nodes: readonly NodeId[]): readonly NodeId[] {
    const name = nodes.join(' ');
    const known = this.#lists.get(name);
    if (known !== undefined) return known;
    this.#lists.set(name, nodes);
    return nodes;
  }
}
