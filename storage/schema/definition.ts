/**
 * Table definitions as the database keeps them, and how two of them become one. Two nodes that made the same
 * definition apart made the same table: their replicas unite. Definitions that differ are refused, by property.
 */
import type { NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { MergeRule, StorageKind, TableDefinition } from '../types.ts';

/** A replica that was added, removed or changed at run time; `kind` undefined: removed. */
export interface ReplicaMove {
  readonly at: number;
  readonly kind: StorageKind | undefined;
}

export interface SchemaTable {
  readonly name: string;
  readonly cookie: string;
  readonly replicas: ReadonlyMap<NodeId, StorageKind>;
  readonly localContent: boolean;
  readonly merge: MergeRule;
  readonly ownerField: string | undefined;
  readonly loadOrder: number;
  readonly majority: boolean;
  /** A deleted table is remembered, so that a node that was away does not bring it back. 0: not deleted. */
  readonly deletedAt: number;
  readonly createdAt: number;
  /** When a table of this name was last deleted: one made before that is not this table. 0: never. */
  readonly deletedBefore: number;
  /** By node, the last change of its replica at run time: it stands against what nodes declare when they start. */
  readonly moves: ReadonlyMap<NodeId, ReplicaMove>;
  /** By node, when its replica was made, or given its rows anew: of what was written before, its votes say nothing. */
  readonly born: ReadonlyMap<NodeId, number>;
}

/** As it travels and lies on disc. */
export type PackedTable = [
  name: string,
  cookie: string,
  replicas: [NodeId, StorageKind][],
  localContent: boolean,
  merge: MergeRule,
  ownerField: string | null,
  loadOrder: number,
  majority: boolean,
  deletedAt: number,
  createdAt: number,
  deletedBefore: number,
  moves: [NodeId, number, StorageKind | null][],
  born: [NodeId, number][],
];

export const PARTITION_LEDGER = 'partition_ledger';
const NAME_LENGTH_MAX = 128;
const RULES: readonly MergeRule[] = ['last_write', 'owner', 'primary', 'manual'];

export function packTable(table: SchemaTable): PackedTable {
  const replicas = [...table.replicas].sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    table.name,
    table.cookie,
    replicas,
    table.localContent,
    table.merge,
    table.ownerField ?? null,
    table.loadOrder,
    table.majority,
    table.deletedAt,
    table.createdAt,
    table.deletedBefore,
    [...table.moves]
      .map(([node, { at, kind }]): [NodeId, number, StorageKind | null] => [node, at, kind ?? null])
      .sort(),
    [...table.born].sort(([a], [b]) => (a < b ? -1 : 1)),
  ];
}

export function unpackTable(packed: PackedTable): SchemaTable {
  const [name, cookie, replicas, localContent, merge, ownerField, loadOrder, majority] = packed;
  const [deletedAt, createdAt, deletedBefore] = packed.slice(8) as [number, number, number];
  const moves = packed[11] ?? [];
  return {
    name,
    cookie,
    replicas: new Map(replicas),
    localContent,
    merge,
    ownerField: ownerField ?? undefined,
    loadOrder,
    majority,
    deletedAt,
    createdAt,
    deletedBefore,
    moves: new Map(moves.map(([node, at, kind]) => [node, { at, kind: kind ?? undefined }])),
    born: new Map(packed[12] ?? []),
  };
}

/** The name of the function that merges a table, if one does. */
export function mergeFunctionOf({ merge }: Pick<SchemaTable, 'merge'>): string | undefined {
  return typeof merge === 'object' ? merge.function : undefined;
}

/** As the ledger and messages name it. */
export function ruleText(rule: MergeRule): string {
  return typeof rule === 'object' ? `function:${rule.function}` : rule;
}

function isRule(rule: MergeRule): boolean {
  if (typeof rule !== 'object' || rule === null) return RULES.includes(rule);
  return typeof rule.function === 'string' && rule.function.length > 0 && rule.function.length <= NAME_LENGTH_MAX;
}

