import { expect, test } from 'vitest';
import { RowWatch } from '../../src/simulation/row-watch.ts';
import type { TableEvent } from '../../storage/types.ts';
import { planOf } from './history-builder.ts';

const version = (hlc: number) => ({ hlc, node: 'node1' });

function deleted(table: string): TableEvent {
  return { type: 'delete', table, key: 'k', oldValue: undefined, version: version(1), origin: 'local' };
}

function written(table: string): TableEvent {
  return {
    type: 'write',
    table,
    key: 'k',
    value: { by: '2.1' },
    oldValue: undefined,
    version: version(2),
    origin: 'merge',
  };
}

test('What a node deleted stays deleted after a restart where the table is on its disc, and is forgotten in memory', () => {
  const watch = new RowWatch([planOf('registers', 1), planOf('registers_ram', 1)]);
  watch.restart(0);
  const befores = (tables: readonly string[]) => tables.map((table) => watch.saw(0, written(table)).before);
  for (const table of ['registers', 'registers_ram']) watch.saw(0, deleted(table));
  watch.restart(0);
  expect(befores(['registers', 'registers_ram'])).toEqual(['deleted@1/node1', undefined]);
});
