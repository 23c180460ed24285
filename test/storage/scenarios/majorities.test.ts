/** Tables with `majority` between overlapping partitions: whoever decides, all decide the same, and no answer is taken back. */
import { expect } from 'vitest';
import type { Value } from '../../../storage/types.ts';
import { Cluster } from '../support/cluster.ts';
import { type Scenario, scenario } from '../support/scenario.ts';

function cut(s: Scenario, some: readonly number[], others: readonly number[]): void {
  for (const a of some) for (const b of others) s.cluster.network.cut(s.node(a).id, s.node(b).id);
}

async function majorityRead(s: Scenario, node: number, key: string): Promise<Value> {
  const answer = s.node(node).db.transaction((tx) => tx.read('t', key, 'majority'));
  return await s.cluster.settle(answer);
}

for (const what of ['is cut off', 'is killed once its disc has it'] as const) {
  scenario(
    `Whoever settles an orphan and then ${what}, before anybody heard how, has settled it for all`,
    async (s) => {
      await s.startWithTable(5, 'disc_copies', { majority: true });
      s.step('peer 1 proposes, is heard by 2, 3 and 4, and is killed');
      s.cluster.network.delay(s.node(1).id, s.node(5).id, 500);
      s.at(2, 'orphan.settled', () => {
        cut(s, [2], [3, 4]);
        if (what !== 'is cut off') s.node(2).onceSent(() => s.node(2).onceSent(() => s.node(2).kill()));
      });
      s.write(1, 'k', 'in doubt');
      await s.until('all three have voted', () =>
        [2, 3, 4].every((node) => (s.node(node).passed.get('participant.after_vote') ?? 0) > 0),
      );
      s.node(1).kill();
      cut(s, [2], [5]);
      await s.until('peer 2 has settled it', () => (s.node(2).passed.get('orphan.settled') ?? 0) > 0);
      await s.cluster.advance(8_000);
      s.step('peers 3, 4 and 5 settle it without peer 2');
      const seen = await majorityRead(s, 3, 'k');
      await s.allAgain();
      expect(s.values('k')).toEqual([seen, seen, seen, seen, seen]);
    },
  );
}

scenario('A refusal that the other voters never hear of is no "nothing was changed": they may make it', async (s) => {
  await s.startWithTable(5, 'disc_copies', { majority: true });
  s.step('peer 5 holds the row while 2, 3 and 4 promise it to peer 1');
  for (const other of [1, 2, 3, 4]) s.cluster.network.delay(s.node(5).id, s.node(other).id, 50);
  s.write(5, 'k', 'older');
  await s.cluster.advance(1);
  s.at(1, 'commit.refused', () => cut(s, [1, 5], [2, 3, 4]));
  const refused = s.write(1, 'k', 'younger');
  await s.until('2, 3 and 4 have settled it', () => (s.node(2).passed.get('orphan.settled') ?? 0) > 0);
  await s.until('peer 1 answers', () => refused.answers > 0);
  expect(refused.error?.fields.reason).toBe('outcome_unknown');
  await s.allAgain();
});

scenario(
  'A proposal of five that one refused is done again once a majority cannot make it, and only then',
  async (s) => {
    await s.startWithTable(5, 'disc_copies', { majority: true });
    for (const other of [1, 2, 3, 4]) s.cluster.network.delay(s.node(5).id, s.node(other).id, 50);
    s.write(5, 'k', 'older');
    await s.cluster.advance(1);
    const again = s.write(1, 'k', 'younger');
    await s.until('both are answered', () => s.attempts.every(({ answers }) => answers > 0));
    expect(again.error).toBeUndefined();
    expect(s.node(1).passed.get('commit.refused') ?? 0).toBeGreaterThan(0);
    expect(s.values('k')).toContain('younger');
    await s.allAgain();
  },
);

