/**
 * One table's copy in memory, with what concerns it alone: rows, digest, locks, listeners. A `Table` object exists on
 * every node that knows the definition; `held` says whether this node keeps a replica.
 */
import type { NodeId } from '../environment.ts';
import type { SchemaTable } from '../schema/definition.ts';
import { TableLocks, type WakeQueue } from '../transactions/locker.ts';
import type { Key, StorageKind, TableEvent, Version } from '../types.ts';
import { Digest } from './digest.ts';
import { isNewer, type Row, type Token } from './row.ts';

/** A key changed since its row was offered to another island; the version of its delete, hlc 0 while the key is there. */
export interface Touched {
  readonly key: Key;
  readonly deletedHlc: number;
  readonly deletedNode: NodeId;
}

/** A delete that lies on this node's disc, as some participant may not have it on its own yet. */
export interface Tombstone extends Version {
  readonly key: Key;
}

export class Table {
  readonly name: string;
  #definition: SchemaTable;
  /** What of the definition every write asks: this node's replica, if it is to hold one. */
  #kind: StorageKind | undefined;
  readonly rows = new Map<Token, Row>();
  /** What the disc has of deleted keys; each goes when its own delete, not an earlier one, is known to be everywhere. */
  readonly tombstones = new Map<Token, Tombstone>();
  readonly locks: TableLocks;
  digest = new Digest();
  /** Changes applied; a transaction that read the whole table notes it. */
  modifications = 0;
  /** An active replica: may be read and takes writes. */
  loaded = false;
  /** Holds nothing of its own to offer: an empty ram copy or a replica that never took part. */
  fresh = true;
  /**
   * A copy in memory that began anew while others may still hold the table: it has forgotten what it shared with them,
   * so whatever both sides have of a key is a conflict.
   */
  rootless = false;
  /** Members of this island whose replica has forgotten what it promised: where a majority must agree they do not count. */
  forgetful: Set<NodeId> = new Set();
  /** While a node connection transaction copies this table: the keys that changed meanwhile. */
  touched: Map<Token, Touched> | undefined = undefined;
  /**
   * Versions of deletes that a change of a lower version may still follow: a dirty one that is under way, or a commit that
   * a dirty one overtook.
   */
  readonly graves = new Map<Token, Version>();
  readonly listeners = new Set<(event: TableEvent) => void>();
  readonly #self: NodeId;

  constructor(definition: SchemaTable, self: NodeId, wake: WakeQueue) {
    this.locks = new TableLocks(wake);
    this.name = definition.name;
    this.#definition = definition;
    this.#kind = definition.replicas.get(self);
    this.#self = self;
  }

  get definition(): SchemaTable {
    return this.#definition;
  }

  /** Without a replica of it here there is nothing to be read, whatever became of the one there was. */
  set definition(definition: SchemaTable) {
    this.#definition = definition;
    this.#kind = definition.replicas.get(this.#self);
    if (this.#kind === undefined) this.loaded = false;
  }

  get held(): boolean {
    return this.#kind !== undefined;
  }

  get kind(): StorageKind | undefined {
    return this.#kind;
  }

  get onDisc(): boolean {
    return this.#kind === 'disc_copies';
  }

  put(row: Row): Row | undefined {
    const old = this.rows.get(row.token);
    if (old === undefined) this.digest.toggle(row);
    else this.digest.replace(old, row);
    this.rows.set(row.token, row);
    if (this.graves.size > 0) this.graves.delete(row.token);
    this.modifications += 1;
    return old;
  }

  /** With the version of the delete. */
  remove(token: Token, hlc: number, node: NodeId): Row | undefined {
    const old = this.rows.get(token);
    if (this.definition.replicas.size > 1) this.graves.set(token, { hlc, node });
    if (old !== undefined) {
      this.digest.toggle(old);
      this.rows.delete(token);
    }
    this.modifications += 1;
    return old;
  }

  /** What the row is, or was deleted as; undefined where that is long ago. */
  versionAt(token: Token): Version | undefined {
    return this.rows.get(token) ?? this.graves.get(token);
  }

  /** Something newer than (hlc, node) stands there. */
  isOvertaken(token: Token, hlc: number, node: NodeId): boolean {
    const standing = this.versionAt(token);
    return standing !== undefined && isNewer(standing.hlc, standing.node, hlc, node);
  }

  clear(): void {
    this.rows.clear();
    this.graves.clear();
    this.digest = new Digest();
    this.modifications += 1;
  }

  notify(
    key: Key,
    now: Row | undefined,
    old: Row | undefined,
    hlc: number,
    node: NodeId,
    origin: TableEvent['origin'],
    onError: (error: unknown) => void,
  ): void {
    if (this.listeners.size === 0) return;
    const version = { hlc, node };
    const common = { table: this.name, key, oldValue: old?.value, version, origin };
    const event: TableEvent =
      now === undefined ? { type: 'delete', ...common } : { type: 'write', value: now.value, ...common };
    for (const listener of this.listeners) {
      try {
        listener(event);
      } catch (error) {
        onError(error);
      }
    }
  }
}
