import { expect, test } from 'vitest';
import { type ChangedEntry, ChangedSince } from '../../storage/replication/changed-since.ts';
import { makeDefinition } from '../../storage/schema/definition.ts';
import { Table } from '../../storage/tables/table.ts';
import { WakeQueue } from '../../storage/transactions/locker.ts';
import type { StorageKind } from '../../storage/types.ts';

function setUp(): { changed: ChangedSince; stored: Map<string, ChangedEntry>; writes: () => number } {
  const stored = new Map<string, ChangedEntry>();
  let writes = 0;
  const changed = new ChangedSince({
    putChanged: (node, table, entry) => {
      writes += 1;
      stored.set(`${node} ${table} ${String(entry.key)}`, entry);
    },
    clearChanged: (node, table, key) => stored.delete(`${node} ${table} ${String(key)}`),
  });
  return { changed, stored, writes: () => writes };
}

function table(name: string, kind: StorageKind = 'disc_copies'): Table {
  return new Table(makeDefinition({ name }, new Map([['self', kind]]), 'c', 1), 'self', new WakeQueue());
}

function written(key: string, seenHlc: number): ChangedEntry {
  return { key, seenHlc, seenNode: 'b', deletedHlc: 0, deletedNode: 'self' };
}

function deleted(key: string, deletedHlc: number, seenHlc = 1): ChangedEntry {
  return { key, seenHlc, seenNode: 'b', deletedHlc, deletedNode: 'self' };
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
