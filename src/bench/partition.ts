/** W13: a cluster is cut in two, both sides change rows, the cut is healed while clients write. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GapFigures } from './calls.ts';
import { significant } from './figures.ts';
import { headOf, type MeasuredCluster, type MeasureRequest } from './measure.ts';
import { clientsOf } from './throughput.ts';
import { until } from './until.ts';

const TABLE = 'bench';
/** Written while the cut is healed; the other table can then be compared. */
const LIVE_TABLE = 'live';
/** One in so many of the rows changed on a side is changed on the other side too. */
const BOTH_SHARE = 10;
const HEAL_AFTER_MS = 1000;
const MS_AFTER_HEAL = 4000;
const NOTICED_MS_MAX = 60_000;
const EQUAL_MS_MAX = 60_000;

export async function measureHeal(request: MeasureRequest): Promise<void> {
  for (const clients of request.clients) {
    await request.system.withCluster(request, (cluster) => cutAndHeal(cluster, request, clients));
  }
}

async function cutAndHeal(cluster: MeasuredCluster, request: MeasureRequest, clients: number): Promise<void> {
  const { nodes, rows: changed } = request;
  const both = Math.floor(changed / BOTH_SHARE);
  await prepare(cluster, request, 2 * changed - both);
  const side = [1];
  await cluster.cut(side);
  await until('both sides to notice the cut', NOTICED_MS_MAX, async () => {
    const counts = await Promise.all(cluster.nodes.map((node) => node.call('runningNodes', null)));
    return counts.every((count, at) => count === (at === 0 ? 1 : nodes - 1));
  });
  await Promise.all([
    cluster.node(1).call('populate', { table: TABLE, from: 0, to: changed, n: 1 }),
    cluster.node(2).call('populate', { table: TABLE, from: changed - both, to: 2 * changed - both, n: 2 }),
  ]);
  const writing = Promise.all(startWriters(cluster, request, clients));
  await sleep(request.warmMs + HEAL_AFTER_MS);
  const healedAtMs = performance.now();
  await cluster.heal();
  await cluster.connected(nodes);
  const connectedAtMs = performance.now();
  await cluster.equal(TABLE, EQUAL_MS_MAX);
  const equalAtMs = performance.now();
  const gaps = await writing;
  await cluster.equal(LIVE_TABLE, EQUAL_MS_MAX);
  request.report({
    ...headOf(request, clients),
    rows: 2 * changed - both,
    connected_ms: significant(connectedAtMs - healedAtMs),
    equal_replicas_ms: significant(equalAtMs - healedAtMs),
    writers_longest_pause_ms: significant(Math.max(...gaps.map(({ longestGapMs }) => longestGapMs))),
    longest_operation_ms: significant(Math.max(...gaps.map(({ longestOperationMs }) => longestOperationMs))),
    changed_on_each_side: changed,
    changed_on_both: both,
    commits: gaps.reduce((sum, { commits }) => sum + commits, 0),
    net_ticktime_ms: request.netTicktimeMs,
  });
}

async function prepare(cluster: MeasuredCluster, { workload }: MeasureRequest, rows: number): Promise<void> {
  for (const table of [TABLE, LIVE_TABLE]) {
    await cluster.createTable(table, workload.storage);
    await cluster.first.call('populate', { table, from: 0, to: rows, n: 0 });
  }
  await cluster.equal(TABLE, EQUAL_MS_MAX);
}

function startWriters(
  cluster: MeasuredCluster,
  { nodes, rows, warmMs }: MeasureRequest,
  clients: number,
): Promise<GapFigures>[] {
  return cluster.nodes.flatMap((node) => {
    const own = clientsOf(node.number, clients, nodes);
    if (own === 0) return [];
    const measuredMs = HEAL_AFTER_MS + MS_AFTER_HEAL;
    return [node.call('measureGap', { table: LIVE_TABLE, keys: rows, clients: own, warmMs, measuredMs })];
  });
}