scenario(
  'Who was lost before it heard of a commit, and asks when its coordinator is gone, is told that it was made',
  async (s) => {
    await s.startWithTable(5, 'disc_copies', { majority: true });
    s.step('of four that vote, peers 1 and 2 alone hear that it is made');
    await s.cluster.split([5], [1, 2, 3, 4]);
    await s.cluster.advance(2_000);
    s.at(1, 'commit.decided', () => cut(s, [1, 2], [3, 4]));
    await s.written(1, 'k', 'answered');
    await s.cluster.advance(6_000);
    s.node(1).kill();
    for (const node of [3, 4]) s.cluster.network.heal(s.node(5).id, s.node(node).id);
    await s.until('peer 5 is with 3 and 4', () => s.node(5).db.systemInfo().runningDbNodes.length === 3);
    s.step('peers 3 and 4 reach peer 2, peer 5 does not, so that they cannot be one island');
    for (const node of [3, 4]) s.cluster.network.heal(s.node(2).id, s.node(node).id);
    await s.cluster.advance(8_000);
    expect(await majorityRead(s, 5, 'k')).toBe('answered');
    expect(s.values('k', [2, 3, 4, 5])).toEqual(['answered', 'answered', 'answered', 'answered']);
    await s.allAgain();
    expect(await majorityRead(s, 3, 'k')).toBe('answered');
  },
);

/** Peer 2 holds the promise of a proposal of peer 1, which is gone; it is one island with peer 3, which was away. */
async function withOnePromise(s: Scenario): Promise<void> {
  await s.startWithTable(3, 'disc_copies', { majority: true });
  await s.cluster.split([3], [1, 2]);
}

async function loseCoordinator(s: Scenario): Promise<void> {
  s.step('peer 1 proposes to peer 2 and is killed when both have promised');
  s.killAt(1, 'commit.decided');
  s.run(1, (tx) => tx.write('t', 'k', 'in doubt'));
  await s.until('peer 1 is gone', () => !s.node(1).isRunning);
  s.cluster.network.heal(s.node(2).id, s.node(3).id);
  await s.until('peer 3 is with peer 2', () => s.node(3).db.systemInfo().runningDbNodes.length === 2);
  await s.cluster.advance(3_000);
}

/** Peer 1 comes back and reaches peer 2 alone: both together are a majority, and no island with peer 3. */
async function settleOutside(s: Scenario): Promise<void> {
  await s.node(1).start();
  await s.until('peer 2 has settled it', () => s.node(2).db.systemInfo().heldLocks === 0, 5_000);
  await s.cluster.advance(10);
}

const down = (s: Scenario, node: number): string[] =>
  s
    .node(node)
    .eventsOf('mnesia_down')
    .map(({ reason }) => reason);

scenario('A member that did not hold an orphan is given it before it is made, and stays a member', async (s) => {
  await withOnePromise(s);
  await loseCoordinator(s);
  const before = [down(s, 2), down(s, 3)];
  let found: unknown;
  s.at(2, 'orphan.settled', () => {
    found = { locks: s.node(3).db.systemInfo().heldLocks, members: s.node(2).db.systemInfo().runningDbNodes.length };
  });
  await settleOutside(s);
  // Whoever reads at peer 3 waits from before the row is to be seen at peer 2 until it is there as well.
  expect(found).toEqual({ locks: 1, members: 2 });
  expect(s.values('k', [2, 3])).toEqual(['in doubt', 'in doubt']);
  expect([down(s, 2), down(s, 3)]).toEqual(before);
  await s.allAgain();
});

scenario('Who waits for the rows of an orphan keeps no rows elsewhere that it needs to end', async (s) => {
  await withOnePromise(s);
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  const older = s.run(3, async (tx) => {
    await gate;
    tx.write('t', 'k', 'upon it');
  });
  await s.cluster.advance(10);
  await loseCoordinator(s);
  s.step('peer 3 writes the same row in a transaction that is older');
  go();
  await s.cluster.advance(100);
  expect(older.answers).toBe(0);
  await settleOutside(s);
  await s.until('the older one is made upon it', () => older.answers > 0, 1_000);
  expect(older.error).toBeUndefined();
  // Answered at peer 3, and on its way to peer 2.
  await s.cluster.advance(10);
  expect(s.values('k', [2, 3])).toEqual(['upon it', 'upon it']);
  await s.allAgain();
});

scenario('Given an orphan, a member makes it, even when whoever gave it is gone', async (s) => {
  await withOnePromise(s);
  await loseCoordinator(s);
  s.killAt(2, 'orphan.before_settle');
  await s.node(1).start();
  await s.until('peer 2 is gone', () => !s.node(2).isRunning);
  await s.cluster.advance(1_000);
  expect(s.values('k', [3])).toEqual(['in doubt']);
  await s.allAgain();
});

