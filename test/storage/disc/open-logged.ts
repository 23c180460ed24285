/** A log before LevelDB in one directory, as a data directory has them, with generations as small as a test wants. */
import { join } from 'node:path';
import { openLevelStore } from '../../../storage/disc/level-store.ts';
import { openLogFiles } from '../../../storage/disc/log-files.ts';
import { LoggedDisc } from '../../../storage/disc/logged-disc.ts';
import { createClock } from '../../../storage/local-environment.ts';

export async function openLogged(
  directory: string,
  foldBytes: number,
  recordOperationsMax?: number,
): Promise<LoggedDisc> {
  const store = await openLevelStore(join(directory, 'store'));
  const files = await openLogFiles(join(directory, 'log'));
  const disc = new LoggedDisc({ store, files, clock: createClock(), foldBytes, recordOperationsMax });
  await disc.open();
  return disc;
}
