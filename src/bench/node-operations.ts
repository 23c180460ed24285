/** The operations that are measured, as a client inside a node does them. */
import type { Database } from '../../storage/index.ts';
import type { RunRequest } from './calls.ts';
import type { ClientOperation } from './clients.ts';
import { incremented, rowOf } from './records.ts';

export interface CountedOperation {
  readonly operation: ClientOperation;
  /** How often the function of a transaction ran that reads and writes. */
  readonly attempts: () => number;
}

export function clientOperation(database: Database, request: RunRequest): CountedOperation {
  const { table, keys } = request;
  let attempts = 0;
  const found = (value: unknown, key: number): void => {
    if (value === undefined) throw new Error(`row ${key} of ${table} is missing`);
  };
  const asynchronous = (run: (state: number) => Promise<unknown>): CountedOperation => ({
    operation: { isSynchronous: false, run },
    attempts: () => attempts,
  });
  switch (request.operation) {
    case 'dirty_read':
      return {
        operation: {
          isSynchronous: true,
          run: (state) => found(database.dirtyRead(table, state % keys), state % keys),
        },
        attempts: () => 0,
      };
    case 'tx_read':
      return asynchronous((state) => database.transaction((tx) => found(tx.read(table, state % keys), state % keys)));
    case 'tx_write':
      return asynchronous((state) =>
        database.transaction((tx) => tx.write(table, state % keys, rowOf(state % keys, state))),
      );
    case 'sync_tx_write':
      return asynchronous((state) =>
        database.syncTransaction((tx) => tx.write(table, state % keys, rowOf(state % keys, state))),
      );
    case 'dirty_write':
      return asynchronous((state) => database.dirtyWrite(table, state % keys, rowOf(state % keys, state)));
    case 'tx_read_modify_write':
      return asynchronous((state) =>
        database.transaction((tx) => {
          attempts += 1;
          tx.write(table, state % keys, incremented(tx.read(table, state % keys)));
        }),
      );
  }
}
