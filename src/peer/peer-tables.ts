/** The tables of a peer: made or joined, loaded, and filled from the configuration file where nothing is stored yet. */
import {
  type ClusterConfiguration,
  configurationRows,
  PEER_ITEM,
  TABLE,
  tableDefinitions,
} from '../../actors/clusterdb/cluster-configuration.ts';
import { StorageError } from '../../storage/errors.ts';
import type { Clock, Database, TableDefinition } from '../../storage/index.ts';

export const LAB_TABLE = 'lab';
const RETRY_MS = 1_000;
/** How long one wait lasts before it is said again who is awaited. */
const WAIT_SAID_MS = 10_000;

export function peerTables(nodeName: string, lab: boolean): readonly TableDefinition[] {
  const labTable: TableDefinition = { name: LAB_TABLE, disc_copies: [nodeName], merge: 'last_write' };
  return [...tableDefinitions(nodeName), ...(lab ? [labTable] : [])];
}

export interface TableSteps {
  readonly database: Database;
  readonly clock: Clock;
  /** Ends every wait: the peer is being stopped. */
  isStopping(): boolean;
  say(text: string): void;
}

export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}

/** A definition that differs is a mistake and ends the start; everything else is tried until it works. */
export async function declareTables(steps: TableSteps, definitions: readonly TableDefinition[]): Promise<void> {
  for (const definition of definitions) {
    for (let said = ''; !steps.isStopping(); ) {
      try {
        await steps.database.createTable(definition);
        break;
      } catch (error) {
        if (!(error instanceof StorageError) || ['table_exists', 'bad_definition'].includes(error.code)) throw error;
        if (said !== error.code) steps.say(`Table "${definition.name}" cannot be declared yet: ${error.message}`);
        said = error.code;
        await sleep(steps.clock, RETRY_MS);
      }
    }
  }
}

/** Waits for ever, and says for whom: whoever went down last has the newest rows. */
export async function awaitTables(steps: TableSteps, names: readonly string[]): Promise<void> {
  for (let waitMs = RETRY_MS; !steps.isStopping(); waitMs = WAIT_SAID_MS) {
    try {
      await steps.database.waitForTables(names, waitMs);
      return;
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'table_not_loaded') throw error;
      const nodes = error.fields.nodes ?? [];
      steps.say(`Tables are not loaded yet${nodes.length === 0 ? '' : `, waiting for ${nodes.join(', ')}`}`);
    }
  }
}

export function isFirstBoot(database: Database): boolean {
  if (!database.systemInfo().tables.includes(TABLE.peerConfiguration)) return true;
  const info = database.tableInfo(TABLE.peerConfiguration);
  return !info.loaded || database.dirtyRead(TABLE.peerConfiguration, PEER_ITEM.primary) === undefined;
}

/** A table that holds anything is left as it is: what the cluster agreed on outranks the file of one peer. */
export async function seedTables(database: Database, configuration: ClusterConfiguration): Promise<readonly string[]> {
  const seeded: string[] = [];
  for (const [table, rows] of configurationRows(configuration)) {
    const filled = await database.transaction((tx) => {
      if (rows.length === 0 || tx.allKeys(table).length > 0) return false;
      for (const { key, value } of rows) tx.write(table, key, value);
      return true;
    });
    if (filled) seeded.push(table);
  }
  return seeded;
}
