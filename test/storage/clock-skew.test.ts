/** A wrong clock costs nothing but its own times (B71), and whose it is gets said. */
import { expect, test } from 'vitest';
import { Cluster } from './support/cluster.ts';

test('A clock that is ahead is said by the others, of that node alone, and again once it was right in between', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t');
  const [, second, third] = [1, 2, 3].map((number) => cluster.node(number));
  // To a tenth of a second: a tick is under way for a while.
  const said = (): [string, number][][] =>
    cluster.nodes.map((node) =>
      node.eventsOf('clock_skew').map(({ node: of, skewMs }): [string, number] => [of, Math.round(skewMs / 100) * 100]),
    );

  second!.clockAheadMs = 2_000;
  for (let n = 0; n < 20; n += 1) {
    for (const node of cluster.nodes) await node.write('t', n, node.name);
    await cluster.advance(500);
  }
  expect(said()).toEqual([[[second!.name, 2_000]], [], [[second!.name, 2_000]]]);
  for (const node of cluster.nodes) expect(node.db.dirtyRead('t', 19)).toBe(third!.name);

  second!.clockAheadMs = 0;
  await cluster.advance(10_000);
  second!.clockAheadMs = 700;
  await cluster.advance(10_000);
  expect(said()[0]).toEqual([
    [second!.name, 2_000],
    [second!.name, 700],
  ]);
});
