/** Peers that lose each other and not their lives: both sides go on, and are one again without a restart of anything. */
import { expect, test } from 'vitest';
import type { LedgerEntry, Value } from '../../storage/index.ts';
import { awaited, measured, useLab } from './lab-harness.ts';
import { aboutNode, familyOf, ofFamily } from './line-families.ts';
import type { TestPeer } from './test-peer.ts';

const lab = useLab({ peers: 3, firstAddress: '127.15.62.15' });

const NET_TICKTIME_MS = 4_000;
/** Four ticks in a ticktime, so the fifth at the latest finds the silence; the rest is the machine's. */
const GIVEN_UP_MS_MAX = 1.25 * NET_TICKTIME_MS + 2_000;
/** After the heal: how long the replicas may differ. */
const HEAL_MS_MAX = 2_000;
const KEYS = 12;
/** For what is there at once unless the machine is busy. */
const PATIENCE_MS = 10_000;

type Peers = [TestPeer, TestPeer, TestPeer];

function peers(): Peers {
  return lab().peers as unknown as Peers;
}

/** What a restart of anything would change: processes, starts, actors. */
async function lives() {
  return Promise.all(
    lab().peers.map(async (peer) => ({
      pid: peer.pid,
      starts: peer.lines().filter((line) => line.includes('Detail="Starting, version')).length,
      actors: [...(await peer.actors())],
    })),
  );
}

async function awaitLost(peer: TestPeer, from: number, nodes: readonly TestPeer[]): Promise<void> {
  const wanted = nodes.map((node) => node.nodeName).sort();
  await awaited(`${peer.name} has lost ${wanted.join(', ')}`, 2 * NET_TICKTIME_MS, () => {
    const lost = ofFamily(peer.log(from), 'L6').map(aboutNode).sort();
    return JSON.stringify(lost) === JSON.stringify(wanted);
  });
}

/** Cuts one peer from both others and waits until all three know. */
async function isolate(alone: TestPeer): Promise<number[]> {
  const marks = lab().peers.map((peer) => peer.mark());
  const others = lab().others(alone.index);
  await Promise.all(others.map((other) => lab().command('lab', 'cut', String(alone.index), String(other.index))));
  for (const peer of lab().peers) {
    await awaitLost(peer, marks[peer.index - 1]!, peer === alone ? others : [alone]);
  }
  return marks;
}

/** The same keys on both sides, with other values, and keys of its own on each side. */
async function writeOnBothSides(alone: TestPeer, name: string): Promise<void> {
  const [first, second] = lab().others(alone.index) as [TestPeer, TestPeer];
  for (let at = 0; at < KEYS; at += 1) {
    await Promise.all([
      alone.write(`${name}-both-${at}`, { side: 'alone', at }),
      (at % 2 === 0 ? first : second).write(`${name}-both-${at}`, { side: 'others', at }),
    ]);
    await alone.write(`${name}-alone-${at}`, at);
    await (at % 2 === 0 ? second : first).write(`${name}-others-${at}`, at);
  }
}

/** Heals and gives the time until all replicas were equal. */
async function heal(): Promise<number> {
  await lab().command('lab', 'heal');
  const healedMs = performance.now();
  await lab().awaitEqual(2 * NET_TICKTIME_MS);
  return performance.now() - healedMs;
}

function sideOf(value: Value): unknown {
  return typeof value === 'object' && value !== null && 'side' in value ? value.side : undefined;
}

/** Every row of both sides is there, and of each key written on both the version that lost is in the ledger. */
async function expectMerged(name: string): Promise<ReadonlyMap<string, LedgerEntry>> {
  const all = await Promise.all(
    lab().peers.map(async (peer) => ({ rows: await peer.rows(), ledger: await peer.ledger() })),
  );
  const [{ rows, ledger }] = all as [(typeof all)[number]];
  for (const other of all) expect(other).toEqual({ rows, ledger });
  const entries = new Map(
    ledger.filter((entry) => String(entry.key).startsWith(name)).map((entry) => [String(entry.key), entry]),
  );
  expect(ledger.filter((entry) => String(entry.key).startsWith(name))).toHaveLength(KEYS);
  for (let at = 0; at < KEYS; at += 1) {
    expect([rows.get(`${name}-alone-${at}`), rows.get(`${name}-others-${at}`)]).toEqual([at, at]);
    const key = `${name}-both-${at}`;
    const winner = sideOf(rows.get(key));
    expect(['alone', 'others']).toContain(winner);
    expect(entries.get(key)).toMatchObject({
      table: 'lab',
      rule: 'last_write',
      restored: false,
      winner: { value: { side: winner, at }, deleted: false },
      loser: { value: { side: winner === 'alone' ? 'others' : 'alone', at }, deleted: false },
    });
  }
  return entries;
}

