/** Proposals as octets: what one node writes another reads, and what is damaged has no effect. */
import { expect, test } from 'vitest';
import type { Outbox } from '../../storage/outbox.ts';
import type { Table } from '../../storage/tables/table.ts';
import { decodeValue, keyToken } from '../../storage/term.ts';
import { Kind, type PrepareMessage } from '../../storage/transactions/messages.ts';
import { ProposalReader, ProposalWriter } from '../../storage/transactions/proposals.ts';
import { type TransactionRun, WriteOperation } from '../../storage/transactions/run.ts';
import type { Key, Value } from '../../storage/types.ts';

const TABLES = new Map(['t', 'u'].map((name) => [name, { name } as Table]));
const tableOf = (name: string): Table => TABLES.get(name) as Table;
const PARTICIPANTS = ['a', 'b', 'c'];
const KEYS: Key[] = [
  0,
  -1,
  2 ** 31,
  0.5,
  'k',
  '',
  'Grüße',
  null,
  true,
  2n ** 70n,
  Uint8Array.of(0, 255),
  [1, ['x', null]],
];

function runOf(n: number, writes: [string, Key, Value | undefined][], participants = PARTICIPANTS): TransactionRun {
  const operations = writes.map(
    ([table, key, value]) => new WriteOperation(tableOf(table), key, keyToken(key), value, value === undefined),
  );
  const run = { n, version: n * 10, age: n * 10 - 1, sync: n % 2 === 0, participants, writes: operations };
  return { ...run, reads: [], tableReads: [] } as unknown as TransactionRun;
}

/** Messages a writer sends in one turn, by node. */
function written(...runs: TransactionRun[]): Map<string, PrepareMessage[]> {
  const sent = new Map<string, PrepareMessage[]>();
  let seal: () => void = () => undefined;
  const outbox = {
    beforeFlush: (run: () => void) => {
      seal = run;
    },
    send: (node: string, message: PrepareMessage) => sent.set(node, [...(sent.get(node) ?? []), message]),
    isLast: (node: string, message: PrepareMessage) => sent.get(node)?.at(-1) === message,
  } as unknown as Outbox;
  const writer = new ProposalWriter(outbox);
  for (const run of runs) writer.send(run, 'a');
  seal();
  return sent;
}

function readBack(message: PrepareMessage, tables: ReadonlyMap<string, Table> = TABLES) {
  return new ProposalReader(message, tables).all((n, version, age, sync, writes, _checks, isUnknown) => ({
    n,
    version,
    age,
    sync,
    isUnknown,
    writes: writes.map(({ table, key, bytes }) => [table?.name, key, bytes && decodeValue(bytes)]),
  }));
}

test('Proposals of a turn to the same nodes are one message, read back as they were written', () => {
  const all = KEYS.map((key, i): [string, Key, Value] => [i % 2 === 0 ? 't' : 'u', key, { i, note: 'Größe' }]);
  const sent = written(runOf(5, all), runOf(8, [['t', 'gone', undefined]]));
  expect([...sent.keys()]).toEqual(['b', 'c']);
  const [message] = sent.get('b') as [PrepareMessage];
  expect(sent.get('b')).toHaveLength(1);
  expect(sent.get('c')?.[0]).toBe(message);
  expect(readBack(message)).toEqual([
    { n: 5, version: 50, age: 49, sync: false, isUnknown: false, writes: all },
    { n: 8, version: 80, age: 79, sync: true, isUnknown: false, writes: [['t', 'gone', undefined]] },
  ]);
});

test('Proposals to other nodes are a message of their own', () => {
  const sent = written(runOf(1, [['t', 1, 1]]), runOf(2, [['t', 2, 2]], ['a', 'b']), runOf(3, [['t', 3, 3]]));
  expect([sent.get('b')?.length, sent.get('c')?.length]).toEqual([3, 2]);
  expect(sent.get('b')?.flatMap((message) => readBack(message).map(({ n }) => n))).toEqual([1, 2, 3]);
});

test('A proposal that writes a table this node does not know says so', () => {
  const [message] = written(runOf(1, [['u', 1, 1]])).get('b') as [PrepareMessage];
  expect(readBack(message, new Map([['t', tableOf('t')]]))).toMatchObject([{ isUnknown: true }]);
});

test('Octets that end too early, and a table that is not named, are refused as a whole', () => {
  const [message] = written(runOf(1, [['t', 'key', { n: 1 }]]), runOf(2, [['t', 2, 2]])).get('b') as [PrepareMessage];
  const [, participants, tables, n, octets] = message;
  const firstEnd = (written(runOf(1, [['t', 'key', { n: 1 }]])).get('b') as [PrepareMessage])[0][4].length;
  for (let length = 1; length < octets.length; length++) {
    if (length === firstEnd) continue;
    expect(() => readBack([Kind.prepare, participants, tables, n, octets.slice(0, length)])).toThrow();
  }
  expect(() => readBack([Kind.prepare, participants, [], n, octets])).toThrow(RangeError);
});
