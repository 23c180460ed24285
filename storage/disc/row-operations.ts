/** What the disc is told of one row. */
import type { DiscOperation, NodeId } from '../environment.ts';
import type { Row } from '../tables/row.ts';
import { encodeKey } from '../term.ts';
import type { Key } from '../types.ts';
import { rowKey } from './key-space.ts';
import { encodeRecord } from './record-codec.ts';

const NO_OCTETS = new Uint8Array(0);

/** `isDirty`: nobody voted for it. */
export function putRow(table: string, { key, hlc, node, bytes }: Row, isDirty = false): DiscOperation {
  const value = encodeRecord({ version: { hlc, node }, deleted: false, isDirty, value: bytes });
  return { type: 'put', key: rowKey(table, encodeKey(key)), value };
}

/** Remembered until every replica has it: a node killed now must not bring the row back. */
export function putTombstone(table: string, key: Key, hlc: number, node: NodeId, isDirty = false): DiscOperation {
  const value = encodeRecord({ version: { hlc, node }, deleted: true, isDirty, value: NO_OCTETS });
  return { type: 'put', key: rowKey(table, encodeKey(key)), value };
}

export function dropRow(table: string, key: Key): DiscOperation {
  return { type: 'del', key: rowKey(table, encodeKey(key)) };
}
