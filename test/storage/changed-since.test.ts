import { expect, test } from 'vitest';
import {
  type ChangedEntry,
  type ChangedMarks,
  ChangedSince,
  type ChangedStore,
  SEEN_UNKNOWN,
} from '../../storage/replication/changed-since.ts';
import { makeDefinition } from '../../storage/schema/definition.ts';
import { Table } from '../../storage/tables/table.ts';
import { WakeQueue } from '../../storage/transactions/locker.ts';
import type { StorageKind } from '../../storage/types.ts';

/** Long after the versions used here. */
const PARTED_HLC = 60_000 * 4096;

interface Fixture {
  readonly changed: ChangedSince;
  readonly stored: Map<string, ChangedEntry>;
  readonly writes: () => number;
  readonly marks: () => ChangedMarks | undefined;
  /** Lets the turns run that it asked for. */
  readonly turn: () => void;
}

function setUp(): Fixture {
  let marks: ChangedMarks | undefined;
  const turns: (() => void)[] = [];
  const stored = new Map<string, ChangedEntry>();
  let writes = 0;
  const store: ChangedStore = {
    putChanged: (node, table, entry) => {
      writes += 1;
      stored.set(`${node} ${table} ${String(entry.key)}`, entry);
    },
    clearChanged: (node, table, key) => stored.delete(`${node} ${table} ${String(key)}`),
    putMarks: (told) => {
      marks = told;
    },
    partedHlc: () => PARTED_HLC,
    later: (act) => turns.push(act),
  };
  const changed = new ChangedSince(store, { changedKeysMax: 4, changedDeletesMax: 2, changedBytesMax: 1000 });
  const turn = (): void => {
    for (let act = turns.shift(); act !== undefined; act = turns.shift()) act();
  };
  return { changed, stored, writes: () => writes, marks: () => marks, turn };
}

function table(name: string, kind: StorageKind = 'disc_copies'): Table {
  return new Table(makeDefinition({ name }, new Map([['self', kind]]), 'c', 1), 'self', new WakeQueue());
}

function written(key: string, seenHlc: number): ChangedEntry {
  return { key, seenHlc, seenNode: 'b', deletedHlc: 0, deletedNode: 'self' };
}

function deleted(key: string, deletedHlc: number, seenHlc = 1): ChangedEntry {
  return { key, seenHlc, seenNode: 'c', deletedHlc, deletedNode: 'self' };
}

const t = table('t');

test('A key is noted for the node that lacks it, in memory and on disc', () => {
  const { changed, stored } = setUp();
  changed.add('b', t, 'k', written('k', 1));
  expect([changed.has('b', 't', 'k'), changed.has('c', 't', 'k'), changed.has('b', 'u', 'k')]).toEqual([
    true,
    false,
    false,
  ]);
  expect([...stored.keys()]).toEqual(['b t k']);
  expect([changed.nodes(), changed.tables('b'), changed.size('b'), changed.size('c')]).toEqual([['b'], ['t'], 1, 0]);
});

test('What is noted of a copy in memory does not go to disc', () => {
  const { changed, stored } = setUp();
  changed.add('b', table('ram', 'ram_copies'), 'k', written('k', 1));
  expect([changed.has('b', 'ram', 'k'), stored.size]).toEqual([true, 0]);
});

test('A later write made without a node does not move what the row has seen of it', () => {
  const { changed, stored } = setUp();
  changed.add('b', t, 'k', written('k', 3));
  changed.add('b', t, 'k', written('k', 8));
  expect([changed.get('b', 't')?.get('k')?.seenHlc, stored.get('b t k')?.seenHlc]).toEqual([3, 3]);
});

test('What a node voted for, or another is told of, moves it up and never down', () => {
  const { changed, stored } = setUp();
  changed.add('b', t, 'k', written('k', 3));
  changed.addSeen('b', t, 'k', written('k', 8));
  changed.addSeen('b', t, 'k', written('k', 5));
  expect([changed.get('b', 't')?.get('k')?.seenHlc, stored.get('b t k')?.seenHlc]).toEqual([8, 8]);
});

test('A write of the same key again costs no write to the disc', () => {
  const { changed, writes } = setUp();
  for (let n = 0; n < 5; n++) changed.add('b', t, 'k', written('k', 1));
  expect(writes()).toBe(1);
});

test('A delete is kept with its version, a write after it takes its place, an older delete does not', () => {
  const { changed, stored } = setUp();
  changed.add('b', t, 'k', written('k', 1));
  changed.add('b', t, 'k', deleted('k', 7));
  expect(stored.get('b t k')?.deletedHlc).toBe(7);
  changed.add('b', t, 'k', deleted('k', 5));
  expect(stored.get('b t k')?.deletedHlc).toBe(7);
  changed.add('b', t, 'k', written('k', 1));
  expect(stored.get('b t k')?.deletedHlc).toBe(0);
});

