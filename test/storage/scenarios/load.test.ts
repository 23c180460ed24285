/** mnesia_durability_test: who may load a table after a start, from where, and what is there then. */
import { expect } from 'vitest';
import { type Scenario, scenario } from '../support/scenario.ts';

/** The order in which the nodes of a cluster end, each with its own write before. */
async function endInTurn(s: Scenario, order: readonly number[], how: 'stop' | 'kill'): Promise<void> {
  for (const node of order) {
    await s.written(node, 'k', `last seen by ${node}`);
    await s.cluster.advance(1_000);
    if (how === 'stop') await s.node(node).stop();
    else s.node(node).kill();
    await s.cluster.advance(500);
  }
}

function loaded(s: Scenario, node: number): boolean {
  return s.node(node).isRunning && s.node(node).db.tableInfo('t').loaded;
}

scenario(
  'A read from elsewhere that no replica can answer yet is refused with the table and the node it waited for',
  async (s) => {
    await s.start(3);
    const [one, two] = [s.node(1).name, s.node(2).name];
    await s.cluster.settle(s.node(1).db.createTable({ name: 't', disc_copies: [one, two] }));
    await s.written(1, 'k', 'value');
    s.node(1).kill();
    await s.cluster.advance(1_000);
    s.node(2).kill();
    await s.node(1).start();
    await s.cluster.advance(2_000);
    const read = s.node(3).db.transaction((tx) => tx.read('t', 'k'), { deadlineMs: 1_000 });
    const error = await s.cluster.failure(read);
    expect(error).toMatchObject({ code: 'deadline', fields: { table: 't', node: one } });
    expect(error.message).toContain(`a row of table "t" from ${one}, which had not loaded the table`);
  },
);

for (const how of ['stop', 'kill'] as const) {
  scenario(
    `load_latest_data (${how}): A ends, B writes and ends: A alone must wait for B, by name, and gets what B wrote`,
    async (s) => {
      await s.startWithTable(2);
      await endInTurn(s, [1, 2], how);
      await s.node(1).start();
      await s.cluster.advance(20_000);
      expect(loaded(s, 1)).toBe(false);
      expect(s.node(1).db.tableInfo('t').awaiting).toEqual([s.node(2).name]);
      const error = await s.cluster.failure(s.node(1).db.waitForTables(['t'], 500));
      expect(error).toMatchObject({ code: 'table_not_loaded', fields: { table: 't', nodes: [s.node(2).name] } });
      await s.node(2).start();
      await s.until('A has loaded', () => loaded(s, 1));
      expect(s.values('k')).toEqual(['last seen by 2', 'last seen by 2']);
      await s.allAgain();
    },
  );

  scenario(
    `load_latest_data (${how}): the start of a third node, which ended before B too, does not help A; nobody loads before B`,
    async (s) => {
      await s.startWithTable(3);
      await endInTurn(s, [3, 1, 2], how);
      await s.node(1).start();
      await s.node(3).start();
      await s.cluster.advance(20_000);
      expect([loaded(s, 1), loaded(s, 3)]).toEqual([false, false]);
      await s.node(2).start();
      await s.until('all have loaded', () => loaded(s, 1) && loaded(s, 3));
      expect(s.values('k')).toEqual(['last seen by 2', 'last seen by 2', 'last seen by 2']);
      await s.allAgain();
    },
  );

  scenario(
    `load_when_down_from_all_other_replica_nodes (${how}): the last one that was up loads alone and at once`,
    async (s) => {
      await s.startWithTable(3);
      await endInTurn(s, [2, 3, 1], how);
      await s.node(1).start();
      await s.until('it has loaded', () => loaded(s, 1), 200);
      expect(s.values('k', [1])).toEqual(['last seen by 1']);
      await s.written(1, 'k', 'alone');
      await s.allAgain();
      expect(s.values('k')).toEqual(['alone', 'alone', 'alone']);
    },
  );

  for (const order of [
    [1, 2, 3],
    [3, 2, 1],
    [2, 3, 1],
  ]) {
    scenario(
      `durability_of_disc_copies (${how}): all end at once, start in the order ${order.join(' ')}: everything answered is there`,
      async (s) => {
        await s.startWithTable(3);
        for (let n = 0; n < 20; n++)
          await s.written(1 + (n % 3), n, `value ${n}`, n % 2 === 0 ? 'transaction' : 'sync');
        if (how === 'stop') for (const node of s.cluster.nodes) await node.stop();
        else for (const node of s.cluster.nodes) node.kill();
        for (const node of order) await s.node(node).start();
        await s.allAgain();
        expect(s.node(1).db.dirtyAllKeys('t')).toHaveLength(20);
      },
    );
  }
}

