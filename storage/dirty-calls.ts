/** What callers do outside of every transaction (M37, M54, M55). */
import { StorageError } from './errors.ts';
import { SchemaCalls } from './schema-calls.ts';
import type { Dirty } from './transactions/dirty.ts';
import type { Key, Transaction, TransactionOptions, Value } from './types.ts';

export abstract class DirtyCalls extends SchemaCalls {
  protected abstract readonly dirty: Dirty;

  abstract transaction<T>(fn: (tx: Transaction) => T | Promise<T>, options?: TransactionOptions): Promise<T>;

  /** The local replica's row as it is now; no locks. */
  dirtyRead(table: string, key: Key): Value {
    const { loader } = this.parts;
    return loader.rows(table).get(loader.token(table, key))?.value;
  }

  dirtyAllKeys(table: string): Key[] {
    return [...this.parts.loader.rows(table).values()].map((row) => row.key);
  }

  dirtyForEach(table: string, visit: (key: Key, value: Value) => void): void {
    for (const row of this.parts.loader.rows(table).values()) visit(row.key, row.value);
  }

  /**
   * Writes outside of every transaction (M54): here at once, and told to the other replicas, whatever they are doing; the
   * greater version stands everywhere. Answers when the operating system has it, where the table is on this node's disc.
   * Where a majority is to agree, and while the row is being committed or the table merged, it is a transaction.
   * @throws StorageError as `transaction`
   */
  dirtyWrite(table: string, key: Key, value: Value): Promise<void> {
    return this.#change(table, key, value, false) ?? this.transaction((tx) => tx.write(table, key, value));
  }

  /** As `dirtyWrite`. */
  dirtyDelete(table: string, key: Key): Promise<void> {
    return this.#change(table, key, undefined, true) ?? this.transaction((tx) => tx.delete(table, key));
  }

  #change(table: string, key: Key, value: Value, deleted: boolean): Promise<void> | undefined {
    try {
      return this.dirty.write(table, key, value, deleted);
    } catch (error) {
      return Promise.reject(error as StorageError);
    }
  }

  /**
   * Adds to a number and returns what it is then, 0 at least (M55); one that is not there counts as 0. It is a transaction, so
   * that what all nodes of an island add is there; two islands that add to the same number are in conflict.
   * @throws StorageError `bad_value` when either is no whole number, and as `transaction`
   */
  dirtyUpdateCounter(table: string, key: Key, increment: number): Promise<number> {
    const check = (what: string, number: Value): number => {
      if (Number.isSafeInteger(number)) return number as number;
      throw new StorageError('bad_value', `${what} is no whole number: a counter of table "${table}" needs one.`, {
        table,
      });
    };
    return this.transaction((tx) => {
      const sum = check('The value', tx.read(table, key) ?? 0) + check('The increment', increment);
      const counter = Math.max(0, check('The sum', sum));
      tx.write(table, key, counter);
      return counter;
    });
  }
}
