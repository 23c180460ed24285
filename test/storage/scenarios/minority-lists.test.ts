/**
 * A node declares a replica, or comes with an empty disc, where more than half of the replicas are not: the islands unite
 * all the same, and the table takes no writes there until enough have been met.
 */
import { expect } from 'vitest';
import { type Scenario, scenario } from '../support/scenario.ts';

function cut(s: Scenario, some: readonly number[], others: readonly number[]): void {
  for (const a of some) for (const b of others) s.cluster.network.cut(s.node(a).id, s.node(b).id);
}

function heal(s: Scenario, some: readonly number[], others: readonly number[]): void {
  for (const a of some) for (const b of others) s.cluster.network.heal(s.node(a).id, s.node(b).id);
}

async function together(s: Scenario, nodes: readonly number[]): Promise<void> {
  await s.until(`${nodes.join(', ')} are one island`, () =>
    nodes.every((node) => s.node(node).db.systemInfo().runningDbNodes.length === nodes.length),
  );
  await s.cluster.advance(3_000);
}

async function apart(s: Scenario, ...islands: number[][]): Promise<void> {
  for (const one of islands) for (const other of islands) if (one !== other) cut(s, one, other);
  await s.until('they are apart', () =>
    islands.every((island) =>
      island.every((node) => s.node(node).db.systemInfo().runningDbNodes.length === island.length),
    ),
  );
  await s.cluster.advance(1_000);
}

/** Nodes of which the first hold `t`. */
async function startWithSome(s: Scenario, count: number, holders: number, kind: 'ram_copies' | 'disc_copies') {
  await s.start(count);
  const definition = { name: 't', [kind]: s.cluster.names.slice(0, holders), majority: true };
  await s.cluster.settle(s.node(1).db.createTable(definition));
  await s.cluster.advance(1_000);
}

async function declare(s: Scenario, node: number, kind: 'ram_copies' | 'disc_copies' = 'disc_copies'): Promise<void> {
  const { db, name } = s.node(node);
  db.createTable({ name: 't', [kind]: [name], majority: true }).catch(() => undefined);
  await s.cluster.advance(100);
}

async function refused(s: Scenario, node: number): Promise<void> {
  const error = await s.cluster.failure(s.node(node).db.transaction((tx) => tx.write('t', 'k', 'of a minority')));
  expect(error.code).toBe('no_majority');
}

scenario('One of three replicas meets a node that declares one: both go on, and the table waits', async (s) => {
  await startWithSome(s, 4, 3, 'disc_copies');
  await s.cluster.settle(s.node(1).db.createTable({ name: 'other', disc_copies: s.cluster.names }));
  await apart(s, [1], [2, 3], [4]);
  await declare(s, 4);
  await s.written(2, 'k', 'of the majority');
  heal(s, [1], [4]);
  await together(s, [1, 4]);
  await s.cluster.settle(s.node(1).db.transaction((tx) => tx.write('other', 'k', 'of 1')));
  await s.cluster.advance(100);
  expect(s.values('k', [1, 4], 'other')).toEqual(['of 1', 'of 1']);
  for (const node of [1, 4]) {
    await refused(s, node);
    const nodes = [s.node(2).name, s.node(3).name];
    expect(s.node(node).eventsOf('majority_awaited')).toContainEqual({ type: 'majority_awaited', table: 't', nodes });
  }
  await s.written(3, 'k', 'of the majority again');
  await s.allAgain();
  expect(s.node(1).db.tableInfo('t').discCopies).toEqual(s.cluster.names);
  s.step('the new list counts alone');
  await s.cluster.split([1, 2, 4], [3]);
  await s.written(4, 'k', 'of three of four');
  await s.allAgain();
});

scenario('A majority goes on when it meets a node that a minority had taken in', async (s) => {
  await startWithSome(s, 5, 3, 'disc_copies');
  await apart(s, [1, 4, 5], [2, 3]);
  await declare(s, 4);
  await declare(s, 5);
  await s.cluster.advance(5_000);
  expect(s.node(1).db.tableInfo('t').discCopies).toHaveLength(5);
  for (const node of [1, 4, 5]) await refused(s, node);
  await s.written(2, 'k', 'of the majority');
  await apart(s, [1, 5], [2, 3], [4]);
  heal(s, [4], [2, 3]);
  await together(s, [2, 3, 4]);
  await s.written(4, 'k', 'of three of five');
  await refused(s, 1);
  await s.allAgain();
});

