/** What waits for a node that is lost, and who reads while nodes come and go (mnesia_atomicity_test, mnesia_recovery_test). */
import { expect } from 'vitest';
import type { Key, Transaction, Value } from '../../../storage/types.ts';
import { type Scenario, scenario } from '../support/scenario.ts';

// -- lock_waiter_X_Y --------------------------------------------------------------------------------------------------------

/** r: reads a row. w: writes it. wr: reads it for writing. rt: reads the whole table. wt: writes all of it. */
type Operation = 'r' | 'w' | 'wr' | 'rt' | 'wt';

const numberAt = (tx: Transaction, key: Key): number => (tx.read('t', key) as number | undefined) ?? 0;

function operate(tx: Transaction, operation: Operation, by: number): Value {
  switch (operation) {
    case 'r':
      return numberAt(tx, 'k');
    case 'w':
      tx.write('t', 'k', by);
      return by;
    case 'wr':
      tx.write('t', 'k', numberAt(tx, 'k') + by);
      return by;
    case 'rt':
      return tx.allKeys('t').map((key) => numberAt(tx, key));
    case 'wt':
      for (const key of tx.allKeys('t')) tx.write('t', key, numberAt(tx, key) + by);
      return by;
  }
}

/** Of the row `k`, which is 1: what B and then A make of it. */
function inOrder(first: Operation, then: Operation): number {
  let k = 1;
  for (const [operation, by] of [[first, 10] as const, [then, 100] as const]) {
    if (operation === 'w') k = by;
    else if (operation === 'wr' || operation === 'wt') k += by;
  }
  return k;
}

const pairs: [a: Operation, b: Operation][] = [
  ['wr', 'r'],
  ['wr', 'wt'],
  ['wr', 'w'],
  ['wr', 'wr'],
  ['r', 'w'],
  ['r', 'wt'],
  ['rt', 'w'],
  ['rt', 'wt'],
  ['wt', 'r'],
  ['wt', 'w'],
  ['wt', 'rt'],
  ['wt', 'wt'],
  ['wt', 'wr'],
  ['w', 'wr'],
  ['w', 'r'],
  ['w', 'w'],
  ['w', 'rt'],
  ['w', 'wt'],
];

for (const [a, b] of pairs) {
  scenario(
    `lock_waiter_${a}_${b}: A (${a}) waits behind B (${b}) of another node, whose node dies: A ends exactly once, after B`,
    async (s) => {
      await s.startWithTable(3);
      await s.node(1).write('t', 'k', 1);
      await s.cluster.advance(1_000);
      const pause = s.pauseAt(2, 'commit.after_prepare_sent', { moment: 'sent' });
      s.run(2, (tx) => {
        operate(tx, b, 10);
        tx.write('t', 'mark', 0);
      });
      await s.until('B is stopped with its locks held', () => pause.isReached);
      await s.cluster.advance(5);
      const attempt = s.run(1, (tx) => operate(tx, a, 100));
      await s.cluster.advance(300);
      expect(attempt.answers).toBe(0);
      s.node(2).kill();
      await s.until('A has ended', () => attempt.answers > 0);
      expect(attempt.error).toBeUndefined();
      expect(attempt.answers).toBe(1);
      // All who lived had promised B: it was made, once, and so was A, upon it.
      if (a === 'r') expect(attempt.value).toBe(inOrder(b, 'r'));
      if (a === 'rt') expect(attempt.value).toContain(inOrder(b, 'r'));
      await s.allAgain();
      const k = inOrder(b, a);
      expect(s.values('k')).toEqual([k, k, k]);
    },
  );
}

scenario(
  'mnesia_down_during_infinite_trans: a function that never ends holds up nobody, and its node may die',
  async (s) => {
    await s.startWithTable(3);
    await s.written(1, 'k', 1);
    s.run(2, async (tx) => {
      tx.write('t', 'k', 2);
      await new Promise(() => undefined);
    });
    await s.cluster.advance(50);
    const reader = s.run(1, (tx) => tx.read('t', 'k'));
    await s.until('the reader has its answer', () => reader.answers > 0, 100);
    expect(reader.value).toBe(1);
    s.node(2).kill();
    await s.written(3, 'k', 3);
    await s.allAgain();
  },
);

