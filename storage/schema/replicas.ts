/**
 * Replicas added, removed, moved and changed while the cluster runs (M18–M20). Nothing is changed here: what is wanted
 * is proposed, and the next node connection transaction makes it on all nodes at once, rows included. Until then writers
 * go on with the replicas there are, and whatever fails leaves everything as it was.
 */
import type { NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import type { Table } from '../tables/table.ts';
import type { CopyOptions, StorageKind } from '../types.ts';
import { PARTITION_LEDGER, type ReplicaMove, withMoves } from './definition.ts';
import { areEverybody, areMajority, isMostOf, needsMajority, remembering } from './majorities.ts';
import type { PendingChanges } from './pending.ts';

const COPY_DEADLINE_MS = 300_000;

type Wanted = readonly (readonly [node: NodeId, kind: StorageKind | undefined])[];

export class Replicas {
  readonly #node: NodeState;
  readonly #pending: PendingChanges;

  constructor(node: NodeState, pending: PendingChanges) {
    this.#node = node;
    this.#pending = pending;
  }

  async add(name: string, nodeName: string, kind: StorageKind, options: CopyOptions): Promise<void> {
    const table = this.#shared(name);
    const target = this.#idOf(table, nodeName);
    if (table.definition.replicas.has(target)) {
      const why = `Table "${name}" has a replica at ${nodeName} already. Use changeTableCopyType to change its kind.`;
      throw new StorageError('table_exists', why, { table: name, node: nodeName });
    }
    this.#checkKind(name, kind);
    await this.#propose(table, [[target, kind]], options);
  }

  async remove(name: string, nodeName: string, options: CopyOptions): Promise<void> {
    const table = this.#shared(name);
    await this.#leave(table, this.#holder(table, nodeName), options);
  }

  async move(name: string, fromName: string, toName: string, options: CopyOptions): Promise<void> {
    const table = this.#shared(name);
    const from = this.#holder(table, fromName);
    const to = this.#idOf(table, toName);
    if (table.definition.replicas.has(to)) {
      const why = `Table "${name}" cannot move from ${fromName} to ${toName}: a replica is there already. Remove the one at ${fromName} with delTableCopy.`;
      throw new StorageError('table_exists', why, { table: name, node: toName });
    }
    const { clock } = this.#node.environment;
    const { timeoutMs = COPY_DEADLINE_MS } = options;
    const endMs = clock.monotonicMs() + timeoutMs;
    await this.#propose(table, [[to, table.definition.replicas.get(from)]], options);
    // The rows are there; only then they may go from here (replication/departures.ts).
    await this.#leave(table, from, { timeoutMs: Math.max(1, endMs - clock.monotonicMs()) }).catch((error: unknown) => {
      if (!(error instanceof StorageError)) throw error;
      const why = `Table "${name}" has a replica at ${toName} now, and the one at ${fromName} is still there. ${error.message} Or remove it with delTableCopy.`;
      throw new StorageError(error.code, why, error.fields);
    });
  }

  async #leave(table: Table, holder: NodeId, options: CopyOptions): Promise<void> {
    await this.#propose(table, [[holder, undefined]], options);
    const { deletedAt, replicas } = table.definition;
    if (deletedAt > 0 || !replicas.has(holder)) return;
    const [at] = this.#node.namesOf([holder]);
    const why = `The replica of table "${table.name}" at ${at} was not removed: no other one had its rows loaded. Wait for the others with waitForTables, and try again.`;
    throw new StorageError('table_not_loaded', why, { table: table.name, nodes: this.#node.namesOf(replicas.keys()) });
  }

  async changeType(name: string, nodeName: string, kind: StorageKind, options: CopyOptions): Promise<void> {
    const table = this.#shared(name);
    const holder = this.#holder(table, nodeName);
    this.#checkKind(name, kind);
    if (table.definition.replicas.get(holder) !== kind) await this.#propose(table, [[holder, kind]], options);
  }

  // -- what is refused at once ---------------------------------------------------------------------------------------

  #shared(name: string): Table {
    if (this.#node.closed) throw new StorageError('closed', 'The database of this node is closed.');
    const table = this.#node.table(name);
    if (table.definition.localContent || name === PARTITION_LEDGER) {
      const why = `Table "${name}" has a replica of its own at every node: there is nothing to add, move or remove.`;
      throw new StorageError('bad_definition', why, { table: name, property: 'replicas' });
    }
    return table;
  }

  #checkKind(name: string, kind: StorageKind): void {
    if (kind === 'ram_copies' || kind === 'disc_copies') return;
    const why = `A replica of table "${name}" is "ram_copies" or "disc_copies", not ${JSON.stringify(kind)}.`;
    throw new StorageError('bad_definition', why, { table: name, property: 'kind' });
  }

  #idOf(table: Table, nodeName: string): NodeId {
    const node = this.#node.idOf(nodeName);
    if (node !== undefined) return node;
    const why = `Table "${table.name}" cannot have a replica at ${nodeName}: this node has never met it. Link it first.`;
    throw new StorageError('node_not_running', why, { table: table.name, node: nodeName });
  }

  #holder(table: Table, nodeName: string): NodeId {
    const node = this.#node.idOf(nodeName);
    if (node !== undefined && table.definition.replicas.has(node)) return node;
    const holders = this.#node.namesOf(table.definition.replicas.keys());
    const why = `Table "${table.name}" has no replica at ${nodeName}; it has some at ${holders.join(', ')}.`;
    throw new StorageError('bad_definition', why, { table: table.name, node: nodeName, nodes: holders });
  }

  /** Nodes that must run for this change, and do not. */
  #missing(table: Table, wanted: Iterable<readonly [NodeId, StorageKind | undefined]>): NodeId[] {
    const { view } = this.#node;
    const needed = new Set<NodeId>();
    for (const [node, kind] of wanted) {
      if (kind !== undefined) needed.add(node);
      // Whoever is away may have written rows apart: removed now, they would be lost.
      else for (const holder of table.definition.replicas.keys()) needed.add(holder);
    }
    const hasSource = [...table.definition.replicas.keys()].some((holder) => view.has(holder));
    if (!hasSource) for (const holder of table.definition.replicas.keys()) needed.add(holder);
    return [...needed].filter((node) => !view.has(node));
  }

  #notRunning(table: Table, missing: readonly NodeId[]): StorageError {
    const nodes = this.#node.namesOf(missing);
    const why = `The replicas of table "${table.name}" were not changed: ${nodes.join(', ')} must run for that, and this node does not see it. Start it, or mend the network, and try again.`;
    return new StorageError('node_not_running', why, { table: table.name, nodes, node: nodes[0] });
  }

  /** Where a majority must agree it must agree on who that is, too: see replica-lists.ts. */
  #noMajority({ name, definition, forgetful }: Table, wanted: Wanted): StorageError | undefined {
    if (!needsMajority(definition)) return undefined;
    const { view } = this.#node;
    const { replicas } = withMoves(definition, new Map(wanted.map(([node, kind]) => [node, { at: Infinity, kind }])));
    const all = new Map([...definition.replicas, ...replicas]);
    const counted = remembering(view, forgetful);
    const areEnough = areMajority(definition, counted) && isMostOf([...replicas.keys()], counted);
    if (areEnough || areEverybody({ ...definition, replicas: all }, view)) return undefined;
    const nodes = this.#node.namesOf([...all.keys()].filter((node) => !view.has(node)));
    const why = `The replicas of table "${name}" were not changed: more than half of those it has, and of those it would get, must run for that; not reachable: ${nodes.join(', ')}. Start them, or mend the network, and try again.`;
    return new StorageError('no_majority', why, { table: name, nodes });
  }

  // -- proposing -------------------------------------------------------------------------------------------------------

  #propose(table: Table, wanted: Wanted, { timeoutMs = COPY_DEADLINE_MS }: CopyOptions): Promise<void> {
    const node = this.#node;
    const at = node.hlc.tick();
    const refusal = this.#noMajority(table, wanted);
    if (refusal !== undefined) return Promise.reject(refusal);
    const moves = new Map(wanted.map(([holder, kind]): [NodeId, ReplicaMove] => [holder, { at, kind }]));
    return this.#pending.propose(
      {
        publish: () => node.proposals.move(table.name, moves),
        make: () => node.redefine(table, withMoves(table.definition, moves)),
        obstacle: () => {
          const missing = this.#missing(table, wanted);
          return missing.length > 0 ? this.#notRunning(table, missing) : this.#noMajority(table, wanted);
        },
        late: (ms, cause) => {
          const why = `The replicas of table "${table.name}" were not changed within ${ms} ms: ${cause} Try again, with a longer timeoutMs if the table is large.`;
          return new StorageError('deadline', why, { table: table.name });
        },
      },
      { timeoutMs },
    );
  }
}
