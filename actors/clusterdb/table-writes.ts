/** How a worker of one actor has another table's process write for it: by a call, so that it knows the outcome. */
import type { WorkerContext } from '../otp/types.ts';
import { cdbtableName, type TableAnswer, type TableRequest } from './ports.ts';

/** A write that was refused or failed, with the database's own code. */
export class TableWriteError extends Error {
  readonly code: string;

  constructor(table: string, code: string, message: string) {
    super(`Writing to table "${table}" failed: ${message}`);
    this.name = 'TableWriteError';
    this.code = code;
  }
}

/** Longer than the database lets a transaction run, so that its own reason arrives first. */
const writeTimeoutMs = 30_000;

/** Resolves when all of it is committed, in one transaction; rejects otherwise, and when the table's process dies. */
export async function writeThrough(worker: WorkerContext, table: string, request: TableRequest): Promise<void> {
  const answer = (await worker.call(cdbtableName(table), request, writeTimeoutMs)) as TableAnswer;
  if (!answer.ok) throw new TableWriteError(table, answer.error.code, answer.error.message);
}
