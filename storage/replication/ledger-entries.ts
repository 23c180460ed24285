/**
 * Entries of the ledger: every version that lost a conflict between two islands, kept as a row of the system table
 * `partition_ledger`, written with the merge itself. Nothing that was acknowledged is dropped in silence.
 */
import type { NodeId } from '../environment.ts';
import { wallMsOf } from '../hybrid-clock.ts';
import type { Row, Token } from '../tables/row.ts';
import { decodeValue, encodeKey, encodeValue } from '../term.ts';
import type { Key, LedgerEntry, SystemEvent, Value, Version } from '../types.ts';
import type { OutsiderEntry, StagedRow } from './connection-messages.ts';
import type { Loser } from './merge-key.ts';

export interface PackedSide extends Version {
  /** null: deleted. */
  readonly bytes: Uint8Array | null;
}

/** An entry as its row holds it. */
export interface StoredEntry {
  readonly table: string;
  readonly key: Key;
  readonly rule: string;
  readonly at: number;
  readonly winner: PackedSide;
  readonly loser: PackedSide;
  readonly islands: readonly (readonly string[])[];
  readonly restored: boolean;
  readonly accepted: boolean;
}

export function packSide({ hlc, node, bytes }: PackedSide): PackedSide {
  return { hlc, node, bytes };
}

/** The same conflict met twice makes the same entry. */
export function ledgerId(table: string, key: Key, loser: Version): string {
  const octets = encodeKey(key);
  let hash = 0x811c9dc5;
  for (let i = 0; i < table.length; i++) hash = Math.imul(hash ^ table.charCodeAt(i), 0x01000193);
  for (const octet of octets) hash = Math.imul(hash ^ octet, 0x01000193);
  return `${loser.hlc.toString(36)}-${loser.node}-${(hash >>> 0).toString(36)}`;
}

export function isSettled({ restored, accepted }: StoredEntry): boolean {
  return restored || accepted;
}

export function storedEntry(row: Row): StoredEntry {
  return row.value as unknown as StoredEntry;
}

/** The row for what lost in a merge made at `version`. */
export function ledgerRow(lost: Loser, version: Version, nameOf: (node: NodeId) => string): StagedRow {
  const { table, key, rule, winner, loser, isSettled: accepted } = lost;
  const islands = [winner.island.map(nameOf).sort(), loser.island.map(nameOf).sort()];
  const sides = { winner: packSide(winner), loser: packSide(loser) };
  const entry: StoredEntry = { table, key, rule, at: version.hlc, ...sides, islands, restored: false, accepted };
  return [ledgerId(table, key, loser), version.hlc, version.node, encodeValue(entry as unknown as Value), false];
}

/** Deletes of the oldest settled entries, so that `added` more find room; `lacking`: for how many there is none. */
export function makeRoom(
  rows: ReadonlyMap<Token, Row>,
  added: number,
  limit: number,
  version: Version,
): { readonly deletes: StagedRow[]; readonly lacking: number } {
  const surplus = rows.size + added - limit;
  if (surplus <= 0) return { deletes: [], lacking: 0 };
  const oldest = [...rows.values()]
    .filter((row) => isSettled(storedEntry(row)))
    .sort((a, b) => a.hlc - b.hlc || (String(a.key) < String(b.key) ? -1 : 1))
    .slice(0, surplus);
  const deletes = oldest.map(({ key }): StagedRow => [key, version.hlc, version.node, null, false]);
  return { deletes, lacking: surplus - deletes.length };
}

/** A row that a merge itself has written is owed to nodes that are away. */
export function owedEntries([key, hlc, node, bytes]: StagedRow, away: readonly NodeId[]): OutsiderEntry[] {
  return away.map((outsider): OutsiderEntry => [outsider, key, 0, '', bytes === null ? hlc : 0, node]);
}

/** Conflicts that wait for a person, of entries that have just come to this node. */
export function manualConflicts(rows: readonly Row[]): SystemEvent[] {
  return rows.flatMap((row): SystemEvent[] => {
    const entry = storedEntry(row);
    if (entry.rule !== 'manual' || isSettled(entry)) return [];
    return [{ type: 'merge_manual', table: entry.table, key: entry.key, entry: row.key as string }];
  });
}

function readSide({ hlc, node, bytes }: PackedSide): LedgerEntry['loser'] {
  return {
    version: { hlc, node },
    value: bytes === null ? undefined : decodeValue(bytes),
    deleted: bytes === null,
  };
}

export function readEntry(row: Row): LedgerEntry {
  const { table, key, rule, at, winner, loser, islands, restored, accepted } = storedEntry(row);
  return {
    id: row.key as string,
    table,
    key,
    rule,
    at: isoTime(wallMsOf(at)),
    winner: readSide(winner),
    loser: readSide(loser),
    islands,
    restored,
    accepted,
  };
}

/** ISO 8601 UTC of a given moment: arithmetic only, the clock is not read. */
function isoTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
