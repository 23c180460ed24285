/** A row that was deleted with a node, before that node was lost, was seen by it: what is written since descends from what it had. */
import { expect } from 'vitest';
import { scenario } from '../support/scenario.ts';

scenario('What was deleted with a node that is lost since is no rival to what was written after that', async (s) => {
  await s.startWithTable(4, 'disc_copies', { merge: 'primary' }, { primaryNodeName: () => 'clusterdb@peer1' });
  await s.node(2).write('t', 'k', 'first');
  await s.cluster.advance(2_000);
  s.node(1).kill();
  await s.cluster.advance(6_000);
  await s.node(2).delete('t', 'k');
  await s.cluster.advance(3_000);
  s.node(2).kill();
  await s.cluster.advance(6_000);
  await s.node(4).write('t', 'k', 'second');
  await s.node(1).start();
  await s.until('they have met', () => s.node(1).eventsOf('connected').length > 0);
  await s.allAgain();
  expect(s.values('k')).toEqual(['second', 'second', 'second', 'second']);
  expect(s.node(3).db.ledger()).toEqual([]);
});
