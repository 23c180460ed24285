/** What the simulator uses of a database. `Database` of storage fits it; tests of the simulator pass a small fake. */
import type {
  CopyOptions,
  Key,
  LedgerEntry,
  RemoveNodeOptions,
  StorageKind,
  SystemEvent,
  SystemInfo,
  TableDefinition,
  TableEvent,
  TableInfo,
  Transaction,
  TransactionOptions,
  Value,
} from '../../storage/types.ts';

export interface DatabaseUnderTest {
  createTable(definition: TableDefinition): Promise<void>;
  deleteTable(name: string): Promise<void>;
  addTableCopy(table: string, nodeName: string, kind: StorageKind, options?: CopyOptions): Promise<void>;
  delTableCopy(table: string, nodeName: string, options?: CopyOptions): Promise<void>;
  moveTableCopy(table: string, from: string, to: string, options?: CopyOptions): Promise<void>;
  changeTableCopyType(table: string, nodeName: string, kind: StorageKind, options?: CopyOptions): Promise<void>;
  removeNode(nodeName: string, options?: RemoveNodeOptions): Promise<void>;
  waitForTables(names: readonly string[], timeoutMs: number): Promise<void>;
  transaction<T>(run: (tx: Transaction) => T | Promise<T>, options?: TransactionOptions): Promise<T>;
  syncTransaction<T>(run: (tx: Transaction) => T | Promise<T>, options?: TransactionOptions): Promise<T>;
  dirtyForEach(table: string, visit: (key: Key, value: Value) => void): void;
  dirtyWrite(table: string, key: Key, value: Value): Promise<void>;
  dirtyDelete(table: string, key: Key): Promise<void>;
  subscribeSystem(listener: (event: SystemEvent) => void): () => void;
  subscribeTable(table: string, listener: (event: TableEvent) => void): () => void;
  tableInfo(name: string): TableInfo;
  systemInfo(): SystemInfo;
  runningDbNodes(): string[];
  ledger(): LedgerEntry[];
  restoreFromLedger(id: string): Promise<void>;
  close(): Promise<void>;
}