scenario(
  'durability_of_disc_copies: all lose their power at once: what syncTransaction answered is there',
  async (s) => {
    await s.startWithTable(3);
    for (let n = 0; n < 20; n++) await s.written(1 + (n % 3), n, `value ${n}`, 'sync');
    for (const node of s.cluster.nodes) node.kill('synced');
    await s.allAgain();
    expect(s.node(1).db.dirtyAllKeys('t')).toHaveLength(20);
  },
);

scenario('silly_durability: one node, written, updated and deleted rows are the same after ten kills', async (s) => {
  await s.startWithTable(1);
  for (let life = 0; life < 10; life++) {
    await s.written(1, 'counter', life);
    await s.written(1, `made in life ${life}`, life);
    if (life > 0) await s.node(1).delete('t', `gone after life ${life - 1}`);
    await s.node(1).write('t', `gone after life ${life}`, life);
    s.node(1).kill();
    await s.node(1).start();
    expect(s.values('counter')).toEqual([life]);
    expect(s.node(1).db.dirtyAllKeys('t')).toHaveLength(life + 3);
  }
});

scenario(
  'load_local_contents_directly: a table with local content is there at once, whoever else is away',
  async (s) => {
    await s.start(2);
    for (const node of s.cluster.nodes) {
      await s.cluster.settle(node.db.createTable({ name: 'mine', disc_copies: [node.name], local_content: true }));
      await node.write('mine', 'who', node.name);
    }
    await s.cluster.advance(1_000);
    await s.node(1).stop();
    await s.node(2).stop();
    await s.node(1).start();
    expect(s.node(1).db.tableInfo('mine').loaded).toBe(true);
    expect(s.node(1).db.dirtyRead('mine', 'who')).toBe(s.node(1).name);
  },
);

for (const first of [1, 2]) {
  scenario(
    `load_directly_when_all_are_ram_copies: all were away, peer ${first} is first: copies in memory begin anew, empty, and serve`,
    async (s) => {
      await s.startWithTable(2, 'ram_copies');
      await s.node(1).write('t', 'k', 'gone with the memory');
      await s.node(1).stop();
      await s.node(2).stop();
      await s.node(first).start();
      await s.until('it has loaded', () => loaded(s, first), 10_000);
      expect(s.node(first).db.dirtyAllKeys('t')).toEqual([]);
      await s.written(first, 'k', 'new');
      await s.allAgain();
      expect(s.values('k')).toEqual(['new', 'new']);
    },
  );
}

for (const victim of [1, 2]) {
  scenario(
    `late_load_all_ram_cs_ram_nodes: peer ${victim} ends and returns: it takes the rows of the one that stayed`,
    async (s) => {
      await s.startWithTable(2, 'ram_copies');
      await s.written(1, 'k', 'before');
      await s.node(victim).stop();
      await s.written(3 - victim, 'k', 'meanwhile');
      await s.cluster.advance(1_000);
      await s.node(victim).start();
      await s.until('it has loaded', () => loaded(s, victim));
      expect(s.values('k', [victim])).toEqual(['meanwhile']);
      await s.allAgain();
    },
  );
}

scenario('late_load: a copy in memory waits for the copy on disc that was up last', async (s) => {
  await s.start(2);
  const [one, two] = s.cluster.names as [string, string];
  await s.cluster.settle(s.node(1).db.createTable({ name: 't', ram_copies: [one], disc_copies: [two] }));
  await s.cluster.advance(1_000);
  await s.written(1, 'k', 'on the disc of peer 2', 'sync');
  s.node(2).kill();
  s.node(1).kill();
  await s.node(1).start();
  await s.cluster.advance(10_000);
  expect(loaded(s, 1)).toBe(false);
  expect(s.node(1).db.tableInfo('t').awaiting).toEqual([two]);
  await s.node(2).start();
  await s.until('it has loaded', () => loaded(s, 1));
  await s.allAgain();
  expect(s.values('k')).toEqual(['on the disc of peer 2', 'on the disc of peer 2']);
});