/** Five nodes, the first three with a replica; then 1, 4 and 5 are cut off from 2 and 3. */
async function threeOfFive(s: Scenario): Promise<void> {
  await s.start(5);
  const [one, two, three] = s.cluster.names as [string, string, string];
  const definition = { name: 't', disc_copies: [one, two, three], majority: true };
  await s.cluster.settle(s.node(1).db.createTable(definition));
  await s.cluster.advance(1_000);
  await s.cluster.split([1, 4, 5], [2, 3]);
}

scenario('M18 A minority adds no replicas to a table with majority: it could make itself one', async (s) => {
  await threeOfFive(s);
  for (const node of [4, 5]) {
    const name = s.node(node).name;
    const refused = await s.cluster.failure(s.node(1).db.addTableCopy('t', name, 'disc_copies', { timeoutMs: 3_000 }));
    expect([refused.code, refused.fields.nodes]).toEqual(['no_majority', [s.node(2).name, s.node(3).name]]);
  }
  await s.written(2, 'k', 'of the majority');
  expect((await s.cluster.failure(s.node(1).write('t', 'k', 'of a minority'))).code).toBe('no_majority');
  await s.allAgain();
});

scenario('Nodes that declare a replica of their own while a majority is away become none without it', async (s) => {
  await threeOfFive(s);
  for (const node of [4, 5]) {
    const { name, db } = s.node(node);
    db.createTable({ name: 't', disc_copies: [name], majority: true }).catch(() => undefined);
  }
  await s.cluster.advance(5_000);
  await s.written(2, 'k', 'of the majority');
  for (const node of [1, 4, 5]) {
    const refused = await s.cluster.failure(s.node(node).db.dirtyWrite('t', 'k', 'of a minority'));
    expect(['no_majority', 'table_not_loaded']).toContain(refused.code);
  }
  await s.allAgain();
  expect(s.node(1).db.tableInfo('t').discCopies).toHaveLength(5);
});

scenario(
  'A node that has never met those it is configured with is no majority of them, and is one of three later',
  async (s) => {
    const names = [1, 2, 3].map((node) => `clusterdb@peer${node}`);
    s.cluster = await Cluster.startApart(3, { extraDbNodes: () => names });
    for (const { name, db } of s.cluster.nodes) {
      await s.cluster.settle(db.createTable({ name: 't', disc_copies: [name], majority: true }));
      const refused = await s.cluster.failure(db.dirtyWrite('t', 'k', name));
      expect([refused.code, refused.fields.nodes]).toEqual(['no_majority', names.filter((other) => other !== name)]);
    }
    s.cluster.network.heal('id1', 'id2');
    await s.until('1 and 2 have met', () => s.node(1).db.systemInfo().runningDbNodes.length === 2);
    await s.written(1, 'k', 'two of three');
    expect((await s.cluster.failure(s.node(3).db.dirtyWrite('t', 'k', 'alone'))).code).toBe('no_majority');
    s.cluster.network.heal('id1', 'id3');
    s.cluster.network.heal('id2', 'id3');
    await s.until('all have met', () => s.node(3).db.systemInfo().runningDbNodes.length === 3);
    await s.written(3, 'k', 'three of three');
    await s.allAgain();
  },
);

scenario(
  'Two of five that are configured are no majority when a third, met before, is lost while it votes',
  async (s) => {
    const names = [1, 2, 3, 4, 5].map((node) => `clusterdb@peer${node}`);
    s.cluster = await Cluster.startApart(5, { extraDbNodes: () => names });
    for (const { name, db } of s.cluster.nodes) {
      await s.cluster.settle(db.createTable({ name: 't', disc_copies: [name], majority: true }));
    }
    s.step('1, 2 and 3 meet; 4 and 5 are still to come');
    for (const [a, b] of [
      ['id1', 'id2'],
      ['id1', 'id3'],
      ['id2', 'id3'],
    ] as const)
      s.cluster.network.heal(a, b);
    await s.until('three have met', () => s.node(1).db.systemInfo().runningDbNodes.length === 3);
    await s.written(1, 'k', 'three of five');
    s.killAt(3, 'participant.before_vote');
    const doubted = s.write(1, 'k', 'two of five');
    await s.until('peer 1 answers', () => doubted.answers > 0);
    expect(doubted.error?.fields.reason).toBe('outcome_unknown');
  },
);

