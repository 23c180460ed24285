/**
 * A node comes back with a copy of its disc from a time when it ran alone. That says that the others went first: its
 * tables are loaded at once, and then it meets the others, who had all that is on it.
 */
import { expect } from 'vitest';
import type { ClusterNode } from '../support/cluster.ts';
import { type Scenario, scenario } from '../support/scenario.ts';

const rule = { merge: 'primary' } as const;
const primary = { primaryNodeName: () => 'clusterdb@peer2' };

/** All others are killed, peer 2 runs on alone, its disc is copied, and they come back. */
async function copyOfAlone(s: Scenario, act: (two: ClusterNode) => Promise<unknown>, nodes = [1]) {
  for (const number of nodes) s.node(number).kill();
  await s.cluster.advance(3_000);
  const two = s.node(2);
  await act(two);
  await s.cluster.advance(500);
  const copy = two.disc.image();
  for (const number of nodes) await s.node(number).start();
  await s.cluster.advance(3_000);
  return copy;
}

/** Peer 2 is lost, others may work on, and it comes back with that copy. */
async function comesBack(
  s: Scenario,
  copy: Awaited<ReturnType<typeof copyOfAlone>>,
  meanwhile = async (): Promise<unknown> => undefined,
  served = async (_two: ClusterNode): Promise<unknown> => undefined,
): Promise<void> {
  const two = s.node(2);
  two.kill();
  two.putBack(copy);
  await s.cluster.advance(3_000);
  await meanwhile();
  await s.cluster.advance(500);
  await two.start();
  await served(two);
  await s.until('it has met the others', () => two.eventsOf('connected').length > 0);
  await s.cluster.advance(2_000);
  await s.allAgain();
}

for (const writer of [1, 2]) {
  for (const deleter of [2, 1]) {
    scenario(`What peer ${writer} wrote and peer ${deleter} deleted after the copy stays deleted`, async (s) => {
      await s.startWithTable(2);
      await s.node(writer).write('t', 'k', 'old');
      await s.cluster.advance(2_000);
      const copy = await copyOfAlone(s, async () => undefined);
      await s.node(deleter).delete('t', 'k');
      await s.cluster.advance(3_000);
      expect(s.values('k')).toEqual([undefined, undefined]);
      await comesBack(s, copy);
      expect(s.values('k')).toEqual([undefined, undefined]);
      expect(s.node(1).db.ledger()).toEqual([]);
    });
  }
}

scenario('What was deleted after the copy stays deleted among three, and where only one of them was met', async (s) => {
  await s.startWithTable(3);
  await s.node(1).write('t', 'k', 'old');
  await s.cluster.advance(2_000);
  const copy = await copyOfAlone(s, (two) => two.write('t', 'alone', 'old'), [1, 3]);
  expect(s.values('alone')).toEqual(['old', 'old', 'old']);
  await s.node(3).delete('t', 'k');
  await s.node(1).delete('t', 'alone');
  await s.cluster.advance(3_000);
  await comesBack(s, copy, async () => {
    s.node(1).kill();
    await s.cluster.advance(3_000);
    await s.node(1).start();
    await s.cluster.advance(3_000);
  });
  expect(s.values('k')).toEqual([undefined, undefined, undefined]);
  expect(s.values('alone')).toEqual([undefined, undefined, undefined]);
});

scenario('What was written over a row of the copy, deleted meanwhile, stands whatever the rule says', async (s) => {
  await s.startWithTable(2, 'disc_copies', rule, primary);
  await s.node(2).write('t', 'k', 'old');
  await s.cluster.advance(2_000);
  const copy = await copyOfAlone(s, async () => undefined);
  await s.node(1).delete('t', 'k');
  await s.cluster.advance(3_000);
  await comesBack(s, copy, () => s.node(1).write('t', 'k', 'new'));
  expect(s.values('k')).toEqual(['new', 'new']);
  expect(s.node(1).db.ledger()).toEqual([]);
});

scenario('What it writes before it meets the others is a rival to what they wrote, as of any island', async (s) => {
  await s.startWithTable(2, 'disc_copies', rule, primary);
  await s.node(1).write('t', 'k', 'old');
  await s.cluster.advance(2_000);
  const copy = await copyOfAlone(s, async () => undefined);
  const meanwhile = (): Promise<unknown> => s.node(1).write('t', 'k', 'theirs');
  await comesBack(s, copy, meanwhile, (two) => two.write('t', 'k', 'its own'));
  expect(s.values('k')).toEqual(['its own', 'its own']);
  expect(s.node(1).db.ledger()).toHaveLength(1);
});

scenario('What is on the copy comes back where an older copy was put back before the others had it', async (s) => {
  await s.startWithTable(2);
  await s.node(1).write('t', 'j', 'all');
  await s.cluster.advance(2_000);
  s.node(1).kill();
  await s.cluster.advance(3_000);
  const two = s.node(2);
  const older = two.disc.image();
  await two.write('t', 'k', 'alone');
  await s.cluster.advance(500);
  const copy = two.disc.image();
  two.kill();
  two.putBack(older);
  await s.node(1).start();
  await two.start();
  await s.allAgain();
  await s.node(1).write('t', 'j', 'again');
  await s.cluster.advance(3_000);
  await comesBack(s, copy);
  expect(s.values('k')).toEqual(['alone', 'alone']);
  expect(s.values('j')).toEqual(['again', 'again']);
});