test('M60 B70 B72 E150 two islands are one within 2 s of the heal, every version that lost is in the ledger, nothing restarts', async () => {
  const before = await lives();
  const [first, second, third] = peers();
  const marks = await isolate(first);
  for (const peer of lab().peers) expect((await peer.status()).cluster.databaseStatus).toBe('Failed');
  await writeOnBothSides(first, 'island');
  expect(await first.ledger()).toEqual([]);
  // Long enough that dials have been given up: the heal finds the peers in the pauses between two dials, too.
  for (const peer of lab().peers) {
    await awaited(`${peer.name} gives up a dial`, 2 * NET_TICKTIME_MS, () =>
      peer.lines(marks[peer.index - 1]).some((line) => line.includes('did not answer in time')),
    );
  }

  const healMs = await heal();
  measured(`replicas were equal ${healMs.toFixed(0)} ms after the heal`);
  await lab().awaitActive();
  const ledger = await expectMerged('island');

  const [key, entry] = [...ledger][0]!;
  await third.ask('POST', `ledger/${entry.id}/restore`);
  for (const peer of lab().peers) {
    await awaited(
      'the restored version is everywhere',
      PATIENCE_MS,
      async () => sideOf(await peer.read(key)) === sideOf(entry.loser.value),
    );
    expect((await peer.ledger()).find((one) => one.id === entry.id)?.restored).toBe(true);
  }

  expect(await lives()).toEqual(before);
  for (const peer of [first, second, third]) {
    const lost = peer === first ? [second, third] : [first];
    for (const other of lost) expectConnectionLines(peer, marks[peer.index - 1]!, other);
  }
  expect(healMs).toBeLessThan(HEAL_MS_MAX);
});

/** L6 to L10 for one lost node, in order; then, at the heal, L8 to L10 again by a new worker. */
function expectConnectionLines(peer: TestPeer, from: number, other: TestPeer): void {
  const wanted = ['L6', 'L7', 'L8', 'L9', 'L10', 'L11'];
  const nodesOf = (line: Parameters<typeof aboutNode>[0]) => line.fields.filter((field) => field.key === 'Node');
  const lines = peer.log(from).filter((line) => nodesOf(line).at(-1)?.value === other.nodeName);
  const found = lines.map(familyOf).filter((name) => name !== undefined && wanted.includes(name));
  expect(found.slice(0, 6)).toEqual(wanted);
  expect(found.slice(6)).toEqual(['L8', 'L9', 'L10']);
  const workers = ofFamily(lines, 'L9').map((line) => line.fields.find((field) => field.key === 'PID')?.value);
  expect(new Set(workers).size).toBe(2);
}

test('B71 clocks 2 s apart break neither writes nor merges, and a second partition heals as the first did', async () => {
  const [first, second, third] = peers();
  await lab().command('lab', 'clock', '2', '+2s');
  for (const writer of lab().peers) await writer.write(`skewed-${writer.index}`, { by: writer.name });
  // A clock that is behind overwrites what one ahead has written.
  await second.write('skewed-again', 'ahead');
  await third.write('skewed-again', 'behind');
  for (const peer of lab().peers) {
    await awaited('the later write holds', PATIENCE_MS, async () => (await peer.read('skewed-again')) === 'behind');
    for (const writer of lab().peers) expect(await peer.read(`skewed-${writer.index}`)).toEqual({ by: writer.name });
  }
  await isolate(second);
  await writeOnBothSides(second, 'skewed');
  const healMs = await heal();
  measured(`with a clock 2 s ahead replicas were equal ${healMs.toFixed(0)} ms after the heal`);
  await lab().awaitActive();
  await expectMerged('skewed');
  await lab().command('lab', 'clock', '2', '0s');
  await first.write('skewed-after', 1);
  await awaited(
    'writes go on after the clock was set right',
    PATIENCE_MS,
    async () => (await second.read('skewed-after')) === 1,
  );
  expect(healMs).toBeLessThan(HEAL_MS_MAX);
});

test('M57 a peer that is paused is given up after net_ticktime; resumed, it finds itself partitioned and heals', async () => {
  const [first, second, third] = peers();
  const before = await lives();
  const marks = lab().peers.map((peer) => peer.mark());
  await lab().command('lab', 'pause', '3');
  const pausedMs = performance.now();
  await Promise.all([first.write('paused-1', 1), second.write('paused-2', 2)]);
  const waitedMs = performance.now() - pausedMs;
  measured(
    `writes were answered ${waitedMs.toFixed(0)} ms after a peer was paused, with net_ticktime ${NET_TICKTIME_MS} ms`,
  );
  expect(waitedMs).toBeLessThan(GIVEN_UP_MS_MAX);
  for (const peer of [first, second]) await awaitLost(peer, marks[peer.index - 1]!, [third]);

  await lab().command('lab', 'resume', '3');
  await awaitLost(third, marks[2]!, [first, second]);
  await lab().awaitEqual(5_000);
  await lab().awaitActive();
  expect(await third.read('paused-1')).toBe(1);
  expect(await third.read('paused-2')).toBe(2);
  expect(await lives()).toEqual(before);
  expect(third.lines(marks[2]).filter((line) => line.includes('This peer did not run for'))).toHaveLength(1);
});

test('a delay of 80 ms between two peers leaves the cluster Active', async () => {
  const [first, second, third] = peers();
  const marks = lab().peers.map((peer) => peer.mark());
  await lab().command('lab', 'delay', '1', '3', '80ms');
  const loads = await Promise.all(
    [first, second, third].map((peer) => peer.load({ clients: 2, keys: 8, durationMs: NET_TICKTIME_MS + 1_000 })),
  );
  for (const { errors, acknowledged } of loads) {
    expect(errors).toBe(0);
    expect(acknowledged).toBeGreaterThan(20);
  }
  await lab().awaitActive();
  const rttMs = (await first.status()).cluster.peers[2]?.rttMs ?? 0;
  measured(
    `round trip ${rttMs.toFixed(0)} ms; acknowledged ${loads.map((load) => load.acknowledged).join(', ')} writes`,
  );
  expect(rttMs).toBeGreaterThan(100);
  for (const [at, peer] of lab().peers.entries()) expect(ofFamily(peer.log(marks[at]), 'L6')).toEqual([]);
  await lab().command('lab', 'heal');
  await lab().awaitEqual(5_000);
});
