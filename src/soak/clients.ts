/** The simulator's clients in real time: the same operations, each step told before it can have an effect. */
import type { Database, Transaction, TransactionOptions } from '../../storage/index.ts';
import { sleep } from '../lab/processes.ts';
import { ACCOUNT_OPENING, ACCOUNTS, type Step, type TablePlan } from '../simulation/history.ts';
import { makeOperation, type OperationPlan } from '../simulation/operations.ts';
import { SeededRandom } from '../simulation/seeded-random.ts';
import { outcomeOf } from '../simulation/workload.ts';
import { nowUs } from './plan.ts';
import type { PeerRecord, WorkOrder } from './records.ts';

export interface ClientsOptions {
  readonly database: Database;
  /** Of this peer, from 0. */
  readonly index: number;
  readonly plans: readonly TablePlan[];
  tell(record: PeerRecord): void;
}

const RETRY_MS: readonly [number, number] = [20, 200];

export class Clients {
  readonly #options: ClientsOptions;
  #running: Promise<void>[] = [];
  #stopped = true;
  #order: WorkOrder | undefined;
  #next = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  start(order: WorkOrder): void {
    if (!this.#stopped) throw new Error('The clients are at work already.');
    this.#stopped = false;
    this.#order = order;
    this.#next = order.firstIndex;
    const random = new SeededRandom(order.seed);
    for (let client = 1; client <= order.clients; client++) {
      const name = `client${this.#options.index + 1}.${client}`;
      this.#running.push(this.#client(name, order, random.fork(name)));
    }
  }

  /** Resolves with the next free number when each client had its last answer. */
  async stop(): Promise<number> {
    this.#stopped = true;
    await Promise.all(this.#running.splice(0));
    return this.#next;
  }

  async #client(name: string, order: WorkOrder, random: SeededRandom): Promise<void> {
    while (!this.#stopped) {
      await sleep(random.between(order.thinkMs[0], order.thinkMs[1]));
      if (this.#stopped) return;
      const outcome = await this.#perform(name, order, random);
      if (outcome !== 'ok') await sleep(random.between(RETRY_MS[0], RETRY_MS[1]));
    }
  }

  async #perform(client: string, order: WorkOrder, random: SeededRandom): Promise<string> {
    const { tell } = this.#options;
    const index = this.#next;
    this.#next += (this.#order as WorkOrder).step;
    const plan = this.#plan(index, order, random);
    tell({ type: 'invoke', atUs: nowUs(), index, client, kind: plan.kind, sync: plan.sync });
    const { outcome, error } = await this.#run(plan, index).then(
      () => ({ outcome: 'ok' as const, error: undefined }),
      (failure: unknown) => outcomeOf(failure),
    );
    tell({ type: 'done', atUs: nowUs(), index, outcome, error });
    if (error !== undefined && outcome === 'info' && !/^[a-z_]+$/.test(error)) throw new Error(`#${index}: ${error}`);
    return outcome;
  }

  /** Tables are not created while a soak runs; every other kind is. */
  #plan(index: number, order: WorkOrder, random: SeededRandom): OperationPlan {
    const { database, plans, index: node } = this.#options;
    const self = { index: node, name: database.nodeName, isWatched: () => true, watch: () => undefined };
    const history = { tables: plans, accounts: ACCOUNTS, accountOpening: ACCOUNT_OPENING };
    for (;;) {
      const plan = makeOperation({ index, random, keys: order.keys, node: self, history });
      if (plan.kind !== 'create-table') return plan;
    }
  }

  async #run(plan: OperationPlan, index: number): Promise<void> {
    const { database, tell } = this.#options;
    if (plan.type === 'direct') {
      const steps: Step[] = [];
      const done = plan.run(database, steps);
      tell({ type: 'attempt', atUs: nowUs(), index, attempt: 1, steps });
      return await done;
    }
    let attempt = 0;
    const body = (tx: Transaction): void | Promise<void> => {
      attempt += 1;
      const steps: Step[] = [];
      const told = attempt;
      const tellSteps = (): void => tell({ type: 'attempt', atUs: nowUs(), index, attempt: told, steps });
      const dawdle = (): Promise<void> => sleep(plan.dawdleMs);
      const returned = plan.run(tx, steps, `${index}.${attempt}`, dawdle);
      if (returned instanceof Promise) return returned.finally(tellSteps);
      tellSteps();
    };
    const options: TransactionOptions = plan.deadlineMs === undefined ? {} : { deadlineMs: plan.deadlineMs };
    if (plan.sync) await database.syncTransaction(body, options);
    else await database.transaction(body, options);
  }
}
