/** Whatever a peer sends: it loses that link and nothing more, nothing of it takes effect, and nothing is thrown. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkBatch } from '../../../storage/transactions/message-shapes.ts';
import { Kind } from '../../../storage/transactions/messages.ts';
import { Cluster } from '../support/cluster.ts';

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start(3);
  await cluster.createTable('t');
  await cluster.node(1).write('t', 'k', 1);
  await cluster.advance(2_000);
});

/** What the node shows of itself, but for the time. */
function stateOf(number: number): unknown {
  const { db } = cluster.node(number);
  const { heldLocks, lockQueue, transactions, tables, recentCommits, changedSince } = db.systemInfo();
  return { heldLocks, lockQueue, transactions, tables, recentCommits, changedSince, digest: db.tableInfo('t').digest };
}

test('No two kinds of messages have the same number', () => {
  const numbers = Object.values(Kind);
  expect(numbers.length).toBe(new Set(numbers).size);
});

async function expectOnlyThatLinkDropped(batch: unknown): Promise<void> {
  const before = stateOf(1);
  const { events } = cluster.node(1);
  const seen = events.length;
  cluster.network.inject('id2', 'id1', batch);
  await cluster.advance(2);
  const downs = events.slice(seen).filter(({ type }) => type === 'mnesia_down');
  expect(downs).toEqual([expect.objectContaining({ node: cluster.node(2).name, reason: 'dropped' })]);
  expect(cluster.network.isUp('id1', 'id3')).toBe(true);
  await cluster.together();
  await cluster.advance(2_000);
  expect(stateOf(1)).toEqual(before);
}

function isBatch(value: unknown): boolean {
  try {
    checkBatch(value);
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withTypedArray: true,
  withNullPrototype: true,
});

test('any value at all in place of a batch drops that link only, and changes nothing', async () => {
  await fc.assert(
    fc.asyncProperty(
      anything.filter((value) => !isBatch(value)),
      expectOnlyThatLinkDropped,
    ),
    { numRuns: 60, seed: 1 },
  );
});

test('any message in a batch of the right form drops that link only, and changes nothing', async () => {
  const kind = fc.oneof(fc.constantFrom(...Object.values(Kind)), fc.integer());
  const message = fc.tuple(kind, fc.array(anything, { maxLength: 9 })).map(([first, rest]) => [first, ...rest]);
  await fc.assert(
    fc.asyncProperty(
      message.filter((one) => !isBatch([0, one])),
      (one) => expectOnlyThatLinkDropped([0, one]),
    ),
    { numRuns: 60, seed: 2 },
  );
});

test('a good message before a bad one has no effect either', async () => {
  await expectOnlyThatLinkDropped([0, [Kind.exclude], [Kind.vote, 'one']]);
  await expectOnlyThatLinkDropped([
    0,
    [Kind.copying, 1],
    [Kind.prepare, ['id1', 'id2'], ['t'], 1, new Uint8Array(5).fill(255)],
  ]);
});

test('numbers in rows that would never end are refused', async () => {
  await expectOnlyThatLinkDropped([0, [Kind.commit, 0, 1, Number.MAX_SAFE_INTEGER]]);
  await expectOnlyThatLinkDropped([0, [Kind.yes, 0, 1]]);
});

test.each([
  ['the last number there is', Number.MAX_SAFE_INTEGER],
  ['infinity', Number.POSITIVE_INFINITY],
  ['not a number', Number.NaN],
  ['before all time', -1],
])('a time that is %s does not stop the clock of the node that reads it', async (_, time) => {
  await expectOnlyThatLinkDropped([time, [Kind.nudge]]);
  await expectOnlyThatLinkDropped([0, [Kind.tick, 'clusterdb@peer2', false, ['id2'], ['id2'], [], time, 0]]);
  await expectOnlyThatLinkDropped([0, [Kind.tick, 'clusterdb@peer2', false, ['id2'], ['id2'], [], 0, time]]);
  await cluster.node(1).write('t', 'k', 1);
  await cluster.advance(2_000);
});

test.each([
  ['NaN', Number.NaN],
  ['an object', { key: 1 }],
  ['half a surrogate pair', '\ud800'],
  ['nothing', undefined],
  [
    'itself',
    (() => {
      const inner: unknown[] = [];
      inner.push(inner);
      return inner;
    })(),
  ],
])('a row whose key is %s is refused before anything is locked', async (_, key) => {
  await expectOnlyThatLinkDropped([0, [Kind.read, 1, 't', key]]);
});

test('messages as they are really sent, with one part of them replaced by anything, throw nothing and lock nothing for long', async () => {
  // Real messages of every kind: commits, a heal, a table made and deleted.
  await cluster.split([1], [2, 3]);
  await cluster.node(1).write('t', 'a', 1);
  await cluster.node(2).write('t', 'b', { deep: [1, 'x'] });
  await cluster.healAndMeet();
  await cluster.settle(cluster.node(1).db.createTable({ name: 'u', disc_copies: cluster.names }));
  await cluster.settle(cluster.node(1).db.deleteTable('u'));
  await cluster.advance(1_000);
  const sent = cluster.network.sent.flatMap(({ messages }) => messages).slice(-3_000);
  const kinds = [...new Set(sent.map(([kind]) => kind))];
  expect(kinds.length).toBeGreaterThan(15);
  const real = fc.constantFrom(...kinds).chain((kind) => fc.constantFrom(...sent.filter(([first]) => first === kind)));
  const bent = fc
    .tuple(real, fc.nat(), anything)
    .map(([message, at, value]) => message.map((part, index) => (index === at % message.length ? value : part)));
  await fc.assert(
    fc.asyncProperty(bent, async (message) => {
      cluster.network.inject('id2', 'id1', [0, message]);
      await cluster.advance(5);
      // A well-formed lie is as good as the truth until that peer is lost: then the others settle it.
      cluster.network.cut('id1', 'id2');
      await cluster.advance(200);
      await cluster.healAndMeet();
      await cluster.until(() =>
        cluster.nodes.every(({ db }) => db.systemInfo().heldLocks + db.systemInfo().transactions === 0),
      );
      await cluster.node(1).write('t', 'after', 'served');
    }),
    { numRuns: 80, seed: 3 },
  );
});

afterAll(() => {
  for (const { isRunning } of cluster.nodes) expect(isRunning).toBe(true);
});