scenario('Who comes with an empty disc is taken in by one of three, which is no majority by that', async (s) => {
  await s.startWithTable(3, 'disc_copies', { majority: true });
  await s.cluster.split([1], [2, 3]);
  await s.written(2, 'k', 'of the majority');
  await s.cluster.advance(1_000);
  s.node(2).kill();
  s.node(2).replaceDisc();
  cut(s, [3], [2]);
  await s.node(2).start();
  await together(s, [1, 2]);
  await declare(s, 2);
  await s.cluster.advance(3_000);
  for (const node of [1, 2]) await refused(s, node);
  await s.allAgain();
  expect(s.values('k')).toEqual(Array(3).fill('of the majority'));
});

scenario('Discs that are emptied one after the other make no majority of those who knew nothing', async (s) => {
  await s.startWithTable(5, 'disc_copies', { majority: true });
  await s.cluster.split([1, 5], [2, 3, 4]);
  await s.written(2, 'k', 'of the majority');
  await s.cluster.advance(1_000);
  for (const node of [2, 3]) {
    s.node(node).kill();
    s.node(node).replaceDisc();
    cut(s, [4], [node]);
    await s.node(node).start();
    await together(s, node === 2 ? [1, 2, 5] : [1, 2, 3, 5]);
    await declare(s, node);
    await s.cluster.advance(3_000);
    await refused(s, 1);
  }
  await s.allAgain();
  expect(s.values('k')).toEqual(Array(5).fill('of the majority'));
});

scenario('Where all who are away have lost their discs, those who are left take writes again', async (s) => {
  await s.startWithTable(3, 'disc_copies', { majority: true });
  for (const node of [2, 3]) s.node(node).kill();
  for (const node of [2, 3]) {
    await refused(s, 1);
    s.node(node).replaceDisc();
    await s.node(node).start();
    await together(s, node === 2 ? [1, 2] : [1, 2, 3]);
    await declare(s, node);
    await s.cluster.advance(3_000);
  }
  await s.written(1, 'k', 'of those who are left');
  await s.allAgain();
});

scenario('Who has forgotten what it promised does not make a list of replicas count alone', async (s) => {
  await startWithSome(s, 5, 3, 'ram_copies');
  await apart(s, [1, 2], [3, 4, 5]);
  await s.written(1, 'k', 'of the majority');
  cut(s, [1], [2]);
  s.node(2).kill();
  heal(s, [2], [3, 4, 5]);
  await s.node(2).start();
  await together(s, [2, 3, 4, 5]);
  await declare(s, 4, 'ram_copies');
  await declare(s, 5, 'ram_copies');
  await s.cluster.advance(8_000);
  await refused(s, 3);
  await apart(s, [2], [3, 4, 5]);
  await refused(s, 3);
  await s.allAgain();
  expect(s.values('k')).toEqual(Array(5).fill('of the majority'));
});

scenario(
  'A promise whose other voters have all lost their discs ends once everybody left has been heard',
  async (s) => {
    await s.startWithTable(3, 'disc_copies', { majority: true });
    const one = s.node(1);
    s.at(1, 'participant.after_vote', () => {
      // Its vote leaves; what becomes of it is not heard.
      for (const other of [2, 3]) s.cluster.network.delay(s.node(other).id, one.id, 10_000);
    });
    const attempt = s.run(2, (tx) => tx.write('t', 'k', 'promised'));
    await s.until('it is made', () => attempt.answers > 0);
    for (const node of [2, 3]) s.node(node).kill();
    await s.until('peer 1 is alone', () => one.db.systemInfo().runningDbNodes.length === 1);
    for (const other of [2, 3]) s.cluster.network.delay(s.node(other).id, one.id, 1);
    for (const node of [2, 3]) {
      s.node(node).replaceDisc();
      await s.node(node).start();
      await together(s, node === 2 ? [1, 2] : [1, 2, 3]);
      await declare(s, node);
      await s.cluster.advance(3_000);
    }
    await s.until('nothing is promised any more', () => one.db.systemInfo().transactions === 0, 20_000);
    expect(s.values('k')).toEqual(Array(3).fill('promised'));
    await s.written(1, 'k', 'of those who are left');
    await s.allAgain();
  },
);
