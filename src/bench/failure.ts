/** W10 and W12: a node or all of them die or hang while clients write. */
import { setTimeout as sleep } from 'node:timers/promises';
import { round, significant } from './figures.ts';
import { headOf, type MeasuredCluster, type MeasureRequest } from './measure.ts';

const TABLE = 'bench';
/** Into the measured time, so that there is something to compare with. */
const SIGNAL_AFTER_MS = 2000;
/** A hung node is noticed after net_ticktime, at the latest two ticks later; then the others must go on for a while. */
const TICKTIMES_WATCHED = 1.5;
const MS_AFTER_SIGNAL = 3000;
const LOAD_MS_MAX = 60_000;
const KILLS = 10;
const MS_UNTIL_KILL = 700;
/** Kills come at different moments of whatever a node does in a regular manner. */
const MS_LATER_EACH_TIME = 53;

/** The last of several nodes is killed, or stopped like a machine that hangs: its sockets stay open. */
export function measureLoss(signal: 'SIGKILL' | 'SIGSTOP'): (request: MeasureRequest) => Promise<void> {
  return async (request) => {
    for (const clients of request.clients) {
      await request.system.withCluster(request, (cluster) => loseOne(cluster, request, clients, signal));
    }
  };
}

async function loseOne(
  cluster: MeasuredCluster,
  request: MeasureRequest,
  clients: number,
  signal: 'SIGKILL' | 'SIGSTOP',
): Promise<void> {
  const { workload, nodes, rows, warmMs, netTicktimeMs } = request;
  await cluster.createTable(TABLE, workload.storage);
  await cluster.first.call('populate', { table: TABLE, from: 0, to: rows, n: 0 });
  const noticedMs = signal === 'SIGSTOP' ? netTicktimeMs * TICKTIMES_WATCHED : 0;
  const measuredMs = SIGNAL_AFTER_MS + noticedMs + MS_AFTER_SIGNAL;
  const gap = cluster.first.call('measureGap', { table: TABLE, keys: rows, clients, warmMs, measuredMs });
  await sleep(warmMs + SIGNAL_AFTER_MS);
  cluster.node(nodes).signal(signal);
  const signalledAt = Date.now();
  const figures = await gap;
  request.report({
    ...headOf(request, clients),
    longest_gap_ms: significant(figures.longestGapMs),
    gap_began_s_after_signal: round((figures.gapBeganAt - signalledAt) / 1000, 2),
    longest_operation_ms: significant(figures.longestOperationMs),
    net_ticktime_ms: netTicktimeMs,
    commits: figures.commits,
    ...(Object.keys(figures.errors).length === 0 ? {} : { errors: figures.errors }),
    ms: measuredMs,
  });
}

/** All nodes are killed at once under acknowledged writes, over and over. */
export async function measureLostWrites(request: MeasureRequest): Promise<void> {
  for (const clients of request.clients) {
    await request.system.withCluster(request, async (cluster) => {
      await cluster.createTable(TABLE, request.workload.storage);
      const missing: number[] = [];
      let acknowledged = 0;
      for (let kill = 0; kill < KILLS; kill++) {
        const counted = await killAll(cluster, clients, kill);
        missing.push(counted.missing);
        acknowledged += counted.acknowledged;
      }
      request.report({
        ...headOf(request, clients),
        rows: acknowledged,
        kills: KILLS,
        missing_after_each: missing,
        lost_acknowledged: missing.reduce((sum, count) => sum + count, 0),
      });
    });
  }
}

async function killAll(
  cluster: MeasuredCluster,
  clients: number,
  kill: number,
): Promise<{ readonly acknowledged: number; readonly missing: number }> {
  const file = cluster.file(`acknowledged-${kill}`);
  const firstKey = kill * 10_000_000;
  const writing = cluster.first.call('acknowledge', { table: TABLE, clients, firstKey, file });
  const ended = writing.catch((error: Error) => error);
  await sleep(MS_UNTIL_KILL + kill * MS_LATER_EACH_TIME);
  for (const node of cluster.nodes) node.signal('SIGKILL');
  await Promise.all(cluster.nodes.map((node) => node.kill()));
  await ended;
  const numbers = cluster.nodes.map(({ number }) => number);
  await Promise.all(numbers.map((number) => cluster.open(number)));
  await Promise.all(numbers.map((number) => cluster.connect(number)));
  await cluster.connected(numbers.length);
  const looked = cluster.nodes.map(async (node) => {
    await node.call('waitForTables', { tables: [TABLE], timeoutMs: LOAD_MS_MAX });
    return node.call('lookFor', { table: TABLE, file });
  });
  const counts = await Promise.all(looked);
  return {
    acknowledged: (counts[0]?.found ?? 0) + (counts[0]?.missing ?? 0),
    missing: Math.max(...counts.map(({ missing }) => missing)),
  };
}
