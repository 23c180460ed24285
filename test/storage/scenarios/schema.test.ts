/** mnesia_schema_recovery_test: a node dies before or after a change of the schema is on its disc; the cluster stays one. */
import { expect } from 'vitest';
import type { ProbePoint } from '../../../storage/environment.ts';
import { MOMENTS, type Scenario, scenario } from '../support/scenario.ts';

type Kind = 'ram_copies' | 'disc_copies';

/** What every node says of the table. */
function definitions(s: Scenario, name: string): unknown[] {
  return s.cluster.nodes.map(({ db }) => {
    if (!db.systemInfo().tables.includes(name)) return 'none';
    const { ramCopies, discCopies, loaded, cookie } = db.tableInfo(name);
    return { ramCopies, discCopies, loaded, cookie };
  });
}

function expectOneDefinition(s: Scenario, name: string): unknown {
  const all = definitions(s, name);
  expect(all).toEqual(all.map(() => all[0]));
  return all[0];
}

interface Death {
  readonly when: string;
  readonly node: number;
  readonly point: ProbePoint;
}

const deaths: Death[] = [
  { when: 'the node that makes the change dies before it is on its disc', node: 1, point: 'schema.before_define' },
  { when: 'the node that makes the change dies with it in memory', node: 1, point: 'schema.after_define' },
  { when: 'the node that makes the change dies before the others have it', node: 1, point: 'connect.before_lock' },
  { when: 'the node that makes the change dies when all agreed', node: 1, point: 'connect.before_apply' },
  { when: 'the node that makes the change dies when it has it', node: 1, point: 'connect.after_apply' },
  { when: 'the node that makes the change dies when everybody has it', node: 1, point: 'schema.settled' },
  { when: 'another node dies before the change reaches it', node: 2, point: 'connect.before_lock' },
  { when: 'another node dies when it has agreed', node: 2, point: 'connect.prepared' },
  { when: 'another node dies before it is on its disc', node: 2, point: 'connect.before_apply' },
  { when: 'another node dies when it has it', node: 2, point: 'connect.after_apply' },
];

for (const kind of ['ram_copies', 'disc_copies'] as const satisfies readonly Kind[]) {
  for (const { when, node, point } of deaths) {
    for (const moment of MOMENTS) {
      const place = moment === 'at' ? '' : ', its frames out';
      scenario(
        `create_${kind === 'ram_copies' ? 'ram' : 'disc'}: ${when}${place}: all nodes have the table, or none, and take writes to it`,
        async (s) => {
          await s.start(3);
          s.killAt(node, point, { moment });
          const { db } = s.node(1);
          db.createTable({ name: 't', [kind]: s.cluster.names }).catch(() => undefined);
          await s.until('it is dead', () => !s.node(node).isRunning);
          await s.cluster.advance(2_000);
          await s.allAgain();
          if (expectOneDefinition(s, 't') === 'none')
            await s.cluster.settle(s.node(2).db.createTable({ name: 't', [kind]: s.cluster.names }));
          await s.cluster.advance(1_000);
          expect(expectOneDefinition(s, 't')).toMatchObject({
            [kind === 'ram_copies' ? 'ramCopies' : 'discCopies']: s.cluster.names,
            loaded: true,
          });
          for (const writer of [1, 2, 3]) await s.written(writer, writer, 'works');
          await s.cluster.advance(100);
          expect(s.values(1)).toEqual(['works', 'works', 'works']);
        },
      );

      scenario(
        `delete_${kind === 'ram_copies' ? 'ram' : 'disc'}: ${when}${place}: the table is gone from all nodes, or whole on all`,
        async (s) => {
          await s.startWithTable(3, kind);
          for (let n = 0; n < 5; n++) await s.node(1).write('t', n, n);
          await s.cluster.advance(1_500);
          s.killAt(node, point, { moment });
          s.node(1)
            .db.deleteTable('t')
            .catch(() => undefined);
          await s.until('it is dead', () => !s.node(node).isRunning);
          await s.cluster.advance(2_000);
          await s.allAgain();
          if (expectOneDefinition(s, 't') === 'none') return;
          for (const { db } of s.cluster.nodes) expect(db.dirtyAllKeys('t')).toHaveLength(5);
        },
      );
    }
  }
}

scenario(
  'create_nostore: a table that only other nodes keep is known here after this node died in the middle',
  async (s) => {
    await s.start(3);
    s.killAt(1, 'connect.before_apply');
    const definition = { name: 't', disc_copies: s.cluster.names.slice(1) };
    s.node(1)
      .db.createTable(definition)
      .catch(() => undefined);
    await s.until('it is dead', () => !s.node(1).isRunning);
    await s.cluster.advance(2_000);
    await s.allAgain();
    await s.cluster.settle(s.node(1).db.createTable(definition));
    await s.written(1, 'k', 1);
    expect(s.values('k', [2, 3])).toEqual([1, 1]);
  },
);

scenario('create: all nodes die at once while it is under way: the schema is one afterwards', async (s) => {
  await s.start(3);
  s.at(2, 'connect.before_apply', () => {
    for (const node of s.cluster.nodes) node.kill({ sent: 'arrives' });
  });
  s.node(1)
    .db.createTable({ name: 't', disc_copies: s.cluster.names })
    .catch(() => undefined);
  await s.until('all are dead', () => s.cluster.nodes.every(({ isRunning }) => !isRunning));
  await s.allAgain();
  expectOneDefinition(s, 't');
});

