/**
 * A set that has collapsed no longer says what its rows have seen of a node; the other side's notes do. What a node had voted for
 * it has only while it runs on, and what it held when it died it has still.
 */
import { expect } from 'vitest';
import { type Scenario, scenario } from '../support/scenario.ts';

const LIMIT = 20;

/** Peer 4 is cut off, and writes so much that it notes no more what its rows have seen of the others. */
async function collapsedAtPeer4(s: Scenario): Promise<void> {
  const limits = { changedKeysMax: LIMIT, changedDeletesMax: LIMIT, lastKeysMax: 5 };
  await s.startWithTable(4, 'disc_copies', {}, { limits });
  await s.cluster.settle(s.node(3).db.createTable({ name: 'local', disc_copies: [s.node(3).name] }));
  for (const key of ['a', 'k']) await s.written(1, key, 'before');
  // Long enough for the thresholds of the last seconds, which are kept, to be none of these.
  await s.cluster.advance(15_000);
  await s.cluster.split([4], [1, 2, 3]);
  s.run(4, (tx) => {
    for (let n = 0; n < 2 * LIMIT; n += 1) tx.write('t', n, 'apart');
  });
  await s.written(4, 'k', 'apart');
  await s.cluster.advance(1_000);
  const { changedSince } = s.node(4).db.systemInfo();
  expect(changedSince.map(({ collapsed }) => collapsed)).toEqual([['t'], ['t'], ['t']]);
}

/** Peer 3 starts again and meets peer 4 alone. */
async function peer3MeetsPeer4(s: Scenario): Promise<void> {
  const { cluster } = s;
  await cluster.split([3], [1, 2]);
  await s.node(3).start();
  cluster.network.heal(s.node(3).id, s.node(4).id);
  await s.until('peers 3 and 4 have met', () => [3, 4].every((one) => s.node(one).db.runningDbNodes().length === 2));
}

scenario(
  'What a node voted for just before it died it has not: who writes with it afterwards is in conflict with that',
  async (s) => {
    await collapsedAtPeer4(s);
    // The commit is on its way when peer 3 dies, and what it has on its disc is newer.
    s.at(3, 'participant.after_vote', () => s.cluster.network.delay(s.node(1).id, s.node(3).id, 10_000));
    await s.written(1, 'k', 'of the majority');
    expect(s.values('k', [3])).toEqual(['before']);
    await s.node(3).write('local', 1, 'later');
    s.node(3).kill();
    s.cluster.network.delay(s.node(1).id, s.node(3).id, 1);
    await peer3MeetsPeer4(s);
    await s.written(3, 'k', 'with peer 4');
    await s.allAgain();
    expect(s.values('k', [1])).toEqual(['with peer 4']);
    expect(
      s
        .node(1)
        .db.ledger()
        .map(({ loser }) => loser.value),
    ).toContain('of the majority');
  },
);

scenario('What a node held when it died those who write with it afterwards have seen', async (s) => {
  await collapsedAtPeer4(s);
  await s.written(1, 'a', 'last');
  await s.cluster.advance(100);
  expect(s.values('a', [3])).toEqual(['last']);
  s.node(3).kill();
  await peer3MeetsPeer4(s);
  expect(s.values('a', [3, 4])).toEqual(['last', 'last']);
  await s.written(3, 'a', 'over it');
  await s.allAgain();
  expect(s.values('a', [1])).toEqual(['over it']);
  expect(
    s
      .node(1)
      .db.ledger()
      .map(({ key }) => key),
  ).toEqual([]);
});
