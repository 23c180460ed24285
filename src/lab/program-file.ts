/** Which program a lab starts for each peer: the built one, wherever this module itself was loaded from. */

import { fileURLToPath } from 'node:url';

/** Command and first arguments; `peer --config FILE` follows. */
export type PeerCommand = readonly [string, ...string[]];

export function peerCommand(): PeerCommand {
  // Built, this module lies in dist/ beside main.mjs. Unbuilt, as in a unit test, it lies in src/lab/.
  const here = new URL('.', import.meta.url);
  const main = here.pathname.endsWith('/src/lab/') ? new URL('../../dist/main.mjs', here) : new URL('main.mjs', here);
  return [process.execPath, fileURLToPath(main)];
}
