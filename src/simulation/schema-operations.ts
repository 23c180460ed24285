/**
 * Changes of the schema, as clients make them while everything else goes on: replicas of one table come, go, move and
 * change their kind; another table is deleted and made anew. Who holds what is asked of the database.
 */
import type { StorageKind } from '../../storage/types.ts';
import type { DatabaseUnderTest } from './database-under-test.ts';
import type { History, OperationKind } from './history.ts';
import type { SeededRandom } from './seeded-random.ts';

/** Its replicas move. */
export const MOVING_TABLE = 'registers_moving';
/** Deleted and made anew: what was in it is gone each time. */
export const RECREATED_TABLE = 'registers_anew';

export const SCHEMA_KINDS = [
  'add-copy',
  'del-copy',
  'move-copy',
  'change-copy',
  'delete-table',
  'declare-table',
] as const satisfies readonly OperationKind[];

export type SchemaKind = (typeof SCHEMA_KINDS)[number];

/** Who changes the schema waits so long. */
const TIMEOUT_MS = 20_000;

/** Nodes that may hold replicas, and tables whose rows may go. */
export type SchemaScope = Partial<Pick<History, 'names' | 'mayLose'>>;

interface SchemaContext {
  readonly random: SeededRandom;
  readonly node: { readonly name: string };
  readonly history: SchemaScope;
}

export function isSchemaKind(kind: OperationKind): kind is SchemaKind {
  return SCHEMA_KINDS.some((other) => other === kind);
}

/** Names of the nodes with a replica, as one database knows it; none when it knows no such table. */
export function holdersAt(database: DatabaseUnderTest, table: string): string[] {
  if (!database.systemInfo().tables.includes(table)) return [];
  const { ramCopies, discCopies } = database.tableInfo(table);
  return [...ramCopies, ...discCopies].sort();
}

/** What the change does when its turn has come; nothing where the table as it is then offers nothing to do. */
export function schemaChange(
  { random, node, history }: SchemaContext,
  kind: SchemaKind,
): (database: DatabaseUnderTest) => Promise<void> {
  const options = { timeoutMs: TIMEOUT_MS };
  const kindOfCopy = (): StorageKind => random.pick(['ram_copies', 'disc_copies']);
  return async (database) => {
    const holders = holdersAt(database, MOVING_TABLE);
    const others = (history.names ?? []).filter((name) => !holders.includes(name));
    switch (kind) {
      case 'add-copy':
        if (others.length > 0) await database.addTableCopy(MOVING_TABLE, random.pick(others), kindOfCopy(), options);
        return;
      case 'del-copy':
        if (holders.length > 1) await database.delTableCopy(MOVING_TABLE, random.pick(holders), options);
        return;
      case 'move-copy':
        if (holders.length === 0 || others.length === 0) return;
        await database.moveTableCopy(MOVING_TABLE, random.pick(holders), random.pick(others), options);
        return;
      case 'change-copy':
        if (holders.length === 0) return;
        await database.changeTableCopyType(MOVING_TABLE, random.pick(holders), kindOfCopy(), options);
        return;
      case 'delete-table':
        history.mayLose?.add(RECREATED_TABLE);
        await database.deleteTable(RECREATED_TABLE);
        return;
      case 'declare-table':
        await database.createTable({ name: RECREATED_TABLE, disc_copies: [node.name] });
    }
  };
}