scenario('A node that is configured with nobody is the majority of what it alone keeps', async (s) => {
  await s.startWithTable(1, 'disc_copies', { majority: true });
  await s.written(1, 'k', 'alone');
  await s.allAgain();
});

scenario('A minority deletes no table with majority, and a majority does', async (s) => {
  await s.startWithTable(3, 'disc_copies', { majority: true });
  await s.cluster.split([1], [2, 3]);
  await s.written(2, 'k', 'of the majority');
  const refused = await s.cluster.failure(s.node(1).db.deleteTable('t'));
  expect([refused.code, refused.fields.nodes]).toEqual(['no_majority', [s.node(2).name, s.node(3).name]]);
  await s.allAgain();
  await s.cluster.settle(s.node(1).db.deleteTable('t'));
  expect(s.node(3).db.systemInfo().tables).not.toContain('t');
});

scenario('A yes to a synced transaction outlives a loss of power: its node is no majority without it', async (s) => {
  await s.startWithTable(3, 'disc_copies', { majority: true });
  await s.cluster.split([3], [1, 2]);
  s.killWhen(2, 1, 'commit.decided', { disc: 'medium' });
  await s.written(1, 'k', 'synced', 'sync');
  expect(s.node(2).isRunning).toBe(false);
  cut(s, [1], [2, 3]);
  s.cluster.network.heal(s.node(2).id, s.node(3).id);
  await s.node(2).start();
  await s.until('peer 2 is with peer 3', () => s.node(3).db.systemInfo().runningDbNodes.length === 2);
  const other = s.write(3, 'k', 'without it');
  await s.cluster.advance(5_000);
  expect(other.isAcknowledged).toBe(false);
  await s.allAgain();
});

scenario(
  'Whoever leads a change back to no majority, and is cut off before the others hear of it, needs the others still',
  async (s) => {
    await s.startWithTable(3, 'disc_copies', { majority: true });
    s.at(1, 'connect.before_apply', () => cut(s, [1], [2, 3]));
    s.node(1)
      .db.changeTableMajority('t', false)
      .catch(() => undefined);
    await s.until('peer 1 is alone', () => s.node(1).db.systemInfo().runningDbNodes.length === 1);
    expect(s.node(1).db.tableInfo('t').majority).toBe(false);
    expect((await s.cluster.failure(s.node(1).write('t', 'k', 'alone'))).code).toBe('no_majority');
    await s.until('2 and 3 go on', () => s.node(2).db.systemInfo().runningDbNodes.length === 2);
    await s.written(2, 'k', 'of the majority');
    await s.allAgain();
    s.step('it is made: all have heard of it');
    await s.cluster.split([1], [2, 3]);
    await s.written(1, 'other', 'alone');
    await s.allAgain();
  },
);

scenario('Members that alone hear of added replicas are no majority of the list there was', async (s) => {
  await s.start(5);
  const [one, two, three, four, five] = s.cluster.names as [string, string, string, string, string];
  const definition = { name: 't', disc_copies: [one, two, three], majority: true };
  await s.cluster.settle(s.node(1).db.createTable(definition));
  await s.cluster.advance(1_000);
  s.step('peer 1 leads the copies to 4 and 5, which alone hear that they are made');
  s.at(1, 'connect.before_apply', () => {
    cut(s, [1, 4, 5], [2, 3]);
    s.node(1).kill({ sent: 'arrives' });
  });
  const { db } = s.node(3);
  for (const name of [four, five]) db.addTableCopy('t', name, 'disc_copies').catch(() => undefined);
  await s.until('peer 1 is gone', () => !s.node(1).isRunning);
  await s.until('4 and 5 go on', () => s.node(4).db.systemInfo().runningDbNodes.length === 2);
  expect(s.node(4).db.tableInfo('t').discCopies).toEqual(s.cluster.names);
  cut(s, [1], [4, 5]);
  s.cluster.network.heal(s.node(1).id, s.node(2).id);
  s.cluster.network.heal(s.node(1).id, s.node(3).id);
  await s.node(1).start();
  await s.until('1, 2 and 3 go on', () => s.node(2).db.systemInfo().runningDbNodes.length === 3);
  await s.written(2, 'k', 'of the majority there was');
  const other = await s.cluster.failure(s.node(4).write('t', 'k', 'of the one there will be'));
  expect([other.code, other.fields.nodes]).toEqual(['no_majority', [one, two, three]]);
  await s.allAgain();
  s.step('the copies are made: three of the five are enough, whoever they are');
  expect(s.node(2).db.tableInfo('t').discCopies).toEqual(s.cluster.names);
  await s.cluster.split([3, 4, 5], [1, 2]);
  await s.written(4, 'k', 'of 3, 4 and 5');
  await s.allAgain();
});

