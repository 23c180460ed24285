/** What whoever settles a promise without its coordinator concludes from what it was told. */
import { expect, test } from 'vitest';
import { type Quorums, type Reply, Settling } from '../../storage/transactions/settling.ts';

const REPLICAS = ['1', '2', '3', '4', '5'];
const quorums: Quorums = {
  isMajority: (nodes) => new Set(nodes).size * 2 > REPLICAS.length,
  isEverybody: (nodes) => REPLICAS.every((node) => nodes.includes(node)),
  keepAll: () => true,
};

const refused: Reply = { knows: 'refused', counts: true, round: 0, participants: [], accepted: undefined };
const unsure: Reply = { ...refused, knows: 'unsure' };
const accepted = (reply: Reply, moment: number, commit: boolean): Reply => {
  return { ...reply, accepted: { ballot: [moment, '9'], commit } };
};
const holds = (list = '12345', round = 0): Reply => {
  return { knows: 'holds', counts: true, round, participants: [...list], accepted: undefined };
};

function judge(replies: Record<string, Reply>): boolean | undefined {
  const settling = new Settling([9, '2'], 0, []);
  for (const [node, reply] of Object.entries(replies)) settling.replies.set(node, reply);
  return settling.judge(quorums);
}

test('A majority that holds it makes it, and fewer may neither make nor drop it', () => {
  expect(judge({ 2: holds(), 3: holds(), 4: holds() })).toBe(true);
  expect(judge({ 2: holds(), 3: holds() })).toBe(undefined);
});

test('One that was asked and refused means that the coordinator cannot have decided', () => {
  expect(judge({ 2: holds(), 3: holds(), 4: refused })).toBe(false);
});

test('Of one that was not asked with the last list nothing follows: the others may have been enough', () => {
  expect(judge({ 2: holds('123'), 4: refused, 5: refused })).toBe(undefined);
  expect(judge({ 2: holds('123', 1), 3: holds('12345', 0), 4: refused })).toBe(false);
});

test('What was accepted by the highest ballot stays, whoever refused', () => {
  expect(judge({ 2: accepted(holds(), 5, true), 3: holds(), 4: refused })).toBe(true);
  expect(judge({ 2: accepted(holds(), 5, true), 3: holds(), 4: accepted(refused, 6, false) })).toBe(false);
  expect(judge({ 2: accepted(holds(), 5, true), 3: refused })).toBe(undefined);
});

test('Who forgot counts for nothing until everybody has been heard', () => {
  expect(judge({ 1: unsure, 2: holds(), 3: holds(), 4: unsure })).toBe(undefined);
  expect(judge({ 1: unsure, 2: holds(), 3: holds(), 4: unsure, 5: unsure })).toBe(true);
  expect(judge({ 1: unsure, 2: holds(), 3: refused, 4: unsure, 5: unsure })).toBe(false);
});

test('Who forgot something else knows of this one all the same, and is part of no majority', () => {
  const forgetful = { ...refused, counts: false };
  const all = { 1: unsure, 2: holds(), 3: { ...holds(), counts: false }, 4: unsure };
  expect(judge({ ...all, 5: forgetful })).toBe(false);
  expect(judge({ 2: holds(), 3: holds(), 4: { ...holds(), counts: false } })).toBe(undefined);
  expect(judge({ 2: holds('123'), 1: unsure, 3: { ...holds('123'), counts: false }, 4: forgetful, 5: refused })).toBe(
    true,
  );
});

test('Where nobody who holds it has spoken nothing follows but from what was accepted: whoever settles it may wait for its disc', () => {
  expect(judge({ 3: refused, 4: refused, 5: refused })).toBe(undefined);
  expect(judge({ 1: unsure, 2: unsure, 3: unsure, 4: unsure, 5: unsure })).toBe(undefined);
  expect(judge({ 3: accepted(refused, 5, false), 4: refused, 5: refused })).toBe(false);
});
