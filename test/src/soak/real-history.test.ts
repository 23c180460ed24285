import { expect, test } from 'vitest';
import { checkHistory } from '../../../src/simulation/checkers.ts';
import { soakTables } from '../../../src/soak/plan.ts';
import { historyOf, type PeerEnd, type Told } from '../../../src/soak/real-history.ts';

const tables = soakTables(2);

function end(rows: PeerEnd['rows']): PeerEnd {
  const states = Object.fromEntries(tables.map(({ name }) => [name, { loaded: true, digest: 'd', awaiting: [] }]));
  const state = { view: [], heldLocks: 0, lockQueue: 0, transactions: 0, tables: states };
  return { state, rows, ledger: [] };
}

function written(index: number, atUs: number, by: string): Told[] {
  const step = { type: 'write', table: 'registers', key: 'k1', value: { by }, by } as const;
  return [
    { type: 'invoke', atUs, index, client: 'client1.1', kind: 'register-write', sync: false },
    { type: 'attempt', atUs: atUs + 1, index, attempt: 1, steps: [step] },
  ];
}

function row(atUs: number, by: string, oldBy: string | undefined, hlc: number): Told {
  const version = { hlc, node: 'a' };
  return { type: 'row', atUs, table: 'registers', key: 'k1', change: 'write', by, oldBy, version, origin: 'local' };
}

const done = (index: number, atUs: number): Told => ({ type: 'done', atUs, index, outcome: 'ok', error: undefined });

test('a write that was answered and is there at the end passes the checkers', () => {
  const told = [[...written(0, 10, '0.1'), row(12, '0.1', undefined, 1), done(0, 13)], []];
  const rows = { registers: [['k1', { by: '0.1' }]] as [string, { by: string }][] };
  const history = historyOf({ number: 1, tables, told, ends: [end(rows), end(rows)], mayLose: new Set() });
  expect(history.operations).toMatchObject([{ index: 0, outcome: 'ok', attempts: 1, node: 0, completedUs: 13 }]);
  expect(checkHistory(history).violations).toEqual([]);
});

test('a write that was answered and is nowhere at the end is found missing', () => {
  const told = [[...written(0, 10, '0.1'), row(12, '0.1', undefined, 1), done(0, 13)], []];
  const history = historyOf({ number: 1, tables, told, ends: [end({}), end({})], mayLose: new Set() });
  expect(checkHistory(history).violations.map(({ checker }) => checker)).toContain('nothing acknowledged missing');
});

test('what a killed peer was asked and never answered has an unknown outcome', () => {
  const told = [[...written(0, 10, '0.1'), { type: 'death', atUs: 20 } as const], []];
  const history = historyOf({ number: 1, tables, told, ends: [end({}), end({})], mayLose: new Set() });
  expect(history.operations).toMatchObject([{ outcome: 'info', error: 'the node died' }]);
});

test('records of all peers are read in the order of the one clock they share', () => {
  const told = [
    [...written(0, 10, '0.1'), row(12, '0.1', undefined, 1), done(0, 13)],
    [row(14, '0.1', undefined, 1), row(40, '1.1', '0.1', 2)],
  ];
  const history = historyOf({ number: 1, tables, told, ends: [end({}), end({})], mayLose: new Set() });
  expect(history.rows.map(({ atUs, node, before }) => [atUs, node, before])).toEqual([
    [12, 0, undefined],
    [14, 1, undefined],
    [40, 1, '0.1'],
  ]);
});

test('losing sight of a peer that lives is a split, losing one that was killed is not', () => {
  const down = (atUs: number, other: string): Told => {
    return { type: 'event', atUs, event: 'mnesia_down', others: [other], view: [] };
  };
  const make = (told: readonly (readonly Told[])[]) =>
    historyOf({ number: 1, tables, told, ends: [end({}), end({})], mayLose: new Set() });
  const name = make([[], []]).names[1] as string;
  expect(make([[down(10, name)], []]).split).toBe(true);
  expect(make([[down(10, name)], [{ type: 'death', atUs: 5 }]]).split).toBe(false);
});
