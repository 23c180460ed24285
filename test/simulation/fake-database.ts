/**
 * A database that is right by construction: all nodes share one store in this process, and a transaction that finds
 * its reads changed runs again. It lets the simulator be tested without the real one; `sabotage` breaks it in one way.
 */

import type { DatabaseUnderTest } from '../../src/simulation/database-under-test.ts';
import { keyText } from '../../src/simulation/history.ts';
import { StorageError } from '../../storage/errors.ts';
import type { DatabaseOptions, SystemEvent, TableEvent, Transaction, Value, Version } from '../../storage/types.ts';

export type Sabotage =
  | 'none'
  | 'no validation'
  | 'forgets a write'
  | 'half a pair'
  | 'leaks a lock'
  | 'replica misses a row'
  | 'stale reads';

interface Row {
  readonly key: string;
  readonly value: Value;
  readonly version: Version;
}

type Listener = (event: TableEvent) => void;

export class FakeStore {
  readonly tables = new Map<string, Map<string, Row>>();
  readonly listeners = new Map<string, Set<{ node: string; hear: Listener }>>();
  readonly nodes = new Set<string>();
  /** Tables of which every node has its own: kept as `table@node`. */
  readonly local = new Set<string>();
  readonly sabotage: Sabotage;
  commits = 0;
  hlc = 1;

  constructor(sabotage: Sabotage = 'none') {
    this.sabotage = sabotage;
  }

  readonly open = async (options: DatabaseOptions): Promise<DatabaseUnderTest> => {
    await pass(options, 5);
    this.nodes.add(options.nodeName);
    return fakeDatabase(this, options);
  };

  table(name: string): Map<string, Row> {
    const table = this.tables.get(name) ?? new Map<string, Row>();
    this.tables.set(name, table);
    return table;
  }

  commit(node: string, version: Version, writes: readonly [string, string, Value][]): void {
    this.commits++;
    const kept = this.sabotage === 'half a pair' && this.commits % 7 === 0 ? writes.slice(0, 1) : writes;
    if (this.sabotage === 'forgets a write' && this.commits === 40) return;
    for (const [name, key, value] of kept) {
      const table = this.table(name);
      const oldValue = table.get(key)?.value;
      if (value === undefined) table.delete(key);
      else table.set(key, { key, value, version });
      for (const { node: hearer, hear } of this.listeners.get(name) ?? []) {
        const origin = hearer === node ? 'local' : 'remote';
        const common = { table: name.split('@')[0] as string, key, oldValue, version, origin } as const;
        hear(value === undefined ? { type: 'delete', ...common } : { type: 'write', value, ...common });
      }
    }
  }
}

function pass(options: DatabaseOptions, delayMs: number): Promise<void> {
  return new Promise((resolve) => options.environment.clock.after(delayMs, resolve));
}

class Attempt {
  readonly reads = new Map<string, Version | undefined>();
  readonly writes = new Map<string, [string, string, Value]>();
  private readonly store: FakeStore;
  private readonly old: Map<string, Row>;
  private readonly placeOf: (table: string) => string;

  constructor(store: FakeStore, old: Map<string, Row>, placeOf: (table: string) => string) {
    this.store = store;
    this.old = old;
    this.placeOf = placeOf;
  }

  readonly tx: Transaction = {
    read: (shared, key) => {
      const table = this.placeOf(shared);
      const name = keyText(key);
      const written = this.writes.get(`${table}/${name}`);
      if (written) return written[2];
      const row = this.old.get(`${table}/${name}`) ?? this.store.table(table).get(name);
      if (!this.reads.has(`${table}/${name}`)) this.reads.set(`${table}/${name}`, row?.version);
      return row?.value;
    },
    has: (table, key) => this.tx.read(table, key) !== undefined,
    write: (table, key, value) => this.put(this.placeOf(table), keyText(key), value),
    delete: (table, key) => this.put(this.placeOf(table), keyText(key), undefined),
    allKeys: (table) => [...this.store.table(this.placeOf(table)).keys()],
    forEach: (table, visit) => {
      for (const row of this.store.table(this.placeOf(table)).values()) visit(row.key, row.value);
    },
    abort: (reason) => {
      throw new StorageError('aborted', 'The transaction was aborted by its own function.', { reason });
    },
  };

  private put(table: string, key: string, value: Value): void {
    this.writes.set(`${table}/${key}`, [table, key, value]);
  }

