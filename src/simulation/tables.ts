/** The tables of a simulation: one for each kind of question the checkers ask. */
import type { TableDefinition } from '../../storage/types.ts';
import type { TablePlan } from './history.ts';
import { MOVING_TABLE, RECREATED_TABLE } from './schema-operations.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { WorkloadName } from './workloads.ts';

/** Written outside of transactions, of which some write the same rows. */
export const DIRTY_TABLES: readonly string[] = ['dirty', 'dirty_ram', 'dirty_owner', 'dirty_some'];

export const CREATED_AT_RUN_TIME: readonly string[] = ['registers_new1', 'registers_new2'];

/** A seed about one question has only the tables it asks it of. */
const TABLES_OF: Readonly<Record<WorkloadName, RegExp | undefined>> = {
  mixed: undefined,
  schema: undefined,
  lists: /^(lists|counters)/,
  majority: /^lists_majority|^registers$/,
  unmet: undefined,
  dirty: /^dirty|^registers/,
};

export function planTables(random: SeededRandom, nodeCount: number, workload: WorkloadName = 'mixed'): TablePlan[] {
  const all = Array.from({ length: nodeCount }, (_, index) => index);
  const some = random
    .shuffle(all)
    .slice(0, Math.max(2, nodeCount - 1))
    .sort();
  const plan = (name: string, more: Partial<TablePlan> = {}): TablePlan => ({
    name,
    storage: 'disc',
    holders: [...all],
    majority: false,
    merge: 'last_write',
    localContent: false,
    ...more,
  });
  const few = random
    .shuffle(all)
    .slice(0, Math.max(1, nodeCount - 2))
    .sort();
  const three = random.shuffle(all).slice(0, 3).sort();
  const tables = [
    plan('registers'),
    plan('registers_ram', { storage: 'ram' }),
    plan('registers_some', { holders: some }),
    plan('registers_owner', { merge: 'owner' }),
    plan('registers_primary', { merge: 'primary' }),
    plan('counters'),
    plan('counters_majority', { majority: true }),
    plan('bank'),
    plan('bank_majority', { majority: true }),
    plan('lists'),
    plan('lists_few', { holders: few }),
    plan('lists_majority', { majority: true }),
    plan('lists_majority_few', { majority: true, holders: three }),
    plan('pairs'),
    plan('claims', { storage: random.chance(0.5) ? 'ram' : 'disc' }),
    plan('dirty'),
    ...(workload === 'dirty'
      ? [
          plan('dirty_ram', { storage: 'ram' }),
          plan('dirty_owner', { merge: 'owner' }),
          plan('dirty_some', { holders: some }),
        ]
      : []),
    plan('local', { localContent: true }),
    // Nobody has these at the start: clients create them on their nodes while everything else goes on.
    ...CREATED_AT_RUN_TIME.map((name) => plan(name, { holders: [] })),
    ...(workload === 'majority' ? [plan('lists_majority_ram', { majority: true, storage: 'ram' })] : []),
    ...(workload === 'schema' ? [MOVING_TABLE, RECREATED_TABLE].map((name) => plan(name, { moves: true })) : []),
  ];
  const isNeeded = TABLES_OF[workload];
  return isNeeded ? tables.filter((table) => isNeeded.test(table.name)) : tables;
}

/** As a peer would: each node names itself, and identical definitions become one table when the nodes meet. */
export function definitionOf(plan: TablePlan, self: string): TableDefinition {
  return {
    name: plan.name,
    ...(plan.storage === 'disc' ? { disc_copies: [self] } : { ram_copies: [self] }),
    ...(plan.localContent ? { local_content: true } : {}),
    ...(plan.merge !== 'last_write' ? { merge: plan.merge } : {}),
    ...(plan.merge === 'owner' ? { owner_field: 'owner' } : {}),
    ...(plan.majority ? { majority: true } : {}),
  };
}
