/**
 * Two members let go of each other and are brought together again while frames from before are still on their way, over a
 * link that never broke: a third one may lead that merge. What such a frame asks for or tells has ended since.
 */
import { expect } from 'vitest';
import { Kind, type Message } from '../../../storage/transactions/messages.ts';
import { type Scenario, scenario } from '../support/scenario.ts';

/** The last message of a kind that peer 2 has sent to peer 3. */
function sent(s: Scenario, kind: number): Message {
  const { sent: batches } = s.cluster.network;
  const all = batches.filter(({ from, to }) => from === s.node(2).id && to === s.node(3).id);
  return all.flatMap(({ messages }) => messages).findLast(([its]) => its === kind) as Message;
}

async function partAndMeet(s: Scenario): Promise<void> {
  await s.cluster.split([1, 3], [2]);
  await s.cluster.healAndMeet();
}

/** It comes late, and peer 3 serves on as if it had not. */
async function arriveLate(s: Scenario, message: Message): Promise<void> {
  const downs = (): number => s.cluster.nodes.flatMap((node) => node.eventsOf('mnesia_down')).length;
  const before = downs();
  s.cluster.network.inject(s.node(2).id, s.node(3).id, [1, message]);
  await s.cluster.advance(3_000);
  expect(s.node(3).db.systemInfo()).toMatchObject({ heldLocks: 0, transactions: 0 });
  expect(downs()).toBe(before);
  await s.allAgain();
}

scenario('A proposal that its coordinator gave up before a merge is promised to nobody after it', async (s) => {
  await s.startWithTable(3, 'disc_copies', { majority: true });
  const delay = (ms: number): void => {
    for (const other of [1, 3]) s.cluster.network.delay(s.node(2).id, s.node(other).id, ms);
  };
  delay(1_000);
  const given = s.run(2, (tx) => tx.write('t', 'k', 'given up'));
  await s.cluster.advance(10);
  const proposal = sent(s, Kind.prepare);
  delay(1);
  await partAndMeet(s);
  expect(given.error?.fields.reason).toBe('outcome_unknown');
  await arriveLate(s, proposal);
});

scenario('A member that was let go before a merge stays when word of that comes after it', async (s) => {
  await s.startWithTable(3);
  await partAndMeet(s);
  await arriveLate(s, [Kind.exclude]);
});

scenario('A commit that comes after the merge that brought its rows splits no island', async (s) => {
  await s.startWithTable(3);
  await s.written(2, 'k', 'made');
  const commit = sent(s, Kind.commit);
  await partAndMeet(s);
  await s.cluster.advance(6_000);
  await arriveLate(s, commit);
});

scenario('Who was let go and asks what became of a commit is not told that it was never made', async (s) => {
  await s.startWithTable(3);
  s.at(3, 'participant.after_vote', () => {
    for (const other of [1, 2]) s.cluster.network.delay(s.node(other).id, s.node(3).id, 12_000);
    s.cluster.network.delay(s.node(3).id, s.node(2).id, 6_000);
  });
  // Its vote is under way, at the speed there was.
  await s.written(1, 'k', 'made');
  s.cluster.network.cut(s.node(1).id, s.node(3).id);
  await s.cluster.advance(10);
  const question = s.cluster.messages(Kind.ask).at(-1)?.message as Message;
  // As when the others have heard nothing of it for long.
  s.cluster.network.inject(s.node(3).id, s.node(2).id, [question[5] as number, [Kind.exclude]]);
  await s.until('peer 2 has let peer 3 go', () => s.node(2).db.systemInfo().runningDbNodes.length === 2);
  await s.until('peer 3 has let peer 2 go', () => s.node(3).db.systemInfo().runningDbNodes.length === 1);
  await s.until('peer 3 knows the outcome', () => s.node(3).db.systemInfo().transactions === 0);
  expect(s.values('k')).toEqual(['made', 'made', 'made']);
  for (const other of [1, 2]) s.cluster.network.delay(s.node(other).id, s.node(3).id, 1);
  s.cluster.network.delay(s.node(3).id, s.node(2).id, 1);
  await s.cluster.advance(12_000);
  await s.allAgain();
});
