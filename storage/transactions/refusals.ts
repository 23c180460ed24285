/** Why a transaction was not made, in words its caller can act on. */
import type { DiscFailure } from '../environment.ts';
import { StorageError } from '../errors.ts';
import { TRANSACTION_BYTES_MAX } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import { listsOf, needsMajority } from '../schema/majorities.ts';
import type { Table } from '../tables/table.ts';
import type { TransactionRun } from './run.ts';

export function overloaded(running: number): StorageError {
  return new StorageError(
    'overloaded',
    `${running} transactions are already running or waiting here. Try again in 50 ms, or do less at once.`,
    { retryAfterMs: 50 },
  );
}

export function participantOverloaded(node: string): StorageError {
  return new StorageError('overloaded', `Node ${node} has too many transactions waiting. Try again in 100 ms.`, {
    node,
    retryAfterMs: 100,
  });
}

export function tooLarge(bytes: number): StorageError {
  return new StorageError(
    'transaction_too_large',
    `The transaction writes ${bytes} octets or more; one may write ${TRANSACTION_BYTES_MAX}, as its writes go to the other nodes in one message. Nothing was changed. Write its rows in several transactions.`,
    { reason: bytes },
  );
}

export function functionFailed(cause: unknown): StorageError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new StorageError('aborted', `The transaction's function failed: ${text}. Nothing was changed.`, {
    reason: 'function_failed',
    cause,
  });
}

export function noMore(reruns: number): StorageError {
  return new StorageError(
    'aborted',
    `The transaction met conflicts in ${reruns} runs, its limit. Nothing was changed.`,
    { reason: 'nomore' },
  );
}

export function pastDeadline(node: NodeState, { state, unread }: TransactionRun): StorageError {
  return new StorageError(
    'deadline',
    `The transaction was given up: at its deadline ${state === 'running' ? 'its function had not returned' : awaited(node, unread)}. Nothing was changed.`,
    { reason: state, table: unread?.table.name, node: unread && node.nameOf(unread.from) },
  );
}

function awaited(node: NodeState, unread: TransactionRun['unread']): string {
  if (unread === undefined) return 'it still waited for other transactions';
  return `it waited for a row of table "${unread.table.name}" from ${node.nameOf(unread.from)}, which had not loaded the table, was writing the row, or did not answer`;
}

export function noMajority(node: NodeState, table: Table): StorageError {
  const { definition } = table;
  const missing = node.namesOf(
    new Set(
      listsOf(definition)
        .flat()
        .filter((holder) => !node.view.has(holder)),
    ),
  );
  const unmet = node.unmetNodes();
  const away = missing.length === 0 ? '' : `; not reachable: ${missing.join(', ')}`;
  const never = `; never met, so that they may keep replicas too: ${unmet.join(', ')} (start them, or take them out of the configuration)`;
  const former =
    definition.formers.length === 0
      ? ''
      : ', and of those it had before a change that not enough of them have heard of';
  const forgetful = node.namesOf(table.forgetful);
  const forgot = `; not counted, as they have forgotten what they promised, in a restart or with their disc: ${forgetful.join(', ')} (until they meet more than half of the replicas that have not, or all of them)`;
  return new StorageError(
    'no_majority',
    `Table "${table.name}" takes writes only with more than half of its replicas${former}${away}${unmet.length === 0 ? '' : never}${forgetful.length === 0 ? '' : forgot}. Nothing was changed.`,
    { table: table.name, nodes: [...missing, ...unmet, ...forgetful] },
  );
}

/** The replicas needed were lost between proposal and decision: they may have promised it to each other. */
export function outcomeUnknown(table: Table): StorageError {
  const majority = needsMajority(table.definition);
  return new StorageError(
    majority ? 'no_majority' : 'aborted',
    `${majority ? 'The majority' : 'Every replica'} of table "${table.name}" was lost while the transaction was being committed: the lost replicas may make it or not. Read after they are back before trying again.`,
    { table: table.name, reason: 'outcome_unknown' },
  );
}

/** The same refusal, of a transaction that a node lost on the way may have made all the same. */
export function nodeLostDoubt(error: StorageError): StorageError {
  return doubtful(
    error,
    'A node was lost while the transaction was being committed, and may make it or not. Read after it is back before trying again.',
  );
}

/** The same of one that `silent` nodes hold promised, as far as is known. */
export function unconfirmedDoubt(error: StorageError, silent: readonly string[]): StorageError {
  return doubtful(
    error,
    `It was proposed and taken back; ${silent.join(', ')} did not confirm that in time, and may make it. Read before trying again.`,
  );
}

function doubtful(error: StorageError, why: string): StorageError {
  if (error.fields.reason === 'outcome_unknown') return error;
  const text = error.message.replace(/ Nothing was changed\./, '');
  return new StorageError(error.code, `${text} ${why}`, { ...error.fields, reason: 'outcome_unknown' });
}

export function discFailed(node: NodeState, failure: DiscFailure): StorageError {
  return new StorageError(
    failure.code === 'disc_closed' ? 'closed' : failure.code,
    `This node's disc failed (${failure.message}), so it takes no writes; reads go on. Free or mend the disc and restart the node.`,
    { node: node.selfName },
  );
}

export function closedError(): StorageError {
  return new StorageError('closed', 'The database of this node is closed. Open it again to use it.');
}

export function nestedError(): StorageError {
  return new StorageError(
    'nested_await',
    'A transaction was begun inside the function of another one of the same node: it would be made even if the outer one is not, and could make that one run for ever. Call the inner function with the outer transaction instead.',
  );
}
