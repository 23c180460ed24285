/** One operation of a client: which kind, on which rows, and how it goes about it. */
import type { Key, Transaction, Value } from '../../storage/types.ts';
import type { SimulatedNode } from './cluster.ts';
import type { DatabaseUnderTest } from './database-under-test.ts';
import { type History, numberOf, type OperationKind, type Step, type TablePlan } from './history.ts';
import { keyFrom, LIST_BODIES } from './list-operations.ts';
import {
  isSchemaKind,
  MOVING_TABLE,
  RECREATED_TABLE,
  type SchemaKind,
  type SchemaScope,
  schemaChange,
} from './schema-operations.ts';
import type { SeededRandom } from './seeded-random.ts';
import { CREATED_AT_RUN_TIME, DIRTY_TABLES, definitionOf } from './tables.ts';
import { WEIGHTS, type WorkloadName } from './workloads.ts';

interface TransactionPlan {
  readonly type: 'transaction';
  readonly kind: OperationKind;
  readonly sync: boolean;
  readonly dawdleMs: number;
  readonly deadlineMs: number | undefined;
  readonly run: (tx: Transaction, steps: Step[], by: string, dawdle: () => Promise<void>) => void | Promise<void>;
}

/** No transaction with a function: dirty operations and schema changes. */
interface DirectPlan {
  readonly type: 'direct';
  readonly kind: OperationKind;
  readonly sync: false;
  readonly run: (database: DatabaseUnderTest, steps: Step[]) => Promise<void>;
}

export type OperationPlan = TransactionPlan | DirectPlan;

export interface OperationContext {
  readonly index: number;
  readonly random: SeededRandom;
  readonly keys: number;
  readonly node: Pick<SimulatedNode, 'index' | 'name' | 'isWatched' | 'watch'>;
  readonly history: Pick<History, 'tables' | 'accounts' | 'accountOpening'> & SchemaScope;
  /** A transaction that takes its time between two steps takes at most this. */
  readonly dawdleMsMost?: number;
  readonly workload?: WorkloadName;
}

const SYNC_SHARE = 0.15;
const DAWDLING_SHARE = 0.15;
const DAWDLE_MS_MOST = 15;
const OWN_DEADLINE_SHARE = 0.03;
const TRANSFER_MOST = 20;

type Body = TransactionPlan['run'];

export function makeOperation(context: OperationContext): OperationPlan {
  const { random } = context;
  const kind = pickKind(random, context.workload ?? 'mixed');
  if (kind === 'dirty-write' || kind === 'dirty-delete') return dirty(context, kind);
  if (kind === 'create-table') return createTable(context);
  if (isSchemaKind(kind)) return { type: 'direct', kind, sync: false, run: schemaChange(context, kind) };
  const run = BODIES[kind](context);
  return {
    type: 'transaction',
    kind,
    sync: random.chance(SYNC_SHARE),
    dawdleMs: random.chance(DAWDLING_SHARE) ? random.between(0.1, context.dawdleMsMost ?? DAWDLE_MS_MOST) : 0,
    deadlineMs: random.chance(OWN_DEADLINE_SHARE) ? random.integer(5, 500) : undefined,
    run,
  };
}

function pickKind(random: SeededRandom, workload: WorkloadName): OperationKind {
  const weights = WEIGHTS[workload];
  let drawn = random.next() * weights.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [kind, weight] of weights) {
    drawn -= weight;
    if (drawn < 0) return kind;
  }
  return 'register-read';
}

function read(tx: Transaction, steps: Step[], table: string, key: Key): Value {
  const value = tx.read(table, key);
  steps.push({ type: 'read', table, key, value });
  return value;
}

function write(
  tx: Transaction,
  steps: Step[],
  table: string,
  key: Key,
  value: { readonly by: string; readonly [field: string]: Value },
): void {
  tx.write(table, key, value);
  steps.push({ type: 'write', table, key, value, by: value.by });
}

