/**
 * mnesia_schema_recovery_test and mnesia_recovery_test: a node dies while a replica or a property of a table in use is being
 * changed, and master nodes say who begins: the definition and the rows are the same on all nodes, and complete.
 */
import { expect } from 'vitest';
import type { Database } from '../../../storage/database.ts';
import type { ProbePoint } from '../../../storage/environment.ts';
import type { StorageKind, TableInfo } from '../../../storage/types.ts';
import { MOMENTS, type Scenario, scenario } from '../support/scenario.ts';

const ROWS = 5;

interface Change {
  readonly name: string;
  readonly kind: StorageKind;
  /** Nodes that hold the table before. */
  readonly holders: readonly number[];
  make(db: Database, names: readonly string[]): Promise<void>;
  readonly before: Partial<TableInfo>;
  /** Of a change in two steps. */
  readonly between?: Partial<TableInfo>;
  readonly after: Partial<TableInfo>;
}

const peer = (...numbers: number[]): string[] => numbers.map((number) => `clusterdb@peer${number}`);

const changes: Change[] = [
  {
    name: 'add_disc',
    kind: 'disc_copies',
    holders: [1, 2],
    make: (db, [, , third]) => db.addTableCopy('t', third as string, 'disc_copies'),
    before: { discCopies: peer(1, 2) },
    after: { discCopies: peer(1, 2, 3) },
  },
  {
    name: 'add_ram',
    kind: 'ram_copies',
    holders: [1, 2],
    make: (db, [, , third]) => db.addTableCopy('t', third as string, 'ram_copies'),
    before: { ramCopies: peer(1, 2) },
    after: { ramCopies: peer(1, 2, 3) },
  },
  {
    name: 'delcopy_disc',
    kind: 'disc_copies',
    holders: [1, 2, 3],
    make: (db, [, second]) => db.delTableCopy('t', second as string),
    before: { discCopies: peer(1, 2, 3) },
    after: { discCopies: peer(1, 3) },
  },
  {
    name: 'move_disc',
    kind: 'disc_copies',
    holders: [1, 2],
    make: (db, [, second, third]) => db.moveTableCopy('t', second as string, third as string),
    before: { discCopies: peer(1, 2) },
    between: { discCopies: peer(1, 2, 3) },
    after: { discCopies: peer(1, 3) },
  },
  {
    name: 'move_last',
    kind: 'disc_copies',
    holders: [2],
    make: (db, [, second, third]) => db.moveTableCopy('t', second as string, third as string),
    before: { discCopies: peer(2) },
    between: { discCopies: peer(2, 3) },
    after: { discCopies: peer(3) },
  },
  {
    name: 'change_type_ram2disc',
    kind: 'ram_copies',
    holders: [1, 2, 3],
    make: (db, [, second]) => db.changeTableCopyType('t', second as string, 'disc_copies'),
    before: { ramCopies: peer(1, 2, 3) },
    after: { ramCopies: peer(1, 3), discCopies: peer(2) },
  },
  {
    name: 'change_type_disc2ram',
    kind: 'disc_copies',
    holders: [1, 2, 3],
    make: (db, [, second]) => db.changeTableCopyType('t', second as string, 'ram_copies'),
    before: { discCopies: peer(1, 2, 3) },
    after: { ramCopies: peer(2), discCopies: peer(1, 3) },
  },
  {
    name: 'change_table_access',
    kind: 'disc_copies',
    holders: [1, 2, 3],
    make: (db) => db.changeTableAccessMode('t', 'read_only'),
    before: { accessMode: 'read_write' },
    after: { accessMode: 'read_only' },
  },
];

const deaths: readonly [node: number, point: ProbePoint][] = [
  [1, 'connect.before_lock'],
  [1, 'connect.before_apply'],
  [1, 'connect.after_apply'],
  [2, 'connect.prepared'],
  [2, 'connect.before_apply'],
  [2, 'connect.after_apply'],
  [3, 'connect.before_apply'],
  [3, 'connect.after_apply'],
];

async function startWith(s: Scenario, { kind, holders }: Change): Promise<void> {
  await s.start(3);
  await s.cluster.settle(s.node(1).db.createTable({ name: 't', [kind]: peer(...holders) }));
  for (let n = 0; n < ROWS; n++) await s.node(1).write('t', n, n);
  await s.cluster.advance(1_500);
}

/** One node dies at a step of the nth node connection transaction that the change takes. */
function dying(change: Change, nth: number): void {
  for (const [node, point] of deaths) {
    for (const moment of MOMENTS) {
      const place = `${nth === 1 ? '' : ' of the second step'}${moment === 'at' ? '' : ', its frames out'}`;
      scenario(
        `${change.name}: peer ${node} dies at ${point}${place}: one definition, as before or as after, and all rows`,
        async (s) => {
          await startWith(s, change);
          s.killAt(node, point, { moment, nth });
          change.make(s.node(1).db, s.cluster.names).catch(() => undefined);
          await s.until('it is dead', () => !s.node(node).isRunning);
          await s.cluster.advance(2_000);
          await s.allAgain();
          const infos = s.cluster.nodes.map(({ db }) => db.tableInfo('t'));
          const states = [change.before, change.between ?? change.before, change.after];
          const agreed = states.filter((state) => infos.every((info) => matches(info, state)));
          expect(agreed, JSON.stringify(infos)).not.toEqual([]);
          for (const { storageType, size } of infos) expect(size).toBe(storageType === 'unknown' ? 0 : ROWS);
        },
      );
    }
  }
}

for (const change of changes) {
  dying(change, 1);
  if (change.between !== undefined) dying(change, 2);
}

function matches(info: TableInfo, part: Partial<TableInfo>): boolean {
  return Object.entries(part).every(
    ([field, value]) => JSON.stringify(info[field as keyof TableInfo]) === JSON.stringify(value),
  );
}

// -- master_node_tests ----------------------------------------------------------------------------------------------------

for (const masters of [[], [1], [2], [1, 2]]) {
  const who = masters.length === 0 ? 'no master nodes' : `peer ${masters.join(' and ')} as master`;
  scenario(
    `master_node_tests: with ${who} every node is killed and started again in turn: all rows are there, whoever begins`,
    async (s) => {
      await s.startWithTable(3);
      if (masters.length > 0) {
        for (const { db } of s.cluster.nodes) await s.cluster.settle(db.setMasterNodes(['t'], peer(...masters)));
      }
      for (const victim of [1, 2, 3]) {
        s.node(victim).kill();
        await s.cluster.advance(500);
        const writer = (victim % 3) + 1;
        await s.written(writer, `while ${victim} is down`, victim);
        await s.node(victim).start();
        await s.cluster.together();
        await s.cluster.advance(1_000);
      }
      for (const node of s.cluster.nodes) node.kill();
      await s.node(1).start();
      await s.cluster.advance(500);
      expect(s.node(1).db.tableInfo('t').loaded).toBe(masters.includes(1));
      await s.allAgain();
      expect(s.node(3).db.dirtyAllKeys('t')).toHaveLength(3);
    },
  );
}
