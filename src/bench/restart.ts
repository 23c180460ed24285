/** W9 and W11: how soon a node that was stopped serves its tables again, alone and beside others that went on. */
import type { MemoryFigures } from './calls.ts';
import { type Figure, significant } from './figures.ts';
import { headOf, type MeasuredCluster, type MeasureRequest } from './measure.ts';

const TABLE = 'big';
const LOAD_MS_MAX = 120_000;
const POPULATE_MS_MAX = 600_000;
const MEGABYTE = 1 << 20;
const FEW = 100;

/** A node of several restarts while none, few or all of the rows were changed without it. */
export async function measureCatchUp(request: MeasureRequest): Promise<void> {
  await request.system.withCluster(request, async (cluster) => {
    await prepare(cluster, request);
    let n = 0;
    for (const changed of [0, Math.min(FEW, request.rows), request.rows]) {
      const last = cluster.nodes.length;
      await cluster.close(last);
      await cluster.connected(last - 1);
      n += 1;
      if (changed > 0) await cluster.first.call('populate', { table: TABLE, from: 0, to: changed, n });
      request.report({ ...(await restart(cluster, request, last)), rows_changed: changed });
    }
  });
}

/** The only node restarts and loads its own disc. */
export async function measureDiscLoad(request: MeasureRequest): Promise<void> {
  await request.system.withCluster(request, async (cluster) => {
    await prepare(cluster, request);
    await cluster.close(1);
    request.report(await restart(cluster, request, 1));
  });
}

async function prepare(cluster: MeasuredCluster, { workload, rows }: MeasureRequest): Promise<void> {
  await cluster.createTable(TABLE, workload.storage);
  await cluster.first.call('populate', { table: TABLE, from: 0, to: rows, n: 0 });
  await cluster.equal(TABLE, POPULATE_MS_MAX);
}

async function restart(cluster: MeasuredCluster, request: MeasureRequest, number: number): Promise<Figure> {
  const bootedAtMs = performance.now();
  const { openMs, openCpuMs } = await cluster.open(number);
  const openedAtMs = performance.now();
  await cluster.connect(number);
  const node = cluster.node(number);
  await node.call('waitForTables', { tables: [TABLE], timeoutMs: LOAD_MS_MAX });
  const loadedMs = openMs + performance.now() - openedAtMs;
  await cluster.connected(cluster.nodes.length);
  await cluster.equal(TABLE, LOAD_MS_MAX);
  const endedAtMs = performance.now();
  const memory = await node.call('memory', null);
  return {
    ...headOf(request, 0),
    /** Reading the disc, without the start of the process. */
    open_s: seconds(openMs),
    ...(openCpuMs === undefined ? {} : { open_cpu_s: seconds(openCpuMs) }),
    wait_for_tables_s: seconds(loadedMs),
    /** Until it is one with the others again and holds what they hold. */
    caught_up_s: seconds(openMs + endedAtMs - openedAtMs),
    with_process_start_s: seconds(endedAtMs - bootedAtMs),
    ...memoryOf(memory),
  };
}

function memoryOf({ rssBytes, rssBytesMost, heapUsedBytes }: MemoryFigures): Record<string, number> {
  return {
    memory_mb: Math.round(rssBytes / MEGABYTE),
    memory_most_mb: Math.round(rssBytesMost / MEGABYTE),
    heap_mb: Math.round(heapUsedBytes / MEGABYTE),
  };
}

function seconds(durationMs: number): number {
  return significant(durationMs / 1000);
}
