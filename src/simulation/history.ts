/**
 * What a simulation writes down: operations of clients, rows as they changed on each node, membership, and the state
 * at the end. Plain data; the checkers are functions over it and know nothing of how it came about.
 *
 * Every written value is an object with a field `by`, unique to one attempt of one operation (`<operation>.<attempt>`).
 * That makes it possible to say later which write a row came from and what that write saw before it.
 */

import type { Key, LedgerEntry, MergeRule, TableEvent, Value, Version } from '../../storage/types.ts';
import type { DiscRemains } from './disc-remains.ts';

export interface TablePlan {
  readonly name: string;
  readonly storage: 'ram' | 'disc';
  /** Indices of the nodes that hold it; more come while the clients work, for the tables they create. */
  readonly holders: number[];
  readonly majority: boolean;
  readonly merge: MergeRule;
  readonly localContent: boolean;
  /** Who holds it changes while the clients work: `holders` are those of the start, and at the end those of the end. */
  readonly moves?: boolean;
}

export type Step =
  | {
      readonly type: 'read';
      readonly table: string;
      readonly key: Key;
      readonly value: Value;
      /** Confirmed by a majority of the replicas. */
      readonly majority?: boolean;
    }
  | { readonly type: 'write'; readonly table: string; readonly key: Key; readonly value: Value; readonly by: string }
  | { readonly type: 'delete'; readonly table: string; readonly key: Key }
  | { readonly type: 'scan'; readonly table: string; readonly rows: readonly (readonly [Key, Value])[] };

export type OperationKind =
  | 'register-write'
  | 'register-read'
  | 'register-delete'
  | 'counter'
  | 'transfer'
  | 'bank-read'
  | 'append'
  | 'list-read'
  | 'majority-read'
  | 'skew'
  | 'list-abort'
  | 'pair-write'
  | 'pair-delete'
  | 'pair-read'
  | 'claim'
  | 'abort'
  | 'dirty-write'
  | 'dirty-delete'
  | 'overlap'
  | 'local-write'
  | 'create-table'
  | 'add-copy'
  | 'del-copy'
  | 'move-copy'
  | 'change-copy'
  | 'delete-table'
  | 'declare-table';

export interface Operation {
  readonly index: number;
  readonly client: string;
  readonly node: number;
  readonly kind: OperationKind;
  readonly invokedUs: number;
  /** When its process took it up: one that is paused does so when it goes on. */
  begunUs?: number | undefined;
  completedUs: number | undefined;
  /** `info`: nobody can know; the process died or said so. */
  outcome: 'pending' | 'ok' | 'fail' | 'info';
  error: string | undefined;
  attempts: number;
  sync: boolean;
  /** Of the last attempt. */
  steps: Step[];
}

export interface RowEvent {
  readonly atUs: number;
  readonly node: number;
  readonly table: string;
  readonly key: string;
  readonly type: 'write' | 'delete';
  /** `by` of the new value, or a name made from the version for a delete. */
  readonly by: string;
  /** The state of the row on this node before: `by` of the old value, the name of the delete, or undefined if never seen. */
  readonly before: string | undefined;
  readonly version: Version;
  readonly origin: TableEvent['origin'];
}

export interface MembershipEvent {
  readonly atUs: number;
  readonly node: number;
  readonly type: string;
  readonly other: string;
  /** Names of the nodes this one counts as running from now on; none once it is gone. */
  readonly view: readonly string[];
}

/** The state of a table on one node when all is quiet. */
export interface TableState {
  readonly loaded: boolean;
  readonly digest: string;
  /** By key text, in key order. */
  readonly rows: ReadonlyMap<string, Value>;
}

export interface NodeState {
  readonly node: number;
  readonly label: string;
  readonly running: boolean;
  readonly view: readonly string[];
  readonly heldLocks: number;
  readonly lockQueue: number;
  readonly transactions: number;
  readonly pendingTimers: number;
  /** What its disc holds for others only; undefined where nobody looked. */
  readonly remains?: DiscRemains | undefined;
  /** Commits remembered because somebody may lack them. */
  readonly recentCommits: number;
  /** Rows remembered for nodes that may lack them. */
  readonly owedRows: number;
  readonly tables: ReadonlyMap<string, TableState>;
  readonly ledger: readonly LedgerEntry[];
}

export interface History {
  readonly seed: number;
  readonly labels: readonly string[];
  readonly names: readonly string[];
  readonly tables: readonly TablePlan[];
  readonly operations: Operation[];
  readonly rows: RowEvent[];
  readonly membership: MembershipEvent[];
  /** A node lost sight of one that was alive: two islands may have existed. */
  split: boolean;
  /** One of them was a node that served an old copy of its disc before it met the others. */
  servedOldDisc: boolean;
  /** A node was started after work had begun. */
  restarted: boolean;
  /** Tables whose last living copy was lost with its node, by design and not by fault; what was in them may be gone. */
  readonly mayLose: Set<string>;
  /** An entry of the ledger whose loser was put back when all was quiet. */
  restored: LedgerEntry | undefined;
  /** What each opening account holds; the sum must stay. */
  readonly accounts: number;
  readonly accountOpening: number;
  final: NodeState[];
  /** The same after every node was stopped and started again, when the seed does that. */
  afterRestart: NodeState[] | undefined;
}

export function nodeName(label: string): string {
  return `clusterdb@${label}.lab.peerage.example`;
}

export const ACCOUNTS = 6;
export const ACCOUNT_OPENING = 100;

/** Of a run that has not begun yet. */
export function emptyHistory(seed: number, labels: readonly string[], tables: History['tables']): History {
  return {
    seed,
    labels,
    names: labels.map(nodeName),
    tables,
    operations: [],
    rows: [],
    membership: [],
    split: false,
    servedOldDisc: false,
    restarted: false,
    restored: undefined,
    mayLose: new Set(),
    accounts: ACCOUNTS,
    accountOpening: ACCOUNT_OPENING,
    final: [],
    afterRestart: undefined,
  };
}

export function keyText(key: Key): string {
  return typeof key === 'string'
    ? key
    : JSON.stringify(key, (_, held) => (typeof held === 'bigint' ? `${held}n` : held));
}

export function byOf(value: Value): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array)
    return undefined;
  const by = (value as { readonly [field: string]: Value }).by;
  return typeof by === 'string' ? by : undefined;
}

/** A delete writes no value; its version names it. */
export function deleteName(version: Version): string {
  return `deleted@${version.hlc}/${version.node}`;
}

/** Undefined for the name of a write. */
export function versionOfDelete(name: string): Version | undefined {
  const [, hlc, node] = /^deleted@(\d+)\/(.*)$/.exec(name) ?? [];
  return hlc === undefined || node === undefined ? undefined : { hlc: Number(hlc), node };
}

export function compareVersions(a: Version, b: Version): number {
  if (a.hlc !== b.hlc) return a.hlc - b.hlc;
  return a.node < b.node ? -1 : a.node > b.node ? 1 : 0;
}

export function listOf(value: Value): readonly string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) return [];
  const list = (value as { readonly [field: string]: Value }).list;
  return Array.isArray(list) ? (list as readonly string[]) : [];
}

export function numberOf(value: Value, field: string): number | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array)
    return undefined;
  const held = (value as { readonly [name: string]: Value })[field];
  return typeof held === 'number' ? held : undefined;
}
