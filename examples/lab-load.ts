/**
 * Write load on a running lab, and the proof afterwards: clients at one peer add one to a row again and again, each time in
 * a transaction; in the end every acknowledged value is looked for at every peer that answers.
 *
 *     npx tsx examples/lab-load.ts                      ten seconds at peer 1 of ./lab
 *     npx tsx examples/lab-load.ts --peer 3 --seconds 5 --dir ./lab
 */
import { peersOfLab } from './support/lab.ts';
import { askPeer, type PeerAddress, status } from './support/peer-api.ts';
import { main, option, say, until } from './support/say.ts';

const CLIENTS = 16;
const KEYS = 200;

interface LoadResult {
  readonly acknowledged: number;
  readonly errors: number;
  readonly longestGapMs: number;
  readonly byKey: Readonly<Record<string, number>>;
}

interface LabRows {
  readonly rows: readonly { readonly key: string; readonly value: { readonly sequence: number } }[];
}

/** How many of the acknowledged values this peer does not hold, nor a later one. */
async function lostAt(peer: PeerAddress, byKey: LoadResult['byKey']): Promise<number> {
  const { rows } = await askPeer<LabRows>(peer, 'GET', 'lab/rows');
  const held = new Map(rows.map(({ key, value }) => [key, value.sequence]));
  return Object.entries(byKey).filter(([key, sequence]) => (held.get(key) ?? 0) < sequence).length;
}

/** Digests of the tables that all peers share, in one line. */
async function contentOf(peer: PeerAddress): Promise<string | undefined> {
  const { cluster, database } = await status(peer);
  if (cluster.databaseStatus === 'Starting') return undefined;
  const shared = database.tables.filter(({ localContent }) => !localContent);
  return shared.map(({ name, digest }) => `${name} ${digest}`).join(', ');
}

async function awaitEqual(peers: readonly PeerAddress[]): Promise<void> {
  await until('the replicas to be equal', async () => {
    const contents = await Promise.all(peers.map((peer) => contentOf(peer).catch(() => undefined)));
    return contents.every((content) => content !== undefined && content === contents[0]);
  });
}

main(async () => {
  const directory = option('dir') ?? './lab';
  const peers = peersOfLab(directory);
  const index = Number(option('peer') ?? 1);
  const seconds = Number(option('seconds') ?? 10);
  const target = peers[index - 1];
  if (target === undefined) throw new RangeError(`The lab has peers 1 to ${peers.length}; --peer names another one.`);
  say(`${CLIENTS} clients write at peer ${index} for ${seconds} s …`);
  const request = { clients: CLIENTS, keys: KEYS, durationMs: seconds * 1_000 };
  const result = await askPeer<LoadResult>(target, 'POST', 'lab/load', request, seconds * 1_000 + 30_000);
  say(`${result.acknowledged} writes acknowledged, ${result.errors} refused, longest gap ${result.longestGapMs} ms`);

  // One that was started again a moment ago is waited for; one that was killed and left is not.
  const alive = peersOfLab(directory).filter(({ isUp }) => isUp);
  await awaitEqual(alive);
  for (const peer of alive) {
    const lost = await lostAt(peer, result.byKey);
    say(`peer ${peer.index}: acknowledged writes lost: ${lost}`);
    if (lost > 0) process.exitCode = 1;
  }
  say(`${alive.length} of ${peers.length} peers answered, and their tables are equal`);
});
