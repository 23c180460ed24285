/**
 * Which tables a set of nodes that see each other may load (Mnesia's start rules, with one change: rows carry versions
 * and are merged, so freshness never depends on the order in which nodes are started).
 */
import type { NodeId } from '../environment.ts';
import type { SchemaTable } from '../schema/definition.ts';

/** What a member saw of nodes that went down and did not come back. */
export interface Witness {
  readonly node: NodeId;
  /** Notes it goes by when it loads a table. */
  readonly downs: readonly NodeId[];
  /** When it saw each go, those among them of which it knows no better. */
  readonly went: readonly (readonly [node: NodeId, hlc: number])[];
  /** Who it would wait for, as it holds a replica of the same table and did not see them go. */
  readonly awaits?: ReadonlySet<NodeId>;
}

/**
 * Notes that were overtaken, as `[member, node]`: another member, which the first did not see go, saw that node go after
 * the first one had gone, or saw the first one go and that node never since. So it may have run on, whatever the first one
 * noted before; and whoever said so may be gone itself when the first one is to load a table.
 */
export function overtakenNotes(members: readonly Witness[]): [member: NodeId, node: NodeId][] {
  const overtaken: [NodeId, NodeId][] = [];
  for (const { node: member, downs } of members) {
    const witnesses = members.filter((other) => other.node !== member && !downs.includes(other.node));
    for (const node of downs) {
      const isOvertaken = witnesses.some(({ went, awaits }) => {
        const when = new Map(went);
        const wentAt = when.get(node) ?? (awaits?.has(node) ? Number.POSITIVE_INFINITY : 0);
        return when.has(member) && wentAt > (when.get(member) as number);
      });
      if (isOvertaken) overtaken.push([member, node]);
    }
  }
  return overtaken;
}

export interface LoadOpinion {
  readonly node: NodeId;
  readonly loaded: boolean;
  /** Replicas of the table as this one knows it; all when absent. */
  readonly knows?: { has(node: NodeId): boolean } | undefined;
  /** Nodes this one saw go down and not come back. */
  readonly downs: readonly NodeId[];
  /** Its master nodes of the table, if any were set there (M73). */
  readonly masters?: readonly NodeId[] | undefined;
}

/**
 * Disc replica holders that must be waited for before the table may be loaded; empty: load it. A replica that is loaded
 * speaks for those it knows, and for those whom others know together with it. Where the table was made twice, apart, one of
 * the others may await somebody as before.
 */
export function awaitedHolders(table: SchemaTable, members: readonly LoadOpinion[]): NodeId[] {
  if (table.localContent) return [];
  const isKnown = (node: NodeId): boolean =>
    members.some(({ loaded, knows }) => loaded && (knows === undefined || knows.has(node)));
  const holding = members.filter(
    ({ node, loaded }) => table.replicas.get(node) === 'disc_copies' && !loaded && !isKnown(node),
  );
  const discHolders = [...table.replicas].filter(([, kind]) => kind === 'disc_copies').map(([node]) => node);
  const present = new Set(members.map((member) => member.node));
  const absent = discHolders.filter((node) => !present.has(node) && !isKnown(node)).sort();
  const isLoaded = members.some(({ loaded }) => loaded);
  const awaited = isLoaded && holding.length === 0 ? absent.filter((node) => isOfAnother(node, members)) : absent;
  if (isLoaded && holding.length === 0 && awaited.length === 0) return [];
  // Nobody can have written to it (M22).
  if (table.accessMode === 'read_only') return [];
  const masters = new Set(members.flatMap((member) => (table.replicas.has(member.node) ? (member.masters ?? []) : [])));
  if (masters.size > 0) return members.some(({ node }) => masters.has(node)) ? [] : [...masters].sort();
  if (holding.length === 0) return awaited;
  // Who was itself seen going down, and did not see the witness go, has stale knowledge: others ran on after it.
  const valid = holding.filter((member) =>
    holding.every(
      (witness) => witness === member || !witness.downs.includes(member.node) || member.downs.includes(witness.node),
    ),
  );
  const witnesses = valid.length > 0 ? valid : holding;
  return awaited.filter((node) => witnesses.some((member) => !member.downs.includes(node)));
}

/**
 * Whether the replica of `node` is one of a table that was made apart from all that are loaded here: whoever knows it knows
 * none of these. It has been served, and nobody here has any of its rows.
 */
function isOfAnother(node: NodeId, members: readonly LoadOpinion[]): boolean {
  const knowing = members.filter(({ knows }) => knows?.has(node));
  return (
    knowing.length > 0 && !members.some((loaded) => loaded.loaded && knowing.some((m) => m.knows?.has(loaded.node)))
  );
}
