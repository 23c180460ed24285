/** The public shapes of the database: keys, values, definitions, events. No behaviour. */
import type { Environment, NodeId } from './environment.ts';

/** Ordered: null < false < true < numbers < bigints < strings < octets < arrays. */
export type Key = string | number | bigint | boolean | null | Uint8Array | readonly Key[];

/** What msgpack carries without loss. No functions, cycles or class instances; plain objects, arrays, Uint8Array, Date no. */
export type Value =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | Uint8Array
  | readonly Value[]
  | { readonly [key: string]: Value };

export type StorageKind = 'ram_copies' | 'disc_copies';

/** What a merge function is told besides the values. */
export interface MergeContext {
  readonly table: string;
  readonly key: Key;
  /** Whether the value that both sides had before they parted is known; else `base` is undefined. */
  readonly isBaseKnown: boolean;
  readonly oursDeleted: boolean;
  readonly theirsDeleted: boolean;
  readonly oursVersion: Version;
  readonly theirsVersion: Version;
  /** Names of the nodes that wrote them. */
  readonly oursNode: string;
  readonly theirsNode: string;
}

/**
 * Settles a key that two islands changed to different contents; a deleted row is `undefined` (see the context). Called
 * on the node that leads the merge, for every such key, perhaps more than once: it must be pure. `ours` is the leader's
 * side. Returns the value to keep, or `DELETE` to delete the row; `undefined`, a promise or anything that is no value
 * is a failure, as is throwing, and then `last_write` decides.
 */
export type MergeFunction = (base: Value, ours: Value, theirs: Value, context: MergeContext) => Value | symbol;

/**
 * How two islands settle a key that both changed to different contents.
 * - `last_write`: the greater version.
 * - `owner`: the version written by the node its owner field names.
 * - `primary`: the side of the configuration primary.
 * - `manual`: the greater version for now; a person settles the entry of the ledger (restoreFromLedger, acceptLedgerEntry).
 * - a function, registered on every node under this name (registerMergeFunction).
 */
export type MergeRule = 'last_write' | 'owner' | 'primary' | 'manual' | { readonly function: string };

/** `read_only`: every write is refused, on every node (M22). */
export type AccessMode = 'read_write' | 'read_only';

export interface TableDefinition {
  readonly name: string;
  /** Names of the nodes to hold it; default this node alone. Identical definitions on two nodes are the same table: they merge. */
  readonly ram_copies?: readonly string[];
  readonly disc_copies?: readonly string[];
  /** Same definition on all nodes, own content on each; never replicated. */
  readonly local_content?: boolean;
  readonly merge?: MergeRule;
  /** With `merge: 'owner'`: the field of the value that holds the owning node's name. */
  readonly owner_field?: string;
  /** Higher loads first. */
  readonly load_order?: number;
  /** Writes need more than half of the configured replicas. Merged by `last_write` only: what a majority wrote last is right. */
  readonly majority?: boolean;
  /** Default `read_write`. */
  readonly access_mode?: AccessMode;
  /** Values of the program's own, part of the definition (M25). */
  readonly user_properties?: Readonly<Record<string, Value>>;
}

export interface Version {
  /** Hybrid logical clock: wall ms since 2020 * 4096 + counter. */
  readonly hlc: number;
  /** The node that coordinated the write. */
  readonly node: NodeId;
}

/** What this node found missing or damaged on its disc when it started. The text says what to do. */
export interface DiscDamage {
  /** `lost_end`: acknowledged writes at the end of the log are gone. `record`: a row cannot be read, and is not served. */
  readonly kind: 'lost_end' | 'record';
  readonly table?: string;
  readonly key?: Key;
  readonly message: string;
}

