/** A commit of a lost coordinator is remembered until it is back; later ones of the same row may be forgotten before. */
import { expect, test } from 'vitest';
import { Cluster, type ClusterNode } from '../support/cluster.ts';

test('What was deleted after a commit that is still remembered had been seen by all who ran then: no conflict', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t');
  const [one, lost, third] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await one.write('t', 'k', 'first');
  await cluster.advance(2_000);
  // Killed before it can say that all have applied it.
  await lost.delete('t', 'k');
  await one.write('t', 'k', 'second');
  await cluster.advance(20);
  lost.kill();
  await cluster.advance(1_000);
  await third.delete('t', 'k');
  await cluster.advance(3_000);
  one.kill();
  await cluster.advance(200);
  await lost.start();
  await cluster.until(() => third.db.runningDbNodes().length === 2);
  await cluster.advance(2_000);
  for (const { db } of [lost, third]) expect([db.dirtyAllKeys('t'), db.ledger()]).toEqual([[], []]);
});
