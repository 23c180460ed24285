/** What is noted for a node that is lost, of the commits it may not have. */
import { expect, test } from 'vitest';
import type { NodeState } from '../../storage/node-state.ts';
import { ChangedSince } from '../../storage/replication/changed-since.ts';
import { RecentCommit, RecentCommits } from '../../storage/replication/recent-commits.ts';
import { noteUnacknowledged } from '../../storage/replication/unacknowledged.ts';
import { makeDefinition } from '../../storage/schema/definition.ts';
import { Table } from '../../storage/tables/table.ts';
import { WakeQueue } from '../../storage/transactions/locker.ts';
import type { StorageKind } from '../../storage/types.ts';

const COMMIT_HLC = 1_000;

/** A node that remembers a commit of `writer` that wrote key `k` of a table, and has no such row. */
function withoutRow(
  kind: StorageKind,
  bornHlc: number,
): { readonly node: NodeState; deletedHlc(): number | undefined } {
  const nothing = (): void => undefined;
  const changed = new ChangedSince(
    { putChanged: nothing, clearChanged: nothing, putMarks: nothing, partedHlc: () => 0, later: nothing },
    { changedKeysMax: 100, changedDeletesMax: 100, changedBytesMax: 10_000 },
  );
  const replicas = new Map(['self', 'lost', 'writer'].map((id): [string, StorageKind] => [id, kind]));
  const table = new Table(makeDefinition({ name: 't' }, replicas, 'c', 1), 'self', new WakeQueue());
  const recent = new RecentCommits();
  const change = { table, key: 'k', token: 'k', deleted: false };
  recent.add('writer', new RecentCommit(1, COMMIT_HLC, ['self', 'lost', 'writer'], [change]));
  const lives = new Map([['self', { remembered: COMMIT_HLC, born: bornHlc }]]);
  const tables = new Map([['t', table]]);
  const parts = { self: 'self', changed, recent, lives, tables, baseOf: nothing };
  return {
    node: parts as unknown as NodeState,
    deletedHlc: () => changed.get('lost', 't')?.get('k')?.deletedHlc,
  };
}

test('A row that is not there any more was deleted after the commit that wrote it', () => {
  for (const kind of ['disc_copies', 'ram_copies'] as const) {
    const { node, deletedHlc } = withoutRow(kind, COMMIT_HLC - 1);
    noteUnacknowledged(node, 'lost');
    expect(deletedHlc()).toBe(COMMIT_HLC);
  }
});

test('A row in memory that this node has forgotten in a restart was not deleted: nothing is noted of it', () => {
  const { node, deletedHlc } = withoutRow('ram_copies', COMMIT_HLC + 1);
  noteUnacknowledged(node, 'lost');
  expect(deletedHlc()).toBeUndefined();
});
