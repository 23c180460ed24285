/**
 * Is a set of transactions strictly serializable? They are, when the graph of what each must come after has no cycle:
 * ww (overwrote it), wr (read what it wrote), rw (read what it then overwrote) and real time (it had its answer before
 * the other was asked). The order of versions of each row is given, so the question is easy.
 */
import type { Count } from './checker.ts';

export interface GraphTransaction {
  /** Words for a person: which operation, of whom. */
  readonly name: string;
  readonly invokedUs: number;
  /** Undefined when it never answered: it may have happened any time later. */
  readonly completedUs: number | undefined;
  /** Version read of each row before its own writes; undefined is the row that never was. */
  readonly reads: ReadonlyMap<string, string | undefined>;
  readonly writes: ReadonlyMap<string, string>;
}

type EdgeKind = 'ww' | 'wr' | 'rw' | 'real time';

interface Edge {
  readonly to: number;
  readonly kind: EdgeKind;
  readonly row: string;
}

export interface GraphOptions {
  /** Whether an answer given before another was asked for counts. Default true. */
  readonly realTime?: boolean;
  readonly count?: Count | undefined;
}

export interface Cycle {
  readonly anomaly: string;
  readonly text: string;
}

/** `orders`: every row's versions, oldest first. Versions nobody in `transactions` wrote are simply without a writer. */
export function findCycle(
  transactions: readonly GraphTransaction[],
  orders: ReadonlyMap<string, readonly string[]>,
  { realTime = true, count }: GraphOptions = {},
): Cycle | undefined {
  const edges = dependencyEdges(transactions, orders);
  if (realTime) addRealTime(transactions, edges);
  count?.(
    'edges',
    edges.reduce((sum, from) => sum + from.length, 0),
  );
  const component = smallestComponent(edges);
  if (!component) return undefined;
  return describeCycle(transactions, shortestCycle(edges, component));
}

function dependencyEdges(
  transactions: readonly GraphTransaction[],
  orders: ReadonlyMap<string, readonly string[]>,
): Edge[][] {
  const edges: Edge[][] = transactions.map(() => []);
  const add = (from: number | undefined, to: number | undefined, kind: EdgeKind, row: string): void => {
    if (from !== undefined && to !== undefined && from !== to) (edges[from] as Edge[]).push({ to, kind, row });
  };
  const writers = new Map<string, number>();
  transactions.forEach((transaction, index) => {
    for (const [row, version] of transaction.writes) writers.set(`${row} ${version}`, index);
  });
  const writerOf = (row: string, version: string | undefined): number | undefined => writers.get(`${row} ${version}`);
  const places = new Map<string, Map<string, number>>();
  for (const [row, order] of orders) {
    places.set(row, new Map(order.map((version, place) => [version, place])));
    for (let place = 1; place < order.length; place++)
      add(writerOf(row, order[place - 1]), writerOf(row, order[place]), 'ww', row);
  }
  transactions.forEach((transaction, index) => {
    for (const [row, version] of transaction.reads) {
      const place = version === undefined ? -1 : places.get(row)?.get(version);
      if (version !== undefined) add(writerOf(row, version), index, 'wr', row);
      if (place !== undefined) add(index, writerOf(row, orders.get(row)?.[place + 1]), 'rw', row);
    }
  });
  return edges;
}

/** One point in time per answer, chained; a transaction asked later hangs from the last answer before it. */
function addRealTime(transactions: readonly GraphTransaction[], edges: Edge[][]): void {
  const answered = transactions
    .map((transaction, index) => ({ index, atUs: transaction.completedUs }))
    .filter((answer): answer is { index: number; atUs: number } => answer.atUs !== undefined)
    .sort((a, b) => a.atUs - b.atUs || a.index - b.index);
  const first = edges.length;
  answered.forEach((answer, place) => {
    edges.push([]);
    (edges[answer.index] as Edge[]).push({ to: first + place, kind: 'real time', row: '' });
    if (place > 0) (edges[first + place - 1] as Edge[]).push({ to: first + place, kind: 'real time', row: '' });
  });
  transactions.forEach((transaction, index) => {
    const place = lastBefore(answered, transaction.invokedUs);
    if (place >= 0) (edges[first + place] as Edge[]).push({ to: index, kind: 'real time', row: '' });
  });
}

