/** What can be measured, and with how many nodes, rows and clients unless one says otherwise. */
import { measureLoss, measureLostWrites } from './failure.ts';
import type { Workload } from './measure.ts';
import { measureHeal } from './partition.ts';
import { measureCatchUp, measureDiscLoad } from './restart.ts';
import { measureThroughput } from './throughput.ts';

const ROWS = 10_000;
const HOT_ROWS = 100;
const MANY_ROWS = 500_000;
const CLIENTS = [1, 8, 64];
const CLIENTS_PER_NODE = [1, 8, 21];
const FAR_ROUND_TRIP_MS = 80;
/** What a peer has unless its configuration says otherwise. */
export const NET_TICKTIME_MS = 4000;
const NET_TICKTIME_SHORT_MS = 1000;

type Named = Pick<Workload, 'name' | 'title' | 'operation'> & Partial<Workload>;

/** Clients in the first of three nodes, against a table on their discs, unless it is said otherwise. */
function workload(named: Named): Workload {
  return {
    storage: 'disc_copies',
    nodes: [3],
    rows: [ROWS],
    clients: () => CLIENTS,
    netTicktimesMs: [NET_TICKTIME_MS],
    isEverywhere: false,
    roundTripMs: 0,
    comparedBy: 'ops_per_s',
    measure: measureThroughput,
    ...named,
  };
}

const hotRows: Named = {
  name: 'W7',
  title: `read-modify-write of ${HOT_ROWS} hot rows from all nodes`,
  operation: 'tx_read_modify_write',
  rows: [HOT_ROWS],
  isEverywhere: true,
  clients: (nodes) => CLIENTS_PER_NODE.map((count) => count * nodes),
};

export const WORKLOADS: readonly Workload[] = [
  workload({ name: 'W1', title: 'dirty read', operation: 'dirty_read', storage: 'ram_copies', nodes: [1] }),
  workload({
    name: 'W2',
    title: 'read in a transaction',
    operation: 'tx_read',
    storage: 'ram_copies',
    nodes: [1, 3],
  }),
  workload({
    name: 'W3',
    title: 'write in a transaction, in memory',
    operation: 'tx_write',
    storage: 'ram_copies',
    nodes: [1, 3],
  }),
  workload({ name: 'W4', title: 'write in a transaction, on disc', operation: 'tx_write', nodes: [1, 3] }),
  workload({ name: 'W5', title: 'write in a transaction, synced on every disc', operation: 'sync_tx_write' }),
  workload({ name: 'W6', title: 'dirty write, on disc', operation: 'dirty_write' }),
  workload(hotRows),
  workload({ ...hotRows, name: 'W7R', title: `${hotRows.title}, in memory`, storage: 'ram_copies' }),
  workload({
    name: 'W9',
    title: 'a node restarts beside others that changed no rows, few or all meanwhile',
    operation: 'catch_up',
    rows: [MANY_ROWS],
    clients: () => [],
    comparedBy: 'caught_up_s',
    measure: measureCatchUp,
  }),
  workload({
    name: 'W10',
    title: 'one of three is killed under writes: the longest time without a commit',
    operation: 'kill_one',
    clients: () => [1, 8],
    comparedBy: 'longest_gap_ms',
    measure: measureLoss('SIGKILL'),
  }),
  workload({
    name: 'W10S',
    title: 'one of three hangs under writes: the longest time without a commit',
    operation: 'hang_one',
    clients: () => [8],
    netTicktimesMs: [NET_TICKTIME_MS, NET_TICKTIME_SHORT_MS],
    comparedBy: 'longest_gap_ms',
    measure: measureLoss('SIGSTOP'),
  }),
  workload({
    name: 'W11',
    title: 'the only node restarts and loads its disc',
    operation: 'disc_load',
    nodes: [1],
    rows: [MANY_ROWS],
    clients: () => [],
    comparedBy: 'caught_up_s',
    measure: measureDiscLoad,
  }),
  workload({
    name: 'W12',
    title: 'all nodes are killed at once under acknowledged writes, ten times: how many are lost',
    operation: 'kill_all',
    nodes: [1, 3],
    rows: [0],
    clients: () => [64],
    comparedBy: 'lost_acknowledged',
    measure: measureLostWrites,
  }),
  workload({
    name: 'W13',
    title: 'cut in two, changed on both sides, healed under writes',
    operation: 'cut_and_heal',
    clients: () => [6],
    comparedBy: 'equal_replicas_ms',
    measure: measureHeal,
  }),
  workload({
    name: 'W14',
    title: `write in a transaction, on disc, ${FAR_ROUND_TRIP_MS} ms apart`,
    operation: 'tx_write',
    clients: () => [1, 64],
    roundTripMs: FAR_ROUND_TRIP_MS,
  }),
  workload({
    name: 'W15',
    title: 'growth of the cluster: write in a transaction, on disc',
    operation: 'tx_write',
    nodes: [1, 2, 3, 6],
    clients: () => [64],
  }),
  workload({
    name: 'W15R',
    title: 'growth of the table: write in a transaction, on disc',
    operation: 'tx_write',
    rows: [1000, 100_000, 1_000_000],
    clients: () => [64],
  }),
];

export function workloadNamed(name: string): Workload | undefined {
  return WORKLOADS.find((workload) => workload.name === name.toUpperCase());
}
