/**
 * The database for a program of its own: real time, real randomness, LevelDB in a directory, and links if the caller
 * brings some. The one place of this room that asks the machine for time and chance.
 */
import { randomBytes } from 'node:crypto';
import { Database } from './database.ts';
import { openDataDirectory } from './disc/data-directory.ts';
import type { Clock, Environment, Links, NodeId, Random, TimerHandle } from './environment.ts';
import type { DatabaseOptions } from './types.ts';

/** Longer delays overflow Node's timers, which then fire at once. */
const DELAY_MAX_MS = 2 ** 31 - 1;

export interface RealClock extends Clock {
  /** Moves the wall clock as this process sees it; durations do not notice. */
  setWallOffset(offsetMs: number): void;
  wallOffsetMs(): number;
}

export function createClock(): RealClock {
  let offset = 0;
  return {
    wallMs: () => Date.now() + offset,
    monotonicMs: () => performance.now(),
    after(delayMs: number, run: () => void): TimerHandle {
      return { timer: setTimeout(run, Math.min(Math.max(0, delayMs), DELAY_MAX_MS)) };
    },
    cancel(handle: TimerHandle): void {
      clearTimeout(handle.timer as NodeJS.Timeout);
    },
    setWallOffset(offsetMs: number): void {
      offset = offsetMs;
    },
    wallOffsetMs: () => offset,
  };
}

export function createRandom(): Random {
  return {
    next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
    hex: (count: number) => randomBytes(count).toString('hex'),
  };
}

export const endOfTurn: Environment['endOfTurn'] = (run) => {
  setImmediate(run);
};

/** Steps of protocols mean something to tests only. */
export const probe: Environment['probe'] = () => undefined;

/** Who this database is, for whoever makes its links. */
export interface LocalNode {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  readonly incarnation: number;
  readonly clock: Clock;
  readonly random: Random;
}

export interface LocalDatabaseOptions
  extends Pick<DatabaseOptions, 'limits' | 'autoConnect' | 'primaryNodeName' | 'extraDbNodes' | 'masterNodes'> {
  /** Made when it does not exist. One process at a time may have it open. */
  readonly directory: string;
  readonly nodeName?: string;
  /** Without it the node is alone. */
  readonly links?: (self: LocalNode) => Promise<Links>;
}

export interface LocalDatabase {
  readonly database: Database;
  /** The database, then its directory. */
  close(): Promise<void>;
}

function noLinks(): Links {
  return {
    send: () => undefined,
    isUp: () => false,
    backlogBytes: () => 0,
    drop: () => undefined,
    setHandlers: () => undefined,
  };
}

/**
 * Opens the database kept in `directory`.
 * @throws StorageError `disc_locked`, `disc_format`, `disc_corrupt`, `disc_io`
 */
export async function openDatabase(options: LocalDatabaseOptions): Promise<LocalDatabase> {
  const clock = createClock();
  const random = createRandom();
  const { directory, nodeName = 'clusterdb@localhost', links: makeLinks, ...rest } = options;
  const data = await openDataDirectory(directory, random, clock);
  try {
    const { nodeId, incarnation, disc } = data;
    const links =
      makeLinks === undefined ? noLinks() : await makeLinks({ nodeId, nodeName, incarnation, clock, random });
    const environment: Environment = { clock, random, links, disc, endOfTurn, probe };
    const database = await Database.open({ ...rest, environment, nodeId, incarnation, nodeName });
    return {
      database,
      close: async () => {
        await database.close();
        await data.close();
      },
    };
  } catch (error) {
    await data.close();
    throw error;
  }
}
