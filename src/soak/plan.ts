/** What all processes of a soak agree on without asking: the tables, the numbers of operations, the time. */
import type { TablePlan } from '../simulation/history.ts';
import { SeededRandom } from '../simulation/seeded-random.ts';
import { CREATED_AT_RUN_TIME, planTables } from '../simulation/tables.ts';

/** The simulator's tables; those that its clients create as they go are left out. */
export function soakTables(peers: number): TablePlan[] {
  const plans = planTables(new SeededRandom('soak'), peers);
  return plans.filter(({ name }) => !CREATED_AT_RUN_TIME.includes(name));
}

/** One clock for all processes of the machine, µs from an unspecified moment. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
