/** mnesia_recovery_test and mnesia_atomicity_test, told again: somebody dies around a commit, or its function does. */
import { expect } from 'vitest';
import type { ProbePoint } from '../../../storage/environment.ts';
import type { Transaction } from '../../../storage/types.ts';
import { KINDS, type Moment, type Scenario, scenario } from '../support/scenario.ts';

const SIZES = [2, 3] as const;

/** A table whose row `k` is `old` everywhere. */
async function withOldRow(
  s: Scenario,
  count: number,
  kind: 'ram_copies' | 'disc_copies' = 'disc_copies',
): Promise<void> {
  await s.startWithTable(count, kind);
  await s.written(1, 'k', 'old');
  await s.cluster.advance(1_000);
}

/** What the cluster must hold in the end, when the coordinator was killed: known from how far it had come. */
const coordinatorDeaths: { when: string; point: ProbePoint; moment: Moment; outcome: 'old' | 'new' }[] = [
  { when: 'before it asks anybody', point: 'commit.before_prepare', moment: 'at', outcome: 'old' },
  {
    when: 'when it has asked and nobody was reached',
    point: 'commit.after_prepare_sent',
    moment: 'at',
    outcome: 'old',
  },
  { when: 'when all have been asked', point: 'commit.after_prepare_sent', moment: 'sent', outcome: 'new' },
  { when: 'when it has the last vote', point: 'commit.decided', moment: 'at', outcome: 'new' },
  { when: 'when it has told of the commit', point: 'commit.after_commit_sent', moment: 'sent', outcome: 'new' },
  { when: 'when it has the commit on its disc', point: 'commit.on_disc', moment: 'at', outcome: 'new' },
];

const writerDeaths: typeof coordinatorDeaths = [
  { when: 'when nobody has heard of it', point: 'dirty.sent', moment: 'at', outcome: 'old' },
];

for (const count of SIZES) {
  for (const kind of KINDS) {
    for (const { when, point, moment, outcome } of kind === 'dirty' ? writerDeaths : coordinatorDeaths) {
      scenario(
        `kill_coord_node: ${kind} among ${count}, the coordinator's node dies ${when}: all have the ${outcome} value`,
        async (s) => {
          await withOldRow(s, count);
          s.killAt(1, point, { moment });
          const attempt = s.write(1, 'k', 'new', kind);
          await s.until('the coordinator is dead', () => !s.node(1).isRunning);
          await s.cluster.advance(500);
          expect(attempt.answers).toBe(0);
          const survivors = [2, 3].slice(0, count - 1);
          for (const value of s.values('k', survivors)) expect(value).toBe(outcome);
          await s.allAgain();
          for (const value of s.values('k')) expect(value).toBe(outcome);
        },
      );
    }
  }
}

const participantDeaths: { when: string; point: ProbePoint }[] = [
  { when: 'when it is asked', point: 'participant.before_vote' },
  { when: 'with its vote given', point: 'participant.after_vote' },
  { when: 'before it applies', point: 'participant.before_apply' },
  { when: 'when it has applied', point: 'participant.after_apply' },
];

const hearerDeaths: typeof participantDeaths = [{ when: 'when it has applied', point: 'dirty.applied' }];

for (const count of SIZES) {
  for (const kind of KINDS) {
    for (const { when, point } of kind === 'dirty' ? hearerDeaths : participantDeaths) {
      scenario(
        `kill_part_after_ask: ${kind} among ${count}, a participant dies ${when}: the caller hears yes once, all have the new value`,
        async (s) => {
          await withOldRow(s, count);
          s.killAt(count, point);
          const attempt = s.write(1, 'k', 'new', kind);
          await s.until('the caller has an answer', () => attempt.answers > 0);
          await s.until('the participant is dead', () => !s.node(count).isRunning);
          expect(attempt.error).toBeUndefined();
          await s.allAgain();
          for (const value of s.values('k')) expect(value).toBe('new');
        },
      );
    }
    scenario(
      `kill_part_before_ask: ${kind} among ${count}, a participant is dead before anybody knows: the caller hears yes, all have the new value`,
      async (s) => {
        await withOldRow(s, count);
        s.node(count).kill();
        const attempt = s.write(1, 'k', 'new', kind);
        await s.until('the caller has an answer', () => attempt.answers > 0);
        expect(attempt.error).toBeUndefined();
        await s.allAgain();
        for (const value of s.values('k')) expect(value).toBe('new');
      },
    );
  }
}

scenario(
  'kill_coord_node: in memory, the row survives with the participants, and the coordinator takes it from them',
  async (s) => {
    await withOldRow(s, 3, 'ram_copies');
    s.killAt(1, 'commit.decided');
    s.write(1, 'k', 'new');
    await s.until('the coordinator is dead', () => !s.node(1).isRunning);
    await s.allAgain();
    expect(s.values('k')).toEqual(['new', 'new', 'new']);
  },
);

scenario(
  'kill_coord_node: the coordinator and a participant die when all have voted: the last survivor commits alone',
  async (s) => {
    await withOldRow(s, 3);
    s.killAt(1, 'commit.decided');
    s.at(1, 'commit.decided', () => s.node(2).kill());
    s.write(1, 'k', 'new');
    await s.until('both are dead', () => !s.node(1).isRunning && !s.node(2).isRunning);
    await s.cluster.advance(500);
    expect(s.values('k', [3])).toEqual(['new']);
    await s.allAgain();
    expect(s.values('k')).toEqual(['new', 'new', 'new']);
  },
);

