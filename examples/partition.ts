/**
 * Three peers and a partition: the third is cut off, both sides change the same row, the cut is healed. Nobody restarts;
 * the version that lost stands in the ledger and is put back with one call.
 *
 *     npx tsx examples/partition.ts
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeClusterFiles } from './support/cluster-files.ts';
import { askPeer, type PeerAddress, status } from './support/peer-api.ts';
import { PeerProcess } from './support/peer-process.ts';
import { main, option, say, until } from './support/say.ts';

interface LedgerEntry {
  readonly id: string;
  readonly key: unknown;
  readonly rule: string;
  readonly winner: { readonly value: unknown };
  readonly loser: { readonly value: unknown };
  readonly islands: readonly (readonly string[])[];
  readonly restored: boolean;
}

const ROOM = '"meeting-room"';

function write(peer: PeerAddress, key: string, value: unknown): Promise<unknown> {
  return askPeer(peer, 'POST', 'lab/write', { table: 'lab', key: JSON.parse(key), value });
}

async function read(peer: PeerAddress, key: string): Promise<string> {
  const { value } = await askPeer<{ value: unknown }>(peer, 'GET', `lab/read?table=lab&key=${encodeURIComponent(key)}`);
  return value === undefined ? 'nothing' : JSON.stringify(value);
}

async function readAll(peers: readonly PeerAddress[], key: string): Promise<string> {
  const values = await Promise.all(peers.map((peer) => read(peer, key)));
  return values.map((value, at) => `peer${at + 1} ${value}`).join(', ');
}

/** An answered write is promised by every replica; each shows it when it has heard so, moments later. */
async function awaitValue(peers: readonly PeerAddress[], key: string, value: unknown): Promise<void> {
  const expected = JSON.stringify(value);
  await until(`${key} to be ${expected}`, async () => {
    const values = await Promise.all(peers.map((peer) => read(peer, key)));
    return values.every((found) => found === expected);
  });
}

async function ledger(peer: PeerAddress): Promise<readonly LedgerEntry[]> {
  return (await askPeer<{ entries: readonly LedgerEntry[] }>(peer, 'GET', 'ledger')).entries;
}

async function awaitIsland(peers: readonly PeerAddress[], sizes: readonly number[]): Promise<void> {
  await until(`islands of ${sizes.join(', ')}`, async () => {
    const seen = await Promise.all(peers.map((peer) => status(peer)));
    return seen.every(({ database }, at) => database.runningDbNodes.length === sizes[at]);
  });
}

/** Each peer declares its own replica when it starts; the first may be there before the last. */
async function awaitTable(peers: readonly PeerAddress[]): Promise<void> {
  await until('the table at all peers', async () => {
    const seen = await Promise.all(peers.map((peer) => status(peer)));
    return seen.every(({ database }) => database.tables.some(({ name, loaded }) => name === 'lab' && loaded));
  });
}

/** A pulled cable: neither side hears the other, nothing is refused. */
async function cut(a: PeerAddress, b: PeerAddress): Promise<void> {
  const hostOf = (peer: PeerAddress) => new URL(peer.url).hostname;
  await askPeer(a, 'POST', 'lab/faults', { op: 'cut', address: hostOf(b) });
  await askPeer(b, 'POST', 'lab/faults', { op: 'cut', address: hostOf(a) });
}

async function show(peers: readonly PeerAddress[]): Promise<void> {
  const [one, two, three] = peers as [PeerAddress, PeerAddress, PeerAddress];
  await awaitIsland(peers, [3, 3, 3]);
  await awaitTable(peers);
  const atFirst = { name: 'Blue room', seats: 8 };
  await write(one, ROOM, atFirst);
  await awaitValue(peers, ROOM, atFirst);
  say(`together: ${await readAll(peers, ROOM)}`);

  await cut(one, three);
  await cut(two, three);
  await awaitIsland(peers, [2, 2, 1]);
  say('cut: peer1 and peer2 on one side, peer3 alone; both sides go on');
  const [atThree, atOne] = [
    { name: 'Blue room', seats: 10 },
    { name: 'Green room', seats: 8 },
  ];
  await write(three, ROOM, atThree);
  await write(one, ROOM, atOne);
  await write(three, '"only-at-3"', 'written apart');
  await awaitValue([one, two], ROOM, atOne);
  say(`apart: ${await readAll(peers, ROOM)}`);

  for (const peer of peers) await askPeer(peer, 'POST', 'lab/faults', { op: 'heal' });
  await awaitIsland(peers, [3, 3, 3]);
  say('healed, without a restart');
  say(`merged: ${await readAll(peers, ROOM)}`);
  say(`what one side alone had changed: ${await readAll(peers, '"only-at-3"')}`);

  const [entry, ...others] = await ledger(two);
  if (entry === undefined || others.length > 0) throw new Error('one conflict makes one entry in the ledger');
  say(`ledger: key ${JSON.stringify(entry.key)}, rule ${entry.rule}`);
  say(`  won:  ${JSON.stringify(entry.winner.value)} of ${entry.islands[0]?.join(' and ')}`);
  say(`  lost: ${JSON.stringify(entry.loser.value)} of ${entry.islands[1]?.join(' and ')}`);
  await askPeer(two, 'POST', `ledger/${entry.id}/restore`);
  await awaitValue(peers, ROOM, atThree);
  say(`restored: ${await readAll(peers, ROOM)}`);
  say(`the ledger keeps the entry, marked restored: ${(await ledger(three))[0]?.restored}`);
}

main(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'peerage-partition-'));
  const firstAddress = option('first-address') ?? '127.16.20.1';
  const processes: PeerProcess[] = [];
  try {
    // A lost peer is noticed after a second here; the default, four, serves real networks better.
    const timings = { netTicktimeMs: 1_000, resumeWindowMs: 300 };
    const files = await writeClusterFiles({ directory, peers: 3, firstAddress, lab: true, timings });
    processes.push(...(await Promise.all(files.peers.map((peer) => PeerProcess.start(peer)))));
    const { authority, labToken: token } = files;
    await show(files.peers.map(({ url }) => ({ url, authority, token })));
    for (const peer of processes.reverse()) await peer.stop();
    say('stopped');
  } finally {
    await Promise.all(processes.map((peer) => peer.kill()));
    rmSync(directory, { recursive: true, force: true });
  }
});
