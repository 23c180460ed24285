/** A directory for the data of a cluster, that is gone afterwards, as are the processes that work in it. */
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** As a shell says of a command that was interrupted. */
const INTERRUPTED = 130;

/**
 * @param killAll ends the processes at once; called when the driver is interrupted, and before the directory is removed
 */
export async function withScratch<T>(
  parent: string,
  killAll: () => Promise<void>,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(parent, 'peerage-bench-'));
  const endAtOnce = (): void => {
    void killAll();
    rmSync(directory, { recursive: true, force: true });
  };
  const interrupted = (): void => process.exit(INTERRUPTED);
  process.once('exit', endAtOnce).once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    return await use(directory);
  } finally {
    await killAll();
    await rm(directory, { recursive: true, force: true });
    process.off('exit', endAtOnce).off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}
