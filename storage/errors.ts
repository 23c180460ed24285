/**
 * Every error a caller of the database can meet. One class, one stable `code` each, and fields that say what it was
 * about. The text says what happened, why, and what to do.
 */

export type StorageErrorCode =
  | 'no_such_table'
  | 'table_exists'
  | 'bad_key'
  | 'bad_value'
  | 'bad_definition'
  | 'aborted'
  | 'no_majority'
  | 'table_not_loaded'
  | 'node_not_running'
  | 'node_running'
  | 'node_removed'
  | 'read_only'
  | 'disc_full'
  | 'disc_io'
  | 'disc_corrupt'
  | 'disc_locked'
  | 'disc_format'
  | 'schema_conflict'
  | 'overloaded'
  | 'transaction_too_large'
  | 'deadline'
  | 'nested_await'
  | 'closed'
  | 'no_such_ledger_entry'
  | 'ledger_entry_settled';

export interface StorageErrorFields {
  readonly table?: string;
  readonly key?: unknown;
  /** Where inside the value, as `a.b[3]`. */
  readonly path?: string;
  readonly node?: string;
  readonly nodes?: readonly string[];
  readonly property?: string;
  readonly reason?: unknown;
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

export class StorageError extends Error {
  readonly code: StorageErrorCode;
  readonly fields: StorageErrorFields;

  constructor(code: StorageErrorCode, message: string, fields: StorageErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'StorageError';
    this.code = code;
    this.fields = fields;
  }
}

/** A broken invariant is a bug of ours: the process must not go on with it. */
export class InvariantViolation extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'InvariantViolation';
  }
}

export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}

export function readOnly(table: string): StorageError {
  return new StorageError(
    'read_only',
    `Table "${table}" is read_only: nothing was changed. Allow writes with changeTableAccessMode first.`,
    { table },
  );
}

export function nodeRemoved(node: string, by: string): StorageError {
  return new StorageError(
    'node_removed',
    `Node ${node} was removed from the cluster for good, or another one has joined under its name meanwhile, as ${by} says: it takes no writes. Stop it and start it with an empty data directory; it then joins as a new node.`,
    { node },
  );
}

export function noSuchTable(table: string): StorageError {
  return new StorageError('no_such_table', `Table "${table}" does not exist. Create it with createTable first.`, {
    table,
  });
}
