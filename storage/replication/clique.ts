/**
 * Overlapping partitions: A and B lost each other while both reach C. Every node computes the same answer to "who stays
 * together": the largest set of nodes that all see each other; among equals the one with the configuration primary,
 * then the one with the smallest names (storage.md §5).
 */

export interface Connectivity {
  /** Nodes, sorted by name. */
  readonly nodes: readonly string[];
  /** Whether two nodes each report a link to the other. */
  linked(a: string, b: string): boolean;
  readonly primary: string | undefined;
}

function isClique(members: readonly string[], linked: Connectivity['linked']): boolean {
  return members.every((a, i) => members.every((b, j) => j <= i || linked(a, b)));
}

/** Negative: `a` is the better island. */
function compareIslands(a: readonly string[], b: readonly string[], primary: string | undefined): number {
  if (a.length !== b.length) return b.length - a.length;
  if (primary !== undefined && a.includes(primary) !== b.includes(primary)) return a.includes(primary) ? -1 : 1;
  const [first, second] = [a.join(' '), b.join(' ')];
  return first < second ? -1 : first > second ? 1 : 0;
}

/** The nodes divided into islands, best first. At most six nodes: every subset is looked at. */
export function divideIntoCliques({ nodes, linked, primary }: Connectivity): string[][] {
  const islands: string[][] = [];
  let rest = [...nodes];
  while (rest.length > 0) {
    let best: string[] = [rest[0] as string];
    for (let mask = 1; mask < 1 << rest.length; mask++) {
      const members = rest.filter((_, index) => (mask & (1 << index)) !== 0);
      if (isClique(members, linked) && compareIslands(members, best, primary) < 0) best = members;
    }
    islands.push(best);
    rest = rest.filter((node) => !best.includes(node));
  }
  return islands;
}
