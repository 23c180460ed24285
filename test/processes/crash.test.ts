/** Peers that are killed in the middle of writes: what was acknowledged stays, and who comes back takes what it missed. */
import { expect, test } from 'vitest';
import type { LoadResult } from '../../src/peer/peer-handle.ts';
import type { Value } from '../../storage/index.ts';
import { awaited, measured, useLab } from './lab-harness.ts';
import { aboutNode, familiesIn, ofFamily } from './line-families.ts';
import type { TestPeer } from './test-peer.ts';

const lab = useLab({ peers: 3, firstAddress: '127.15.61.15' });

/** Rows nobody writes any more when a peer is killed, and rows that are written the whole time by each writer. */
const RESTING_ROWS = 1_000;
const BUSY_ROWS = 40;
/** Alarms of the survivors and of the peer itself, and their ends. */
const SYSTEM_ROWS_MAX = 20;
const LONGEST_GAP_MS = 250;

function sequenceOf(value: Value): number {
  return typeof value === 'object' && value !== null && 'sequence' in value ? Number(value.sequence) : 0;
}

/** What was acknowledged and is not there: the row is missing, or older than the answer said. */
function lost(acknowledged: Readonly<Record<string, number>>, rows: ReadonlyMap<string, Value>): string[] {
  return Object.entries(acknowledged)
    .filter(([key, sequence]) => sequenceOf(rows.get(key)) < sequence)
    .map(([key, sequence]) => `${key}: ${sequence} was acknowledged, ${sequenceOf(rows.get(key))} is there`);
}

test('E14 M57 E136 E138 E139 a peer killed under write load costs no acknowledged write, and the others go on at once', async () => {
  const [first, second, victim] = lab().peers as [TestPeer, TestPeer, TestPeer];
  const resting = await first.load({ clients: 8, keys: RESTING_ROWS, durationMs: 3_000, prefix: 'resting' });
  expect(Object.keys(resting.byKey)).toHaveLength(RESTING_ROWS);
  const survivors = [first, second];
  const marks = survivors.map((peer) => peer.mark());

  const loads = survivors.map((peer) => peer.load({ clients: 4, keys: BUSY_ROWS, durationMs: 4_000 }));
  await awaited('the writes of both reach the third', 3_000, async () => {
    const rows = await victim.rows();
    return rows.has('peer1-0') && rows.has('peer2-0');
  });
  await lab().command('lab', 'kill', '3');
  const results = await Promise.all(loads);

  for (const [at, { acknowledged, longestGapMs, errors, errorCodes }] of results.entries()) {
    measured(
      `peer ${at + 1}: ${acknowledged} acknowledged, longest gap ${longestGapMs} ms, errors ${errors} ${JSON.stringify(errorCodes)}`,
    );
  }
  for (const peer of survivors) {
    const rows = await peer.rows();
    for (const { byKey } of [resting, ...results]) expect(lost(byKey, rows)).toEqual([]);
  }
  for (const { longestGapMs } of results) expect(longestGapMs).toBeLessThan(LONGEST_GAP_MS);
  for (const [at, peer] of survivors.entries()) {
    const lines = peer.log(marks[at]);
    expect(familiesIn(lines, ['L6', 'L7', 'L12', 'L13'])).toEqual(['L6', 'L7', 'L12', 'L13']);
    expect(ofFamily(lines, 'L6').map(aboutNode)).toEqual([victim.nodeName]);
    const { cluster, alarms } = await peer.status();
    expect(cluster.peers[2]).toMatchObject({ state: 'Failed', clustering: { ok: false, text: 'Failed' } });
    expect(alarms.map((alarm) => alarm.id)).toEqual(expect.arrayContaining(['20004', '20006']));
  }
  const status = await lab().tryCommand('status');
  expect(status.out).toMatch(/3 ✘ Failed/);
  expect(status.code).toBe(3);
});

test('E111 E112 a peer that was killed takes only the rows that changed, and the alarms are lowered', async () => {
  const [first, second, victim] = lab().peers as [TestPeer, TestPeer, TestPeer];
  const survivors = [first, second];
  const marks = survivors.map((peer) => peer.mark());
  const ownMark = victim.mark();
  await lab().command('lab', 'start', '3');
  await lab().awaitActive();
  await lab().awaitEqual(5_000);

  const [taken, durationMs] = await awaited('the peer says what it took', 5_000, () => joinOf(victim, ownMark));
  const rows = (await victim.rows()).size;
  measured(`of ${rows} rows the peer took ${taken} when it came back, in ${durationMs} ms`);
  expect(rows).toBe(RESTING_ROWS + 2 * BUSY_ROWS);
  expect(taken).toBeGreaterThanOrEqual(2 * BUSY_ROWS);
  expect(taken).toBeLessThanOrEqual(2 * BUSY_ROWS + SYSTEM_ROWS_MAX);

  for (const [at, peer] of survivors.entries()) {
    await awaited('20006 and 20004 are lowered', 5_000, async () => {
      const ids = await peer.alarmIds();
      return !ids.includes('20006') && !ids.includes('20004');
    });
    const lowered = ['lowered 20004', 'lowered 20006'];
    expect(familiesIn(peer.log(marks[at]), lowered).sort()).toEqual(lowered);
  }
});

/** Rows taken and duration of the node connection transactions that brought a starting peer up to date. */
function joinOf(peer: TestPeer, from: number): [number, number] | undefined {
  const figures = peer
    .log(from)
    .filter((line) => line.fields.some((field) => field.value === 'Node connection transaction completed'))
    .map((line) => {
      const figure = (key: string) => Number(line.fields.find((field) => field.key === key)?.value);
      return [figure('Rows-taken'), figure('Duration-ms')] as [number, number];
    });
  return figures.toSorted(([a], [b]) => b - a)[0];
}

test('what was acknowledged is there after all peers were killed at once, round after round', {
  timeout: 120_000,
}, async () => {
  const acknowledged: Record<string, number> = {};
  for (let round = 1; round <= 3; round += 1) {
    const before = total(acknowledged);
    const writers = lab().peers.map((peer) => writeUntilKilled(peer, acknowledged));
    const rest = before + 600;
    await awaited('many writes are acknowledged', 10_000, () => total(acknowledged) > rest);
    for (const pid of lab().peers.map((peer) => peer.pid!)) process.kill(pid, 'SIGKILL');
    await Promise.all(writers);
    await awaited('all are gone', 5_000, () => lab().peers.every((peer) => peer.pid === undefined));

    await lab().command('lab', 'up', '--detach');
    await lab().awaitEqual(5_000);
    for (const peer of lab().peers) expect(lost(acknowledged, await peer.rows())).toEqual([]);
    measured(`round ${round}: ${total(acknowledged) - before} writes acknowledged before all were killed, none lost`);
  }
});

function total(acknowledged: Readonly<Record<string, number>>): number {
  return Object.values(acknowledged).reduce((sum, sequence) => sum + sequence, 0);
}

/** Short loads one after the other, so that the last answers come right before the end. */
async function writeUntilKilled(peer: TestPeer, acknowledged: Record<string, number>): Promise<void> {
  for (;;) {
    let result: LoadResult;
    try {
      result = await peer.load({ clients: 4, keys: 32, durationMs: 30, prefix: `killed-${peer.name}` });
    } catch (error) {
      if (isGone(error)) return;
      throw error;
    }
    for (const [key, sequence] of Object.entries(result.byKey)) acknowledged[key] = sequence;
  }
}

function isGone(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && ['ECONNRESET', 'ECONNREFUSED', 'EPIPE'].includes(String(error.code))
  );
}
