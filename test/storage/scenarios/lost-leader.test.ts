/**
 * The leader of a merge dies while it tells the members that it is made. They ask each other; who has not been told yet may
 * still be, as long as its own link to the leader is there, or by somebody else who has been.
 */
import { expect } from 'vitest';
import { type Scenario, scenario } from '../support/scenario.ts';

/** Peer 1 is alone, writes, and meets the others; its word reaches peer 2 at once. */
async function meetPeer1(s: Scenario, slow: readonly [from: number, to: number, ms: number][]): Promise<void> {
  await s.startWithTable(4);
  await s.cluster.split([1], [2, 3, 4]);
  await s.written(1, 'k', 'of peer 1');
  s.at(1, 'connect.before_prepare', () => {
    for (const [from, to, ms] of slow) s.cluster.network.delay(s.node(from).id, s.node(to).id, ms);
  });
  s.cluster.heal();
}

/** What had left it arrives, but at these. */
function killLeader(s: Scenario, untold: readonly number[]): void {
  s.at(1, 'connect.after_apply', () => {
    for (const other of untold) s.cluster.network.cut(s.node(1).id, s.node(other).id);
    s.node(1).kill({ sent: 'arrives' });
  });
}

function losses(s: Scenario): string[] {
  const among = [2, 3, 4].map((number) => s.node(number));
  return among.flatMap((node) => node.eventsOf('mnesia_down').map((down) => `${node.name}: ${down.node}`)).sort();
}

const OF_PEER_1 = [2, 3, 4].flatMap((number) => Array(2).fill(`clusterdb@peer${number}: clusterdb@peer1`) as string[]);

scenario('A member asked before the word of a lost leader reaches it is not left behind', async (s) => {
  await meetPeer1(s, [[1, 3, 40]]);
  killLeader(s, [4]);
  await s.until('peer 1 dies', () => !s.node(1).isRunning);
  await s.cluster.advance(1_000);
  expect(s.values('k', [2, 3, 4])).toEqual(['of peer 1', 'of peer 1', 'of peer 1']);
  expect(losses(s)).toEqual(OF_PEER_1);
  await s.allAgain();
});

scenario('Who had not heard of the merge passes it on to whom it said so', async (s) => {
  await meetPeer1(s, [[2, 4, 1_000]]);
  killLeader(s, [3, 4]);
  await s.until('peer 1 dies', () => !s.node(1).isRunning);
  await s.cluster.advance(100);
  s.node(2).kill();
  await s.cluster.advance(1_000);
  expect(s.values('k', [3, 4])).toEqual(['of peer 1', 'of peer 1']);
  const late = s
    .node(3)
    .eventsOf('mnesia_down')
    .map(({ node }) => node);
  expect(late).toEqual(['clusterdb@peer1', 'clusterdb@peer1', 'clusterdb@peer2']);
  await s.allAgain();
});

scenario('Who gave a merge up that another member has made parts from it, and they meet again', async (s) => {
  await meetPeer1(s, [
    [2, 4, 1_000],
    [3, 4, 500],
  ]);
  killLeader(s, [3, 4]);
  await s.until('peer 1 dies', () => !s.node(1).isRunning);
  await s.until('peer 3 hears of the merge', () => s.values('k', [3])[0] === 'of peer 1');
  s.node(2).kill();
  const counted = (): number[] => [3, 4].map((number) => s.node(number).db.systemInfo().runningDbNodes.length);
  await s.until('each goes on without the other', () => counted().every((count) => count === 1), 1_500);
  await s.until('they are one island', () => counted().every((count) => count === 2), 5_000);
  expect(s.values('k', [3, 4])).toEqual(['of peer 1', 'of peer 1']);
  await s.allAgain();
});
