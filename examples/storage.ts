/**
 * The database by itself: one node, one directory, no network and nothing of a peer. Opens, writes in transactions, is
 * refused, closes, opens again and reads back.
 *
 *     npx tsx examples/storage.ts
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase, StorageError } from '../storage/index.ts';
import { main, say } from './support/say.ts';

const NODE_NAME = 'clusterdb@storage.example';
const TABLE = 'stock';

interface Item {
  readonly [field: string]: number;
  readonly count: number;
}

main(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'peerage-storage-'));
  try {
    const first = await openDatabase({ directory, nodeName: NODE_NAME });
    const { database } = first;
    await database.createTable({ name: TABLE, disc_copies: [NODE_NAME] });
    await database.waitForTables([TABLE], 5_000);

    const unsubscribe = database.subscribeTable(TABLE, ({ type, key }) => say(`  event: ${type} ${String(key)}`));
    await database.transaction((tx) => {
      tx.write(TABLE, 'apples', { count: 3 });
      tx.write(TABLE, ['pears', 2026], { count: 5 });
    });
    unsubscribe();
    say(`written: ${database.tableInfo(TABLE).size} rows, in one commit`);

    const take = (wanted: number) =>
      database.transaction((tx) => {
        const { count } = tx.read(TABLE, 'apples') as Item;
        if (count < wanted) tx.abort(`only ${count} apples left`);
        tx.write(TABLE, 'apples', { count: count - wanted });
        return count - wanted;
      });
    say(`two taken: ${await take(2)} left`);
    const refusal = await take(2).catch((error: unknown) => error);
    if (!(refusal instanceof StorageError)) throw refusal;
    say(`two more: ${refusal.code} (${String(refusal.fields.reason)})`);

    // Two at once on one row: both happen, one after the other, whatever they read first.
    const more = () =>
      database.transaction((tx) => tx.write(TABLE, 'apples', { count: (tx.read(TABLE, 'apples') as Item).count + 1 }));
    await Promise.all(Array.from({ length: 100 }, more));
    say(`a hundred at once, one more each: ${JSON.stringify(database.dirtyRead(TABLE, 'apples'))}`);
    const badKey = await database
      .dirtyWrite(TABLE, Number.NaN, { count: 1 })
      .catch((error: unknown) => (error as StorageError).code);
    say(`a key without an order: ${String(badKey)}`);
    await first.close();

    const second = await openDatabase({ directory, nodeName: NODE_NAME });
    await second.database.waitForTables([TABLE], 5_000);
    say(`opened again, start ${second.database.systemInfo().incarnation}:`);
    second.database.dirtyForEach(TABLE, (key, value) => say(`  ${JSON.stringify(key)} = ${JSON.stringify(value)}`));
    await second.close();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
