/**
 * Rows that another member has promised to a transaction which may have been answered, and which waits for a majority. Who was
 * in no list of its participants and joins an island with that member has the row from before it; so whoever reads or writes it
 * here waits, as there, until that member says that it is over, or is lost. The promise itself is not held here: a guard counts
 * for no majority, and goes with the process (consistency.md).
 */
import type { NodeId } from '../environment.ts';
import type { Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { keyToken } from '../term.ts';
import type { Key } from '../types.ts';
import type { LockHolder } from './locker.ts';

/** `[table, key, age, coordinator]` of a promised write. */
export type PromisedRow = [table: string, key: Key, age: number, coordinator: NodeId];

/** Age and coordinator tell one transaction from all others. */
interface GuardedPromise {
  readonly age: number;
  readonly node: NodeId;
  readonly writes: readonly { readonly table: Table; readonly token: Token }[];
}

class Guard implements LockHolder {
  readonly age: number;
  readonly node: NodeId;
  readonly outlivesMerges = true;
  /** Members that hold the promise. */
  readonly holders: Set<NodeId>;

  constructor(age: number, coordinator: NodeId, holder: NodeId) {
    this.age = age;
    this.node = coordinator;
    this.holders = new Set([holder]);
  }
}

/** A holder may have made a merge, and be done, before this node has heard that it is to be made. */
interface EarlyWord {
  readonly holder: NodeId;
  readonly mergedHlc: number;
  readonly rows: readonly (readonly [table: string, key: Key])[];
}

export class Guards {
  #early: EarlyWord[] = [];
  readonly #tables: ReadonlyMap<string, Table>;
  readonly #guards = new Map<Table, Map<Token, Guard>>();

  constructor(tables: ReadonlyMap<string, Table>) {
    this.#tables = tables;
  }

  /** After a merge: what its other members have promised, in place of what was guarded before. */
  replace(promised: readonly (readonly [holder: NodeId, PromisedRow])[], mergedHlc: number): void {
    for (const [table, guards] of this.#guards) for (const token of [...guards.keys()]) this.#lift(table, token);
    for (const [holder, [name, key, age, coordinator]] of promised) {
      const table = this.#tables.get(name);
      if (table?.held !== true || table.definition.deletedAt > 0) continue;
      const token = keyToken(key);
      const known = this.#guards.get(table)?.get(token);
      if (known !== undefined) known.holders.add(holder);
      // A promise of this node's own guards it already.
      else if (table.locks.writerOf(token) === undefined) this.#set(table, token, new Guard(age, coordinator, holder));
    }
    for (const early of this.#early) if (early.mergedHlc === mergedHlc) this.#over(early.holder, early.rows);
    this.#early = [];
  }

  #set(table: Table, token: Token, guard: Guard): void {
    let ofTable = this.#guards.get(table);
    if (ofTable === undefined) {
      ofTable = new Map();
      this.#guards.set(table, ofTable);
    }
    ofTable.set(token, guard);
    table.locks.lockWrite(token, guard);
  }

  #lift(table: Table, token: Token): void {
    const ofTable = this.#guards.get(table);
    const guard = ofTable?.get(token);
    if (ofTable === undefined || guard === undefined) return;
    ofTable.delete(token);
    if (ofTable.size === 0) this.#guards.delete(table);
    table.locks.unlockWrite(token, guard);
  }

  /** A holder says that what was guarded since the merge at `mergedHlc` is decided; `ownHlc`: this node's last merge. */
  told(holder: NodeId, mergedHlc: number, rows: EarlyWord['rows'], ownHlc: number): void {
    // Of an earlier merge: what was guarded since then is not guarded any more, or anew.
    if (mergedHlc === ownHlc) this.#over(holder, rows);
    else if (mergedHlc > ownHlc) this.#early.push({ holder, mergedHlc, rows });
  }

  /** This node is to hold it itself. Who gives it may have got it since the merge, and is not known as a holder then. */
  given(holder: NodeId, { age, node, writes }: GuardedPromise): void {
    for (const { table, token } of writes) {
      const guard = this.#guards.get(table)?.get(token);
      if (guard === undefined) continue;
      if ((guard.age === age && guard.node === node) || guard.holders.has(holder)) this.#lift(table, token);
    }
  }

  #over(holder: NodeId, rows: EarlyWord['rows']): void {
    for (const [name, key] of rows) {
      const table = this.#tables.get(name);
      const token = keyToken(key);
      if (table !== undefined && this.#guards.get(table)?.get(token)?.holders.has(holder)) this.#lift(table, token);
    }
  }

  nodeLost(lost: NodeId): void {
    this.#early = this.#early.filter(({ holder }) => holder !== lost);
    for (const [table, guards] of this.#guards) {
      for (const [token, { holders }] of [...guards]) {
        if (holders.delete(lost) && holders.size === 0) this.#lift(table, token);
      }
    }
  }
}
