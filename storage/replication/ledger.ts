/**
 * The ledger: every version that lost a conflict between two islands, kept as a row of the system table
 * `partition_ledger`, written with the merge itself. Nothing that was acknowledged is dropped in silence.
 */
import type { NodeId } from '../environment.ts';
import { wallMsOf } from '../hybrid-clock.ts';
import { decodeValue, encodeKey, encodeValue } from '../term.ts';
import type { LedgerEntry, Value } from '../types.ts';
import type { StagedRow } from './connection-messages.ts';
import type { Candidate } from './merge.ts';
import type { Loser } from './merge-plan.ts';

interface PackedSide {
  readonly hlc: number;
  readonly node: NodeId;
  readonly bytes: Uint8Array | null;
}

function packSide({ hlc, node, bytes }: Candidate): PackedSide {
  return { hlc, node, bytes };
}

/** The same conflict met twice makes the same entry. */
export function ledgerId({ table, key, loser }: Loser): string {
  const octets = encodeKey(key);
  let hash = 0x811c9dc5;
  for (let i = 0; i < table.length; i++) hash = Math.imul(hash ^ table.charCodeAt(i), 0x01000193);
  for (const octet of octets) hash = Math.imul(hash ^ octet, 0x01000193);
  return `${loser.hlc.toString(36)}-${loser.node}-${(hash >>> 0).toString(36)}`;
}

export function ledgerRow(loser: Loser, hlc: number, writer: NodeId, nameOf: (node: NodeId) => string): StagedRow {
  const value = {
    table: loser.table,
    key: loser.key,
    rule: loser.rule,
    at: hlc,
    winner: packSide(loser.winner),
    loser: packSide(loser.loser),
    islands: [loser.winner.island.map(nameOf).sort(), loser.loser.island.map(nameOf).sort()],
    restored: false,
  };
  return [ledgerId(loser), hlc, writer, encodeValue(value as unknown as Value), false];
}

interface StoredEntry {
  readonly table: string;
  readonly key: LedgerEntry['key'];
  readonly rule: string;
  readonly at: number;
  readonly winner: PackedSide;
  readonly loser: PackedSide;
  readonly islands: readonly (readonly string[])[];
  readonly restored: boolean;
}

function unpackSide({ hlc, node, bytes }: PackedSide): LedgerEntry['loser'] {
  return {
    version: { hlc, node },
    value: bytes === null ? undefined : decodeValue(bytes),
    deleted: bytes === null,
  };
}

export function readLedgerEntry(id: string, value: Value): LedgerEntry {
  const stored = value as unknown as StoredEntry;
  return {
    id,
    table: stored.table,
    key: stored.key,
    rule: stored.rule,
    at: isoTime(wallMsOf(stored.at)),
    winner: unpackSide(stored.winner),
    loser: unpackSide(stored.loser),
    islands: stored.islands,
    restored: stored.restored,
  };
}

/** ISO 8601 UTC of a given moment: arithmetic only, the clock is not read. */
function isoTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
