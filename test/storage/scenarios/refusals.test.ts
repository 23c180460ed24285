/**
 * Transactions that are refused after an attempt of theirs was proposed. Whoever promised it and has not heard that it was
 * taken back makes it on losing its coordinator; so "nothing was changed" has to wait for them.
 */
import { expect } from 'vitest';
import type { StorageError } from '../../../storage/errors.ts';
import { Kind } from '../../../storage/transactions/messages.ts';
import { type Attempt, type Scenario, scenario } from '../support/scenario.ts';

const FAR_MS = 10_000;

/**
 * Peer 3 writes first and is not heard by peer 2; what peer 1 then writes is promised by peer 2 and refused by peer 3,
 * and peer 2 does not hear so. It may not be tried again.
 */
async function refusedUnheard(s: Scenario): Promise<Attempt> {
  await s.startWithTable(3);
  s.cluster.network.delay(s.node(3).id, s.node(1).id, 20);
  s.cluster.network.delay(s.node(3).id, s.node(2).id, FAR_MS);
  s.run(3, (tx) => tx.write('t', 'k', 'older'));
  const promised = s.pauseAt(2, 'participant.after_vote', { moment: 'sent' });
  await s.cluster.advance(5);
  const attempt = s.run(1, (tx) => tx.write('t', 'k', 'younger'), 'transaction', { retries: 0 });
  await s.until('peer 2 has promised it', () => promised.isReached);
  s.cluster.network.delay(s.node(1).id, s.node(2).id, FAR_MS);
  await s.until('peer 3 has refused it', () => (s.node(1).passed.get('commit.refused') ?? 0) > 0);
  promised.release();
  return attempt;
}

function hurry(s: Scenario): void {
  for (const from of [1, 3]) s.cluster.network.delay(s.node(from).id, s.node(2).id, 1);
}

function timesAsked(s: Scenario): number {
  const messages = s.cluster.network.sent.flatMap((batch) => batch.messages);
  return messages.filter(([kind, , isAsked]) => kind === Kind.abort && isAsked === true).length;
}

scenario(
  'A refusal whose promise is lost before it was taken back there says that it may have been made',
  async (s) => {
    const attempt = await refusedUnheard(s);
    await s.cluster.split([1, 3], [2]);
    await s.until('it has failed', () => attempt.answers > 0);
    expect(attempt.error).toMatchObject({ code: 'aborted', fields: { reason: 'outcome_unknown' } });
    expect(s.values('k', [2])).toEqual(['younger']);
    hurry(s);
    await s.allAgain();
  },
);

scenario('A refusal that is confirmed by all says that nothing was changed', async (s) => {
  await s.startWithTable(3);
  s.write(1, 'k', 'older');
  await s.cluster.advance(0.5);
  const attempt = s.run(2, (tx) => tx.write('t', 'k', 'younger'), 'transaction', { retries: 0 });
  await s.until('it has failed', () => attempt.answers > 0);
  expect(attempt.error).toMatchObject({ code: 'aborted', fields: { reason: 'nomore' } });
  expect(attempt.error?.message).toMatch(/Nothing was changed\.$/);
  expect(timesAsked(s)).toBe(1);
  await s.allAgain();
  expect(s.values('k')).toEqual(['older', 'older', 'older']);
});

scenario('A refusal waits a second for who is silent, and names it', async (s) => {
  const attempt = await refusedUnheard(s);
  const refusedAt = s.cluster.clock.monotonicMs();
  await s.until('it has failed', () => attempt.answers > 0);
  expect(s.cluster.clock.monotonicMs() - refusedAt).toBeLessThan(1_200);
  expect(attempt.error?.fields.reason).toBe('outcome_unknown');
  expect(attempt.error?.message).toContain(`${s.node(2).name} did not confirm that in time, and may make it.`);
  expect(attempt.error?.message).not.toContain('Nothing was changed');
  hurry(s);
  await s.cluster.advance(FAR_MS);
  await s.allAgain();
});

scenario(
  'A refusal that waits for a confirmation is answered when the database is closed, and promises nothing',
  async (s) => {
    const attempt = await refusedUnheard(s);
    expect(attempt.answers).toBe(0);
    await s.node(1).stop();
    expect(attempt.error?.fields.reason).toBe('outcome_unknown');
    hurry(s);
    await s.allAgain();
  },
);

scenario('A transaction being voted on when the database is closed may have been made', async (s) => {
  await s.startWithTable(3);
  s.pauseAt(3, 'participant.before_vote');
  let error: StorageError | undefined;
  const made = s.node(1).db.transaction((tx) => tx.write('t', 'k', 'voted on'));
  made.catch((failure: StorageError) => {
    error = failure;
  });
  await s.cluster.advance(50);
  await s.node(1).stop();
  expect(error).toMatchObject({ code: 'closed', fields: { reason: 'outcome_unknown' } });
  await s.allAgain();
});
