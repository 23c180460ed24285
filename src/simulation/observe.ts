/** Reads the state of the databases from outside: for the wait until all is quiet, and for the checkers at the end. */
import type { Value } from '../../storage/types.ts';
import type { Cluster, SimulatedNode } from './cluster.ts';
import { keyText, type NodeState, type TablePlan, type TableState } from './history.ts';
import { holdersAt } from './schema-operations.ts';

export function stateOf(node: SimulatedNode, tables: readonly TablePlan[]): NodeState {
  const { database } = node;
  const base = { node: node.index, label: node.label, pendingTimers: node.clock?.pendingTimers ?? 0 };
  if (!database || !node.ready) {
    return {
      ...base,
      running: false,
      view: [],
      heldLocks: 0,
      lockQueue: 0,
      transactions: 0,
      recentCommits: 0,
      owedRows: 0,
      tables: new Map(),
      ledger: [],
    };
  }
  const system = database.systemInfo();
  const states = new Map<string, TableState>();
  for (const plan of tables) {
    if (!plan.holders.includes(node.index)) continue;
    const info = database.tableInfo(plan.name);
    const rows: [string, Value][] = [];
    if (info.loaded) database.dirtyForEach(plan.name, (key, value) => rows.push([keyText(key), value]));
    rows.sort(([a], [b]) => (a < b ? -1 : 1));
    states.set(plan.name, { loaded: info.loaded, digest: info.digest, rows: new Map(rows) });
  }
  return {
    ...base,
    running: true,
    view: system.runningDbNodes,
    heldLocks: system.heldLocks,
    lockQueue: system.lockQueue,
    transactions: system.transactions,
    recentCommits: system.recentCommits,
    owedRows: system.changedSince.reduce((sum, { rows, collapsed }) => sum + rows + collapsed.length, 0),
    tables: states,
    ledger: database.ledger(),
  };
}

/** What keeps the cluster from being at rest, in words, one thing after the other; nothing when nothing does. */
export function* unrest(cluster: Cluster, tables: readonly TablePlan[]): Generator<string> {
  const nodes = cluster.nodes.filter((node) => !node.isToCome);
  for (const node of nodes) {
    const { database } = node;
    if (!node.ready || !database) {
      yield `${node.label} is not open`;
      continue;
    }
    const system = database.systemInfo();
    const unseen = nodes.filter((other) => !system.runningDbNodes.includes(other.name));
    if (unseen.length > 0) yield `${node.label} does not count ${unseen.map((other) => other.label)} as running`;
    if (system.heldLocks > 0) yield `${node.label} holds ${system.heldLocks} locks`;
    if (system.lockQueue > 0) yield `${node.label} has ${system.lockQueue} waiting for locks`;
    if (system.transactions > 0) yield `${node.label} has ${system.transactions} transactions`;
  }
  for (const plan of tables) {
    if (plan.moves) yield* holderUnrest(cluster, plan);
    yield* tableUnrest(cluster, plan);
  }
}

/** All must say alike who holds it; the plan takes that over. */
function* holderUnrest(cluster: Cluster, plan: TablePlan): Generator<string> {
  const said = cluster.nodes.flatMap(({ database, ready }) =>
    ready && database ? [holdersAt(database, plan.name).join(' ')] : [],
  );
  const names = said[0]?.split(' ') ?? [];
  if (said.some((other) => other !== said[0]))
    yield `the nodes do not agree who holds ${plan.name}: ${said.join('; ')}`;
  const holders = cluster.nodes.filter(({ name }) => names.includes(name)).map(({ index }) => index);
  plan.holders.splice(0, plan.holders.length, ...holders);
}

function* tableUnrest(cluster: Cluster, plan: TablePlan): Generator<string> {
  const digests = new Set<string>();
  for (const index of plan.holders) {
    const node = cluster.nodes[index] as SimulatedNode;
    if (!node.ready || !node.database) continue;
    const info = node.database.tableInfo(plan.name);
    // They are merged once more for that.
    if (info.majority && info.forgetful.length > 0)
      yield `${plan.name} on ${node.label} does not count ${info.forgetful.join(', ')} yet`;
    if (!info.loaded) {
      const awaited = info.awaiting.length > 0 ? `, awaiting ${info.awaiting}` : '';
      yield `${plan.name} is not loaded on ${node.label}${awaited}`;
    }
    digests.add(info.digest);
  }
  if (digests.size > 1 && !plan.localContent) yield `the replicas of ${plan.name} differ`;
}