// -- force_load_* -----------------------------------------------------------------------------------------------------------------

scenario(
  'force_load_when_nobody_intents_to_load: the forced old copy serves at once, and the newer rows come back with their node instead of being lost',
  async (s) => {
    await s.startWithTable(2);
    await s.written(1, 'shared', 'old');
    await s.node(1).stop();
    await s.written(2, 'newer', 'kept');
    await s.node(2).stop();
    await s.node(1).start();
    await s.cluster.settle(s.node(1).db.forceLoadTable('t'));
    expect(loaded(s, 1)).toBe(true);
    await s.written(1, 'forced', 'too');
    await s.allAgain();
    expect([s.values('newer'), s.values('forced')]).toEqual([
      ['kept', 'kept'],
      ['too', 'too'],
    ]);
  },
);

scenario(
  'force_load_when_nobody_intents_to_load: the same row was written by both: the later stands, the other is in the ledger',
  async (s) => {
    await s.startWithTable(2);
    await s.node(1).stop();
    await s.node(2).write('t', 'k', 'newer of 2');
    await s.node(2).stop();
    await s.node(1).start();
    await s.cluster.settle(s.node(1).db.forceLoadTable('t'));
    await s.cluster.advance(5);
    await s.node(1).write('t', 'k', 'forced at 1');
    await s.allAgain();
    expect(s.values('k')).toEqual(['forced at 1', 'forced at 1']);
    for (const { db } of s.cluster.nodes) {
      expect(db.ledger()).toEqual([
        expect.objectContaining({ key: 'k', loser: expect.objectContaining({ value: 'newer of 2' }) }),
      ]);
    }
  },
);

scenario('force_load_when_someone_else_has_loaded: the forced copy takes what the other has', async (s) => {
  await s.startWithTable(3);
  await s.node(1).stop();
  await s.written(2, 'k', 'newest');
  await s.cluster.advance(500);
  s.cluster.network.cut('id1', 'id2');
  s.cluster.network.cut('id1', 'id3');
  await s.node(1).start();
  await s.cluster.settle(s.node(1).db.forceLoadTable('t'));
  expect(s.values('k', [1])).toEqual([undefined]);
  await s.allAgain();
  expect(s.values('k')).toEqual(['newest', 'newest', 'newest']);
});

scenario(
  'M72 force_load_when_someone_else_has_loaded: it copies from an active replica that is linked first',
  async (s) => {
    await s.startWithTable(3);
    await s.node(1).stop();
    await s.written(2, 'k', 'newest');
    await s.node(1).start({ autoConnect: false });
    await s.cluster.advance(2_000);
    expect(loaded(s, 1)).toBe(false);
    await s.cluster.settle(s.node(1).db.forceLoadTable('t'));
    expect([loaded(s, 1), s.values('k', [1])]).toEqual([true, ['newest']]);
    await s.allAgain();
  },
);

scenario(
  'M72 force_load: in an island that waits for a third node the table is loaded at all, with the newest rows there are',
  async (s) => {
    await s.startWithTable(3);
    await s.node(1).stop();
    await s.written(2, 'k', 'newer');
    await s.node(2).stop();
    await s.written(3, 'k', 'newest');
    await s.node(3).stop();
    await s.node(1).start();
    await s.node(2).start();
    await s.cluster.advance(5_000);
    expect([loaded(s, 1), loaded(s, 2)]).toEqual([false, false]);
    await s.cluster.settle(s.node(1).db.forceLoadTable('t'));
    expect([loaded(s, 1), loaded(s, 2), s.values('k', [1, 2])]).toEqual([true, true, ['newer', 'newer']]);
    await s.allAgain();
  },
);

scenario('M73 master nodes can be set on a stopped node, hold over restarts, and can be taken back', async (s) => {
  await s.startWithTable(2);
  await s.node(1).stop();
  await s.written(2, 'k', 'newest');
  await s.node(2).stop();
  const isLoadedAtStart = async (masterNodes?: Record<string, string[]>): Promise<boolean> => {
    await s.node(1).start(masterNodes === undefined ? {} : { masterNodes });
    const found = loaded(s, 1);
    await s.node(1).stop();
    return found;
  };
  expect(await isLoadedAtStart()).toBe(false);
  expect(await isLoadedAtStart({ t: [s.node(1).name] })).toBe(true);
  expect(await isLoadedAtStart()).toBe(true);
  expect(await isLoadedAtStart({ t: [] })).toBe(false);
  await s.allAgain();
  expect(s.values('k')).toEqual(['newest', 'newest']);
});

