/**
 * Clients that use the databases as programs would, and write down what they asked and what they were answered. They
 * live outside the nodes: when a node dies, its clients learn nothing of the outcome and try again once it is back.
 */
import { StorageError } from '../../storage/errors.ts';
import type { Transaction, TransactionOptions } from '../../storage/types.ts';
import type { Cluster, SimulatedNode } from './cluster.ts';
import { describe } from './cluster.ts';
import type { DatabaseUnderTest } from './database-under-test.ts';
import type { History, Operation, OperationKind, Step } from './history.ts';
import type { NodeProcess } from './network.ts';
import { makeOperation, type OperationPlan } from './operations.ts';
import type { SeededRandom } from './seeded-random.ts';
import { type Trace, valueText } from './trace.ts';
import type { VirtualTime } from './virtual-time.ts';
import type { WorkloadName } from './workloads.ts';

export interface WorkloadOptions {
  readonly cluster: Cluster;
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly trace: Trace;
  readonly history: History;
  readonly clientsPerNode: number;
  readonly thinkMs: readonly [number, number];
  readonly dawdleMsMost: number;
  /** Fewer keys, more conflicts. */
  readonly keys: number;
  readonly workload: WorkloadName;
  readonly onBroken: (what: string) => void;
}

/** Answers that say for certain that nothing was changed. Any other error leaves the outcome open. */
const CERTAIN_FAILURES: ReadonlySet<string> = new Set([
  'aborted',
  'no_majority',
  'overloaded',
  'table_not_loaded',
  'no_such_table',
  'read_only',
  'deadline',
]);

const RETRY_MS: readonly [number, number] = [20, 200];

/** What an operation's failure says of its outcome. `error` is the code where the database gave one. */
export function outcomeOf(failure: unknown): { readonly outcome: 'fail' | 'info'; readonly error: string } {
  if (!(failure instanceof StorageError)) return { outcome: 'info', error: String(failure) };
  const isUnknown = failure.fields.reason === 'outcome_unknown';
  return { outcome: CERTAIN_FAILURES.has(failure.code) && !isUnknown ? 'fail' : 'info', error: failure.code };
}

export class Workload {
  readonly counts: Record<string, number> = {};
  readonly errors: Record<string, number> = {};
  private readonly options: WorkloadOptions;
  private stopped = false;
  private running: Promise<void>[] = [];

  constructor(options: WorkloadOptions) {
    this.options = options;
  }

  start(): void {
    for (const node of this.options.cluster.nodes) {
      for (let client = 0; client < this.options.clientsPerNode; client++) {
        const name = `client${node.index + 1}.${client + 1}`;
        this.running.push(this.client(node, name, this.options.random.fork(name)));
      }
    }
  }

  /** No new operations; resolves when each client had its last answer. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.running);
  }

  private async client(node: SimulatedNode, client: string, random: SeededRandom): Promise<void> {
    const { time, thinkMs } = this.options;
    while (!this.stopped) {
      await time.sleep(random.between(thinkMs[0], thinkMs[1]));
      if (this.stopped) return;
      if (!node.ready || !node.database) {
        await time.sleep(random.between(RETRY_MS[0], RETRY_MS[1]));
        continue;
      }
      const operation = await this.perform(node, node.database, client, random);
      if (operation.outcome !== 'ok') await time.sleep(random.between(RETRY_MS[0], RETRY_MS[1]));
    }
  }

  private async perform(
    node: SimulatedNode,
    database: DatabaseUnderTest,
    client: string,
    random: SeededRandom,
  ): Promise<Operation> {
    const { cluster, history, time, keys, dawdleMsMost, workload } = this.options;
    const index = history.operations.length;
    const asked = cluster.hasMet(node) ? workload : 'unmet';
    const plan = makeOperation({ index, random, keys, node, history, dawdleMsMost, workload: asked });
    const operation: Operation = {
      index,
      client,
      node: node.index,
      kind: plan.kind,
      invokedUs: time.nowUs,
      completedUs: undefined,
      outcome: 'pending',
      error: undefined,
      attempts: 0,
      sync: plan.sync,
      steps: [],
    };
    history.operations.push(operation);
    this.options.trace.record('invoke', client, `#${index} ${plan.kind}`);
    let leave: () => void = () => undefined;
    const death = new Promise<'died'>((resolve) => {
      leave = () => resolve('died');
      node.onDeath.add(leave);
    });
    const answer = await Promise.race([
      this.run(node, database, operation, plan).then(
        () => 'ok' as const,
        (error: unknown) => ({ error }),
      ),
      death,
    ]);
    node.onDeath.delete(leave);
    this.settle(operation, answer);
    return operation;
  }

  /** Callers live in the process of the database: they wait with it when it is paused, and end with it. */
  private async run(
    node: SimulatedNode,
    database: DatabaseUnderTest,
    operation: Operation,
    plan: OperationPlan,
  ): Promise<void> {
    const process = node.process as NodeProcess;
    const later = (delayMs: number): Promise<void> =>
      new Promise((resolve) => this.options.time.schedule(delayMs * 1000, process, resolve));
    await later(0);
    operation.begunUs = this.options.time.nowUs;
    if (plan.type === 'direct') {
      operation.attempts = 1;
      await plan.run(database, operation.steps);
      return;
    }
    const body = (tx: Transaction): void | Promise<void> => {
      if (operation.outcome !== 'pending') throw new Error('Nobody waits for this transaction any more.');
      operation.attempts++;
      const steps: Step[] = [];
      operation.steps = steps;
      const by = `${operation.index}.${operation.attempts}`;
      return plan.run(tx, steps, by, () => later(plan.dawdleMs));
    };
    const options: TransactionOptions | undefined =
      plan.deadlineMs === undefined ? undefined : { deadlineMs: plan.deadlineMs };
    if (plan.sync) await database.syncTransaction(body, options);
    else await database.transaction(body, options);
  }

  private settle(operation: Operation, answer: 'ok' | 'died' | { error: unknown }): void {
    const { time, trace } = this.options;
    operation.completedUs = time.nowUs;
    if (answer === 'ok') {
      operation.outcome = 'ok';
    } else if (answer === 'died') {
      operation.outcome = 'info';
      operation.error = 'the node died';
    } else {
      const { error } = answer;
      if (!(error instanceof StorageError))
        this.options.onBroken(`#${operation.index} ${operation.kind} met an error of no kind: ${describe(error)}`);
      Object.assign(operation, outcomeOf(error));
      const named = operation.error ?? '';
      this.errors[named] = (this.errors[named] ?? 0) + 1;
    }
    this.counts[operation.outcome] = (this.counts[operation.outcome] ?? 0) + 1;
    trace.record('complete', operation.client, `#${operation.index} ${operation.kind} ${operation.outcome}`, () => {
      return `${operation.error ?? ''} attempts ${operation.attempts} ${valueText(operation.steps)}`;
    });
  }

  /** Operations by kind, for the report. */
  kinds(): Partial<Record<OperationKind, number>> {
    const kinds: Partial<Record<OperationKind, number>> = {};
    for (const operation of this.options.history.operations) kinds[operation.kind] = (kinds[operation.kind] ?? 0) + 1;
    return kinds;
  }
}
