/** Everything other rooms may import from the database. */
export { Database } from './database.ts';
export { type DataDirectory, openDataDirectory } from './disc/data-directory.ts';
export type * from './environment.ts';
export { InvariantViolation, StorageError, type StorageErrorCode } from './errors.ts';
export {
  createClock,
  createRandom,
  endOfTurn,
  type LocalDatabase,
  type LocalDatabaseOptions,
  type LocalNode,
  openDatabase,
  probe,
  type RealClock,
} from './local-environment.ts';
export { DELETE } from './replication/merge-functions.ts';
export type * from './types.ts';
