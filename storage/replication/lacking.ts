/**
 * Which replicas do not have a change when it is applied here: it is noted for them. Asked for every write, so that the
 * last that was found to reach all is remembered.
 */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import type { SchemaTable } from '../schema/definition.ts';
import type { Row, Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import type { Key } from '../types.ts';
import type { ChangedEntry } from './changed-since.ts';

/** A change as it is made: what the row was, and is. */
export interface Made {
  readonly key: Key;
  readonly token: Token;
  readonly row: Row | undefined;
  readonly old: Row | undefined;
  readonly hlc: number;
  readonly node: NodeId;
  /** Nobody voted for it: only its writer is known to have it. */
  readonly isDirty: boolean;
}

export class Lacking {
  readonly #node: NodeState;
  #definition: SchemaTable | undefined = undefined;
  #participants: readonly NodeId[] | undefined = undefined;
  #view: ReadonlySet<NodeId> | undefined = undefined;
  #size = 0;

  constructor(node: NodeState) {
    this.#node = node;
  }

  /** Whether every replica is among `participants` and running. */
  reachesAll({ definition }: Table, participants: readonly NodeId[]): boolean {
    const { view } = this.#node;
    // A view only shrinks as it is; to grow it is replaced.
    if (
      this.#definition === definition &&
      this.#participants === participants &&
      this.#view === view &&
      this.#size === view.size
    ) {
      return true;
    }
    for (const holder of definition.replicas.keys()) {
      if (!participants.includes(holder) || !view.has(holder)) return false;
    }
    this.#definition = definition;
    this.#participants = participants;
    this.#view = view;
    this.#size = view.size;
    return true;
  }

  note(table: Table, participants: readonly NodeId[], made: Made): void {
    const { self, retired, view, changed } = this.#node;
    const { row, old, hlc, node, isDirty } = made;
    // Where no row was a node has seen its delete, if that is known: one made since the node was lost is noted for it already.
    const before = old ?? changed.lastDelete(table.name, made.token);
    for (const holder of table.definition.replicas.keys()) {
      if (holder === self || retired.has(holder)) continue;
      const tookPart = participants.includes(holder);
      // A dirty write that leaves out a node of this view is handed on to it (see dirty.ts).
      if ((tookPart || isDirty) && view.has(holder)) continue;
      const hasSeen = isDirty ? holder === node : tookPart;
      const entry = this.#entry(table, made, hasSeen ? row : old);
      // One that took part and was lost since, before this node heard the outcome, may not have kept what it voted for.
      if (hasSeen) changed.addSeen(holder, table, made.token, { ...entry, seenHlc: hlc, seenNode: node });
      else {
        // Others knew that it is lost before this node does, and went on without it.
        const without = view.has(holder) ? { hlc, node } : undefined;
        const seen = { seenHlc: before?.hlc ?? 0, seenNode: before?.node ?? '' };
        changed.add(holder, table, made.token, { ...entry, ...seen, without });
      }
    }
  }

  #entry(
    table: Table,
    { key, row, hlc, node }: Made,
    seen: Row | undefined,
  ): Omit<ChangedEntry, 'seenHlc' | 'seenNode'> {
    const base = this.#node.baseOf(table, seen);
    return { key, deletedHlc: row === undefined ? hlc : 0, deletedNode: node, base };
  }
}