scenario('force_load_when_we_has_loaded: it changes nothing', async (s) => {
  await s.startWithTable(2);
  await s.written(1, 'k', 1);
  const events = s.node(1).events.length;
  await s.cluster.settle(s.node(1).db.forceLoadTable('t'));
  await s.cluster.advance(100);
  expect(s.node(1).events).toHaveLength(events);
  expect(s.values('k')).toEqual([1, 1]);
});

scenario('force_load_on_a_non_local_table: refused, with the nodes that keep it', async (s) => {
  await s.start(2);
  await s.cluster.settle(s.node(2).db.createTable({ name: 'one', disc_copies: [s.node(2).name] }));
  await s.cluster.advance(1_000);
  const error = await s.cluster.failure(s.node(1).db.forceLoadTable('one'));
  expect(error).toMatchObject({ code: 'table_not_loaded', fields: { table: 'one' } });
  expect(error.message).toContain(s.node(2).name);
});

scenario('force_load_when_the_table_does_not_exist: refused by name', async (s) => {
  await s.start(1);
  const error = await s.cluster.failure(s.node(1).db.forceLoadTable('absent'));
  expect(error).toMatchObject({ code: 'no_such_table', fields: { table: 'absent' } });
});

scenario('A forced load spreads to the nodes of the island that wait for the same', async (s) => {
  await s.startWithTable(3);
  await s.node(1).stop();
  await s.node(2).stop();
  await s.node(3).stop();
  await s.node(1).start();
  await s.node(2).start();
  await s.cluster.advance(5_000);
  expect([loaded(s, 1), loaded(s, 2)]).toEqual([false, false]);
  await s.cluster.settle(s.node(1).db.forceLoadTable('t'));
  await s.until('both have loaded', () => loaded(s, 1) && loaded(s, 2));
  await s.written(2, 'k', 1);
  await s.allAgain();
});

scenario(
  'garb_decision: with a participant away commits are remembered for it, and forgotten once it has them',
  async (s) => {
    await s.startWithTable(3);
    await s.node(3).stop();
    await s.cluster.advance(500);
    for (let n = 0; n < 5; n++) await s.written(1, n, n);
    await s.cluster.advance(2_000);
    for (const node of [1, 2]) {
      const { changedSince, recentCommits } = s.node(node).db.systemInfo();
      expect({ changedSince, recentCommits }).toEqual({
        changedSince: [{ node: s.node(3).name, rows: 5, collapsed: [] }],
        recentCommits: 0,
      });
    }
    // What is remembered outlives the ones who remember.
    for (const node of [1, 2]) s.node(node).kill();
    await s.allAgain();
    expect(s.node(3).db.dirtyAllKeys('t')).toHaveLength(5);
  },
);

scenario('garb_decision: commits of all placements are forgotten within two seconds when nobody is away', async (s) => {
  await s.start(3);
  const [one, two, three] = s.cluster.names as [string, string, string];
  const { db } = s.node(1);
  await s.cluster.settle(db.createTable({ name: 't', disc_copies: [one, two, three] }));
  await s.cluster.settle(db.createTable({ name: 'ram', ram_copies: [one, two, three] }));
  await s.cluster.settle(db.createTable({ name: 'mixed', ram_copies: [one], disc_copies: [two] }));
  await s.cluster.settle(db.createTable({ name: 'elsewhere', disc_copies: [two, three] }));
  await s.cluster.advance(1_000);
  const tables = ['t', 'ram', 'mixed', 'elsewhere'];
  const attempts = [1, 2, 3].map((node) =>
    s.run(node, (tx) => {
      for (const table of tables) tx.write(table, node, node);
    }),
  );
  await s.until('all are answered', () => attempts.every(({ answers }) => answers === 1));
  expect(s.node(1).db.systemInfo().recentCommits).toBeGreaterThan(0);
  await s.cluster.advance(2_000);
  s.expectRest();
});
