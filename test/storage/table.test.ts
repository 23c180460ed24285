/** One node's replica of a table, as its definition changes under it. */
import { expect, test } from 'vitest';
import { makeDefinition, type SchemaTable } from '../../storage/schema/definition.ts';
import { Table } from '../../storage/tables/table.ts';
import { WakeQueue } from '../../storage/transactions/locker.ts';

function heldBy(node: string, rest: Partial<SchemaTable> = {}): SchemaTable {
  return { ...makeDefinition({ name: 't' }, new Map([[node, 'disc_copies']]), 'c', 1), ...rest };
}

test('M17 a replica that is gone is not loaded: deleted by somebody who did not know it, and made anew elsewhere', () => {
  const table = new Table(heldBy('self'), 'self', new WakeQueue());
  table.loaded = true;
  table.definition = heldBy('other', { deletedAt: 2 });
  table.definition = heldBy('other');
  expect([table.held, table.loaded]).toEqual([false, false]);
});
