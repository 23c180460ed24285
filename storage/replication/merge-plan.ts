/**
 * The leader's arithmetic in a node connection transaction: from what the frozen members report, which replicas must be
 * asked for what. Pure.
 */
import type { NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import { allDead, firstDifference, isSuperseded, type SchemaTable, uniteDefinitions } from '../schema/definition.ts';
import { type PackedTable, unpackTable } from '../schema/packed.ts';
import type { PackedCollapsed } from './changed-since.ts';
import type { MemberReport, ReplicaReport } from './connection-messages.ts';
import { isForgotten, type Life, type Lives, learnLives } from './lives.ts';
import { isSameContent } from './same-content.ts';

export type Reports = ReadonlyMap<NodeId, MemberReport>;

/**
 * Whether the reported views divide the members into one or two islands that agree on who is in them. While views
 * overlap or differ, what a row has seen means nothing yet.
 */
export function isPartition(reports: Reports): boolean {
  const islands = new Set<string>();
  for (const report of reports.values()) {
    const island = report.view.join(' ');
    islands.add(island);
    for (const member of report.view) if (reports.get(member)?.view.join(' ') !== island) return false;
  }
  return islands.size <= 2;
}

/** One definition per name out of all members'. Throws `schema_conflict`, naming table, property and nodes. */
export function uniteSchemas(reports: Reports): Map<string, SchemaTable> {
  const united = new Map<string, SchemaTable>();
  for (const [name, definitions] of definitionsByName(reports)) united.set(name, uniteAll(definitions));
  return united;
}

interface Said {
  readonly packed: PackedTable;
  readonly by: string;
}

/** What was said of each table; once what all have said so far: mostly all say the same. */
function definitionsByName(reports: Reports): Map<string, Said[]> {
  const said = new Map<string, Said[]>();
  for (const [, report] of sorted(reports)) {
    for (const packed of report.schema) {
      const definitions = said.get(packed.name);
      if (definitions === undefined) said.set(packed.name, [{ packed, by: report.name }]);
      else if (definitions.length > 1 || !isSameContent(definitions[0]?.packed, packed)) {
        definitions.push({ packed, by: report.name });
      }
    }
  }
  return said;
}

/** A table that one of them knows as deleted is united with none: it would take another one of its name with it. */
function uniteAll(said: readonly Said[]): SchemaTable {
  const tables = said.map(({ packed }) => unpackTable(packed));
  const dead = allDead(tables);
  let united: SchemaTable | undefined;
  for (const [index, table] of tables.entries()) {
    const theirs = { ...table, dead };
    if (united !== undefined) checkAgree(united, theirs, [said[0]?.by ?? '', said[index]?.by ?? '']);
    united = united === undefined ? theirs : uniteDefinitions(united, theirs);
  }
  return united as SchemaTable;
}

function checkAgree(ours: SchemaTable, theirs: SchemaTable, nodes: readonly string[]): void {
  const property = firstDifference(ours, theirs);
  if (property === undefined) return;
  throw new StorageError(
    'schema_conflict',
    `Table "${theirs.name}" differs in ${property} between ${nodes.join(' and ')}. Change it to the same value on either side, or delete the table on one side: the other keeps its own.`,
    { table: theirs.name, property, nodes },
  );
}

/**
 * Members that came back with a disc older than what they had acknowledged: an old copy of it, say. What was on it was
 * known to the others long ago, and what it lacks may be a delete: such a replica is no source. One from a time when its
 * node ran alone was loaded at once: it is one only of what was written since it came back (see Source.copiedHlc).
 */
export function staleMembers(reports: Reports): NodeId[] {
  const stale = new Set<NodeId>();
  for (const report of reports.values()) {
    for (const [node, hlc] of report.acknowledged) {
      const its = reports.get(node);
      if (its !== undefined && its.storedHlc < hlc) stale.add(node);
    }
  }
  return [...stale].sort();
}

/** Identities known by the name of a member that now has another one. A member itself is never retired. */
export function retiredNodes(reports: Reports, nameOf: (node: NodeId) => string, known: Iterable<NodeId>): NodeId[] {
  const names = new Set([...reports.values()].map((report) => report.name));
  const retired = new Set([...reports.values()].flatMap((report) => report.retired));
  for (const node of known) if (names.has(nameOf(node))) retired.add(node);
  return [...retired].filter((node) => !reports.has(node)).sort();
}

export interface Source {
  readonly node: NodeId;
  /** Members of its island. */
  readonly island: readonly NodeId[];
  /** Other members of its island are sources too: it speaks for itself alone. */
  readonly isOneOfIsland: boolean;
  /** Nodes whose replica it does not know: it noted nothing for them. */
  readonly strangers: ReadonlySet<NodeId>;
  readonly lives: Lives;
  /** It has forgotten what it deleted since this version without the other island: what is not there was deleted. */
  readonly forgotDeletesHlc?: number | undefined;
  /** Its rows up to here were on an old copy of its disc: the other island has had all of them. */
  readonly copiedHlc?: number | undefined;
}

export interface TablePlan {
  readonly definition: SchemaTable;
  readonly sources: readonly Source[];
  /** Everything is asked for, not just what changed. */
  readonly full: boolean;
  /** Replicas of a table of this name that was deleted: what was written there meanwhile goes to the ledger. */
  readonly leftovers: readonly Leftover[];
}

export interface Leftover {
  readonly source: Source;
  /** The others were no replicas of it: it has noted nothing for them. */
  readonly full: boolean;
}

/** Who is asked for what of a table. `full` forces everything: digests showed that the deltas were not enough. */
export function planTable(
  definition: SchemaTable,
  reports: Reports,
  stale: readonly NodeId[],
  forceFull: boolean,
): TablePlan {
  const holders = presentHolders(definition, reports);
  const lacking = lackingMembers(definition, reports, stale);
  const leftovers = leftoversOf(definition, reports);
  const sources: Source[] = [];
  const seen = new Set<string>();
  const islands = new Set<string>();
  let hasForgotten = false;
  for (const node of holders) {
    const report = reports.get(node) as MemberReport;
    const replica = replicaOf(report, definition);
    if (replica === undefined || isLacking(replica, stale.includes(node))) continue;
    const island = report.view.join(' ');
    const identity = forceFull ? node : contentOf(island, replica);
    if (seen.has(identity)) continue;
    seen.add(identity);
    islands.add(island);
    hasForgotten ||= replica[5] || stale.includes(node);
    const strangers = new Set([...strangersTo(report, definition), ...lacking]);
    const copiedHlc = stale.includes(node) && wasMetSince(definition, node, reports) ? report.storedHlc : undefined;
    sources.push({ node, island: report.view, isOneOfIsland: false, strangers, lives: livesOf(report), copiedHlc });
  }
  for (const [i, source] of sources.entries()) {
    const isOneOfIsland = sources.some(({ node }) => node !== source.node && source.island.includes(node));
    sources[i] = { ...source, isOneOfIsland };
  }
  const isPartial = lacking.length > 0 || (hasForgotten && sources.length > 1) || sources.length > islands.size;
  const isUnsure = sources.some((source) => isUnsureOf(source, sources, definition, reports));
  const haveForgotten = rememberDeletes(definition.name, sources, reports, stale);
  return { definition, sources, full: forceFull || isPartial || isUnsure || haveForgotten, leftovers };
}

/**
 * Whether a member that holds the table was of one view with `node` after the copy of its disc was made, and so had all
 * that is on it. What nodes acknowledged is known in memory only: such a member has run on ever since, and what it holds
 * is what became of that.
 */
function wasMetSince(definition: SchemaTable, node: NodeId, reports: Reports): boolean {
  const { storedHlc } = reports.get(node) as MemberReport;
  return [...reports].some(([member, report]) => {
    const replica = replicaOf(report, definition);
    if (replica === undefined) return false;
    const [, loaded, fresh, , , rootless] = replica;
    const metHlc = new Map(report.acknowledged).get(node) ?? 0;
    const heldIt = loaded && !fresh && !rootless && (definition.born.get(member) ?? 0) <= metHlc;
    // An older copy had been put back before they met: that life knew nothing of this one.
    const isOther = isForgotten(livesOf(report).get(node), storedHlc, false);
    return heldIt && metHlc > storedHlc && !isOther;
  });
}

/** Notes which sources have forgotten what they deleted without the other island. Whether any has. */
function rememberDeletes(table: string, sources: Source[], reports: Reports, stale: readonly NodeId[]): boolean {
  let haveForgotten = false;
  for (const [i, source] of sources.entries()) {
    const { collapsed } = reports.get(source.node) as MemberReport;
    const owed = collapsed.filter(
      ([other, name]) => name === table && reports.has(other) && !source.island.includes(other),
    );
    const forgotten = owed.flatMap(([, , sinceHlc, forgotDeletes]) => (forgotDeletes ? [sinceHlc] : []));
    if (forgotten.length === 0) continue;
    haveForgotten = true;
    if (stale.includes(source.node)) continue;
    sources[i] = { ...source, forgotDeletesHlc: Math.min(...forgotten) };
  }
  return haveForgotten;
}

/** What members have collapsed of that which nodes outside lack: all of them do, as all have each other's rows now. */
export function collapsedOutside(reports: Reports): PackedCollapsed[] {
  const united = new Map<string, PackedCollapsed>();
  for (const [, { collapsed }] of sorted(reports)) {
    for (const [node, table, sinceHlc, forgotDeletes] of collapsed) {
      if (reports.has(node)) continue;
      const id = `${node} ${table}`;
      const [, , knownHlc, forgot] = united.get(id) ?? [node, table, sinceHlc, forgotDeletes];
      united.set(id, [node, table, Math.min(sinceHlc, knownHlc), forgotDeletes || forgot]);
    }
  }
  return [...united.values()];
}

/**
 * Whether what the source has noted is not all that is to be told: it noted nothing for anybody in another island, or it
 * does not know a holder that is away.
 */
function isUnsureOf({ strangers }: Source, sources: readonly Source[], table: SchemaTable, reports: Reports): boolean {
  const isStranger = (node: NodeId): boolean => strangers.has(node) || !table.replicas.has(node);
  return [...strangers].some((node) => !reports.has(node)) || sources.some(({ island }) => island.every(isStranger));
}

/** Holders that the member does not know, or whose replica was made anew since it met them. */
function strangersTo(report: MemberReport, { name, replicas, born }: SchemaTable): NodeId[] {
  const theirs = definitionAt(report, name);
  return [...replicas.keys()].filter(
    (node) => !theirs?.replicas.has(node) || (theirs.born.get(node) ?? 0) !== (born.get(node) ?? 0),
  );
}

/**
 * While they serve, the replicas of an island differ by what is under way; whether by more shows once they are frozen.
 */
function contentOf(island: string, [, loaded, , digest]: ReplicaReport): string {
  return `${island}|${loaded ? 'loaded' : digest}`;
}

/** Members that hold a replica now or will: one that is to be removed still has its rows to offer. */
function presentHolders(definition: SchemaTable, reports: Reports): NodeId[] {
  const holders = new Set(livingHolders(definition, reports));
  if (definition.deletedAt === 0) {
    for (const [node, report] of reports) if (replicaOf(report, definition) !== undefined) holders.add(node);
  }
  return [...holders].sort();
}

function livingHolders({ replicas, deletedAt }: SchemaTable, reports: Reports): NodeId[] {
  return deletedAt > 0 ? [] : [...replicas.keys()].filter((node) => reports.has(node));
}

/** One replica of each content, of a table that the others have deleted. */
function leftoversOf(definition: SchemaTable, reports: Reports): Leftover[] {
  const found = new Map<string, Leftover>();
  for (const [node, report] of sorted(reports)) {
    const theirs = definitionAt(report, definition.name);
    const replica = report.replicas.find(([name]) => name === definition.name);
    if (theirs === undefined || replica === undefined || !isSuperseded(theirs, definition)) continue;
    // Whoever deleted it in the same island had all of its rows.
    const isHeard = report.view.some((member) => {
      const known = definitionAt(reports.get(member) as MemberReport, definition.name);
      return known !== undefined && !isSuperseded(known, definition);
    });
    if (isHeard) continue;
    const identity = contentOf(report.view.join(' '), replica);
    if (found.has(identity)) continue;
    const knowsOthers = [...theirs.replicas.keys()].some((other) => reports.has(other) && !report.view.includes(other));
    const source = {
      node,
      island: report.view,
      isOneOfIsland: false,
      strangers: new Set<NodeId>(),
      lives: livesOf(report),
    };
    found.set(identity, { source, full: !knowsOthers });
  }
  return [...found.values()];
}

function livesOf(report: MemberReport): Map<NodeId, Life> {
  const lives = new Map<NodeId, Life>();
  learnLives(lives, report.lives);
  return lives;
}

/** What all members together know of lives. */
export function allLives(reports: Reports): Map<NodeId, Life> {
  const lives = new Map<NodeId, Life>();
  for (const report of reports.values()) learnLives(lives, report.lives);
  return lives;
}

/** Nothing to offer: an empty replica, or a stale one that has served nobody since. */
function isLacking([, loaded, fresh]: ReplicaReport, isStale: boolean): boolean {
  return fresh || (isStale && !loaded);
}

export function definitionAt(report: MemberReport, table: string): SchemaTable | undefined {
  const packed = report.schema.find(({ name }) => name === table);
  return packed === undefined ? undefined : unpackTable(packed);
}

/** The replica that a member holds of this table, and not of one of its name that was deleted. */
export function replicaOf(report: MemberReport, table: SchemaTable): ReplicaReport | undefined {
  const theirs = definitionAt(report, table.name);
  if (theirs === undefined || isSuperseded(theirs, table)) return undefined;
  return report.replicas.find(([name]) => name === table.name);
}

/** Whether anything must be fetched at all: equal replicas without changes to tell need nothing. */
export function needsRows(plan: TablePlan, reports: Reports, stale: readonly NodeId[]): boolean {
  if (plan.sources.length === 0) return false;
  // A holder that no source knows is owed all there is.
  for (const node of plan.definition.replicas.keys()) {
    if (!reports.has(node) && plan.sources.every(({ strangers }) => strangers.has(node))) return true;
  }
  const holders = [...plan.definition.replicas.keys()].filter((node) => reports.has(node));
  const digests = new Set<string>();
  for (const node of holders) {
    const replica = replicaOf(reports.get(node) as MemberReport, plan.definition);
    if (replica === undefined || isLacking(replica, stale.includes(node))) return true;
    digests.add(replica[3]);
  }
  return digests.size > 1;
}

/** Whether all members that hold the table reported the same content. */
export function areAlike({ definition }: TablePlan, reports: Reports): boolean {
  const digests = new Set<string | undefined>();
  for (const report of reports.values()) digests.add(replicaOf(report, definition)?.[3]);
  digests.delete(undefined);
  return digests.size === 1;
}

/** How many rows the largest replica has. */
export function rowsOf({ definition }: TablePlan, reports: Reports): number {
  let rows = 0;
  for (const report of reports.values()) rows = Math.max(rows, replicaOf(report, definition)?.[4] ?? 0);
  return rows;
}

/** Members that will hold a replica and have no rows of their own to offer. */
export function lackingMembers(definition: SchemaTable, reports: Reports, stale: readonly NodeId[]): NodeId[] {
  return livingHolders(definition, reports).filter((node) => {
    const replica = replicaOf(reports.get(node) as MemberReport, definition);
    return replica === undefined || isLacking(replica, stale.includes(node));
  });
}

/**
 * Whether what was planned from the first reports is still right by the second ones: nobody came or went, and no table
 * was made, deleted, loaded or forgotten meanwhile.
 */
export function isSamePlan(before: Reports, after: Reports): boolean {
  if (before.size !== after.size) return false;
  for (const [node, report] of after) {
    const known = before.get(node);
    if (known === undefined || !isSameContent(stanceOf(known), stanceOf(report))) return false;
  }
  return isSameContent(staleMembers(before), staleMembers(after));
}

function stanceOf({ view, schema, replicas, retired, lives, changes, removed, forced }: MemberReport): unknown[] {
  const states = replicas.map(([name, loaded, fresh, , , rootless]) => [name, loaded, fresh, rootless]);
  return [view, schema, states, retired, lives, changes, removed, forced];
}

export function sorted<T>(map: ReadonlyMap<NodeId, T>): [NodeId, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
