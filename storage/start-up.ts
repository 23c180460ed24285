/** What a node reads from its disc before it talks to anybody: names, schema, down records, changed-since sets, rows. */
import {
  changedRange,
  downRange,
  metaKey,
  parseChangedKey,
  parseDownKey,
  rowKeyPrefixBytes,
  rowRange,
  schemaRange,
} from './disc/key-space.ts';
import { decodeRecord } from './disc/record-codec.ts';
import type { DownRecord, NodeState } from './node-state.ts';
import { learnLives, type PackedLife } from './replication/lives.ts';
import { type PackedTable, unpackTable } from './schema/definition.ts';
import { Row } from './tables/row.ts';
import { Table } from './tables/table.ts';
import { decodeKey, decodeValue, keyToken } from './term.ts';

export async function readDisc(node: NodeState): Promise<void> {
  await readMeta(node);
  await readSchema(node);
  await readDowns(node);
  await readChanged(node);
  const tables = [...node.tables.values()].sort((a, b) => b.definition.loadOrder - a.definition.loadOrder);
  for (const table of tables) if (table.onDisc && table.definition.deletedAt === 0) await readRows(node, table);
  node.environment.probe('load.disc_read');
  node.learnLives([[node.self, node.storedHlc, node.hlc.tick()]]);
}

async function readMeta(node: NodeState): Promise<void> {
  const names = await readMetaValue(node, 'names');
  for (const [id, name] of Object.entries(names)) if (id !== node.self) node.names.set(id, name as string);
  const watermarks = await readMetaValue(node, 'watermarks');
  for (const [id, watermark] of Object.entries(watermarks)) node.watermarks.set(id, watermark as number);
  const retired = await node.environment.disc.get(metaKey('retired'));
  if (retired !== undefined) for (const id of decodeValue(retired) as string[]) node.retired.add(id);
  const lives = await node.environment.disc.get(metaKey('lives'));
  if (lives !== undefined) learnLives(node.lives, decodeValue(lives) as unknown as PackedLife[]);
  const clock = await node.environment.disc.get(metaKey('clock'));
  if (clock !== undefined) found(node, decodeValue(clock) as number);
}

/** A moment on the disc: the clock goes on above it, and it tells how new this disc is. */
function found(node: NodeState, hlc: number): void {
  node.hlc.witness(hlc);
  if (hlc > node.storedHlc) node.storedHlc = hlc;
}

async function readMetaValue(node: NodeState, name: string): Promise<Record<string, unknown>> {
  const bytes = await node.environment.disc.get(metaKey(name));
  return bytes === undefined ? {} : (decodeValue(bytes) as Record<string, unknown>);
}

async function readSchema(node: NodeState): Promise<void> {
  const { from, to } = schemaRange();
  await node.environment.disc.scan(from, to, (entries) => {
    for (const [, value] of entries) {
      const definition = unpackTable(decodeValue(value) as unknown as PackedTable);
      node.tables.set(definition.name, new Table(definition, node.self, node.wake));
    }
  });
}

async function readDowns(node: NodeState): Promise<void> {
  const { from, to } = downRange();
  await node.environment.disc.scan(from, to, (entries) => {
    for (const [key, value] of entries) {
      const record = decodeValue(value) as unknown as DownRecord;
      found(node, record.hlc);
      node.downs.set(parseDownKey(key), record);
    }
  });
}

async function readChanged(node: NodeState): Promise<void> {
  const { from, to } = changedRange();
  await node.environment.disc.scan(from, to, (entries) => {
    for (const [octets, value] of entries) {
      const { node: other, table, encodedKey } = parseChangedKey(octets);
      const key = decodeKey(encodedKey);
      const [seenHlc, seenNode, deletedHlc, deletedNode] = decodeValue(value) as [number, string, number, string];
      const entry = { key, seenHlc, seenNode, deletedHlc, deletedNode };
      node.changed.restore(other, table, keyToken(key), entry);
    }
  });
}

async function readRows(node: NodeState, table: Table): Promise<void> {
  const { from, to } = rowRange(table.name);
  const prefixBytes = rowKeyPrefixBytes(table.name);
  table.fresh = false;
  await node.environment.disc.scan(from, to, (entries) => {
    for (const [octets, value] of entries) {
      const key = decodeKey(octets.subarray(prefixBytes));
      const token = keyToken(key);
      const { version, deleted, value: bytes } = decodeRecord(value, table.name, key);
      const { hlc, node: writer } = version;
      found(node, hlc);
      if (!deleted) table.put(new Row(key, token, hlc, writer, undefined, bytes));
      // Above the watermark, nobody had said that every replica has it: they may lack it.
      const settled = hlc <= (node.watermarks.get(writer) ?? 0);
      if (settled && deleted) node.dropTombstone(table, key, token);
      if (settled || table.definition.localContent) continue;
      for (const holder of table.definition.replicas.keys()) {
        if (holder === node.self || node.changed.has(holder, table.name, token)) continue;
        const deletedHlc = deleted ? hlc : 0;
        const entry = { key, seenHlc: hlc, seenNode: writer, deletedHlc, deletedNode: writer };
        node.changed.addSeen(holder, table, token, entry);
      }
    }
  });
}
