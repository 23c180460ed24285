/** Tables with `majority` in memory: a replica that has forgotten what it promised counts again only when it cannot matter. */
import { expect } from 'vitest';
import type { StorageError } from '../../../storage/errors.ts';
import type { Transaction } from '../../../storage/types.ts';
import { type Scenario, scenario } from '../support/scenario.ts';

function cut(s: Scenario, some: readonly number[], others: readonly number[]): void {
  for (const a of some) for (const b of others) s.cluster.network.cut(s.node(a).id, s.node(b).id);
}

function heal(s: Scenario, some: readonly number[], others: readonly number[]): void {
  for (const a of some) for (const b of others) s.cluster.network.heal(s.node(a).id, s.node(b).id);
}

function refused(s: Scenario, node: number): Promise<StorageError> {
  return s.cluster.failure(s.node(node).db.transaction((tx) => tx.write('t', 'k', 'of who forgot')));
}

async function together(s: Scenario, nodes: readonly number[]): Promise<void> {
  await s.until(`${nodes.join(', ')} are one island`, () =>
    nodes.every((node) => s.node(node).db.systemInfo().runningDbNodes.length === nodes.length),
  );
}

async function restart(s: Scenario, node: number): Promise<void> {
  s.node(node).kill();
  await s.node(node).start();
}

scenario('A replica in memory that restarts among those who were away is no majority with them', async (s) => {
  await s.startWithTable(3, 'ram_copies', { majority: true });
  await s.cluster.split([3], [1, 2]);
  await s.written(1, 'k', 'of a majority');
  s.step('peer 2 forgets it and meets peer 3, which has never heard of it');
  cut(s, [1], [2, 3]);
  heal(s, [2], [3]);
  await restart(s, 2);
  await together(s, [2, 3]);
  await s.cluster.advance(8_000);
  for (const node of [2, 3]) {
    const error = await refused(s, node);
    expect(error.code).toBe('no_majority');
    expect(error.message).toContain(`forgotten what they promised, in a restart or with their disc: ${s.node(2).name}`);
    const read = s.node(node).db.transaction((tx) => tx.read('t', 'k', 'majority'));
    expect((await s.cluster.failure(read)).code).toBe('no_majority');
  }
  await s.allAgain();
  expect(s.values('k')).toEqual(['of a majority', 'of a majority', 'of a majority']);
  await s.written(2, 'k', 'upon it');
});

scenario('A replica in memory counts again at once among the others, and they go on without one of them', async (s) => {
  await s.startWithTable(3, 'ram_copies', { majority: true });
  await s.written(1, 'k', 'before');
  await restart(s, 2);
  await together(s, [1, 2, 3]);
  s.node(3).kill();
  await s.until('peer 3 is missed', () => s.node(2).db.systemInfo().runningDbNodes.length === 2);
  await s.written(2, 'k', 'of 1 and 2');
  await s.allAgain();
});

scenario(
  'A table in memory of which too few remember begins anew once all are together, with what is left',
  async (s) => {
    await s.startWithTable(3, 'ram_copies', { majority: true });
    await s.written(1, 'k', 'what is left');
    await s.cluster.advance(1_000);
    for (const node of [1, 2]) s.node(node).kill();
    await s.node(1).start();
    await together(s, [1, 3]);
    await s.cluster.advance(8_000);
    expect((await refused(s, 3)).code).toBe('no_majority');
    expect(s.values('k', [1, 3])).toEqual(['what is left', 'what is left']);
    await s.node(2).start();
    await together(s, [1, 2, 3]);
    expect(s.values('k')).toEqual(['what is left', 'what is left', 'what is left']);
    await s.written(2, 'k', 'anew');
    await s.allAgain();
  },
);

scenario('Who has forgotten a promise that another still holds counts for nothing until it is settled', async (s) => {
  await s.startWithTable(5, 'ram_copies', { majority: true });
  await s.cluster.split([4, 5], [1, 2, 3]);
  s.step('peers 2 and 3 have promised what peer 1 decides in the moment in which it goes');
  s.killAt(1, 'commit.decided');
  s.write(1, 'k', 'in doubt');
  await s.until('peer 1 is gone', () => !s.node(1).isRunning);
  cut(s, [2], [3]);
  s.node(3).kill();
  heal(s, [2, 3], [4, 5]);
  heal(s, [2], [3]);
  await s.node(3).start();
  await together(s, [2, 3, 4, 5]);
  await s.cluster.advance(8_000);
  s.step('peer 2 alone holds it, and is cut off');
  cut(s, [2], [3, 4, 5]);
  await together(s, [3, 4, 5]);
  await s.cluster.advance(8_000);
  expect((await refused(s, 4)).code).toBe('no_majority');
  await s.allAgain();
  expect(s.values('k')).toEqual(Array(5).fill('in doubt'));
  await s.cluster.advance(8_000);
  for (const node of [1, 2]) s.node(node).kill();
  await together(s, [3, 4, 5]);
  await s.written(4, 'k', 'upon it');
  await s.allAgain();
});

scenario('A replica that moves to the disc does not remember by that what it forgot', async (s) => {
  await s.startWithTable(3, 'ram_copies', { majority: true });
  await s.cluster.split([3], [1, 2]);
  await s.written(1, 'k', 'of a majority');
  cut(s, [1], [2, 3]);
  heal(s, [2], [3]);
  await restart(s, 2);
  await together(s, [2, 3]);
  const change = s.node(3).db.changeTableCopyType('t', s.node(2).name, 'disc_copies', { timeoutMs: 3_000 });
  await s.cluster.settle(change.catch(() => undefined));
  await restart(s, 2);
  await together(s, [2, 3]);
  await s.cluster.advance(8_000);
  expect((await refused(s, 3)).code).toBe('no_majority');
  await s.allAgain();
  expect(s.values('k')).toEqual(Array(3).fill('of a majority'));
});

