/**
 * Writes the files of a cluster and starts nothing: a begin for peers of your own.
 *
 *     npx tsx examples/peers/make-files.ts --dir ./mycluster --peers 2 --first-address 127.16.7.1
 *     node bin/peerage.mjs peer --config mycluster/peer1/peer.json
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeClusterFiles } from '../support/cluster-files.ts';
import { main, option, say } from '../support/say.ts';

const PEERS_MAX = 6;

main(async () => {
  const directory = option('dir') ?? './mycluster';
  const peers = Number(option('peers') ?? 3);
  if (!Number.isInteger(peers) || peers < 1 || peers > PEERS_MAX) throw new RangeError('--peers is 1 to 6');
  const files = await writeClusterFiles({ directory, peers, firstAddress: option('first-address') ?? '127.16.7.1' });
  writeFileSync(join(files.directory, 'admin.password'), `${files.password}\n`, { mode: 0o600 });
  for (const { systemName, address } of files.peers)
    say(`${systemName} at ${address}: ${directory}/${systemName}/peer.json`);
  say(`the password of admin is in ${directory}/admin.password; read it, then remove the file`);
});