scenario(
  'create: two nodes make the same table at the same moment: it is one table, with the rows of both',
  async (s) => {
    await s.start(3);
    const made = [1, 2].map((node) => s.node(node).db.createTable({ name: 't', disc_copies: s.cluster.names }));
    for (const one of made) await s.cluster.settle(one);
    await s.cluster.advance(1_000);
    expectOneDefinition(s, 't');
    for (const node of [1, 2, 3]) await s.written(node, node, node);
    await s.allAgain();
    expect(s.node(3).db.dirtyAllKeys('t')).toHaveLength(3);
  },
);

scenario(
  'create: two nodes make tables of one name that differ: one of them is told so, no node is hurt',
  async (s) => {
    await s.start(2);
    const outcomes = await s.cluster.settle(
      Promise.allSettled([
        s.node(1).db.createTable({ name: 't', disc_copies: s.cluster.names, majority: true }),
        s.node(2).db.createTable({ name: 't', disc_copies: s.cluster.names }),
      ]),
    );
    expect(outcomes.map(({ status }) => status)).toContain('rejected');
    for (const { db } of s.cluster.nodes) expect(db.systemInfo().isRunning).not.toBe('no');
  },
);

scenario(
  'before_create: a node that was away while tables came and went has the same schema when it is back',
  async (s) => {
    await s.startWithTable(3);
    await s.written(3, 'k', 1);
    await s.node(3).stop();
    const { db } = s.node(1);
    await s.cluster.settle(db.createTable({ name: 'new', disc_copies: s.cluster.names }));
    await s.cluster.settle(db.createTable({ name: 'brief', disc_copies: s.cluster.names }));
    await s.cluster.settle(db.deleteTable('brief'));
    await s.node(1).write('new', 'k', 'there');
    await s.allAgain();
    expect(expectOneDefinition(s, 'new')).toMatchObject({ discCopies: s.cluster.names, loaded: true });
    expect(expectOneDefinition(s, 'brief')).toBe('none');
    expect(s.values('k', [1, 2, 3], 'new')).toEqual(['there', 'there', 'there']);
  },
);

scenario(
  'schema_availability: with a node away a table is made and deleted by those who are there, without waiting',
  async (s) => {
    await s.start(3);
    s.node(3).kill();
    await s.cluster.advance(500);
    const before = s.cluster.clock.monotonicMs();
    await s.cluster.settle(s.node(1).db.createTable({ name: 't', disc_copies: s.cluster.names }));
    expect(s.cluster.clock.monotonicMs() - before).toBeLessThan(1_000);
    await s.written(2, 'k', 1);
    await s.allAgain();
    expect(s.values('k')).toEqual([1, 1, 1]);
  },
);

scenario(
  'schema_availability: a table that was made or deleted is so at every running node in the moment of the answer',
  async (s) => {
    await s.start(3);
    for (const leader of [1, 3]) {
      let known: (string[] | undefined)[] = [];
      const tablesOf = (): string[][] => s.cluster.nodes.map(({ db }) => [...db.systemInfo().tables]);
      const { db } = s.node(leader);
      await s.cluster.settle(
        db.createTable({ name: 't', disc_copies: s.cluster.names }).then(() => {
          known = tablesOf();
        }),
      );
      expect(known).toEqual(s.cluster.names.map(() => ['partition_ledger', 't']));
      await s.cluster.settle(
        db.deleteTable('t').then(() => {
          known = tablesOf();
        }),
      );
      expect(known).toEqual(s.cluster.names.map(() => ['partition_ledger']));
    }
  },
);

scenario(
  'schema_availability: the leader dies when it has made the table: who asked for it is answered once all that are left have it',
  async (s) => {
    await s.start(3);
    s.killAt(1, 'connect.after_apply', { moment: 'sent' });
    let known: string[] = [];
    const made = s.node(2).db.createTable({ name: 't', disc_copies: s.cluster.names.slice(1) });
    await s.cluster.settle(
      made.then(() => {
        known = [...s.node(3).db.systemInfo().tables];
      }),
    );
    expect([s.node(1).isRunning, known]).toEqual([false, ['partition_ledger', 't']]);
  },
);

scenario(
  'Who is to hold a table, and has not heard that it does, promises nothing to it: the write is there once it has',
  async (s) => {
    await s.start(3);
    const [, two, three] = s.cluster.names as [string, string, string];
    await s.cluster.settle(s.node(1).db.createTable({ name: 't', disc_copies: [two] }));
    await s.cluster.advance(1_000);
    s.step('peer 2 has heard that peer 3 holds it as well, and peer 3 has not');
    s.at(1, 'connect.prepared', () => s.cluster.network.delay(s.node(1).id, s.node(3).id, 30));
    s.at(2, 'connect.after_apply', () => s.write(2, 'k', 'written'));
    const added = s.node(2).db.addTableCopy('t', three, 'disc_copies');
    await s.cluster.settle(added);
    await s.until('it is answered', () => s.attempts[0]?.answers === 1);
    expect(s.attempts[0]?.error).toBeUndefined();
    await s.cluster.advance(1_000);
    expect(s.values('k', [3])).toEqual(['written']);
    await s.allAgain();
  },
);
