/** When a view is divided whose members do not all see and count each other, and what is no evidence for that. */
import { expect, test } from 'vitest';
import { Division, type Testimony } from '../../storage/replication/division.ts';
import { Kind } from '../../storage/transactions/messages.ts';
import { Cluster } from './support/cluster.ts';

const SWEEP_MS = 100;
const TICK_MS = 500;

/** Node a in a view of a, b and c, all linked. */
class Told {
  readonly view = new Set(['a', 'b', 'c']);
  readonly known = new Map<string, Testimony>();
  readonly division: Division;
  nowMs = 10_000;

  constructor() {
    this.division = new Division({
      node: { self: 'a', view: this.view, primaryNodeName: () => undefined, idOf: () => undefined },
      known: this.known,
      linked: new Map([...'bc'].map((node) => [node, node])),
      compare: (one, other) => (one < other ? -1 : 1),
      tick: () => undefined,
      exclude: (member) => this.view.delete(member),
    });
  }

  says(node: string, view: string): void {
    this.known.set(node, { view: [...view], linked: ['a', 'b', 'c'], atMs: this.nowMs });
    this.division.reconsider();
  }

  /** Time passes. What `repeated` say is said again with each tick. */
  pass(byMs: number, repeated: Record<string, string> = {}): void {
    for (let passedMs = 0; passedMs < byMs; passedMs += SWEEP_MS) {
      this.nowMs += SWEEP_MS;
      if (this.nowMs % TICK_MS === 0) for (const [node, view] of Object.entries(repeated)) this.says(node, view);
      this.division.check(this.nowMs);
    }
  }

  get left(): string {
    return [...this.view].join('');
  }
}

test('c2 who says again and again that it does not count another member is believed, and the view divided', () => {
  const told = new Told();
  told.says('b', 'abc');
  told.says('c', 'ac');
  told.pass(1_000, { b: 'abc', c: 'ac' });
  expect(told.left).toBe('abc');
  told.pass(2_000, { b: 'abc', c: 'ac' });
  expect(told.left).toBe('ab');
});

test('c2 what a member said before the view was found broken is no evidence: it is waited for', () => {
  const told = new Told();
  told.says('b', 'abc');
  told.says('c', 'ac');
  told.pass(20_000, { b: 'abc' });
  expect(told.left).toBe('abc');
  told.pass(1_000, { b: 'abc', c: 'ac' });
  expect(told.left).toBe('abc');
  told.pass(2_000, { b: 'abc', c: 'abc' });
  expect(told.left).toBe('abc');
});

test('c2 a node that slept itself waits for what the others say now', () => {
  const told = new Told();
  told.says('b', 'abc');
  told.says('c', 'ac');
  told.pass(1_000, { b: 'abc', c: 'ac' });
  told.nowMs += 3_000;
  told.pass(100);
  expect(told.left).toBe('abc');
  told.pass(3_000, { b: 'abc', c: 'abc' });
  expect(told.left).toBe('abc');
});

test('c2 a member that is stopped by a signal while another one is taken in is not taken at what it said before', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t');
  await cluster.split([1, 3], [2]);
  const { mark } = cluster;
  cluster.heal();
  await cluster.until(() => cluster.messages(Kind.staged, mark).some(({ from }) => from === 'id3'));
  cluster.node(3).pause();
  await cluster.advance(4_000);
  for (const number of [1, 2]) {
    expect(cluster.node(number).db.runningDbNodes()).toEqual(cluster.names);
  }
  cluster.node(3).resume();
  await cluster.together();
  await cluster.advance(3_000);
  for (const number of [1, 2, 3]) expect(cluster.node(number).db.runningDbNodes()).toEqual(cluster.names);
  // Of the split, and no other.
  expect(cluster.nodes.map((node) => node.eventsOf('mnesia_down').length)).toEqual([1, 2, 1]);
});

test('c2 of two that lost each other while the third sleeps, neither is given up on hearsay; once it is awake the view is divided', async () => {
  const cluster = await Cluster.start(3);
  await cluster.createTable('t');
  cluster.node(3).pause();
  cluster.network.cut('id1', 'id2', { id2: 60_000 });
  await cluster.advance(6_000);
  expect(cluster.node(2).db.runningDbNodes()).toEqual(cluster.names);
  cluster.node(3).resume();
  await cluster.advance(5_000);
  expect(cluster.node(3).db.runningDbNodes()).toEqual([cluster.node(1).name, cluster.node(3).name]);
  expect(cluster.node(2).db.runningDbNodes()).not.toContain(cluster.node(3).name);
});
