/** What a person does with the ledger: reads it, puts a loser back, accepts what stands, clears what is settled. */
import { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import { PARTITION_LEDGER } from '../schema/definition.ts';
import { decodeValue, encodeValue, keyToken } from '../term.ts';
import type { LedgerEntry, Transaction, Value } from '../types.ts';
import { isSettled, ledgerId, type PackedSide, packSide, readEntry, type StoredEntry } from './ledger-entries.ts';

/** Entries deleted in one transaction. */
const PRUNED_AT_ONCE = 500;

export type RunTransaction = <T>(fn: (tx: Transaction) => T) => Promise<T>;

export class Ledger {
  readonly #node: NodeState;
  readonly #transaction: RunTransaction;

  constructor(node: NodeState, transaction: RunTransaction) {
    this.#node = node;
    this.#transaction = transaction;
  }

  /** Oldest first. */
  entries(): LedgerEntry[] {
    const rows = [...(this.#node.tables.get(PARTITION_LEDGER)?.rows.values() ?? [])];
    rows.sort((a, b) => a.hlc - b.hlc || (a.key as string).localeCompare(b.key as string));
    return rows.map(readEntry);
  }

  restore(id: string): Promise<void> {
    return this.#transaction((tx) => {
      const entry = entryIn(tx, id);
      if (isSettled(entry)) {
        const how = entry.restored ? 'put back' : 'accepted as it is';
        throw new StorageError(
          'ledger_entry_settled',
          `The ledger entry ${id} was ${how} already. Write the value of its loser (see ledger()) if it is wanted all the same.`,
          { table: entry.table, key: entry.key },
        );
      }
      this.#keepChanged(tx, entry);
      if (entry.loser.bytes === null) tx.delete(entry.table, entry.key);
      else tx.write(entry.table, entry.key, decodeValue(entry.loser.bytes));
      put(tx, id, { ...entry, restored: true });
    });
  }

  /** The row was written again since the merge: that value makes place for the loser and gets an entry of its own. */
  #keepChanged(tx: Transaction, entry: StoredEntry): void {
    const { table, key, winner, loser } = entry;
    const value = tx.read(table, key);
    const bytes = tx.has(table, key) ? encodeValue(value) : null;
    if (sameOctets(bytes, winner.bytes) || sameOctets(bytes, loser.bytes)) return;
    const row = this.#node.tables.get(table)?.rows.get(keyToken(key));
    const changed: PackedSide = { hlc: row?.hlc ?? 0, node: row?.node ?? '', bytes };
    const at = this.#node.hlc.tick();
    const islands = [[this.#node.selfName], [this.#node.selfName]];
    const kept = { table, key, rule: 'restored', at, winner: packSide(loser), loser: changed, islands };
    put(tx, ledgerId(table, key, row ?? { hlc: at, node: this.#node.self }), {
      ...kept,
      restored: false,
      accepted: false,
    });
  }

  accept(id: string): Promise<void> {
    return this.#transaction((tx) => {
      const entry = entryIn(tx, id);
      if (!isSettled(entry)) put(tx, id, { ...entry, accepted: true });
    });
  }

  /** Deletes settled entries, oldest first, but for the latest `keep`. */
  async prune(keep: number): Promise<number> {
    if (!Number.isSafeInteger(keep) || keep < 0) {
      throw new StorageError('bad_value', `pruneLedger keeps a whole number of entries from 0; ${keep} is not.`);
    }
    const settled = this.entries().filter(({ restored, accepted }) => restored || accepted);
    const surplus = settled.slice(0, Math.max(0, settled.length - keep)).map(({ id }) => id);
    for (let from = 0; from < surplus.length; from += PRUNED_AT_ONCE) {
      const ids = surplus.slice(from, from + PRUNED_AT_ONCE);
      await this.#transaction((tx) => {
        for (const id of ids) tx.delete(PARTITION_LEDGER, id);
      });
    }
    return surplus.length;
  }
}

function entryIn(tx: Transaction, id: string): StoredEntry {
  const stored = tx.read(PARTITION_LEDGER, id);
  if (stored !== undefined) return stored as unknown as StoredEntry;
  throw new StorageError('no_such_ledger_entry', `The ledger has no entry ${id}. List them with ledger().`);
}

function put(tx: Transaction, id: string, entry: StoredEntry): void {
  tx.write(PARTITION_LEDGER, id, entry as unknown as Value);
}

function sameOctets(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : Buffer.compare(a, b) === 0;
}
