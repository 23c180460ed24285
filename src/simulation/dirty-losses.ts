/**
 * What dirty operations may lose (docs/storage.md), and nothing more: a transaction that a dirty change of the same row took
 * over before anybody showed it; a dirty change in memory, or on no medium yet, whose writer ended before anybody had heard
 * of it; and one under an attempt that its writer, cut off, made of a transaction which the others gave up.
 */
import { type History, keyText, type Operation, type RowEvent, type Step } from './history.ts';

type Change = Step & { readonly type: 'write' | 'delete' };

/** Who hears nothing for so long has been let go of, and what it lacks is noted: net_ticktime, and as long again asleep. */
const UNHEARD_MOST_US = 8_000_000;

/** Tables with dirty writes. */
export function isDirty(table: string): boolean {
  return table.startsWith('dirty');
}

export function mayBeGone(history: History, operation: Operation, change: Change): boolean {
  return (
    isOvertaken(history, operation, change) ||
    isUnheard(history, operation, change) ||
    isUnderAttempt(history, operation, change)
  );
}

/**
 * A transaction, as a dirty operation may be one, whose row a dirty change took at every replica before it was made. Nobody
 * showed what it wrote, and its own replica took that change while it ran.
 */
function isOvertaken(history: History, operation: Operation, change: Change): boolean {
  const rows = changesOf(history, change);
  if (rows.some((row) => isOf(operation, change, row))) return false;
  const { node, invokedUs, completedUs = 0 } = operation;
  const isHolder = history.tables.some(({ name, holders }) => name === change.table && holders.includes(node));
  const dirty = history.operations.filter(({ kind, steps }) => {
    return kind.startsWith('dirty') && steps.some((step) => isSameRow(step, change));
  });
  return rows.some(
    (row) =>
      (row.node === node || !isHolder) &&
      row.atUs >= invokedUs &&
      row.atUs <= completedUs &&
      dirty.some((other) => madeBy(history, other, change, row)),
  );
}

/** Whether the change that `row` shows, there or elsewhere, is that of `operation`. */
function madeBy(history: History, operation: Operation, change: Change, row: RowEvent): boolean {
  if (row.type === 'write') return row.by.split('.')[0] === String(operation.index);
  return changesOf(history, change).some(
    (made) => made.by === row.by && isOf(operation, { ...change, type: 'delete' }, made),
  );
}

/**
 * Made at once, so no transaction; shown by its writer alone, which took nothing else in its place by a merge and ended
 * before the others could know that it was silent: what it had in memory with its process, what was on no medium with its power.
 */
function isUnheard(history: History, operation: Operation, change: Change): boolean {
  const { kind, node, begunUs } = operation;
  if (!kind.startsWith('dirty')) return false;
  const made = changesOf(history, change).find((row) => isOf(operation, change, row));
  if (made === undefined || made.atUs !== begunUs) return false;
  const ended = history.membership.find(
    (event) => event.type === 'died' && event.node === node && event.atUs >= made.atUs,
  );
  if (ended === undefined || ended.atUs > made.atUs + UNHEARD_MOST_US) return false;
  const isInMemory = history.tables.some(({ name, storage }) => name === change.table && storage === 'ram');
  if (!isInMemory && ended.other !== 'power') return false;
  return !history.rows.some(
    (row) =>
      row.table === made.table &&
      row.key === made.key &&
      ((row.by === made.by && row.node !== node) ||
        (row.before === made.by && (row.node !== node || row.origin === 'merge'))),
  );
}

/**
 * Its writer, cut off before anybody had heard of it, made there what it held of a transaction whose coordinator it had lost,
 * and that was given up on the other side.
 */
function isUnderAttempt(history: History, operation: Operation, change: Change): boolean {
  if (!history.split || !operation.kind.startsWith('dirty')) return false;
  const made = changesOf(history, change).find((row) => isOf(operation, change, row));
  if (made === undefined) return false;
  const over = changesOf(history, change).filter((row) => row.before === made.by);
  return over.length > 0 && over.every((row) => row.node === made.node && isGivenUp(history, row));
}

function isGivenUp({ operations }: History, { by }: RowEvent): boolean {
  const [index, attempt] = by.split('.');
  const operation = operations[Number(index)];
  return operation !== undefined && (operation.outcome !== 'ok' || Number(attempt) !== operation.attempts);
}

function isSameRow(step: Step, { table, key }: Change): boolean {
  return step.type !== 'scan' && step.type !== 'read' && step.table === table && keyText(step.key) === keyText(key);
}

function changesOf({ rows }: History, { table, key }: Change): RowEvent[] {
  const text = keyText(key);
  return rows.filter((row) => row.table === table && row.key === text && row.origin !== 'merge');
}

/** A delete has no name of its own: it is known by where and when it was made. */
function isOf({ index, node, invokedUs, completedUs = 0 }: Operation, { type }: Change, row: RowEvent): boolean {
  if (type === 'write') return row.by.split('.')[0] === String(index);
  return row.type === 'delete' && row.node === node && row.atUs >= invokedUs && row.atUs <= completedUs;
}