function bad(name: string, property: string, why: string): StorageError {
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
  if (typeof name !== 'string' || name.length === 0 || name.length > NAME_LENGTH_MAX) {
    throw bad(String(name), 'name', `must be a text of 1 to ${NAME_LENGTH_MAX} characters`);
  }
  const merge = definition.merge ?? 'last_write';
  if (!isRule(merge)) throw bad(name, 'merge', `must be one of ${RULES.join(', ')}, or { function: name }`);
  if (merge === 'owner' && !definition.owner_field) {
    throw bad(name, 'owner_field', 'must name the field that holds the owner when merge is "owner"');
  }
  const loadOrder = definition.load_order ?? 0;
  if (!Number.isSafeInteger(loadOrder)) throw bad(name, 'load_order', 'must be a whole number');
  if (definition.local_content && definition.majority) {
    throw bad(name, 'majority', 'has no meaning for a local_content table');
  }
  return {
    name,
    cookie,
    replicas,
    localContent: definition.local_content ?? false,
    merge,
    ownerField: definition.owner_field,
    loadOrder,
    majority: definition.majority ?? false,
    deletedAt: 0,
    createdAt,
    deletedBefore: 0,
    moves: new Map(),
    born: new Map(),
  };
}

const COMPARED = ['localContent', 'ownerField', 'loadOrder', 'majority'] as const;

/** The first property in which two definitions of one name differ, if any. Replicas and cookies may differ. */
export function firstDifference(ours: SchemaTable, theirs: SchemaTable): string | undefined {
  if (ours.deletedAt > 0 || theirs.deletedAt > 0) return undefined;
  if (isSuperseded(ours, theirs) || isSuperseded(theirs, ours)) return undefined;
  if (ruleText(ours.merge) !== ruleText(theirs.merge)) return 'merge';
  return COMPARED.find((property) => ours[property] !== theirs[property]);
}

/** When tables of this name were last deleted, this one included. 0: never. */
export function lastDeleted({ deletedAt, deletedBefore }: SchemaTable): number {
  return Math.max(deletedAt, deletedBefore);
}

/** Whether `table` is one that was deleted, as `other` knows: rows of it belong to no table any more. */
export function isSuperseded(table: SchemaTable, other: SchemaTable): boolean {
  return table.deletedAt === 0 && table.createdAt <= lastDeleted(other);
}

/** One definition out of two that agree (see firstDifference). The same on whichever node it is computed. */
export function uniteDefinitions(ours: SchemaTable, theirs: SchemaTable): SchemaTable {
  if (ours.deletedAt > 0 && theirs.deletedAt > 0) return ours.deletedAt >= theirs.deletedAt ? ours : theirs;
  if (theirs.deletedAt > 0 || isSuperseded(theirs, ours)) return standing(ours, theirs);
  if (ours.deletedAt > 0 || isSuperseded(ours, theirs)) return standing(theirs, ours);
  const replicas = new Map(ours.replicas);
  // A node that asks for disc gets disc.
  for (const [node, kind] of theirs.replicas) {
    if (replicas.get(node) !== 'disc_copies') replicas.set(node, kind);
  }
  const [elder, younger] = theirs.cookie < ours.cookie ? [theirs, ours] : [ours, theirs];
  const deletedBefore = Math.max(ours.deletedBefore, theirs.deletedBefore);
  const united = { ...withBirths(elder, younger.born), replicas, deletedBefore };
  return withMoves({ ...united, moves: ours.moves }, theirs.moves);
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
  const born = new Map(table.born);
  for (const [node, at] of births) born.set(node, Math.max(at, born.get(node) ?? 0));
  return { ...table, born };
}

/** The definition without replicas at `nodes`, unless nobody would be left. */
export function withoutNodes(table: SchemaTable, nodes: ReadonlySet<NodeId>): SchemaTable {
  const replicas = new Map([...table.replicas].filter(([node]) => !nodes.has(node)));
  return replicas.size === table.replicas.size || replicas.size === 0 ? table : { ...table, replicas };
}

/** What stands of a table and of another that was deleted, or is: unless that deletion was of this one too. */
function standing(table: SchemaTable, other: SchemaTable): SchemaTable {
  if (isSuperseded(table, other)) return other;
  return { ...table, deletedBefore: Math.max(table.deletedBefore, lastDeleted(other)) };
}
