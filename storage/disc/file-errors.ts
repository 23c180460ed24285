/** Files of a data directory: what their errors mean, and how a change of names reaches the medium. */
import { open } from 'node:fs/promises';
import { StorageError } from '../errors.ts';

/** A limit on the size of files, or of what a user may store, stops a node just as a full disc does. */
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

export function fileError(error: unknown, path: string): StorageError {
  if (error instanceof StorageError) return error;
  const code = codeOf(error);
  if (code !== undefined && FULL.has(code)) {
    return new StorageError('disc_full', `The disc that holds ${path} is full (${textOf(error)}). Free space on it.`, {
      cause: error,
    });
  }
  return new StorageError(
    'disc_io',
    `The data directory ${path} cannot be used (${textOf(error)}). Check that the path is right, that this user may ` +
      "read and write it, and the system's log for what it says of the disc.",
    { cause: error },
  );
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export async function syncDirectory(directory: string): Promise<void> {
  // Windows has no handle for a directory that could be synced; a rename is durable there by itself.
  if (process.platform === 'win32') return;
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
