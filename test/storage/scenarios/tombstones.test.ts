/** A delete stays on the disc until every replica is known to have it, and no longer. */
import { expect } from 'vitest';
import { rowRange } from '../../../storage/disc/key-space.ts';
import { decodeRecord } from '../../../storage/disc/record-codec.ts';
import { type Scenario, scenario } from '../support/scenario.ts';

/** How many deletes each node's disc holds. */
async function tombstones(s: Scenario, nodes = s.cluster.nodes): Promise<number[]> {
  return await Promise.all(
    nodes.map(async ({ disc }) => {
      const { from, to } = rowRange('t');
      let count = 0;
      const scan = disc.scan(from, to, (entries) => {
        for (const [, value] of entries) if (decodeRecord(value, 't', 'k').deleted) count += 1;
      });
      await s.cluster.settle(scan);
      return count;
    }),
  );
}

scenario('A later delete outlives that an earlier one of its key is everywhere', async (s) => {
  await s.startWithTable(2);
  const [one, two] = [s.node(1), s.node(2)];
  await one.write('t', 'k', 'first');
  await one.delete('t', 'k');
  await s.cluster.settle(one.db.syncTransaction((tx) => tx.write('t', 'k', 'second')));
  await one.delete('t', 'k');
  // The row is on the medium of both, its delete with the operating system of one.
  two.pause();
  await s.until('what came before is everywhere', () => one.db.systemInfo().recentCommits === 1);
  await s.cluster.advance(5);
  expect(await tombstones(s, [one])).toEqual([1]);
  one.kill();
  two.kill('medium');
  await s.allAgain();
  expect(s.values('k')).toEqual([undefined, undefined]);
});

scenario('What was deleted while a replica was away leaves nothing on the disc once all have met', async (s) => {
  await s.startWithTable(2);
  await s.node(1).write('t', 'k', 'old');
  await s.cluster.split([1], [2]);
  await s.node(1).write('t', 'only here', 'short');
  await s.node(1).delete('t', 'only here');
  await s.node(1).delete('t', 'k');
  await s.allAgain();
  expect(s.values('k')).toEqual([undefined, undefined]);
  expect(await tombstones(s)).toEqual([0, 0]);
});

scenario('What was deleted just before all were killed leaves nothing on the disc once all have met', async (s) => {
  await s.startWithTable(3);
  await s.node(1).write('t', 'k', 'old');
  await s.cluster.advance(2_000);
  await s.node(1).delete('t', 'k');
  s.node(2).kill('medium');
  s.node(1).kill();
  s.node(3).kill();
  await s.allAgain();
  expect(s.values('k')).toEqual([undefined, undefined, undefined]);
  expect(await tombstones(s)).toEqual([0, 0, 0]);
});
