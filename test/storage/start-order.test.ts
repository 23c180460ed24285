/** Three nodes that were stopped are started again, in every order: the table loads, with what was written last. */
import { expect, test } from 'vitest';
import { Cluster } from './support/cluster.ts';

const ORDERS = [
  [1, 2, 3],
  [1, 3, 2],
  [2, 1, 3],
  [2, 3, 1],
  [3, 1, 2],
  [3, 2, 1],
];

/** Stopped one after the other, with a write between; what the last one alone knows is 'last'. */
async function stopped(stops: readonly number[]): Promise<Cluster> {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t');
  for (const [index, number] of stops.entries()) {
    await cluster.node(number).write('t', `before ${number}`, index);
    await cluster.advance(1_000);
    if (index === 2) await cluster.node(number).write('t', 'k', 'last');
    await cluster.node(number).stop();
    await cluster.advance(1_000);
  }
  return cluster;
}

const numbers = (text: string): number[] => text.split(' ').map(Number);
const texts = ORDERS.map((order) => order.join(' '));
const cases = texts.flatMap((stops) => texts.map((starts): [string, string] => [stops, starts]));

test.each(cases)('b4 stopped in the order %s and started in the order %s', async (stopOrder, startOrder) => {
  const [stops, starts] = [numbers(stopOrder), numbers(startOrder)];
  const cluster = await stopped(stops);
  const last = stops[2] as number;
  for (const [index, number] of starts.entries()) {
    await cluster.node(number).start();
    await cluster.advance(3_000);
    const isThere = starts.slice(0, index + 1).includes(last);
    for (const started of starts.slice(0, index + 1)) {
      // Whoever went earlier waits for the one that went last, and says so.
      const { loaded, awaiting } = cluster.node(started).db.tableInfo('t');
      expect([started, loaded]).toEqual([started, isThere]);
      expect(awaiting.includes(cluster.node(last).name)).toBe(!isThere);
    }
  }
  await cluster.together();
  for (const { db } of cluster.nodes) expect([db.dirtyRead('t', 'k'), db.ledger()]).toEqual(['last', []]);
});

test.each(ORDERS)(
  'b4.9 forced to load at the first that starts (%i, then %i, then %i): nothing written since is lost',
  async (...starts) => {
    const cluster = await stopped([1, 2, 3]);
    const first = cluster.node(starts[0] as number);
    await first.start();
    await cluster.settle(first.db.forceLoadTable('t'));
    await first.write('t', 'forced', 1);
    for (const number of starts.slice(1)) await cluster.node(number).start();
    await cluster.together();
    await cluster.advance(3_000);
    for (const { db } of cluster.nodes) {
      expect([db.dirtyRead('t', 'k'), db.dirtyRead('t', 'forced')]).toEqual(['last', 1]);
    }
  },
);