scenario(
  'mnesia_down_during_infinite_trans: a reader queued behind a commit that hangs gets its answer when that node dies',
  async (s) => {
    await s.startWithTable(3);
    await s.written(1, 'k', 1);
    const pause = s.pauseAt(2, 'commit.after_prepare_sent', { moment: 'sent' });
    s.write(2, 'k', 2);
    await s.until('the writer hangs', () => pause.isReached);
    await s.cluster.advance(5);
    const readers = [1, 3].map((node) => s.run(node, (tx) => tx.read('t', 'k')));
    await s.cluster.advance(1_000);
    expect(readers.map(({ answers }) => answers)).toEqual([0, 0]);
    s.node(2).kill();
    await s.until('the readers have their answers', () => readers.every(({ answers }) => answers === 1), 1_000);
    expect(readers.map(({ value }) => value)).toEqual([2, 2]);
    await s.allAgain();
  },
);

scenario(
  'A commit that hangs for ever on a stopped node lets go of others at their own deadline, with a reason',
  async (s) => {
    await s.startWithTable(3, 'disc_copies', {}, { limits: { transactionDeadlineMs: 2_000 } });
    const pause = s.pauseAt(2, 'commit.after_prepare_sent', { moment: 'sent' });
    s.write(2, 'k', 2);
    await s.until('the writer hangs', () => pause.isReached);
    await s.cluster.advance(5);
    const reader = s.run(1, (tx) => tx.read('t', 'k'));
    await s.until('the reader has an answer', () => reader.answers > 0, 3_000);
    expect(reader.error).toMatchObject({ code: 'deadline', fields: { reason: 'waiting' } });
    await s.allAgain();
  },
);

// -- restart_X_one -------------------------------------------------------------------------------------------------------------

/** Table `one` has its only replica at peer 2; row `k` is 1. */
async function withOneReplica(s: Scenario): Promise<void> {
  await s.start(3);
  await s.cluster.settle(s.node(2).db.createTable({ name: 'one', disc_copies: [s.node(2).name] }));
  await s.node(2).write('one', 'k', 1);
  await s.cluster.advance(1_000);
}

const alone: { operation: string; fn: (tx: Transaction) => unknown; after: Value }[] = [
  { operation: 'r', fn: (tx) => tx.read('one', 'k'), after: 1 },
  { operation: 'w', fn: (tx) => tx.write('one', 'k', 2), after: 2 },
  {
    operation: 'wr',
    fn: (tx) => tx.write('one', 'k', (tx.read('one', 'k') as number) + 5),
    after: 6,
  },
];

for (const { operation, fn, after } of alone) {
  scenario(
    `restart_${operation}_one: the node with the only replica dies under the request: it ends with table_not_loaded, and works when that node is back`,
    async (s) => {
      await withOneReplica(s);
      s.node(2).pause();
      const attempt = s.run(1, fn);
      await s.cluster.advance(100);
      expect(attempt.answers).toBe(0);
      s.node(2).kill();
      await s.until('the request has ended', () => attempt.answers > 0, 2_000);
      expect(attempt.answers).toBe(1);
      expect(['table_not_loaded', 'aborted']).toContain(attempt.error?.code);
      await s.node(2).start();
      await s.cluster.together();
      const again = s.run(1, fn);
      await s.until('the request is made', () => again.answers > 0, 2_000);
      expect(again.error).toBeUndefined();
      expect(s.node(2).db.dirtyRead('one', 'k')).toBe(after);
      await s.allAgain();
    },
  );
}

scenario(
  'restart_rt_one: a table that is not kept here cannot be read as a whole, and the error names who keeps it',
  async (s) => {
    await withOneReplica(s);
    const attempt = s.run(1, (tx) => tx.allKeys('one'));
    await s.until('it has ended', () => attempt.answers > 0);
    expect(attempt.error).toMatchObject({ code: 'table_not_loaded', fields: { table: 'one' } });
    expect(attempt.error?.message).toContain(s.node(2).name);
  },
);

// -- who is told nothing ---------------------------------------------------------------------------------------------------

