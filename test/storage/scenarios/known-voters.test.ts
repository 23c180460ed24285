/**
 * An orphan is made by somebody who did not decide it. Whose replica has seen it is what the next merge goes by: those who
 * are known to have voted for it, whoever makes it among them, and nobody else.
 */
import { expect } from 'vitest';
import { type Scenario, scenario } from '../support/scenario.ts';

const ids = (s: Scenario, ...numbers: number[]): string[] => numbers.map((number) => s.node(number).id);

/** These two groups lose each other; those of `late` hear of it only after a while. */
function cut(s: Scenario, left: readonly number[], right: readonly number[], late: Record<number, number> = {}): void {
  const { network } = s.cluster;
  const heard = Object.fromEntries(Object.entries(late).map(([number, ms]) => [s.node(Number(number)).id, ms]));
  for (const a of left) for (const b of right) network.cut(s.node(a).id, s.node(b).id, heard);
}

function delay(s: Scenario, from: number, to: number, ms: number): void {
  const [a, b] = ids(s, from, to) as [string, string];
  s.cluster.network.delay(a, b, ms);
}

/**
 * Peer 4 is alone, and has written `k` of table `t`; the others have not heard yet that it is. What peer 1 then proposes is
 * voted for by peer 3, which is lost then, and peer 2 is slow to answer: peers 3 and 4 are left out.
 */
async function proposed(s: Scenario, tables: readonly string[]): Promise<void> {
  await s.node(1).write('t', 'k', 'before');
  await s.cluster.advance(2_000);
  cut(s, [4], [1, 2, 3, 5], { 1: 20, 2: 20, 3: 20, 5: 20 });
  await s.cluster.advance(2);
  await s.node(4).write('t', 'k', 'alone');
  await s.cluster.advance(2);
  delay(s, 2, 1, 50);
  s.run(1, (tx) => {
    for (const table of tables) tx.write(table, 'k', 'made');
  });
  await s.cluster.advance(5);
}

/** Peer 3 hears from peer 2 that it was made, and meets peer 4 then: what that wrote nobody else has seen. */
async function toldThenMet(s: Scenario): Promise<void> {
  await s.until('it is made', () => s.values('k', [1, 2]).every((value) => value === 'made'));
  expect(s.values('k', [3])).toEqual(['before']);
  s.cluster.network.heal(s.node(2).id, s.node(3).id);
  s.node(5).resume();
  await s.until('peer 3 was told of it', () => s.values('k', [3])[0] === 'made');
  for (const number of [1, 2, 5]) s.node(number).kill();
  s.cluster.network.heal(s.node(3).id, s.node(4).id);
  await s.until('peers 3 and 4 have met', () => s.node(4).db.runningDbNodes().length === 2);
  const losers = s.node(4).db.ledger();
  expect(losers.map(({ table, key, loser }) => [table, key, loser.value])).toEqual([['t', 'k', 'alone']]);
  await s.allAgain();
}

scenario(
  'Who hears that an orphan was made takes nobody for a voter whom the coordinator may have left out: its own write is in conflict',
  async (s) => {
    await s.startWithTable(5);
    await proposed(s, ['t']);
    // Peer 5 has voted, too, and says nothing: peer 3 does not presume.
    s.node(5).pause();
    cut(s, [3, 5], [1, 2]);
    await toldThenMet(s);
  },
);

scenario(
  'Who hears that an orphan was made where a majority must agree takes nobody for a voter whom the coordinator may have left out',
  async (s) => {
    await s.startWithTable(5);
    await s.cluster.createTable('m', 'disc_copies', { majority: true });
    await proposed(s, ['t', 'm']);
    cut(s, [3], [1, 2, 5]);
    await toldThenMet(s);
  },
);

