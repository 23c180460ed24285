/**
 * Starts peers from configuration files, without the lab: writes the files, starts one process for each peer, waits until
 * all see each other, changes a setting at the primary, shows it at the others, stops all in order.
 *
 *     npx tsx examples/peers/two.ts      npx tsx examples/peers/three.ts      npx tsx examples/peers/six.ts
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeClusterFiles } from '../support/cluster-files.ts';
import { logIn, type PeerAddress, status, x } from '../support/peer-api.ts';
import { PeerProcess } from '../support/peer-process.ts';
import { say, until } from '../support/say.ts';

const SETTING = 'xConfiguration clusterConfiguration tls_verify';

async function isActive(peer: PeerAddress): Promise<boolean> {
  const { cluster } = await status(peer);
  return (
    cluster.databaseStatus === 'Active' && cluster.peers.every(({ state }) => state !== 'Failed' && state !== 'Unknown')
  );
}

async function showStatus(peer: PeerAddress): Promise<void> {
  const { systemName, cluster, database } = await status(peer);
  const rows = cluster.peers.map(({ index, state }) => `${index} ${state}`).join(', ');
  say(`${systemName}: database ${cluster.databaseStatus}, ${database.runningDbNodes.length} nodes; peers: ${rows}`);
}

async function shownSetting(peer: PeerAddress): Promise<string> {
  const lines = await x(peer, SETTING);
  return lines.find((line) => line.startsWith('*c xConfiguration')) ?? lines.join(' ');
}

export async function runPeers(count: number, firstAddress: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'peerage-peers-'));
  const processes: PeerProcess[] = [];
  try {
    const files = await writeClusterFiles({ directory, peers: count, firstAddress });
    say(`wrote certificates, keys and ${count} configuration files`);
    processes.push(...(await Promise.all(files.peers.map((peer) => PeerProcess.start(peer)))));
    const { authority, password } = files;
    const peers = await Promise.all(files.peers.map(({ url }) => logIn({ url, authority }, password)));
    for (const peer of peers) await until(`${peer.url} to see all peers Active`, () => isActive(peer));
    for (const peer of peers) await showStatus(peer);

    const primary = peers[0]!;
    say(`peer1 executes: ${SETTING}: "Enforcing"`);
    await x(primary, `${SETTING}: "Enforcing"`);
    for (const [at, peer] of peers.entries()) {
      // The primary answers when every peer has promised the change; another may show it a moment later.
      await until(`peer${at + 1} to show it`, async () => (await shownSetting(peer)).includes('"Enforcing"'));
      say(`peer${at + 1} shows:    ${await shownSetting(peer)}`);
    }

    for (const peer of processes.reverse()) say(`${peer.files.systemName} stopped, exit code ${await peer.stop()}`);
  } finally {
    await Promise.all(processes.map((peer) => peer.kill()));
    rmSync(directory, { recursive: true, force: true });
  }
  say('nothing runs any more; the temporary directory is removed');
}