  holds(): boolean {
    if (this.store.sabotage === 'no validation') return true;
    return [...this.reads].every(([place, version]) => {
      const [table = '', ...key] = place.split('/');
      return this.store.table(table).get(key.join('/'))?.version === version;
    });
  }
}

// long because: the methods of this fake share the state of one closure
function fakeDatabase(store: FakeStore, options: DatabaseOptions): DatabaseUnderTest {
  const { nodeName, nodeId, environment } = options;
  let seen: Map<string, Row> = new Map();
  const placeOf = (table: string): string => (store.local.has(table) ? `${table}@${nodeName}` : table);
  const transaction = async <T>(run: (tx: Transaction) => T | Promise<T>): Promise<T> => {
    for (;;) {
      const stale = store.sabotage === 'stale reads' && environment.random.next() < 0.1;
      const attempt = new Attempt(store, stale ? seen : new Map(), placeOf);
      const result = await run(attempt.tx);
      if (stale ? attempt.writes.size > 0 && !attempt.holds() : !attempt.holds()) continue;
      if (environment.random.next() < 0.05) {
        seen = new Map(
          [...store.tables].flatMap(([name, rows]) => [...rows].map(([key, row]) => [`${name}/${key}`, row] as const)),
        );
      }
      const version = { hlc: store.hlc++, node: nodeId };
      if (attempt.writes.size > 0) store.commit(nodeName, version, [...attempt.writes.values()]);
      await pass(options, 1);
      return result;
    }
  };
  const dirty = async (table: string, key: string, value: Value): Promise<void> => {
    store.commit(nodeName, { hlc: store.hlc++, node: nodeId }, [[placeOf(table), key, value]]);
    await pass(options, 1);
  };
  return {
    createTable: async (definition) => {
      if (definition.local_content) store.local.add(definition.name);
      store.table(placeOf(definition.name));
    },
    deleteTable: async () => undefined,
    removeNode: async () => undefined,
    addTableCopy: async () => undefined,
    delTableCopy: async () => undefined,
    moveTableCopy: async () => undefined,
    changeTableCopyType: async () => undefined,
    waitForTables: async () => undefined,
    transaction,
    syncTransaction: transaction,
    dirtyForEach: (table, visit) => {
      const rows = [...store.table(placeOf(table)).values()];
      const missed = store.sabotage === 'replica misses a row' && nodeName.includes('peer2') && table === 'registers';
      for (const row of missed ? rows.slice(1) : rows) visit(row.key, row.value);
    },
    dirtyWrite: (table, key, value) => dirty(table, keyText(key), value),
    dirtyDelete: (table, key) => dirty(table, keyText(key), undefined),
    subscribeSystem: (_: (event: SystemEvent) => void) => () => undefined,
    subscribeTable: (table, hear) => {
      const place = placeOf(table);
      const listeners = store.listeners.get(place) ?? new Set();
      store.listeners.set(place, listeners.add({ node: nodeName, hear }));
      return () => undefined;
    },
    tableInfo: (name) => ({
      name,
      type: 'set',
      size: store.table(placeOf(name)).size,
      storageType: 'disc_copies',
      ramCopies: [],
      discCopies: [...store.nodes],
      localContent: store.local.has(name),
      merge: 'last_write',
      majority: false,
      cookie: name,
      accessMode: 'read_write',
      loadOrder: 0,
      userProperties: {},
      loaded: true,
      awaiting: [],
      whereToWrite: [...store.nodes],
      forgetful: [],
      digest: String(store.table(placeOf(name)).size),
    }),
    runningDbNodes: () => [...store.nodes],
    systemInfo: () => ({
      nodeId,
      nodeName,
      incarnation: options.incarnation,
      isRunning: 'yes',
      runningDbNodes: [...store.nodes],
      dbNodes: [...store.nodes],
      removedNodes: [],
      tables: [...store.tables.keys()],
      heldLocks: store.sabotage === 'leaks a lock' && store.commits > 40 ? 1 : 0,
      lockQueue: 0,
      transactions: 0,
      commits: store.commits,
      failures: 0,
      restarts: 0,
      mnesiaDown: [],
      recentCommits: 0,
      discDamage: [],
      changedSince: [],
    }),
    ledger: () => [],
    restoreFromLedger: async () => undefined,
    close: async () => undefined,
  };
}