function registerTable({ random, history, node, workload }: OperationContext): string {
  if (workload === 'schema' && random.chance(0.5)) return random.pick([MOVING_TABLE, MOVING_TABLE, RECREATED_TABLE]);
  const created = history.tables.filter(
    ({ name, holders }) => CREATED_AT_RUN_TIME.includes(name) && holders.includes(node.index) && node.isWatched(name),
  );
  if (created.length > 0 && random.chance(0.15)) return random.pick(created).name;
  return random.pick([
    'registers',
    'registers',
    'registers_ram',
    'registers_some',
    'registers_owner',
    'registers_primary',
  ]);
}

const BODIES: Readonly<
  Record<
    Exclude<OperationKind, 'dirty-write' | 'dirty-delete' | 'create-table' | SchemaKind>,
    (context: OperationContext) => Body
  >
> = {
  'register-write': (context) => {
    const { random, keys, node } = context;
    const table = registerTable(context);
    const key = keyFrom(random, keys);
    const owner = random.chance(0.7) ? node.name : `clusterdb@peer${random.integer(1, 3)}.lab.peerage.example`;
    return (tx, steps, by) => write(tx, steps, table, key, { by, owner, text: 'x'.repeat(random.integer(0, 40)) });
  },
  'register-read': (context) => {
    const { random, keys } = context;
    const table = registerTable(context);
    const some = [keyFrom(random, keys), keyFrom(random, keys)];
    return async (tx, steps, _, dawdle) => {
      read(tx, steps, table, some[0] as Key);
      await dawdle();
      read(tx, steps, table, some[1] as Key);
    };
  },
  'register-delete': ({ random, keys, node }) => {
    const table = random.pick(['registers', 'registers_ram', 'registers_owner', 'registers_primary']);
    const key = keyFrom(random, keys);
    return (tx, steps, by) => {
      // Deleting what is not there leaves no trace to check, so write instead.
      if (read(tx, steps, table, key) === undefined) {
        write(tx, steps, table, key, { by, owner: node.name });
        return;
      }
      tx.delete(table, key);
      steps.push({ type: 'delete', table, key });
    };
  },
  counter: ({ random, keys }) => {
    const table = random.pick(['counters', 'counters_majority']);
    const key = keyFrom(random, keys);
    return async (tx, steps, by, dawdle) => {
      const count = numberOf(read(tx, steps, table, key), 'count') ?? 0;
      await dawdle();
      write(tx, steps, table, key, { by, count: count + 1 });
    };
  },
  transfer: ({ random, history }) => {
    const table = random.pick(['bank', 'bank_majority']);
    const from = `account${random.integer(0, history.accounts - 1)}`;
    const to = `account${random.integer(0, history.accounts - 1)}`;
    const amount = random.integer(1, TRANSFER_MOST);
    return async (tx, steps, by, dawdle) => {
      if (from === to) return;
      const payer = numberOf(read(tx, steps, table, from), 'balance') ?? history.accountOpening;
      await dawdle();
      const payee = numberOf(read(tx, steps, table, to), 'balance') ?? history.accountOpening;
      if (payer < amount) return;
      write(tx, steps, table, from, { by, balance: payer - amount });
      write(tx, steps, table, to, { by, balance: payee + amount });
    };
  },
  'bank-read': ({ random }) => {
    const table = random.pick(['bank', 'bank_majority']);
    const byScan = random.chance(0.5);
    return (tx, steps) => {
      const rows: [Key, Value][] = [];
      if (byScan) tx.forEach(table, (key, value) => rows.push([key, value]));
      else for (const key of tx.allKeys(table)) rows.push([key, tx.read(table, key)]);
      steps.push({ type: 'scan', table, rows });
    };
  },
  ...LIST_BODIES,
  'pair-write': ({ random, keys }) => {
    const pair = keyFrom(random, keys);
    return async (tx, steps, by, dawdle) => {
      write(tx, steps, 'pairs', `${pair}/left`, { by });
      await dawdle();
      write(tx, steps, 'pairs', `${pair}/right`, { by });
    };
  },
  'pair-delete': ({ random, keys }) => {
    const pair = keyFrom(random, keys);
    return (tx, steps, by) => {
      if (read(tx, steps, 'pairs', `${pair}/left`) === undefined) {
        write(tx, steps, 'pairs', `${pair}/left`, { by });
        write(tx, steps, 'pairs', `${pair}/right`, { by });
        return;
      }
      for (const half of ['left', 'right']) {
        tx.delete('pairs', `${pair}/${half}`);
        steps.push({ type: 'delete', table: 'pairs', key: `${pair}/${half}` });
      }
    };
  },
  'pair-read': ({ random, keys }) => {
    const pair = keyFrom(random, keys);
    return async (tx, steps, _, dawdle) => {
      read(tx, steps, 'pairs', `${pair}/left`);
      await dawdle();
      read(tx, steps, 'pairs', `${pair}/right`);
    };
  },
  claim: ({ random, index }) => {
    const slot = random.integer(0, 40);
    return (tx, steps, by) => {
      const taken: [Key, Value][] = [];
      tx.forEach('claims', (key, value) => {
        if (typeof key === 'string' && key.startsWith(`${slot}:`)) taken.push([key, value]);
      });
      steps.push({ type: 'scan', table: 'claims', rows: taken });
      if (taken.length === 0) write(tx, steps, 'claims', `${slot}:${index}`, { by });
    };
  },
  abort: ({ random, keys }) => {
    const key = keyFrom(random, keys);
    return (tx, steps, by) => {
      write(tx, steps, 'registers', key, { by });
      write(tx, steps, 'pairs', `${key}/left`, { by });
      tx.abort('changed its mind');
    };
  },
  overlap: (context) => {
    const { random, keys, node } = context;
    const isDelete = random.chance(0.3);
    const table = dirtyTable(context, isDelete);
    const key = keyFrom(random, keys);
    return async (tx, steps, by, dawdle) => {
      const found = read(tx, steps, table, key);
      await dawdle();
      if (!isDelete || found === undefined) return write(tx, steps, table, key, { by, owner: node.name });
      tx.delete(table, key);
      steps.push({ type: 'delete', table, key });
    };
  },
  'local-write': ({ random, keys }) => {
    const key = keyFrom(random, keys);
    return (tx, steps, by) => write(tx, steps, 'local', key, { by });
  },
};