scenario(
  'A transaction that fails after a node was lost that had promised an earlier attempt of it says that it may have been made',
  async (s) => {
    await s.startWithTable(3);
    // Peer 3 writes first, and is not heard; what peer 1 then writes reaches peer 2, and is refused by peer 3.
    s.cluster.network.delay(s.node(3).id, s.node(1).id, 20);
    s.cluster.network.delay(s.node(3).id, s.node(2).id, 10_000);
    s.run(3, (tx) => tx.write('t', 'k', 'older'));
    const promised = s.pauseAt(2, 'participant.after_vote', { moment: 'sent' });
    await s.cluster.advance(5);
    let runs = 0;
    let fail = (): void => undefined;
    const attempt = s.run(1, (tx) => {
      tx.write('t', 'k', 'younger');
      runs += 1;
      if (runs > 1) {
        return new Promise((_, reject) => {
          fail = () => reject(new Error('no more'));
        });
      }
      return undefined;
    });
    await s.until('peer 2 has promised it', () => promised.isReached);
    s.cluster.network.delay(s.node(1).id, s.node(2).id, 10_000);
    await s.cluster.advance(50);
    await s.cluster.split([1, 3], [2]);
    promised.release();
    await s.until('it runs again', () => runs > 1);
    await s.cluster.advance(100);
    expect(s.values('k', [2])).toEqual(['younger']);
    fail();
    await s.until('it has failed', () => attempt.answers > 0);
    expect(attempt.error?.fields.reason).toBe('outcome_unknown');
    for (const [from, to] of [
      [1, 2],
      [3, 2],
    ] as const)
      s.cluster.network.delay(s.node(from).id, s.node(to).id, 1);
    await s.allAgain();
  },
);

// -- readers while nodes die and return -------------------------------------------------------------------------------------------

scenario(
  'dirty_read_during_down: a dirty reader always finds the row while the other replicas die and return',
  async (s) => {
    await s.startWithTable(3);
    await s.written(1, 'k', 'there');
    for (const [index, victim] of [2, 3, 2].entries()) {
      s.step(`peer ${victim} dies, time ${index}`);
      s.node(victim).kill();
      for (let n = 0; n < 20; n++) {
        expect(s.values('k', [1])).toEqual(['there']);
        await s.cluster.advance(10);
      }
      await s.node(victim).start();
      for (let n = 0; n < 50; n++) {
        expect(s.values('k', [1])).toEqual(['there']);
        await s.cluster.advance(10);
      }
    }
    await s.allAgain();
  },
);

scenario(
  'trans_read_during_down: transactions always find the row while the other replicas die and return',
  async (s) => {
    await s.startWithTable(3);
    await s.written(1, 'k', 'there');
    for (const victim of [2, 3]) {
      for (const act of [() => s.node(victim).kill(), () => s.node(victim).start()]) {
        const acting = act();
        for (let n = 0; n < 20; n++) {
          const reader = s.run(1, (tx) => tx.read('t', 'k'));
          await s.until('the reader has its answer', () => reader.answers > 0);
          expect([reader.error, reader.value]).toEqual([undefined, 'there']);
          await s.cluster.advance(20);
        }
        await acting;
      }
    }
    await s.allAgain();
  },
);

scenario('trans_read_during_down: a node without a replica reads from whoever has one, whichever dies', async (s) => {
  await s.start(3);
  await s.cluster.settle(s.node(2).db.createTable({ name: 't', disc_copies: [s.node(2).name, s.node(3).name] }));
  await s.cluster.advance(1_000);
  await s.written(2, 'k', 'there');
  for (const victim of [2, 3]) {
    s.node(victim).kill();
    for (let n = 0; n < 10; n++) {
      const reader = s.run(1, (tx) => tx.read('t', 'k'));
      await s.until('the reader has its answer', () => reader.answers > 0);
      expect([reader.error, reader.value]).toEqual([undefined, 'there']);
    }
    await s.node(victim).start();
    await s.cluster.together();
    await s.cluster.advance(1_000);
  }
  await s.allAgain();
});

scenario('A reader that is being answered by a node that dies asks another one, and hears once', async (s) => {
  await s.start(3);
  await s.cluster.settle(s.node(2).db.createTable({ name: 't', disc_copies: [s.node(2).name, s.node(3).name] }));
  await s.cluster.advance(1_000);
  await s.written(2, 'k', 'there');
  for (const victim of [2, 3]) s.node(victim).pause();
  const reader = s.run(1, (tx) => tx.read('t', 'k'));
  await s.cluster.advance(50);
  expect(reader.answers).toBe(0);
  s.node(2).kill();
  s.node(3).resume();
  await s.until('the reader has its answer', () => reader.answers > 0, 2_000);
  expect([reader.error, reader.value, reader.answers]).toEqual([undefined, 'there', 1]);
  await s.allAgain();
});
