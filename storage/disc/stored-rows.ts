/** What the disc holds of rows, deletes included. A tombstone goes with its own delete, not with an earlier one of the key. */
import type { DiscOperation } from '../environment.ts';
import type { Change } from '../replication/recent-commits.ts';
import type { Row, Token } from '../tables/row.ts';
import type { Table, Tombstone } from '../tables/table.ts';
import type { Key, Version } from '../types.ts';
import { dropRow, putRow, putTombstone } from './row-operations.ts';

export class StoredRows {
  readonly #write: (operation: DiscOperation) => void;

  constructor(write: (operation: DiscOperation) => void) {
    this.#write = write;
  }

  /** `encoded`: what the disc is told, if that was made before. */
  put(table: Table, row: Row, isDirty = false, encoded?: DiscOperation): void {
    this.#replace(table, row.token, encoded ?? putRow(table.name, row, isDirty));
  }

  drop(table: Table, key: Key, token: Token): void {
    this.#replace(table, token, dropRow(table.name, key));
  }

  bury(table: Table, token: Token, tombstone: Tombstone, isDirty = false): void {
    const { key, hlc, node } = tombstone;
    this.#write(putTombstone(table.name, key, hlc, node, isDirty));
    table.tombstones.set(token, tombstone);
  }

  /** A delete that every replica has: its tombstone may go. Where the key was written or deleted since, it is not there. */
  readonly dropTombstone = ({ table, token }: Change, { hlc, node }: Version): void => {
    const tombstone = table.tombstones.get(token);
    if (tombstone?.hlc === hlc && tombstone.node === node) this.drop(table, tombstone.key, token);
  };

  dropTombstones(table: Table): void {
    for (const [token, { key }] of table.tombstones) this.drop(table, key, token);
  }

  #replace({ tombstones }: Table, token: Token, operation: DiscOperation): void {
    if (tombstones.size > 0) tombstones.delete(token);
    this.#write(operation);
  }
}
