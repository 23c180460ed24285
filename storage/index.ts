/** Everything other rooms may import from the database. */
export { Database } from './database.ts';
export type * from './environment.ts';
export { StorageError, type StorageErrorCode } from './errors.ts';
export type * from './types.ts';