export type SystemEvent =
  | { readonly type: 'mnesia_up'; readonly node: string }
  | {
      readonly type: 'mnesia_down';
      readonly node: string;
      /** Whether it was a running member of this node's view until now. */
      readonly wasAccessible: boolean;
      readonly reason: 'refused' | 'silent' | 'closed' | 'dropped' | 'protocol';
    }
  | {
      readonly type: 'inconsistent_database';
      readonly context: 'running_partitioned_network' | 'starting_partitioned_network';
      readonly node: string;
    }
  | {
      readonly type: 'connected';
      /** Names of the nodes that now are one island with this one. */
      readonly nodes: readonly string[];
      readonly rowsTaken: number;
      readonly rowsGiven: number;
      readonly conflicts: number;
      readonly durationMs: number;
    }
  | { readonly type: 'connect_failed'; readonly node: string; readonly reason: string }
  /** On every node of both sides; `node` is one of the other side. */
  | { readonly type: 'schema_conflict'; readonly node: string; readonly table: string; readonly property: string }
  /** A node was removed for good (M8). */
  | { readonly type: 'node_removed'; readonly node: string }
  /** A node that was removed is back with its old data directory: it is refused. The text says what to do. */
  | { readonly type: 'removed_node_refused'; readonly node: string; readonly message: string }
  /** The others have removed this node for good: it takes no writes and joins nobody. The text says what to do. */
  | { readonly type: 'removed_from_cluster'; readonly node: string; readonly message: string }
  /** A conflict waits for a person (merge rule `manual`); `entry` is the id of its entry in the ledger. */
  | { readonly type: 'merge_manual'; readonly table: string; readonly key: Key; readonly entry: string }
  /** On the node that led the merge: a merge function threw, or returned what is no value; `last_write` decided. */
  | {
      readonly type: 'merge_function_failed';
      readonly table: string;
      readonly key: Key;
      readonly function: string;
      readonly reason: string;
    }
  /** This node cannot take part in merges of the table until registerMergeFunction is called. */
  | { readonly type: 'merge_function_missing'; readonly table: string; readonly function: string }
  /** The ledger has no room for the conflicts of a merge, so the merge was not made. See acceptLedgerEntry. */
  | { readonly type: 'ledger_full'; readonly entries: number; readonly limit: number }
  /**
   * A table with `majority` was given other replicas where too few of those before, or of those it has now, are: it takes no
   * writes until enough of `nodes` are met. Told with each merge; nodes that are gone for good are removed with removeNode.
   */
  | { readonly type: 'majority_awaited'; readonly table: string; readonly nodes: readonly string[] }
  | { readonly type: 'table_loaded'; readonly table: string; readonly from: string }
  | { readonly type: 'disc_failed'; readonly code: string; readonly message: string }
  /** Found at start, told once it is over; `SystemInfo.discDamage` keeps it. */
  | { readonly type: 'disc_damaged'; readonly damage: DiscDamage }
  | { readonly type: 'clock_skew'; readonly node: string; readonly skewMs: number };

export type TableEvent =
  | {
      readonly type: 'write';
      readonly table: string;
      readonly key: Key;
      readonly value: Value;
      readonly oldValue: Value;
      readonly version: Version;
      /** `local`: this node coordinated it. `merge`: it came with a node connection transaction. */
      readonly origin: 'local' | 'remote' | 'merge';
    }
  | {
      readonly type: 'delete';
      readonly table: string;
      readonly key: Key;
      readonly oldValue: Value;
      readonly version: Version;
      readonly origin: 'local' | 'remote' | 'merge';
    };

export interface LedgerEntry {
  /** `<hlc>-<n>`, unique in the cluster. */
  readonly id: string;
  readonly table: string;
  readonly key: Key;
  /**
   * What decided: a merge rule (`function:NAME` for a function), `table_deleted` for a row written to a table that the
   * others had deleted, `restored` for what stood where another entry was put back.
   */
  readonly rule: string;
  /** ISO 8601 UTC, when the merge was made. */
  readonly at: string;
  readonly winner: { readonly version: Version; readonly value: Value; readonly deleted: boolean };
  readonly loser: { readonly version: Version; readonly value: Value; readonly deleted: boolean };
  /** Names of the members of the two islands: [winner's, loser's]. */
  readonly islands: readonly (readonly string[])[];
  readonly restored: boolean;
  /** A person, or a merge function that was given both versions, has settled it as it is. */
  readonly accepted: boolean;
}

export interface DatabaseOptions {
  readonly environment: Environment;
  /** From the data directory. */
  readonly nodeId: NodeId;
  readonly incarnation: number;
  /** `clusterdb@<fqdn>`. */
  readonly nodeName: string;
  /** Heal and join by itself (default). When false, only `connectNode` does. */
  readonly autoConnect?: boolean;
  /** Name of the configuration primary now, for the `primary` merge rule and ties between islands. */
  readonly primaryNodeName?: () => string | undefined;
  /**
   * Names of the other nodes this one is configured with. As long as it has never been in one island with one of them that
   * one may keep a replica of any table: it counts as one, and away, where a majority must agree.
   */
  readonly extraDbNodes?: () => readonly string[];
  readonly limits?: Partial<DatabaseLimits>;
  /** By table, as if setMasterNodes had been called while the node was stopped (M73): kept; an empty list takes it back. */
  readonly masterNodes?: Readonly<Record<string, readonly string[]>>;
  /** By name, as if registered with registerMergeFunction before anything else. */
  readonly mergeFunctions?: Readonly<Record<string, MergeFunction>>;
}