scenario('Whoever has forgotten what it promised is no majority that gives the table other replicas', async (s) => {
  await s.start(4);
  const [one, two, three, four] = s.cluster.names as [string, string, string, string];
  await s.cluster.settle(s.node(1).db.createTable({ name: 't', ram_copies: [one, two, three], majority: true }));
  await s.cluster.advance(1_000);
  await s.cluster.split([3, 4], [1, 2]);
  await s.written(1, 'k', 'of a majority');
  cut(s, [1], [2]);
  heal(s, [2], [3, 4]);
  await restart(s, 2);
  await together(s, [2, 3, 4]);
  const add = s.node(3).db.addTableCopy('t', four, 'ram_copies', { timeoutMs: 3_000 });
  expect((await s.cluster.failure(add)).code).toBe('no_majority');
  await s.allAgain();
});

/**
 * Peer 3 proposes to `present`, of which one promises and is cut off before its yes is heard, so that it is taken back; and
 * then to the others, which promise it in the moment in which peer 3 goes.
 */
async function promiseTwice(s: Scenario, first: Attempted, second: Attempted, ...forgetting: number[]): Promise<void> {
  s.at(first.holder, 'participant.after_vote', () => cut(s, [first.holder], [1, 2, 3, 4]));
  const taken = s.run(3, first.write);
  await s.until('the first is taken back', () => taken.answers > 0);
  expect(taken.isAcknowledged).toBe(false);
  await s.cluster.advance(1_000);
  expect(s.node(1).db.systemInfo().heldLocks).toBe(0);
  heal(s, [second.holder], [1, 3]);
  await together(s, [1, 3, second.holder]);
  await s.cluster.advance(2_000);
  s.killAt(3, 'commit.decided');
  s.run(3, second.write);
  await s.until('peer 3 is gone', () => !s.node(3).isRunning);
  for (const node of forgetting) s.node(node).kill();
}

interface Attempted {
  readonly holder: number;
  readonly write: (tx: Transaction) => unknown;
}

scenario(
  'Of two promises over a row, each held by one of those that remember, the later is made once all are together',
  async (s) => {
    await s.startWithTable(4, 'ram_copies', { majority: true });
    await s.cluster.split([4], [1, 2, 3]);
    const first: Attempted = { holder: 2, write: (tx) => tx.write('t', 'k', 'taken back') };
    const second: Attempted = { holder: 4, write: (tx) => tx.write('t', 'k', 'in doubt') };
    await promiseTwice(s, first, second, 1);
    await s.allAgain();
    expect(s.values('k')).toEqual(Array(4).fill('in doubt'));
    await s.written(1, 'k', 'upon it');
  },
);

scenario(
  'A disc that knows of no yes is believed, though its node has forgotten what it promised elsewhere',
  async (s) => {
    await s.startWithTable(4, 'disc_copies', { majority: true });
    await s.cluster.createTable('inMemory', 'ram_copies', { majority: true });
    await s.cluster.split([4], [1, 2, 3]);
    const both = (value: string) => (tx: Transaction) => {
      tx.write('t', 'k', value);
      tx.write('inMemory', 'k', value);
    };
    s.at(2, 'participant.after_vote', () => cut(s, [2], [1, 3]));
    const taken = s.run(3, both('taken back'));
    await s.until('it is taken back', () => taken.answers > 0);
    expect(taken.isAcknowledged).toBe(false);
    await s.cluster.advance(2_000);
    expect(s.node(1).db.systemInfo().heldLocks).toBe(0);
    s.step('all of them end, and of the table in memory nobody remembers anything');
    for (const node of s.cluster.nodes) node.kill();
    await s.allAgain();
    expect(s.values('k')).toEqual(Array(4).fill(undefined));
  },
);

scenario('A row in memory that is older than the one a promise has read does not end the promise', async (s) => {
  await s.startWithTable(3, 'disc_copies', { majority: true });
  await s.cluster.createTable('inMemory', 'ram_copies', { majority: true });
  await s.cluster.settle(s.node(1).db.transaction((tx) => tx.write('inMemory', 'k', 'old')));
  await s.cluster.advance(1_000);
  await s.cluster.split([1], [2, 3]);
  await s.cluster.settle(s.node(2).db.transaction((tx) => tx.write('inMemory', 'k', 'new')));
  await s.cluster.advance(1_000);
  s.step('peer 2 answers, and goes before peer 3 hears of it');
  s.at(2, 'commit.decided', () => cut(s, [2], [3]));
  const answered = s.run(2, (tx) => tx.write('t', 'k', `upon the ${tx.read('inMemory', 'k')}`));
  await s.until('peer 2 has answered', () => answered.answers > 0);
  expect(answered.isAcknowledged).toBe(true);
  for (const node of [2, 3]) s.node(node).kill();
  s.step('peer 3 comes back without the row that it had read, and takes that of peer 1');
  heal(s, [1], [3]);
  await s.node(3).start();
  await together(s, [1, 3]);
  await s.cluster.advance(3_000);
  const held = s.run(3, (tx) => tx.write('t', 'k', [tx.read('t', 'k'), 'and 3']), 'transaction', { deadlineMs: 2_000 });
  await s.until('it is refused', () => held.answers > 0);
  expect(held.error?.code).toBe('deadline');
  await s.allAgain();
  expect(s.values('k')).toEqual(Array(3).fill('upon the new'));
});
