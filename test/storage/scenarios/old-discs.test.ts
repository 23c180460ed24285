/**
 * A node comes back with an older copy of its disc. What it lacks may be a delete that the others have forgotten, as all
 * had it on their media: they still know how new that node's disc has been.
 */
import { expect } from 'vitest';
import { type Scenario, scenario } from '../support/scenario.ts';

/** Row `k` is on all discs; peer 2's is copied. */
async function withCopy(s: Scenario, nodes: number) {
  await s.startWithTable(nodes);
  await s.node(1).write('t', 'k', 'old');
  await s.cluster.advance(2_000);
  return s.node(2).disc.image();
}

/** Peer 2 comes back with that copy, and meets those who run. */
async function comesBack(s: Scenario, copy: Awaited<ReturnType<typeof withCopy>>): Promise<void> {
  const two = s.node(2);
  two.kill();
  two.putBack(copy);
  await s.cluster.advance(1_000);
  await two.start();
  await s.until('it has met the others', () => two.eventsOf('connected').length > 0);
  await s.cluster.advance(2_000);
}

for (const [role, by] of [
  ['coordinated', 2],
  ['took part in', 1],
] as const) {
  scenario(`What a node ${role} stays deleted when it comes back with a disc from before`, async (s) => {
    const copy = await withCopy(s, 2);
    await s.node(by).delete('t', 'k');
    await s.cluster.advance(3_000);
    await comesBack(s, copy);
    await s.allAgain();
    expect(s.values('k')).toEqual([undefined, undefined]);
  });
}

scenario(
  'What a node took part in stays deleted among those who did so, too, while the coordinator is away',
  async (s) => {
    const copy = await withCopy(s, 3);
    await s.node(1).delete('t', 'k');
    await s.cluster.advance(3_000);
    s.node(1).kill();
    await comesBack(s, copy);
    expect(s.values('k', [2, 3])).toEqual([undefined, undefined]);
    await s.allAgain();
    expect(s.values('k')).toEqual([undefined, undefined, undefined]);
  },
);

scenario(
  'A member whose disc fails while it applies a merge is not taken for one whose disc has lost the merge',
  async (s) => {
    await s.start(3);
    const holders = [s.node(1).name, s.node(3).name];
    await s.cluster.settle(s.node(1).db.createTable({ name: 't', disc_copies: holders }));
    await s.written(1, 'k', 'old');
    await s.cluster.split([1], [2, 3]);
    await s.written(3, 'k', 'new');
    s.node(3).kill();
    await s.node(3).start();
    s.at(3, 'connect.before_apply', () => s.node(3).disc.failNext('disc_io'));
    await s.until('its disc has failed', () => s.node(3).eventsOf('disc_failed').length > 0);
    await s.cluster.advance(1_000);
    s.node(3).kill();
    await s.node(3).start();
    await s.allAgain();
    expect(s.values('k', [1, 3])).toEqual(['new', 'new']);
  },
);

scenario('An older copy of the only disc that keeps a table is served: nobody else has its rows', async (s) => {
  await s.start(3);
  await s.cluster.settle(s.node(2).db.createTable({ name: 't', disc_copies: [s.node(2).name] }));
  await s.node(1).write('t', 'k', 'old');
  await s.cluster.advance(2_000);
  const copy = s.node(2).disc.image();
  await s.node(1).write('t', 'k', 'new');
  await s.cluster.advance(3_000);
  await comesBack(s, copy);
  expect(s.values('k', [2])).toEqual(['old']);
});

scenario('An older copy of the disc that was written last is served with the others that waited for it', async (s) => {
  await s.start(3);
  const holders = [s.node(1).name, s.node(2).name];
  await s.cluster.settle(s.node(1).db.createTable({ name: 't', disc_copies: holders }));
  await s.node(1).write('t', 'both', 1);
  await s.cluster.advance(2_000);
  s.node(1).kill();
  await s.node(3).write('t', 'k', 'old');
  await s.cluster.advance(2_000);
  const copy = s.node(2).disc.image();
  await s.node(3).write('t', 'k', 'new');
  await s.cluster.advance(3_000);
  s.node(2).kill();
  await s.node(1).start();
  await s.cluster.advance(2_000);
  await comesBack(s, copy);
  expect(s.values('k', [1, 2])).toEqual(['old', 'old']);
  expect(s.values('both', [1, 2])).toEqual([1, 1]);
});