export interface DatabaseLimits {
  /** Transactions running or waiting at once; past it `overloaded`. */
  readonly transactionsMax: number;
  /** How long a transaction may run and wait in all, ms. */
  readonly transactionDeadlineMs: number;
  /** How long an older transaction waits for a younger one at a participant, ms. */
  readonly lockWaitMs: number;
  /** How long the node connection transaction may hold its locks, and wait for a sign of life while it copies, ms. */
  readonly connectDeadlineMs: number;
  /** It stops writers once no more keys than this are left to be copied. */
  readonly lastKeysMax: number;
  readonly valueBytesMax: number;
  readonly keyBytesMax: number;
  /** Entries of the ledger. Past it settled ones go, oldest first; a merge that has no room even then is not made. */
  readonly ledgerEntriesMax: number;
  /**
   * Rows of one table remembered for one node that is away, and octets of their keys. Past either the set collapses:
   * when that node returns, what differs of the whole table is found by comparing, while both sides write on.
   */
  readonly changedKeysMax: number;
  readonly changedBytesMax: number;
  /**
   * Of a set that has collapsed, deletes are remembered until they are more than this. From then on whatever it lacks
   * counts as deleted, and each row the other side wrote meanwhile that it lacks gets an entry in the ledger.
   */
  readonly changedDeletesMax: number;
}

export interface TransactionOptions {
  /** Reruns after conflicts; default no limit but the deadline. */
  readonly retries?: number;
  /**
   * From the call; default `limits.transactionDeadlineMs`. The refusal comes then, or up to a second later where it is not
   * known yet whether an attempt can still be made.
   */
  readonly deadlineMs?: number;
}

/**
 * `local`: from this node's replica, strict among the nodes of its island. `majority`: confirmed by more than half of the
 * table's replicas before the transaction is answered, so that it is never older than what a majority has acknowledged.
 */
export type ReadLevel = 'local' | 'majority';

export interface RemoveNodeOptions extends CopyOptions {
  /** Also when more than half of a `majority` table's replicas cannot be reached: what only they have is lost. */
  readonly withoutMajority?: boolean;
}

export interface CopyOptions {
  /** How long the change of a replica may take, its rows included, ms; default five minutes. */
  readonly timeoutMs?: number;
}

/** What a transaction's function may do. Reads see the transaction's own writes; values handed out are frozen. */
export interface Transaction {
  read(table: string, key: Key, level?: ReadLevel): Value;
  has(table: string, key: Key): boolean;
  write(table: string, key: Key, value: Value): void;
  delete(table: string, key: Key): void;
  allKeys(table: string): Key[];
  /** Calls `visit` for every row, in no particular order. */
  forEach(table: string, visit: (key: Key, value: Value) => void): void;
  abort(reason: unknown): never;
}

export interface TableInfo {
  readonly name: string;
  readonly type: 'set';
  readonly size: number;
  /** Kind at this node, `unknown` where it holds no replica. */
  readonly storageType: StorageKind | 'unknown';
  readonly ramCopies: readonly string[];
  readonly discCopies: readonly string[];
  readonly localContent: boolean;
  readonly merge: MergeRule;
  readonly majority: boolean;
  readonly cookie: string;
  readonly accessMode: AccessMode;
  readonly loadOrder: number;
  readonly userProperties: Readonly<Record<string, Value>>;
  readonly loaded: boolean;
  /** Names of the nodes waited for while not loaded. */
  readonly awaiting: readonly string[];
  readonly whereToWrite: readonly string[];
  /** Digest over all keys and versions, equal on equal replicas. */
  readonly digest: string;
  /** Running nodes whose replica has forgotten what it promised, so that it counts for no majority (docs/consistency.md). */
  readonly forgetful: readonly string[];
}

export interface SystemInfo {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  readonly incarnation: number;
  readonly isRunning: 'starting' | 'yes' | 'stopping' | 'no';
  readonly runningDbNodes: readonly string[];
  readonly dbNodes: readonly string[];
  /** Nodes that were removed for good (removeNode). */
  readonly removedNodes: readonly string[];
  readonly tables: readonly string[];
  readonly heldLocks: number;
  readonly lockQueue: number;
  readonly transactions: number;
  readonly commits: number;
  readonly failures: number;
  readonly restarts: number;
  /** Nodes known to be down, with the moment (ms since the epoch). */
  readonly mnesiaDown: readonly { readonly node: string; readonly at: number }[];
  /** Commits remembered here because some participant is not known to have them on its medium yet. */
  readonly recentCommits: number;
  /** Rows remembered for nodes that may lack them: those that are down, or were when a row was written. */
  readonly changedSince: readonly {
    readonly node: string;
    readonly rows: number;
    /** Tables of which too many rows changed to be remembered one by one: see DatabaseLimits.changedKeysMax. */
    readonly collapsed: readonly string[];
  }[];
  /** What was missing or damaged on the disc at start: the first hundred findings. */
  readonly discDamage: readonly DiscDamage[];
}
