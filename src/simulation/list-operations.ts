/** Transactions over lists that only grow: reads and appends of many shapes, the matter of the strictest checker. */
import type { Key, Transaction, Value } from '../../storage/types.ts';
import { listOf, type Step } from './history.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { WorkloadName } from './workloads.ts';

export interface ListContext {
  readonly random: SeededRandom;
  readonly keys: number;
  readonly workload?: WorkloadName;
}

type Body = (tx: Transaction, steps: Step[], by: string, dawdle: () => Promise<void>) => void | Promise<void>;
type Place = readonly [table: string, key: Key];

const ANYBODY: readonly string[] = ['lists', 'lists', 'lists_few'];
const MAJORITY: readonly string[] = ['lists_majority', 'lists_majority', 'lists_majority_few'];
/** Where replicas forget, too. */
const MAJORITY_AND_RAM: readonly string[] = [...MAJORITY, 'lists_majority_ram', 'lists_majority_ram'];
const MAJORITY_SHARE: Readonly<Record<WorkloadName, number>> = {
  mixed: 0.35,
  schema: 0.35,
  lists: 0.2,
  majority: 1,
  unmet: 1,
  dirty: 0,
};

/** Half of the keys of a table are hot. */
export function keyFrom(random: SeededRandom, keys: number): Key {
  const drawn = random.chance(0.5) ? random.integer(0, 2) : random.integer(0, keys - 1);
  return `k${drawn}`;
}

/** Some rows, of tables that promise the same. */
function places({ random, keys, workload = 'mixed' }: ListContext, count: number, majority?: boolean): Place[] {
  const promised = workload === 'majority' ? MAJORITY_AND_RAM : MAJORITY;
  const tables = (majority ?? random.chance(MAJORITY_SHARE[workload])) ? promised : ANYBODY;
  return Array.from({ length: count }, () => [random.pick(tables), keyFrom(random, keys)] as const);
}

function read(tx: Transaction, steps: Step[], [table, key]: Place, majority = false): readonly string[] {
  const value = majority ? tx.read(table, key, 'majority') : tx.read(table, key);
  steps.push({ type: 'read', table, key, value, ...(majority ? { majority } : {}) });
  return listOf(value);
}

function append(tx: Transaction, steps: Step[], [table, key]: Place, before: readonly string[], by: string): void {
  const value: Value = { by, list: [...before, by] };
  tx.write(table, key, value);
  steps.push({ type: 'write', table, key, value, by });
}

export const LIST_BODIES = {
  /** Reads some lists and appends to some, sometimes twice to one. */
  append: (context: ListContext): Body => {
    const { random } = context;
    const others = random.integer(0, 2);
    const all = places(context, others + random.integer(1, 3));
    return async (tx, steps, by, dawdle) => {
      for (const place of all.slice(0, others)) read(tx, steps, place);
      const written = new Map<string, number>();
      for (const place of all.slice(others)) {
        const times = (written.get(place.join('/')) ?? 0) + 1;
        written.set(place.join('/'), times);
        const before = read(tx, steps, place);
        await dawdle();
        append(tx, steps, place, before, times === 1 ? by : `${by}.${times}`);
      }
    };
  },
  /** Reads two and writes one: two of these, crossed, are what write skew is made of. */
  skew: (context: ListContext): Body => {
    const [one, other] = places(context, 2) as [Place, Place];
    return async (tx, steps, by, dawdle) => {
      const before = read(tx, steps, one);
      await dawdle();
      read(tx, steps, other);
      append(tx, steps, one, before, by);
    };
  },
  /** An observer of several rows: two of these on two nodes are what sees a long fork. */
  'list-read': (context: ListContext): Body => {
    const all = places(context, context.random.integer(1, 4));
    return async (tx, steps, _, dawdle) => {
      for (const place of all) {
        read(tx, steps, place);
        await dawdle();
      }
    };
  },
  'majority-read': (context: ListContext): Body => {
    const all = places(context, context.random.integer(1, 3), true);
    return async (tx, steps, _, dawdle) => {
      for (const place of all) {
        read(tx, steps, place, true);
        await dawdle();
      }
    };
  },
  /** Changes its mind when everything is written. */
  'list-abort': (context: ListContext): Body => {
    const all = places(context, 2);
    return async (tx, steps, by, dawdle) => {
      for (const place of all) append(tx, steps, place, read(tx, steps, place), by);
      await dawdle();
      tx.abort('changed its mind');
    };
  },
} as const;
