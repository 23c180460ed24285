/**
 * Definitions as they travel and lie on disc: by field, so that one that was stored before a field was thought of still
 * reads, with what the field means where nobody set it.
 */
import type { NodeId } from '../environment.ts';
import { decodeValue, encodeValue } from '../term.ts';
import type { AccessMode, MergeRule, StorageKind, Value } from '../types.ts';
import type { SchemaTable } from './definition.ts';

export interface PackedTable {
  readonly name: string;
  readonly cookies: readonly string[];
  readonly replicas: readonly (readonly [NodeId, StorageKind])[];
  readonly localContent: boolean;
  readonly merge: MergeRule;
  readonly ownerField: string | null;
  readonly loadOrder: number;
  readonly majority: boolean;
  readonly deletedAt: number;
  readonly createdAt: number;
  readonly dead?: readonly (readonly [cookie: string, at: number])[];
  readonly moves?: readonly (readonly [NodeId, at: number, StorageKind | null])[];
  readonly born?: readonly (readonly [NodeId, at: number])[];
  readonly formers?: readonly (readonly NodeId[])[];
  readonly accessMode?: AccessMode;
  readonly userProperties?: readonly (readonly [name: string, value: Uint8Array])[];
  readonly histories?: readonly (readonly [property: string, declared: Uint8Array, stamps: readonly string[]])[];
}

function inOrder<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** A definition is never changed, and is told to everybody in every merge: each is packed and unpacked once. */
const packedOf = new WeakMap<SchemaTable, PackedTable>();
const encodedOf = new WeakMap<PackedTable, Uint8Array>();
const unpackedOf = new WeakMap<PackedTable, SchemaTable>();

export function packTable(table: SchemaTable): PackedTable {
  let packed = packedOf.get(table);
  if (packed === undefined) {
    packed = pack(table);
    packedOf.set(table, packed);
  }
  return packed;
}

/** As it lies on disc. */
export function encodeTable(table: SchemaTable): Uint8Array {
  const packed = packTable(table);
  let octets = encodedOf.get(packed);
  if (octets === undefined) {
    octets = encodeValue(packed as unknown as Value);
    encodedOf.set(packed, octets);
  }
  return octets;
}

export function unpackTable(packed: PackedTable): SchemaTable {
  let table = unpackedOf.get(packed);
  if (table === undefined) {
    table = unpack(packed);
    unpackedOf.set(packed, table);
  }
  return table;
}

function pack(table: SchemaTable): PackedTable {
  const { ownerField, replicas, dead, moves, born, userProperties, histories, ...same } = table;
  return {
    ...same,
    ownerField: ownerField ?? null,
    replicas: inOrder(replicas),
    dead: [...dead],
    moves: inOrder(moves).map(([node, { at, kind }]) => [node, at, kind ?? null]),
    born: inOrder(born),
    userProperties: inOrder(userProperties).map(([name, value]) => [name, encodeValue(value)]),
    histories: inOrder(histories).map(([property, { declared, stamps }]) => [property, encodeValue(declared), stamps]),
  };
}

function unpack(packed: PackedTable): SchemaTable {
  const { name, cookies, localContent, merge, ownerField, loadOrder, majority, deletedAt, createdAt } = packed;
  return {
    name,
    cookies,
    replicas: new Map(packed.replicas),
    localContent,
    merge,
    ownerField: ownerField ?? undefined,
    loadOrder,
    majority,
    accessMode: packed.accessMode ?? 'read_write',
    userProperties: new Map((packed.userProperties ?? []).map(([key, value]) => [key, decodeValue(value)])),
    deletedAt,
    createdAt,
    dead: new Map(packed.dead ?? []),
    moves: new Map((packed.moves ?? []).map(([node, at, kind]) => [node, { at, kind: kind ?? undefined }])),
    born: new Map(packed.born ?? []),
    formers: packed.formers ?? [],
    histories: new Map(
      (packed.histories ?? []).map(([property, declared, stamps]) => [
        property,
        { declared: decodeValue(declared), stamps },
      ]),
    ),
  };
}
