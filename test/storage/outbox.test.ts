/** What leaves a node in a turn: one batch for each node, numbers in rows, frames that wait for whom the disc answers. */
import { expect, test } from 'vitest';
import type { Environment } from '../../storage/environment.ts';
import { HybridClock } from '../../storage/hybrid-clock.ts';
import { Outbox } from '../../storage/outbox.ts';
import { Kind, type PrepareMessage } from '../../storage/transactions/messages.ts';

function outboxWith(backlogBytes = 0, happened: (what: 'send' | 'write') => void = () => undefined) {
  const turns: (() => void)[] = [];
  const sent: unknown[][] = [];
  let waiting = backlogBytes;
  const clock = { wallMs: () => 1000, monotonicMs: () => 0, after: () => ({ timer: 0 }), cancel: () => undefined };
  const environment = {
    clock,
    links: {
      isUp: () => true,
      send: (_node: string, [, ...messages]: unknown[]) => {
        happened('send');
        sent.push(messages);
      },
      backlogBytes: () => waiting,
    },
    disc: { write: () => happened('write') },
    endOfTurn: (run: () => void) => turns.push(run),
  } as unknown as Environment;
  return {
    outbox: new Outbox(environment, new HybridClock(clock)),
    sent,
    setBacklog: (bytes: number) => {
      waiting = bytes;
    },
    turn: () => {
      for (const run of turns.splice(0)) run();
    },
  };
}

test('Numbers that follow each other share a message; another kind, or a gap in their order, begins a new one', () => {
  const { outbox, sent, turn } = outboxWith();
  for (const n of [7, 8, 9, 12, 13]) outbox.sendNumber('b', Kind.yes, 0, n);
  outbox.sendNumber('b', Kind.commit, 40, 3);
  outbox.sendNumber('b', Kind.commit, 41, 1);
  outbox.sendNumber('b', Kind.commit, 43, 2);
  outbox.send('b', [Kind.abort, 5]);
  outbox.sendNumber('b', Kind.commit, 44, 6);
  turn();
  expect(sent).toEqual([
    [
      [Kind.yes, 0, 7, 3, 12, 2],
      [Kind.commit, 40, 3, 1, 1, 1],
      [Kind.commit, 43, 2, 1],
      [Kind.abort, 5],
      [Kind.commit, 44, 6, 1],
    ],
  ]);
});

test('A turn whose disc batch somebody waits for sends its frames one turn later, with what came meanwhile; never two', () => {
  const { outbox, sent, turn } = outboxWith();
  outbox.whenWritten({ discDone: () => undefined }, false);
  outbox.send('b', [Kind.abort, 1]);
  turn();
  expect(sent).toEqual([]);
  outbox.whenWritten({ discDone: () => undefined }, false);
  outbox.send('b', [Kind.abort, 2]);
  turn();
  expect(sent).toEqual([
    [
      [Kind.abort, 1],
      [Kind.abort, 2],
    ],
  ]);
});

test('Proposals that together would not fit a frame leave in several messages, in order with what was sent between them', () => {
  const { outbox, sent, turn } = outboxWith();
  const prepare = (n: number): PrepareMessage => [Kind.prepare, ['a', 'b'], ['t'], n, new Uint8Array(3_000_000)];
  const [first, second, third] = [prepare(1), prepare(2), prepare(3)];
  outbox.send('b', first);
  outbox.send('b', [Kind.abort, 9]);
  outbox.send('b', second);
  outbox.send('b', third);
  turn();
  expect(sent).toEqual([[first, [Kind.abort, 9]], [second], [third]]);
});

test('What others wait for leaves before this node writes to its disc', () => {
  const order: string[] = [];
  const { outbox, turn } = outboxWith(0, (what) => order.push(what));
  outbox.write({ type: 'del', key: Uint8Array.of(1) });
  outbox.send('b', [Kind.abort, 1]);
  turn();
  expect(order).toEqual(['send', 'write']);
});

test('A turn that syncs the disc holds nothing back: nobody is answered that soon', () => {
  const { outbox, sent, turn } = outboxWith();
  outbox.whenWritten({ discDone: () => undefined }, true);
  outbox.send('b', [Kind.abort, 1]);
  turn();
  expect(sent).toEqual([[[Kind.abort, 1]]]);
});

test('A node that stops sends what it held back', () => {
  const { outbox, sent } = outboxWith();
  outbox.whenWritten({ discDone: () => undefined }, false);
  outbox.send('b', [Kind.abort, 1]);
  outbox.finish();
  expect(sent).toEqual([[[Kind.abort, 1]]]);
});

test('A node towards which too much waits is congested until it takes it', () => {
  const { outbox, setBacklog, turn } = outboxWith(900);
  outbox.send('b', [Kind.abort, 1]);
  turn();
  expect(outbox.congested(['a', 'b'], 1000)).toBeUndefined();
  setBacklog(2000);
  outbox.send('b', [Kind.abort, 2]);
  turn();
  expect(outbox.congested(['a', 'b'], 1000)).toBe('a');
  setBacklog(0);
  expect(outbox.congested(['a', 'b'], 1000)).toBeUndefined();
});
