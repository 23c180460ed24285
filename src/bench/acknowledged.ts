/** W12: writes whose answers are written down outside the database, so that a kill shows what an answer was worth. */
import { openSync, writeSync } from 'node:fs';
import type { Database } from '../../storage/index.ts';
import type { AcknowledgeRequest } from './calls.ts';
import { rowOf } from './records.ts';

export async function acknowledgeWrites(database: Database, request: AcknowledgeRequest): Promise<never> {
  const { table, clients, firstKey, file } = request;
  const descriptor = openSync(file, 'a');
  let next = firstKey;
  const writer = async (): Promise<never> => {
    for (;;) {
      const key = next;
      next += 1;
      await database.transaction((tx) => tx.write(table, key, rowOf(key, key)));
      // Synchronous: with the operating system, and so safe from the kill, before the next write begins.
      writeSync(descriptor, `${key}\n`);
    }
  };
  return await Promise.race(Array.from({ length: clients }, writer));
}
