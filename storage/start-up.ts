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
import { decodeRecord, type StoredRecord } from './disc/record-codec.ts';
import { dropRow } from './disc/row-operations.ts';
import type { DiscLoss } from './environment.ts';
import { StorageError } from './errors.ts';
import type { DownRecord, NodeState } from './node-state.ts';
import { type ChangedMarks, SEEN_UNKNOWN } from './replication/changed-since.ts';
import { readForgetful } from './replication/forgetful.ts';
import { learnLives, type PackedLife } from './replication/lives.ts';
import { type PackedTable, unpackTable } from './schema/packed.ts';
import { Row } from './tables/row.ts';
import { Table } from './tables/table.ts';
import { decodeKey, decodeValue, keyToken } from './term.ts';
import type { DiscDamage, Key, Value } from './types.ts';

/** Findings of damage that are kept; after that many the disc as a whole is in question. */
const DAMAGE_KEPT_MAX = 100;

export async function readDisc(node: NodeState): Promise<void> {
  await readMeta(node);
  await readSchema(node);
  await readDowns(node);
  await readChanged(node);
  const tables = [...node.tables.values()].sort((a, b) => b.definition.loadOrder - a.definition.loadOrder);
  for (const table of tables) if (table.onDisc && table.definition.deletedAt === 0) await readRows(node, table);
  await readForgetful(node);
  await node.promises.restore((hlc) => found(node, hlc));
  const { loss } = node.environment.disc;
  if (loss !== undefined) node.discDamage.unshift(lostEnd(loss));
  node.environment.probe('load.disc_read');
  tellDamage(node);
  node.learnLives([[node.self, node.storedHlc, node.hlc.tick()]]);
}

/** Once the start is over and its caller listens. */
function tellDamage(node: NodeState): void {
  for (const damage of node.discDamage) {
    node.environment.clock.after(0, () => node.emit({ type: 'disc_damaged', damage }));
  }
}

/**
 * The disc is what it was before the loss, as if it were an older copy of itself: `storedHlc` says how old, and the merge
 * with the others brings back what they have (see staleMembers).
 */
function lostEnd({ first, last, setAside }: DiscLoss): DiscDamage {
  const where = setAside.length === 0 ? '' : ` What is left of them was kept in ${setAside.join(', ')}.`;
  return {
    kind: 'lost_end',
    message:
      `Of the log on the disc, the turns ${first} to ${last} are missing or damaged, though they had reached the medium.${where} ` +
      'Rows written in them come back from other replicas, if there are any. Check the disc.',
  };
}

/** What `octets` hold besides rows. These have no check of their own: damage shows when they cannot be understood. */
function stored(octets: Uint8Array, what: string): Value {
  try {
    return decodeValue(octets);
  } catch (error) {
    throw new StorageError(
      'disc_corrupt',
      `What the disc holds of ${what} is damaged. Nothing was changed. Set the data directory aside and let the node copy its ` +
        'tables from another one.',
      { cause: error },
    );
  }
}

async function readMeta(node: NodeState): Promise<void> {
  const names = await readMetaValue(node, 'names');
  for (const [id, name] of Object.entries(names)) if (id !== node.self) node.names.set(id, name as string);
  const watermarks = await readMetaValue(node, 'watermarks');
  for (const [id, watermark] of Object.entries(watermarks)) node.watermarks.set(id, watermark as number);
  const masters = await readMetaValue(node, 'masters');
  for (const [table, nodes] of Object.entries(masters)) node.masters.set(table, nodes as string[]);
  const retired = await node.environment.disc.get(metaKey('retired'));
  if (retired !== undefined) for (const id of stored(retired, 'retired nodes') as string[]) node.retired.add(id);
  const removed = await node.environment.disc.get(metaKey('removed'));
  if (removed !== undefined) for (const id of stored(removed, 'removed nodes') as string[]) node.removed.add(id);
  const removedBy = await node.environment.disc.get(metaKey('removed_by'));
  if (removedBy !== undefined) {
    const by = stored(removedBy, 'the removal of this node') as string;
    node.removedBy = by;
    node.environment.clock.after(0, () => node.tellRemoved(by));
  }
  const lives = await node.environment.disc.get(metaKey('lives'));
  if (lives !== undefined) learnLives(node.lives, stored(lives, 'the lives of nodes') as unknown as PackedLife[]);
  const clock = await node.environment.disc.get(metaKey('clock'));
  if (clock !== undefined) found(node, stored(clock, 'the clock') as number);
}

/** A moment on the disc: the clock goes on above it, and it tells how new this disc is. */
function found(node: NodeState, hlc: number): void {
  node.hlc.witness(hlc);
  if (hlc > node.storedHlc) node.storedHlc = hlc;
}

async function readMetaValue(node: NodeState, name: string): Promise<Record<string, unknown>> {
  const bytes = await node.environment.disc.get(metaKey(name));
  return bytes === undefined ? {} : (stored(bytes, name) as Record<string, unknown>);
}