scenario('A list that was made, while nobody could say so as its leader died, counts alone soon after', async (s) => {
  await s.startWithTable(3, 'disc_copies', { majority: true });
  s.step('peer 1 leads the removal of the replicas at 1 and 2, and is killed when all have made it');
  s.killWhen(1, 3, 'connect.after_apply', { sent: 'arrives' });
  for (const { name } of [s.node(1), s.node(2)]) {
    s.node(1)
      .db.delTableCopy('t', name)
      .catch(() => undefined);
  }
  await s.until('peer 1 is gone', () => !s.node(1).isRunning);
  s.step('peers 2 and 3, more than half of those there were, tell each other');
  await s.cluster.advance(20_000);
  await s.cluster.split([3], [1, 2]);
  await s.written(3, 'k', 'of the one replica');
  await s.allAgain();
});

scenario(
  'What a merge shows to have been made is made as a whole: also where nobody who brought it has a replica',
  async (s) => {
    await s.startWithTable(4, 'disc_copies', { majority: true });
    const few = s.cluster.names.slice(0, 3);
    await s.cluster.settle(s.node(1).db.createTable({ name: 'few', disc_copies: few, majority: true }));
    await s.cluster.advance(1_000);
    s.step('peer 4 decides, and peer 3 alone hears of it');
    s.run(4, (tx) => {
      tx.write('t', 'k', 'made');
      tx.write('few', 'k', 'made');
    });
    await s.cluster.advance(1);
    for (const other of [1, 2]) s.cluster.network.delay(s.node(4).id, s.node(other).id, 10_000);
    await s.until('peer 3 has it', () => s.values('k', [3], 'few')[0] === 'made');
    cut(s, [1, 2], [3, 4]);
    cut(s, [3], [4]);
    expect(s.values('k', [1, 2], 'few')).toEqual([undefined, undefined]);
    await s.cluster.advance(8_000);
    s.step('peers 1, 2 and 4 meet');
    for (const other of [1, 2]) {
      s.cluster.network.delay(s.node(4).id, s.node(other).id, 1);
      s.cluster.network.heal(s.node(4).id, s.node(other).id);
    }
    await s.until('the row has come', () => s.values('k', [1, 2]).every((value) => value === 'made'));
    await s.until('the other one as well', () => s.values('k', [1, 2], 'few').every((value) => value === 'made'));
    const after = s.run(1, (tx) => tx.write('few', 'k', `${tx.read('few', 'k')} and seen`));
    await s.until('it is written over', () => after.answers > 0);
    await s.allAgain();
    expect(s.values('k', [1, 2, 3], 'few')).toEqual(Array(3).fill('made and seen'));
  },
);

scenario('Who joins while another member holds a promise reads no row from before what was answered', async (s) => {
  await s.startWithTable(3, 'disc_copies', { majority: true });
  await s.written(1, 'k', 'before');
  await s.cluster.advance(1_000);
  s.node(2).kill();
  await s.cluster.advance(1_000);
  s.step('peer 3 writes it with peer 1, answers, and is killed before peer 1 hears that it is made');
  s.at(3, 'commit.decided', () => s.cluster.network.delay(s.node(3).id, s.node(1).id, 10_000));
  await s.written(3, 'k', 'answered');
  s.node(3).kill();
  s.cluster.network.delay(s.node(3).id, s.node(1).id, 1);
  await s.node(2).start();
  await s.until('peer 2 has joined', () => s.node(2).db.runningDbNodes().length === 2);
  const read = s.run(2, (tx) => tx.read('t', 'k'));
  const written = s.write(2, 'k', 'over it');
  await s.cluster.advance(2_000);
  expect([read.value, written.isAcknowledged]).toEqual([undefined, false]);
  s.step('peer 3 is back');
  await s.node(3).start();
  await s.until('both are answered', () => read.answers > 0 && written.answers > 0);
  expect(read.value).toBe('answered');
  await s.allAgain();
});