scenario(
  'Whoever makes an orphan of a majority is a voter for all whom it tells: nobody notes it for a member that has it',
  async (s) => {
    await s.startWithTable(4, 'disc_copies', { majority: true });
    await s.node(1).write('t', 'k', 'before');
    await s.cluster.advance(2_000);
    const attempt = s.write(1, 'k', 'made');
    await s.cluster.advance(1);
    // The commit reaches peer 2 alone, and peer 4 cannot ask it.
    for (const other of [3, 4]) delay(s, 1, other, 10_000);
    delay(s, 4, 2, 10_000);
    await s.until('it is made', () => attempt.answers > 0 && s.values('k', [2])[0] === 'made');
    expect(s.values('k', [3, 4])).toEqual(['before', 'before']);
    s.node(1).kill();
    await s.until('all have it', () => s.values('k', [3, 4]).every((value) => value === 'made'));
    for (const number of [2, 3, 4]) {
      const owed = s
        .node(number)
        .db.systemInfo()
        .changedSince.map(({ node }) => node);
      expect([number, owed.filter((name) => name !== s.node(1).name)]).toEqual([number, []]);
    }
    for (const [from, to] of [
      [1, 3],
      [1, 4],
      [4, 2],
    ] as const)
      delay(s, from, to, 1);
    await s.allAgain();
  },
);

scenario(
  'Who is told that an orphan was made without a member, and loses that member later, takes it for no voter: its own write is in conflict',
  async (s) => {
    await s.startWithTable(4);
    await s.node(1).write('t', 'k', 'before');
    await s.cluster.advance(2_000);
    // Whatever peer 4 writes from here on has a lower version than what the others write.
    s.node(4).clockAheadMs = -60_000;
    cut(s, [4], [1, 2, 3], { 1: 10_000, 2: 300, 3: 600 });
    await s.cluster.advance(2);
    await s.node(4).write('t', 'k', 'alone');
    s.write(1, 'k', 'made');
    await s.cluster.advance(5);
    s.node(1).kill();
    await s.until('it is made', () => s.values('k', [2, 3]).every((value) => value === 'made'));
    expect(s.node(3).db.runningDbNodes()).toContain(s.node(4).name);
    await s.until('peer 3 has lost peer 4', () => !s.node(3).db.runningDbNodes().includes(s.node(4).name));
    s.node(2).kill();
    s.cluster.network.heal(s.node(3).id, s.node(4).id);
    await s.until('peers 3 and 4 have met', () => s.node(4).db.runningDbNodes().length === 2);
    const losers = s.node(4).db.ledger();
    expect(losers.map(({ table, key, loser }) => [table, key, loser.value])).toEqual([['t', 'k', 'alone']]);
    await s.allAgain();
  },
);

scenario(
  'An orphan that others have made is made in an island only once its members hold it: who took its vote back meanwhile is let go',
  async (s) => {
    await s.startWithTable(4);
    await s.node(1).write('t', 'k', 'before');
    await s.cluster.advance(2_000);
    for (const other of [1, 2, 3]) delay(s, other, 4, 10_000);
    s.write(4, 'k', 'made');
    await s.cluster.advance(5);
    // Peer 4 goes on without peer 3, and so does peer 1; peer 2 runs with peer 3 and takes its vote back, which peer 4 does not hear.
    cut(s, [3], [1, 4], { 1: 10, 3: 10, 4: 10 });
    await s.cluster.advance(30);
    cut(s, [2], [1, 4], { 1: 10, 2: 10, 4: 10 });
    await s.until('there are two islands', () =>
      [1, 2, 3].every((one) => s.node(one).db.runningDbNodes().length === 2),
    );
    s.node(4).kill();
    for (const other of [1, 2, 3]) delay(s, other, 4, 1);
    await s.until('peer 1 has made it', () => s.values('k', [1])[0] === 'made');
    expect(s.values('k', [2, 3])).toEqual(['before', 'before']);
    s.cluster.network.heal(s.node(1).id, s.node(3).id);
    await s.until('peer 3 has made it', () => {
      const [two, three] = s.values('k', [2, 3]);
      const isOne = s.node(3).db.runningDbNodes().includes(s.node(2).name);
      if (isOne) expect(three).toEqual(two);
      return three === 'made';
    });
    await s.until('they have met again', () => s.values('k', [2])[0] === 'made');
    await s.allAgain();
    expect(s.node(2).db.ledger()).toEqual([]);
  },
);