async function readSchema(node: NodeState): Promise<void> {
  const { from, to } = schemaRange();
  await node.environment.disc.scan(from, to, (entries) => {
    for (const [, value] of entries) {
      const definition = unpackTable(stored(value, 'the schema') as unknown as PackedTable);
      node.tables.set(definition.name, new Table(definition, node.self, node.wake));
    }
  });
}

async function readDowns(node: NodeState): Promise<void> {
  const { from, to } = downRange();
  await node.environment.disc.scan(from, to, (entries) => {
    for (const [key, value] of entries) {
      const kept = stored(value, 'nodes that are down') as unknown as Omit<DownRecord, 'isDoubtful'>;
      const record: DownRecord = { isDoubtful: false, ...kept };
      found(node, record.hlc);
      node.downs.set(parseDownKey(key), record);
    }
  });
}

/** As NodeState puts it. */
type StoredEntry = [seenHlc: number, seenNode: string, deletedHlc: number, deletedNode: string, base?: Uint8Array];

async function readChanged(node: NodeState): Promise<void> {
  const marks = await node.environment.disc.get(metaKey('changed'));
  if (marks !== undefined) {
    const isKept = (table: string): boolean => node.tables.get(table)?.onDisc ?? false;
    node.changed.restoreMarks(stored(marks, 'rows that other nodes lack') as unknown as ChangedMarks, isKept);
  }
  const { from, to } = changedRange();
  await node.environment.disc.scan(from, to, (entries) => {
    for (const [octets, value] of entries) {
      const { node: other, table, encodedKey } = parseChangedKey(octets);
      const key = decodeKey(encodedKey);
      const fields = stored(value, 'rows that other nodes lack') as unknown as StoredEntry;
      const [seenHlc, seenNode, deletedHlc, deletedNode, base] = fields;
      const entry = { key, seenHlc, seenNode, deletedHlc, deletedNode, base };
      // Of that delete nothing else may be on the disc.
      found(node, deletedHlc);
      node.changed.restore(other, table, keyToken(key), entry);
    }
  });
  node.changed.restored();
}

async function readRows(node: NodeState, table: Table): Promise<void> {
  const { from, to } = rowRange(table.name);
  const prefixBytes = rowKeyPrefixBytes(table.name);
  table.fresh = false;
  await node.environment.disc.scan(from, to, (entries) => {
    for (const [octets, value] of entries) {
      const read = readRecord(node, table, octets.subarray(prefixBytes), value);
      if (read === undefined) continue;
      const { key, record } = read;
      const token = keyToken(key);
      const { version, deleted, isDirty, value: bytes } = record;
      const { hlc, node: writer } = version;
      found(node, hlc);
      if (!deleted) {
        const row = new Row(key, token, hlc, writer, undefined, bytes);
        row.keep();
        table.put(row);
      }
      // Above the watermark, nobody had said that every replica has it: they may lack it.
      const settled = hlc <= (node.watermarks.get(writer) ?? 0);
      // From this batch on the changed-since sets tell of it.
      if (deleted) node.outbox.write(dropRow(table.name, key));
      if (settled || table.definition.localContent) continue;
      for (const holder of table.definition.replicas.keys()) {
        // The schema on this disc may still name an identity whose node has lost it: nobody will ever ask for that one's rows.
        if (holder === node.self || node.retired.has(holder)) continue;
        const deletedHlc = deleted ? hlc : 0;
        const base = node.baseOf(table, table.rows.get(token));
        if (node.changed.has(holder, table.name, token)) {
          // What the row had seen of that node is noted; that it was deleted may have been told by this alone.
          const entry = { key, seenHlc: 0, seenNode: '', deletedHlc, deletedNode: writer, base };
          if (deleted) node.changed.add(holder, table, token, entry);
          continue;
        }
        // Nobody voted for a dirty write, and what it overwrote is not known any more.
        const hasVoted = isDirty !== true || holder === writer;
        // Of whom it is not noted row by row any more, that nothing is noted does not say that it voted for this one.
        const isKnown = hasVoted && node.changed.collapsed(holder, table.name) === undefined;
        const seen = isKnown ? { seenHlc: hlc, seenNode: writer } : { seenHlc: SEEN_UNKNOWN, seenNode: '' };
        node.changed.addSeen(holder, table, token, { key, ...seen, deletedHlc, deletedNode: writer, base });
      }
    }
  });
}

/** Undefined when it is damaged: then it is named and not served, and another replica's copy takes its place. */
function readRecord(
  node: NodeState,
  table: Table,
  encodedKey: Uint8Array,
  octets: Uint8Array,
): { readonly key: Key; readonly record: StoredRecord } | undefined {
  let key: Key | undefined;
  try {
    key = decodeKey(encodedKey);
    return { key, record: decodeRecord(octets, table.name, key) };
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    node.changed.distrust(table.name);
    const damage: DiscDamage = { kind: 'record', table: table.name, message: error.message };
    if (node.discDamage.length < DAMAGE_KEPT_MAX) node.discDamage.push(key === undefined ? damage : { ...damage, key });
    return undefined;
  }
}
