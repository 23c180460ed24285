/**
 * What the leader decided and this member keeps until told to apply it: rows by key, amended while both sides still
 * write, and the digests the replicas will have with them.
 */
import { putRow } from '../disc/row-operations.ts';
import type { DiscOperation } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { isSuperseded, type SchemaTable } from '../schema/definition.ts';
import { unpackTable } from '../schema/packed.ts';
import { Digest } from '../tables/digest.ts';
import { isNewer, Row, type Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { keyToken } from '../term.ts';
import type { OutsiderEntry, PredictedDigest, StagedRow, StageHead } from './connection-messages.ts';

export interface Staged {
  readonly row: StagedRow;
  /** The row as it will be; undefined: deleted. */
  readonly next: Row | undefined;
  /** What the disc will be told: made while writers go on, as nothing else of the merge can be. */
  readonly encoded: DiscOperation | undefined;
  /** What it was compared with when the prediction was last made. */
  old: Row | undefined;
  /** Whether it replaces `old`. */
  stands: boolean;
}

/** The rows of one table. */
export class StagedTable {
  readonly rows = new Map<Token, Staged>();
  /** Difference that the staged rows make to the table's digest. */
  readonly #difference = new Digest(1);

  put(row: StagedRow, own: Table | undefined): void {
    const [key, hlc, node, bytes] = row;
    const token = keyToken(key);
    const earlier = this.rows.get(token);
    if (earlier !== undefined) this.#toggle(earlier);
    if (hlc === 0) {
      // Taken back by the leader: this replica has it right already.
      this.rows.delete(token);
      return;
    }
    const next = bytes === null ? undefined : new Row(key, token, hlc, node, undefined, bytes);
    const encoded = next === undefined || !own?.onDisc ? undefined : putRow(own.name, next);
    next?.keep();
    const staged: Staged = { row, next, encoded, old: undefined, stands: false };
    this.rows.set(token, staged);
    this.#compare(staged, own?.rows.get(token));
  }

  /** The digest `own` will have. Rows that it changed since they were staged are compared again. */
  digest(own: Table | undefined): Digest {
    for (const [token, staged] of this.rows) {
      const old = own?.rows.get(token);
      if (old === staged.old) continue;
      this.#toggle(staged);
      this.#compare(staged, old);
    }
    const digest = own?.digest.copy(1) ?? new Digest(1);
    digest.add(this.#difference);
    return digest;
  }

  #compare(staged: Staged, old: Row | undefined): void {
    const [, hlc, node, bytes, ruled] = staged.row;
    staged.old = old;
    staged.stands = old === undefined ? bytes !== null : ruled || isNewer(hlc, node, old.hlc, old.node);
    this.#toggle(staged);
  }

  #toggle({ stands, old, next }: Staged): void {
    if (!stands) return;
    if (old !== undefined) this.#difference.toggle(old);
    if (next !== undefined) this.#difference.toggle(next);
  }
}

export class Stage {
  head: StageHead | undefined = undefined;
  readonly tables = new Map<string, StagedTable>();
  readonly outsiders = new Map<string, OutsiderEntry[]>();
  readonly #node: NodeState;

  constructor(node: NodeState) {
    this.#node = node;
  }

  put(name: string, rows: readonly StagedRow[], outsiders: readonly OutsiderEntry[]): void {
    if (rows.length > 0) {
      const table = this.#node.tables.get(name);
      const staged = this.#of(name);
      for (const row of rows) staged.put(row, table);
    }
    if (outsiders.length === 0) return;
    const told = this.outsiders.get(name);
    if (told === undefined) this.outsiders.set(name, [...outsiders]);
    else for (const entry of outsiders) told.push(entry);
  }

  #of(name: string): StagedTable {
    let staged = this.tables.get(name);
    if (staged === undefined) {
      staged = new StagedTable();
      this.tables.set(name, staged);
    }
    return staged;
  }

  /** The digests this node's replicas will have: equal everywhere, or the merge is not made. */
  predict(head: StageHead): PredictedDigest[] {
    const predicted: PredictedDigest[] = [];
    for (const packed of head.schema) {
      const definition = unpackTable(packed);
      if (definition.localContent || definition.deletedAt > 0 || !definition.replicas.has(this.#node.self)) continue;
      const table = this.#node.tables.get(definition.name);
      const own = this.isReset(head, table, definition) ? undefined : table;
      predicted.push([definition.name, this.#of(definition.name).digest(own).text]);
    }
    return predicted;
  }

  /**
   * This node's rows are given up: its disc had lost what it acknowledged, and it has served nobody since; or they are
   * of a table that the others have deleted.
   */
  isReset(head: StageHead, table: Table | undefined, theirs: SchemaTable): boolean {
    if (table === undefined || isSuperseded(table.definition, theirs)) return true;
    if (table.loaded) return false;
    return head.reset.some(([name, nodes]) => name === theirs.name && nodes.includes(this.#node.self));
  }
}
