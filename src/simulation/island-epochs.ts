/**
 * Where a split is possible, strict serializability is promised among the nodes of one island. An epoch is a time in
 * which no node's view changed; in it, nodes whose views agree are an island, and the transactions that began and
 * ended there must be strictly serializable among themselves.
 */
import type { Count } from './checker.ts';
import type { History, Operation } from './history.ts';
import { checkLists, type ListFinding } from './list-append.ts';

export interface IslandEpoch {
  readonly fromUs: number;
  readonly toUs: number;
  /** Indices of its nodes. */
  readonly nodes: readonly number[];
}

const SHORTEST_US = 300_000;

export function islandEpochs(history: History): IslandEpoch[] {
  const changes = [...history.membership].sort((a, b) => a.atUs - b.atUs);
  const lastUs = history.operations.reduce((last, operation) => Math.max(last, operation.completedUs ?? 0), 0);
  const views = new Map<number, string>();
  const epochs: IslandEpoch[] = [];
  changes.forEach((change, place) => {
    views.set(change.node, change.view.join(' '));
    const fromUs = change.atUs;
    const toUs = changes[place + 1]?.atUs ?? lastUs + 1;
    if (toUs - fromUs < SHORTEST_US) return;
    for (const nodes of islandsOf(views, history)) epochs.push({ fromUs, toUs, nodes });
  });
  return epochs;
}

/** Nodes that name exactly each other; whoever disagrees with one of them belongs to no island now. */
function islandsOf(views: ReadonlyMap<number, string>, history: History): number[][] {
  const groups = new Map<string, number[]>();
  for (const [node, view] of views) if (view !== '') groups.set(view, [...(groups.get(view) ?? []), node]);
  return [...groups]
    .filter(([view, nodes]) => {
      const members = nodes.map((node) => history.names[node] as string).sort();
      return view.split(' ').sort().join(' ') === members.join(' ');
    })
    .map(([, nodes]) => nodes);
}

export function checkIslandLists(
  history: History,
  tables: ReadonlySet<string>,
  count: Count,
): { readonly epoch: IslandEpoch; readonly finding: ListFinding } | undefined {
  const about = history.operations
    .filter(({ steps }) => steps.some((step) => tables.has(step.table)))
    .sort((a, b) => a.invokedUs - b.invokedUs);
  // Epochs too come in the order of time, so what began before one began before the next one.
  let first = 0;
  for (const epoch of islandEpochs(history)) {
    while ((about[first]?.invokedUs ?? Number.POSITIVE_INFINITY) < epoch.fromUs) first++;
    const operations = within(about, first, epoch);
    if (operations.length === 0) continue;
    count('island epochs');
    const finding = checkLists({ tables, operations, final: undefined, count });
    if (finding) return { epoch, finding };
  }
  return undefined;
}

/** Those that began and ended in the epoch, on one of its nodes. */
function within(operations: readonly Operation[], first: number, { nodes, toUs }: IslandEpoch): Operation[] {
  const found: Operation[] = [];
  for (let at = first; at < operations.length; at++) {
    const operation = operations[at] as Operation;
    if (operation.invokedUs >= toUs) break;
    if (operation.completedUs === undefined || operation.completedUs >= toUs) continue;
    if (nodes.includes(operation.node)) found.push(operation);
  }
  return found;
}
