/** W1 to W7: closed loops against a table, with the sums that show whether an update was lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientOperationName, RunFigures, TableState } from './calls.ts';
import { type Figure, round, significant, speedOf } from './figures.ts';
import { Histogram } from './histogram.ts';
import { headOf, type MeasuredCluster, type MeasureRequest } from './measure.ts';
import { until } from './until.ts';

const TABLE = 'bench';
const MEGABYTE = 1 << 20;
const EQUAL_MS_MAX = 10_000;
const POPULATED_MS_MAX = 120_000;
/** Between two measurements, for what the first one left behind. */
const PAUSE_MS = 300;

export async function measureThroughput(request: MeasureRequest): Promise<void> {
  await request.system.withCluster(request, async (cluster) => {
    const { storage, roundTripMs } = request.workload;
    await cluster.createTable(TABLE, storage);
    await cluster.first.call('populate', { table: TABLE, from: 0, to: request.rows, n: 0 });
    await cluster.equal(TABLE, POPULATED_MS_MAX);
    if (roundTripMs > 0) await cluster.setRoundTrip(roundTripMs);
    for (const clients of request.clients) {
      await sleep(PAUSE_MS);
      request.report(await measureOnce(cluster, request, clients));
    }
  });
}

async function measureOnce(cluster: MeasuredCluster, request: MeasureRequest, clients: number): Promise<Figure> {
  const { workload, warmMs, measuredMs } = request;
  const isCounted = workload.operation === 'tx_read_modify_write';
  const before = isCounted ? await cluster.first.call('tableState', TABLE) : undefined;
  const runs = await runOnAll(cluster, request, clients);
  const latencies = new Histogram();
  for (const run of runs) latencies.merge(run.latencies);
  return {
    ...headOf(request, clients),
    ...speedOf(latencies, measuredMs),
    cpu_us_per_op: runs.map(({ cpuUs }) => significant(cpuUs / Math.max(1, latencies.total))),
    rss_mb: runs.map(({ rssBytes }) => Math.round(rssBytes / MEGABYTE)),
    ops: latencies.total,
    ms: measuredMs,
    ...(workload.roundTripMs > 0 ? { round_trip_ms: workload.roundTripMs } : {}),
    warm_ms: warmMs,
    ...(before === undefined ? {} : await updatesKept(cluster, before, runs)),
    ...errorsOf(runs),
  };
}

function runOnAll(cluster: MeasuredCluster, request: MeasureRequest, clients: number): Promise<RunFigures[]> {
  const { workload, nodes, warmMs, measuredMs, profiles } = request;
  const runs = cluster.nodes.map((node) =>
    node.call('run', {
      operation: workload.operation as ClientOperationName,
      table: TABLE,
      keys: request.rows,
      clients: clientsOf(node.number, clients, workload.isEverywhere ? nodes : 1),
      warmMs,
      measuredMs,
      profiles,
      label: `${workload.name}-${nodes}nodes-${request.rows}rows-${clients}clients-n${node.number}`,
    }),
  );
  return Promise.all(runs);
}

/** Clients are shared out as evenly as it goes. */
export function clientsOf(node: number, clients: number, nodesWithClients: number): number {
  if (node > nodesWithClients) return 0;
  return Math.floor(clients / nodesWithClients) + (node <= clients % nodesWithClients ? 1 : 0);
}

/** Whether every read-modify-write that was answered counted once, on every replica. */
async function updatesKept(
  cluster: MeasuredCluster,
  before: TableState,
  runs: readonly RunFigures[],
): Promise<Record<string, number | boolean>> {
  let states: TableState[] = [];
  const areEqual = (): boolean => new Set(states.map(({ digest, sum }) => `${digest} ${sum}`)).size === 1;
  await until('equal replicas', EQUAL_MS_MAX, async () => {
    states = await Promise.all(cluster.nodes.map((node) => node.call('tableState', TABLE)));
    return areEqual();
  }).catch(() => undefined);
  const succeeded = sumOf(runs, (run) => run.succeeded);
  return {
    attempts_per_commit: round(sumOf(runs, (run) => run.attempts) / Math.max(1, succeeded), 3),
    lost_updates: succeeded - ((states[0]?.sum ?? 0) - before.sum),
    replicas_equal: areEqual(),
  };
}

function errorsOf(runs: readonly RunFigures[]): { readonly errors?: Readonly<Record<string, number>> } {
  const errors: Record<string, number> = {};
  for (const run of runs) {
    for (const [code, count] of Object.entries(run.errors)) errors[code] = (errors[code] ?? 0) + count;
  }
  return Object.keys(errors).length === 0 ? {} : { errors };
}

function sumOf<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0);
}