scenario('kill_coord_node: only one participant was asked: the survivors agree on the old value', async (s) => {
  await withOldRow(s, 3);
  s.cluster.network.delay('id1', 'id3', 20);
  s.killWhen(1, 2, 'participant.after_vote');
  s.write(1, 'k', 'new');
  await s.until('the coordinator is dead', () => !s.node(1).isRunning);
  await s.cluster.advance(500);
  expect(s.values('k', [2, 3])).toEqual(['old', 'old']);
  await s.allAgain();
  expect(s.values('k')).toEqual(['old', 'old', 'old']);
});

scenario('kill_coord_node: only one participant heard of the commit: the other learns it from that one', async (s) => {
  await withOldRow(s, 3);
  s.cluster.network.delay('id1', 'id3', 20);
  s.killWhen(1, 2, 'participant.after_apply');
  s.write(1, 'k', 'new');
  await s.until('the coordinator is dead', () => !s.node(1).isRunning);
  await s.cluster.advance(500);
  expect(s.values('k', [2, 3])).toEqual(['new', 'new']);
  await s.allAgain();
});

scenario(
  'The coordinator is stopped with all votes under way, given up, and goes on: it hears what the others made of it',
  async (s) => {
    await withOldRow(s, 3);
    const pause = s.pauseAt(1, 'commit.after_prepare_sent', { moment: 'sent' });
    s.write(1, 'k', 'new');
    await s.until('it is stopped', () => pause.isReached);
    await s.cluster.advance(50);
    await s.cluster.split([1], [2, 3]);
    expect(s.values('k', [2, 3])).toEqual(['new', 'new']);
    await s.written(2, 'k', 'newer');
    pause.release();
    await s.cluster.advance(1_000);
    await s.allAgain();
    expect(s.values('k')).toEqual(['newer', 'newer', 'newer']);
  },
);

// -- mnesia_atomicity_test: the function itself fails ---------------------------------------------------------------------------

const failing: { what: string; fail: (tx: Transaction) => void; code: string; reason: unknown }[] = [
  {
    what: 'explicit_abort_in_middle_of_trans: abort',
    fail: (tx) => tx.abort('enough'),
    code: 'aborted',
    reason: 'enough',
  },
  {
    what: 'runtime_error_in_middle_of_trans: a TypeError',
    fail: () => (undefined as unknown as { f(): void }).f(),
    code: 'aborted',
    reason: 'function_failed',
  },
  {
    what: 'throw_in_middle_of_trans: something that is no Error',
    fail: () => {
      throw 'a string';
    },
    code: 'aborted',
    reason: 'function_failed',
  },
];

for (const { what, fail, code, reason } of failing) {
  for (const isAsync of [false, true]) {
    scenario(
      `${what}, in ${isAsync ? 'an async' : 'a plain'} function: nothing is visible anywhere, and no lock stays`,
      async (s) => {
        await withOldRow(s, 3);
        const writeAndFail = (tx: Transaction): void => {
          tx.write('t', 'k', 'new');
          tx.write('t', 'other', 1);
          tx.delete('t', 'k');
          fail(tx);
        };
        const attempt = s.run(1, isAsync ? async (tx) => writeAndFail(tx) : writeAndFail);
        await s.until('the caller has an answer', () => attempt.answers > 0);
        expect(attempt.error).toMatchObject({ code, fields: { reason } });
        expect(attempt.runs).toBe(1);
        s.expectRest();
        await s.cluster.advance(500);
        expect([s.values('k'), s.values('other')]).toEqual([
          ['old', 'old', 'old'],
          [undefined, undefined, undefined],
        ]);
      },
    );
  }
}

scenario(
  'kill_self_in_middle_of_trans: the node is closed while its function runs: the caller is told, the others have the old value',
  async (s) => {
    await withOldRow(s, 3);
    const attempt = s.run(1, async (tx) => {
      tx.write('t', 'k', 'new');
      await new Promise(() => undefined);
    });
    const { db } = s.node(1);
    await s.cluster.settle(db.close());
    await s.cluster.advance(10);
    expect(attempt.error?.code).toBe('closed');
    await s.node(1).stop();
    await s.cluster.advance(500);
    expect(s.values('k', [2, 3])).toEqual(['old', 'old']);
    await s.allAgain();
  },
);

scenario(
  'kill_self_in_middle_of_trans: the node dies while its function runs: the others have the old value and no lock',
  async (s) => {
    await withOldRow(s, 3);
    s.run(1, async (tx) => {
      tx.write('t', 'k', 'new');
      await new Promise(() => undefined);
    });
    await s.cluster.advance(10);
    s.node(1).kill();
    await s.cluster.advance(100);
    expect(s.values('k', [2, 3])).toEqual(['old', 'old']);
    await s.written(2, 'k', 'free');
    await s.allAgain();
  },
);

scenario(
  'A transaction that writes two tables with different replicas is there wholly or not at all after its coordinator died at any step',
  async (s) => {
    await s.start(3);
    const { db } = s.node(1);
    const [one, two, three] = s.cluster.names as [string, string, string];
    await s.cluster.settle(db.createTable({ name: 't', disc_copies: [one, two] }));
    await s.cluster.settle(db.createTable({ name: 'u', disc_copies: [two, three] }));
    await s.cluster.advance(1_000);
    for (const [round, { point, moment, outcome }] of coordinatorDeaths.entries()) {
      s.step(`round ${round}: ${point} ${moment}`);
      s.killAt(1, point, { moment });
      s.run(1, (tx) => {
        tx.write('t', round, 'both');
        tx.write('u', round, 'both');
      });
      await s.until('the coordinator is dead', () => !s.node(1).isRunning);
      await s.allAgain();
      const wanted = outcome === 'new' ? 'both' : undefined;
      expect([s.values(round, [1, 2]), s.values(round, [2, 3], 'u')]).toEqual([
        [wanted, wanted],
        [wanted, wanted],
      ]);
    }
  },
);