test('An older delete told later still tells what was seen', () => {
  const { changed } = setUp();
  changed.addSeen('b', t, 'k', deleted('k', 7, 2));
  changed.addSeen('b', t, 'k', deleted('k', 5, 4));
  expect(changed.get('b', 't')?.get('k')).toEqual(deleted('k', 7, 4));
});

test('Clearing a node, or a table, takes just that, from the disc as well', () => {
  const { changed, stored } = setUp();
  for (const node of ['b', 'c']) {
    for (const name of ['t', 'u']) changed.add(node, table(name), 'k', written('k', 1));
  }
  changed.clear('b');
  expect([...stored.keys()]).toEqual(['c t k', 'c u k']);
  changed.clearTable('t');
  expect([...stored.keys()]).toEqual(['c u k']);
  expect([changed.size('b'), changed.size('c'), changed.get('c', 't')]).toEqual([0, 1, undefined]);
});

test('What was read from the disc at start is known and not written again', () => {
  const { changed, writes } = setUp();
  changed.restore('b', 't', 'k', deleted('k', 7));
  expect([changed.get('b', 't')?.get('k')?.deletedHlc, writes()]).toEqual([7, 0]);
});

test('A set of many rows that is cleared goes from the disc bit by bit, and at once when the node is lost again', () => {
  const { changed, stored, marks, turn } = setUp();
  for (let n = 0; n < 2_000; n++) changed.add('b', t, `k${n}`, written(`k${n}`, 1));
  changed.clear('b');
  expect([changed.size('b'), stored.size, marks()?.spent]).toEqual([0, 2_000, [['b', 't']]]);
  changed.add('b', t, 'k7', written('k7', 9));
  expect([...stored.keys()]).toEqual(['b t k7']);
  turn();
  expect([stored.size, marks()?.spent]).toEqual([1, []]);
});

test('Entries of a set that was being cleared mean nothing after a restart', () => {
  const { changed, stored, marks, turn } = setUp();
  for (const key of ['k', 'l']) stored.set(`b t ${key}`, written(key, 1));
  changed.restoreMarks({ collapsed: [], spent: [['b', 't']] }, () => true);
  for (const key of ['k', 'l']) changed.restore('b', 't', key, written(key, 1));
  changed.restored();
  turn();
  expect([changed.size('b'), stored.size, marks()?.spent]).toEqual([0, 0, []]);
});

test('A set past its limit collapses with the clock, in memory and on disc, but not while its table is being copied', () => {
  const { changed, stored, marks, turn } = setUp();
  const own = table('t');
  own.loaded = true;
  for (let n = 0; n < 4; n++) changed.add('b', own, `k${n}`, written(`k${n}`, 1));
  changed.add('b', own, 'gone', deleted('gone', 7));
  // Written by both just before they parted: perhaps the other one has not said yet that it has it.
  changed.add('b', own, 'late', written('late', PARTED_HLC - 5));
  own.touched = new Map();
  changed.bound(new Map([['t', own]]));
  expect(changed.collapsed('b', 't')).toBeUndefined();
  own.touched = undefined;
  changed.bound(new Map([['t', own]]));
  turn();
  expect([changed.size('b'), [...stored.keys()]]).toEqual([2, ['b t gone', 'b t late']]);
  expect(marks()?.collapsed).toEqual([['b', 't', 0, false]]);
});

test('Of a collapsed set nobody knows what a row had seen before it was deleted', () => {
  const { changed } = setUp();
  const own = table('t');
  changed.unite('b', own, { sinceHlc: 5, forgotDeletes: false });
  changed.add('b', own, 'k', deleted('k', 9, 6));
  changed.add('b', own, 'l', deleted('l', 9, 4));
  expect([changed.get('b', 't')?.get('k')?.seenHlc, changed.get('b', 't')?.get('l')?.seenHlc]).toEqual([
    SEEN_UNKNOWN,
    4,
  ]);
});

test('Of a collapsed set it is known that a row has seen what the node wrote itself', () => {
  const { changed } = setUp();
  const own = table('t');
  changed.unite('b', own, { sinceHlc: 5, forgotDeletes: false });
  const ofNode = { ...written('k', PARTED_HLC - 5), seenNode: 'b' };
  changed.add('b', own, 'k', ofNode);
  changed.add('b', own, 'l', { ...ofNode, key: 'l', seenNode: 'c' });
  expect(changed.get('b', 't')?.get('k')).toMatchObject({ seenHlc: PARTED_HLC - 5, seenNode: 'b' });
  expect(changed.has('b', 't', 'l')).toBe(false);
});

test('Deletes too many for a collapsed set are forgotten, but not that they are', () => {
  const { changed, stored, turn } = setUp();
  const own = table('t');
  own.loaded = true;
  for (let n = 0; n < 5; n++) changed.add('b', own, `k${n}`, deleted(`k${n}`, 7));
  changed.bound(new Map([['t', own]]));
  turn();
  expect([changed.size('b'), stored.size]).toEqual([0, 0]);
  expect(changed.collapsed('b', 't')).toEqual({ sinceHlc: 7, forgotDeletes: true });
});