function dirtyTable({ random, workload }: OperationContext, isDelete = false): string {
  const table = workload === 'dirty' ? random.pick(DIRTY_TABLES) : 'dirty';
  // A node that is no holder shows no delete.
  return isDelete && table === 'dirty_some' ? 'dirty' : table;
}

function dirty(context: OperationContext, kind: 'dirty-write' | 'dirty-delete'): DirectPlan {
  const { random, keys, index, node } = context;
  const table = dirtyTable(context, kind === 'dirty-delete');
  const key = keyFrom(random, keys);
  const by = `${index}.1`;
  return {
    type: 'direct',
    kind,
    sync: false,
    run: async (database, steps) => {
      if (kind === 'dirty-delete') {
        steps.push({ type: 'delete', table, key });
        await database.dirtyDelete(table, key);
        return;
      }
      const value = { by, owner: node.name };
      steps.push({ type: 'write', table, key, value, by });
      await database.dirtyWrite(table, key, value);
    },
  };
}

/** A replica of a new table here; once it is there, the node keeps declaring it at every start. */
function createTable({ random, node, history }: OperationContext): DirectPlan {
  const name = random.pick(CREATED_AT_RUN_TIME);
  return {
    type: 'direct',
    kind: 'create-table',
    sync: false,
    run: async (database) => {
      const plan = history.tables.find((table) => table.name === name) as TablePlan;
      await database.createTable(definitionOf(plan, node.name));
      if (!plan.holders.includes(node.index)) plan.holders.push(node.index);
      node.watch(name);
    },
  };
}
