/**
 * Table definitions as the database keeps them, and how two of them become one. Two nodes that made the same
 * definition apart made the same table: their replicas unite. Definitions that differ are refused, by property.
 */
import type { NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { AccessMode, MergeRule, StorageKind, TableDefinition, Value } from '../types.ts';
import { withFormers } from './majorities.ts';
import { differingProperty, isRule, type PropertyHistory, RULES, uniteProperties } from './properties.ts';

/** A replica that was added, removed or changed at run time; `kind` undefined: removed. */
export interface ReplicaMove {
  readonly at: number;
  readonly kind: StorageKind | undefined;
}

export interface SchemaTable {
  readonly name: string;
  /** Its identity: the cookie it was made with, and those of the tables it was united with; in order. */
  readonly cookies: readonly string[];
  readonly replicas: ReadonlyMap<NodeId, StorageKind>;
  readonly localContent: boolean;
  readonly merge: MergeRule;
  readonly ownerField: string | undefined;
  readonly loadOrder: number;
  readonly majority: boolean;
  readonly accessMode: AccessMode;
  readonly userProperties: ReadonlyMap<string, Value>;
  /** A deleted table is remembered, so that a node that was away does not bring it back. 0: not deleted. */
  readonly deletedAt: number;
  readonly createdAt: number;
  /** By cookie, when tables of this name were deleted, this one among them: rows of those belong to no table any more. */
  readonly dead: ReadonlyMap<string, number>;
  /** By node, the last change of its replica at run time: it stands against what nodes declare when they start. */
  readonly moves: ReadonlyMap<NodeId, ReplicaMove>;
  /** By node, when its replica was made, or given its rows anew: of what was written before, its votes say nothing. */
  readonly born: ReadonlyMap<NodeId, number>;
  /** Lists of replicas that may still be in force elsewhere: of each, too, more than half must agree (majorities.ts). */
  readonly formers: readonly (readonly NodeId[])[];
  /** Of properties that were changed at run time. */
  readonly histories: ReadonlyMap<string, PropertyHistory>;
}

export const PARTITION_LEDGER = 'partition_ledger';
const NAME_LENGTH_MAX = 128;
/** Deleted tables of one name that are remembered: a node that was away for more of them brings its rows back. */
const DEAD_MAX = 200;

/** The name of the function that merges a table, if one does. */
export function mergeFunctionOf({ merge }: Pick<SchemaTable, 'merge'>): string | undefined {
  return typeof merge === 'object' ? merge.function : undefined;
}

/** As the ledger and messages name it. */
export function ruleText(rule: MergeRule): string {
  return typeof rule === 'object' ? `function:${rule.function}` : rule;
}

export function badDefinition(name: string, property: string, why: string): StorageError {
  return new StorageError('bad_definition', `Table "${name}" cannot be created: ${property} ${why}.`, {
    table: name,
    property,
  });
}

/** Checks a caller's definition. Replicas are given as node ids already. */
export function makeDefinition(
  definition: TableDefinition,
  replicas: ReadonlyMap<NodeId, StorageKind>,
  cookie: string,
  createdAt: number,
): SchemaTable {
  const { name } = definition;
  const bad = (property: string, why: string): StorageError => badDefinition(String(name), property, why);
  if (typeof name !== 'string' || name.length === 0 || name.length > NAME_LENGTH_MAX) {
    throw bad('name', `must be a text of 1 to ${NAME_LENGTH_MAX} characters`);
  }
  const merge = definition.merge ?? 'last_write';
  if (!isRule(merge)) throw bad('merge', `must be one of ${RULES.join(', ')}, or { function: name }`);
  if (merge === 'owner' && !definition.owner_field) {
    throw bad('owner_field', 'must name the field that holds the owner when merge is "owner"');
  }
  const loadOrder = definition.load_order ?? 0;
  if (!Number.isSafeInteger(loadOrder)) throw bad('load_order', 'must be a whole number');
  const accessMode = definition.access_mode ?? 'read_write';
  if (accessMode !== 'read_write' && accessMode !== 'read_only') {
    throw bad('access_mode', 'must be read_write or read_only');
  }
  if (definition.majority && merge !== 'last_write') {
    throw bad(
      'merge',
      'must be last_write, or left out, where a majority decides: what it wrote last is what is right',
    );
  }
  if (definition.local_content && definition.majority) {
    throw bad('majority', 'has no meaning for a local_content table');
  }
  return {
    name,
    cookies: [cookie],
    replicas,
    localContent: definition.local_content ?? false,
    merge,
    ownerField: definition.owner_field,
    loadOrder,
    majority: definition.majority ?? false,
    accessMode,
    userProperties: new Map(Object.entries(definition.user_properties ?? {})),
    deletedAt: 0,
    createdAt,
    dead: new Map(),
    moves: new Map(),
    born: new Map(),
    formers: [],
    histories: new Map(),
  };
}

/** Whether they are one table: made together, or united since. */
export function isSameTable(ours: SchemaTable, theirs: SchemaTable): boolean {
  return ours.cookies.some((cookie) => theirs.cookies.includes(cookie));
}

/** The first property in which two definitions of one name are in conflict, if any. Replicas and cookies may differ. */
export function firstDifference(ours: SchemaTable, theirs: SchemaTable): string | undefined {
  if (isGone(ours, theirs) || isGone(theirs, ours)) return undefined;
  if (ours.localContent !== theirs.localContent) return 'local_content';
  return differingProperty(ours, theirs, isSameTable(ours, theirs));
}

/** When the last table of this name was deleted. 0: never. */
export function lastDeleted({ dead }: SchemaTable): number {
  return Math.max(0, ...dead.values());
}

/** Whether `table` is one that was deleted, as `other` knows: rows of it belong to no table any more. */
export function isSuperseded(table: SchemaTable, other: SchemaTable): boolean {
  return table.deletedAt === 0 && table.cookies.some((cookie) => other.dead.has(cookie));
}

function isGone(table: SchemaTable, other: SchemaTable): boolean {
  return table.deletedAt > 0 || isSuperseded(table, other);
}

/** The definition once its table is deleted: of this identity, not of every table of this name. */
export function deletedDefinition(table: SchemaTable, at: number): SchemaTable {
  const own = table.cookies.map((cookie): [string, number] => [cookie, at]);
  return { ...table, deletedAt: at, dead: withDead(table.dead, own) };
}

/** Of tables of one name, what any of them knows as deleted. */
export function allDead(tables: readonly SchemaTable[]): ReadonlyMap<string, number> {
  return tables.reduce<ReadonlyMap<string, number>>((dead, table) => withDead(dead, table.dead), new Map());
}

function withDead(
  dead: ReadonlyMap<string, number>,
  added: Iterable<readonly [string, number]>,
): ReadonlyMap<string, number> {
  const all = new Map(dead);
  for (const [cookie, at] of added) all.set(cookie, Math.max(at, all.get(cookie) ?? 0));
  const inOrder = [...all].sort(([a, atA], [b, atB]) => atA - atB || (a < b ? -1 : 1));
  return new Map(inOrder.slice(-DEAD_MAX));
}

/** One definition out of two that agree (see firstDifference). The same on whichever node it is computed. */
export function uniteDefinitions(ours: SchemaTable, theirs: SchemaTable): SchemaTable {
  const dead = withDead(ours.dead, theirs.dead);
  const [oursGone, theirsGone] = [isGone(ours, theirs), isGone(theirs, ours)];
  if (oursGone && theirsGone) {
    const later = ours.deletedAt >= theirs.deletedAt ? ours : theirs;
    return { ...later, deletedAt: Math.max(...dead.values()), dead };
  }
  if (theirsGone) return { ...ours, dead };
  if (oursGone) return { ...theirs, dead };
  const replicas = new Map(ours.replicas);
  // A node that asks for disc gets disc.
  for (const [node, kind] of theirs.replicas) {
    if (replicas.get(node) !== 'disc_copies') replicas.set(node, kind);
  }
  const cookies = [...new Set([...ours.cookies, ...theirs.cookies])].sort();
  const isOursElder = ours.cookies[0] === cookies[0];
  const [elder, younger] = isOursElder ? [ours, theirs] : [theirs, ours];
  const united = uniteProperties(withBirths(elder, younger.born), younger, isSameTable(ours, theirs));
  const moved = withMoves({ ...united, cookies, replicas, dead, moves: ours.moves }, theirs.moves);
  return withFormers(moved, [...ours.formers, ...theirs.formers], new Set());
}

/** The definition with replicas added, removed and changed; of two changes at a node the later one holds. */
export function withMoves(table: SchemaTable, added: ReadonlyMap<NodeId, ReplicaMove>): SchemaTable {
  const moves = new Map(table.moves);
  for (const [node, move] of added) if (move.at > (moves.get(node)?.at ?? 0)) moves.set(node, move);
  const replicas = new Map(table.replicas);
  for (const [node, { kind }] of moves) {
    if (kind === undefined) replicas.delete(node);
    else replicas.set(node, kind);
  }
  // Each side removed the last replica of the other: both stay, so that no row is lost.
  return replicas.size === 0 ? { ...table, moves: new Map() } : { ...table, replicas, moves };
}

/** The definition with replicas made, or given their rows anew, at these moments; the later one of two holds. */
export function withBirths(table: SchemaTable, births: ReadonlyMap<NodeId, number>): SchemaTable {
  if (births.size === 0) return table;
  const born = new Map(table.born);
  for (const [node, at] of births) born.set(node, Math.max(at, born.get(node) ?? 0));
  return { ...table, born };
}

/** The definition without replicas at `nodes`, unless nobody would be left. */
export function withoutNodes(table: SchemaTable, nodes: ReadonlySet<NodeId>): SchemaTable {
  if (![...table.replicas.keys()].some((node) => nodes.has(node))) return table;
  const replicas = new Map([...table.replicas].filter(([node]) => !nodes.has(node)));
  if (replicas.size === 0) return table;
  return { ...table, replicas, moves: new Map([...table.moves].filter(([node]) => !nodes.has(node))) };
}