function lastBefore(answered: readonly { atUs: number }[], limitUs: number): number {
  let low = 0;
  let high = answered.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((answered[middle] as { atUs: number }).atUs < limitUs) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Tarjan without recursion; the smallest strongly connected component of more than one node. */
function smallestComponent(edges: readonly (readonly Edge[])[]): Set<number> | undefined {
  const order = new Int32Array(edges.length).fill(-1);
  const low = new Int32Array(edges.length);
  const onStack = new Uint8Array(edges.length);
  const stack: number[] = [];
  let counter = 0;
  let smallest: number[] | undefined;
  const open = (node: number): { node: number; next: number } => {
    order[node] = counter;
    low[node] = counter++;
    stack.push(node);
    onStack[node] = 1;
    return { node, next: 0 };
  };
  for (let root = 0; root < edges.length; root++) {
    if (order[root] !== -1) continue;
    const work = [open(root)];
    while (work.length > 0) {
      const frame = work[work.length - 1] as { node: number; next: number };
      const edge = (edges[frame.node] as readonly Edge[])[frame.next++];
      if (edge) {
        if (order[edge.to] === -1) work.push(open(edge.to));
        else if (onStack[edge.to]) low[frame.node] = Math.min(low[frame.node] as number, order[edge.to] as number);
        continue;
      }
      work.pop();
      const above = work[work.length - 1];
      if (above) low[above.node] = Math.min(low[above.node] as number, low[frame.node] as number);
      if (low[frame.node] !== order[frame.node]) continue;
      const component = stack.splice(stack.lastIndexOf(frame.node));
      for (const member of component) onStack[member] = 0;
      if (component.length > 1 && (!smallest || component.length < smallest.length)) smallest = component;
    }
  }
  return smallest && new Set(smallest);
}

interface Hop {
  readonly from: number;
  readonly edge: Edge;
}

function shortestCycle(edges: readonly (readonly Edge[])[], component: ReadonlySet<number>): Hop[] {
  let best: Hop[] | undefined;
  let tries = 0;
  for (const start of component) {
    if (tries++ > 200 && best) break;
    const found = shortestWayBack(edges, component, start, best?.length ?? Number.POSITIVE_INFINITY);
    if (found && (!best || found.length < best.length)) best = found;
  }
  return best ?? [];
}

function shortestWayBack(
  edges: readonly (readonly Edge[])[],
  component: ReadonlySet<number>,
  start: number,
  most: number,
): Hop[] | undefined {
  const cameBy = new Map<number, Hop>();
  let front = [start];
  for (let length = 1; front.length > 0 && length < most; length++) {
    const next: number[] = [];
    for (const from of front) {
      for (const edge of edges[from] as readonly Edge[]) {
        if (!component.has(edge.to) || cameBy.has(edge.to)) continue;
        cameBy.set(edge.to, { from, edge });
        if (edge.to === start) return unwind(cameBy, start);
        next.push(edge.to);
      }
    }
    front = next;
  }
  return undefined;
}

function unwind(cameBy: ReadonlyMap<number, Hop>, start: number): Hop[] {
  const hops: Hop[] = [];
  let at = start;
  do {
    const hop = cameBy.get(at) as Hop;
    hops.unshift(hop);
    at = hop.from;
  } while (at !== start);
  return hops;
}

function describeCycle(transactions: readonly GraphTransaction[], hops: readonly Hop[]): Cycle {
  const kinds = new Set(hops.map((hop) => hop.edge.kind));
  const antiDependencies = hops.filter((hop) => hop.edge.kind === 'rw').length;
  const base = antiDependencies === 0 ? (kinds.has('wr') ? 'G1c' : 'G0') : antiDependencies === 1 ? 'G-single' : 'G2';
  const anomaly = kinds.has('real time') ? `${base} with real time` : base;
  // The chain of moments is an aid of the graph; a person wants to read transactions only.
  const start = hops.findIndex((hop) => hop.from < transactions.length);
  const turned = start < 0 ? hops : [...hops.slice(start), ...hops.slice(0, start)];
  const lines: string[] = [];
  for (const { from, edge } of turned) {
    const transaction = transactions[from];
    if (!transaction) continue;
    const why = edge.kind === 'real time' ? 'was answered before' : `${edge.kind} on ${edge.row} before`;
    lines.push(`${transaction.name} ${why}`);
  }
  const again = transactions[(turned[0] as Hop).from];
  return { anomaly, text: `${lines.join('\n  ')}\n  ${again?.name ?? 'the first'}` };
}
