/** The node connection transaction's messages, as typed records; they travel packed in arrays. */
import type { NodeId } from '../environment.ts';
import type { PackedTable } from '../schema/packed.ts';
import type { PackedChange } from '../schema/table-properties.ts';
import type { PromisedRow } from '../transactions/guards.ts';
import type { Key, StorageKind } from '../types.ts';
import type { PackedCollapsed } from './changed-since.ts';
import type { PackedLife } from './lives.ts';

/** `[name, loaded, fresh, digest, size, rootless, kind]` of a replica held. */
export type ReplicaReport = [
  name: string,
  loaded: boolean,
  fresh: boolean,
  digest: string,
  size: number,
  rootless: boolean,
  kind: StorageKind,
];

/** What a node says of itself, first while it serves on and again once it is frozen. */
export interface MemberReport {
  readonly name: string;
  readonly view: NodeId[];
  readonly downs: NodeId[];
  /** When it saw nodes go down: `[node, hlc]`. */
  readonly went: [NodeId, number][];
  readonly schema: PackedTable[];
  readonly replicas: ReplicaReport[];
  /** How new its disc was when it started; beyond all others' knowledge once it was merged since. */
  readonly storedHlc: number;
  readonly retired: NodeId[];
  /** What others have acknowledged to it as safe: `[node, hlc]`. */
  readonly acknowledged: [NodeId, number][];
  /** `[table, nodes]` (M73) */
  readonly masters: [table: string, nodes: readonly NodeId[]][];
  /** Lives of nodes it knows of, its own among them. */
  readonly lives: PackedLife[];
  /** What it has collapsed of that which other nodes lack. */
  readonly collapsed: PackedCollapsed[];
  /** Changes of properties that it proposes. */
  readonly changes: PackedChange[];
  /** Nodes that were removed for good, or are to be. */
  readonly removed: NodeId[];
  /** Of those, the ones whose majorities are given up on purpose. */
  readonly withoutMajority: NodeId[];
  /** Tables that are to be loaded with whoever is there. */
  readonly forced: string[];
  /** Tables of which its replica has forgotten what it promised (see forgetful.ts). */
  readonly forgetful: string[];
  /** Once it is frozen: tables of which it holds promises that only a majority can settle. */
  readonly promised: string[];
  /** Once it is frozen: rows of those promises. */
  readonly orphans: PromisedRow[];
}

/**
 * What a row has seen of nodes that it was written without: `[node, hlc, writer, base]`, of all others up to itself; hlc
 * may be SEEN_UNKNOWN. Those named here may lack the row.
 */
export type SeenList = [node: NodeId, hlc: number, writer: NodeId, base?: Uint8Array | null][];

/** `[key, hlc, node, octets | null, seen]` */
export type DeltaRow = [key: Key, hlc: number, node: NodeId, bytes: Uint8Array | null, seen: SeenList];

/** A key that a node outside the transaction lacks (see ChangedEntry). */
export type OutsiderEntry = [
  outsider: NodeId,
  key: Key,
  seenHlc: number,
  seenNode: NodeId,
  deletedHlc: number,
  deletedNode: NodeId,
  base?: Uint8Array | null,
];

/**
 * `[key, hlc, node, octets | null, ruled]`; hlc 0: what was staged of the key before is taken back. A row that a merge
 * rule chose replaces whatever is there; any other only an older version: what a replica has beyond the changes told
 * shows in its digest, and then everything is compared.
 */
export type StagedRow = [key: Key, hlc: number, node: NodeId, bytes: Uint8Array | null, ruled: boolean];

/** What the definitions of a table differ in, and the names of two nodes that hold them. */
export type SchemaConflict = [table: string, property: string, nodes: readonly string[]];

/** Last piece of a stage: everything but rows. */
export interface StageHead {
  readonly schema: PackedTable[];
  readonly loaded: string[];
  /** Tables that wait, also where they were loaded: of a table made twice, apart, somebody else may hold newer rows. */
  readonly unloaded: string[];
  /** Tables that all members hold in memory and began anew, while others may still hold them. */
  readonly rootless: string[];
  /** By table, the members that count for no majority: all others do. */
  readonly forgetful: [table: string, nodes: NodeId[]][];
  readonly hlc: number;
  /** Notes of nodes that went down which were overtaken, as `[member, node]` (see overtakenNotes). */
  readonly overtaken: [NodeId, NodeId][];
  readonly conflicts: number;
  /** Keys that some member lacked or had otherwise. */
  readonly rows: number;
  /** By table, members whose disc has lost what they had acknowledged: their rows are replaced by the others'. */
  readonly reset: [table: string, nodes: NodeId[]][];
  /** Identities whose node came back with another one. */
  readonly retired: NodeId[];
  /** Those that were removed for good. */
  readonly removed: NodeId[];
  /** What the members know of each other's lives, and of those of nodes outside. */
  readonly lives: PackedLife[];
  /** What some member has collapsed of that which nodes outside lack. */
  readonly collapsed: PackedCollapsed[];
  /** Rows that members have promised away, which the others guard. */
  readonly guarded: [holder: NodeId, PromisedRow][];
}

/** `[table, digest after the merge]` */
export type PredictedDigest = [table: string, digest: string];
