/** What users of Mnesia complain of in public, by the numbers of the list in README.md beside this file: not so here. */
import { expect } from 'vitest';
import type { ProbePoint } from '../../../storage/environment.ts';
import { Cluster } from '../support/cluster.ts';
import { type Scenario, scenario } from '../support/scenario.ts';

function digests(s: Scenario): string[] {
  return s.cluster.nodes.map(({ db }) => db.tableInfo('t').digest);
}

scenario(
  'complaint 1: a blip of milliseconds does not split the cluster for ever: it is one again by itself, and nothing answered is lost',
  async (s) => {
    await s.startWithTable(3);
    const attempts = [];
    for (let blip = 0; blip < 8; blip++) {
      const [a, b] = [1 + (blip % 3), 1 + ((blip + 1) % 3)];
      attempts.push(s.write(a, `a${blip}`, blip), s.write(b, `b${blip}`, blip));
      s.cluster.network.cut(`id${a}`, `id${b}`);
      await s.cluster.advance(2);
      s.cluster.network.heal(`id${a}`, `id${b}`);
      await s.until(
        'they are one again',
        () => s.cluster.nodes.every(({ db }) => db.systemInfo().runningDbNodes.length === 3),
        15_000,
      );
      await s.cluster.advance(500);
    }
    expect(attempts.filter(({ isAcknowledged }) => isAcknowledged)).toHaveLength(attempts.length);
    await s.allAgain();
  },
);

scenario(
  'complaint 2: a partial partition confuses nobody: all three see the same division, and are merged after it',
  async (s) => {
    await s.startWithTable(3);
    s.cluster.network.cut('id1', 'id3');
    await s.cluster.advance(4_000);
    const views = s.cluster.nodes.map(({ db }) => db.systemInfo().runningDbNodes.join(' '));
    for (const { name, db } of s.cluster.nodes) {
      for (const member of db.systemInfo().runningDbNodes) {
        const its = s.cluster.nodes.find((node) => node.name === member);
        expect([name, its?.db.systemInfo().runningDbNodes.join(' ')]).toEqual([
          name,
          views[s.cluster.names.indexOf(name)],
        ]);
      }
    }
    for (const node of [1, 2, 3]) await s.written(node, node, 'during');
    await s.allAgain();
    expect(s.node(1).db.dirtyAllKeys('t')).toHaveLength(3);
  },
);

scenario(
  'complaint 3: the second split is healed as the first was, and the tenth; the digests say that the replicas are equal',
  async (s) => {
    await s.startWithTable(3);
    for (let split = 0; split < 10; split++) {
      const alone = 1 + (split % 3);
      const others = [1, 2, 3].filter((node) => node !== alone);
      await s.cluster.split([alone], others);
      await s.written(alone, `alone${split}`, split);
      await s.written(others[0] as number, `others${split}`, split);
      await s.cluster.healAndMeet();
      expect(new Set(digests(s)).size).toBe(1);
    }
    await s.allAgain();
    expect(s.node(2).db.dirtyAllKeys('t')).toHaveLength(20);
  },
);

scenario(
  'complaint 4: nobody has to do anything after a split: no restart, no call, no choice of a winner',
  async (s) => {
    await s.startWithTable(3);
    const lives = s.cluster.nodes.map(({ incarnation }) => incarnation);
    await s.cluster.split([1], [2, 3]);
    await s.written(1, 'left', 1);
    await s.written(2, 'right', 2);
    s.cluster.heal();
    await s.until(
      'all rows are everywhere',
      () =>
        s
          .values('left')
          .concat(s.values('right'))
          .every((value) => value !== undefined),
      10_000,
    );
    expect(s.cluster.nodes.map(({ incarnation }) => incarnation)).toEqual(lives);
    await s.allAgain();
  },
);

for (const order of [
  [1, 2, 3],
  [3, 2, 1],
  [2, 1, 3],
  [1, 3, 2],
]) {
  scenario(
    `complaint 5: the order of starts (${order.join(' ')}) decides nothing: rows written last, by whoever was up last, are there`,
    async (s) => {
      await s.startWithTable(3);
      await s.written(1, 'k', 'oldest');
      await s.node(1).stop();
      await s.written(2, 'k', 'older');
      await s.node(2).stop();
      await s.written(3, 'k', 'newest');
      await s.node(3).stop();
      for (const node of order) {
        await s.node(node).start();
        await s.cluster.advance(3_000);
      }
      await s.allAgain();
      expect(s.values('k')).toEqual(['newest', 'newest', 'newest']);
    },
  );
}

scenario(
  'complaint 7: transaction is durable against the death of the process when it answers, syncTransaction against the loss of power',
  async (s) => {
    await s.startWithTable(1);
    for (let n = 0; n < 10; n++) {
      await s.written(1, `sync${n}`, n, 'sync');
      s.node(1).kill('synced');
      await s.node(1).start();
      await s.written(1, `transaction${n}`, n);
      s.node(1).kill();
      await s.node(1).start();
    }
    await s.allAgain();
    expect(s.node(1).db.dirtyAllKeys('t')).toHaveLength(20);
  },
);

scenario(
  'complaint 9: waiting for a table ends when it was told to, names who is awaited, and holds up no other table',
  async (s) => {
    await s.startWithTable(2);
    await s.cluster.settle(s.node(1).db.createTable({ name: 'own', disc_copies: [s.node(1).name] }));
    await s.node(1).write('own', 'k', 1);
    await s.node(1).stop();
    await s.written(2, 'k', 'newer');
    await s.node(2).stop();
    await s.node(1).start();
    const sinceMs = s.cluster.clock.monotonicMs();
    const error = await s.cluster.failure(s.node(1).db.waitForTables(['own', 't'], 700));
    expect(s.cluster.clock.monotonicMs() - sinceMs).toBeCloseTo(700, -1);
    expect(error).toMatchObject({ code: 'table_not_loaded', fields: { table: 't', nodes: [s.node(2).name] } });
    await s.cluster.settle(s.node(1).db.waitForTables(['own'], 1));
    await s.node(1).write('own', 'k', 2);
    expect(s.node(1).db.dirtyRead('own', 'k')).toBe(2);
    await s.allAgain();
  },
);

for (const point of [
  'connect.locked',
  'connect.prepared',
  'connect.before_apply',
] as const satisfies readonly ProbePoint[]) {
  scenario(
    `complaint 10: forceLoadTable does not hang when the node it copies from goes away at ${point}`,
    async (s) => {
      await s.startWithTable(2);
      await s.node(2).stop();
      await s.written(1, 'k', 'kept by 1');
      await s.cluster.advance(500);
      s.killAt(1, point);
      await s.node(2).start();
      await s.until('the other is dead', () => !s.node(1).isRunning);
      const forced = s.node(2).db.forceLoadTable('t');
      await s.cluster.settle(forced);
      await s.until('it has loaded', () => s.node(2).db.tableInfo('t').loaded, 1_000);
      await s.written(2, 'forced', 1);
      await s.allAgain();
      expect([s.values('k'), s.values('forced')]).toEqual([
        ['kept by 1', 'kept by 1'],
        [1, 1],
      ]);
    },
  );
}

scenario(
  'complaint 11: copies in memory that began anew on an isolated node are made equal when the network is back, and lose nothing',
  async (s) => {
    await s.startWithTable(3, 'ram_copies');
    await s.written(1, 'k', 'of the others');
    s.node(3).kill();
    await s.cluster.split([3], [1, 2]);
    await s.node(3).start();
    await s.until('it begins anew', () => s.node(3).db.tableInfo('t').loaded, 20_000);
    await s.written(3, 'isolated', 'written alone');
    await s.cluster.healAndMeet();
    expect([s.values('k'), s.values('isolated')]).toEqual([
      ['of the others', 'of the others', 'of the others'],
      ['written alone', 'written alone', 'written alone'],
    ]);
    await s.allAgain();
  },
);

scenario(
  'complaints 13 and 14: two nodes that start unconnected and each create the table have one table when they meet; different ones part with a name',
  async (s) => {
    s.cluster = await Cluster.startApart(2);
    for (const node of s.cluster.nodes) {
      await s.cluster.settle(node.db.createTable({ name: 't', disc_copies: [node.name] }));
      await node.write('t', node.name, 'own row');
    }
    await s.cluster.healAndMeet();
    for (const { db } of s.cluster.nodes) expect(db.dirtyAllKeys('t')).toHaveLength(2);
    expect(s.node(1).db.tableInfo('t').cookie).toBe(s.node(2).db.tableInfo('t').cookie);
    await s.allAgain();
  },
);

scenario(
  'complaint 13: nodes whose definitions differ stay up and serving, and the event names table and property',
  async (s) => {
    s.cluster = await Cluster.startApart(2);
    await s.cluster.settle(s.node(1).db.createTable({ name: 't', disc_copies: [s.node(1).name], majority: true }));
    await s.cluster.settle(s.node(2).db.createTable({ name: 't', disc_copies: [s.node(2).name] }));
    s.cluster.heal();
    await s.cluster.advance(5_000);
    expect(s.node(1).eventsOf('schema_conflict')[0]).toMatchObject({
      table: 't',
      property: 'majority',
      node: s.node(2).name,
    });
    for (const node of [1, 2]) await s.node(node).write('t', 'still', 'serving');
  },
);

scenario(
  'complaint 16: a node that comes back under another name keeps its data, its replicas and what it is owed',
  async (s) => {
    await s.startWithTable(2);
    await s.written(1, 'k', 1);
    await s.node(2).stop();
    await s.written(1, 'owed', 2);
    s.node(2).name = 'clusterdb@renamed.example';
    await s.node(2).start();
    await s.cluster.together();
    await s.cluster.advance(2_000);
    expect([s.values('k'), s.values('owed')]).toEqual([
      [1, 1],
      [2, 2],
    ]);
    expect(s.node(1).db.tableInfo('t').discCopies).toEqual(['clusterdb@peer1', 'clusterdb@renamed.example']);
    expect(s.node(1).db.systemInfo().dbNodes).toHaveLength(2);
    await s.allAgain();
  },
);

scenario(
  'complaint 17: no lock stays after processes were killed in the middle of hundreds of transactions on few rows',
  async (s) => {
    await s.startWithTable(3);
    for (let round = 0; round < 6; round++) {
      for (let n = 0; n < 60; n++) {
        s.run(1 + (n % 3), (tx) => {
          for (const key of [n % 5, (n + 2) % 5])
            tx.write('t', key, ((tx.read('t', key) as number | undefined) ?? 0) + 1);
        });
      }
      await s.cluster.advance(1 + round);
      const victim = 1 + (round % 3);
      s.node(victim).kill({ sent: round % 2 === 0 ? 'arrives' : 'lost' });
      await s.cluster.advance(500);
      await s.until('the survivors have ended all they had', () =>
        s.cluster.nodes.every((node) => !node.isRunning || node.db.systemInfo().transactions === 0),
      );
      for (const node of s.cluster.nodes.filter(({ isRunning }) => isRunning))
        expect(node.db.systemInfo().heldLocks).toBe(0);
      await s.node(victim).start();
      await s.cluster.together();
    }
    await s.allAgain();
  },
);

scenario(
  'complaint 18: a replica can be added while the cluster starts, while transfers hold locks and while another node dies, and never hangs',
  async (s) => {
    await s.start(3);
    await s.cluster.settle(s.node(1).db.createTable({ name: 't', disc_copies: [s.node(1).name] }));
    for (let n = 0; n < 20; n++) await s.written(1, n, n);
    await s.node(2).stop();
    await s.node(2).start();
    const added = [2, 3].map((node) =>
      s
        .node(node)
        .db.createTable({ name: 't', disc_copies: [s.node(node).name] })
        .catch((error) => error),
    );
    for (let n = 0; n < 20; n++) s.write(1, n, n + 100);
    await s.cluster.advance(3);
    s.node(3).kill();
    const sinceMs = s.cluster.clock.monotonicMs();
    await s.cluster.settle(added[0] as Promise<unknown>);
    expect(s.cluster.clock.monotonicMs() - sinceMs).toBeLessThan(10_000);
    await s.allAgain();
    expect(s.node(2).db.dirtyAllKeys('t')).toHaveLength(20);
  },
);

for (const how of ['stop', 'kill', 'pause'] as const) {
  for (const point of [
    'connect.before_lock',
    'connect.locked',
    'connect.prepared',
  ] as const satisfies readonly ProbePoint[]) {
    scenario(
      `complaint 19: a node starts while the peer it talks to (${how}) goes at ${point}: the start does not hang, and a third serves`,
      async (s) => {
        await s.startWithTable(3);
        await s.node(3).stop();
        await s.written(1, 'k', 1);
        let isGone = false;
        let closing: Promise<void> = Promise.resolve();
        s.at(2, point, () => {
          isGone = true;
          if (how === 'kill') s.node(2).kill();
          else if (how === 'pause') s.node(2).pause();
          else closing = s.node(2).db.close();
        });
        await s.node(3).start();
        await s.until('the peer gets there', () => isGone);
        if (how === 'pause') {
          // Its links are silent, and after net_ticktime they are down.
          await s.cluster.advance(4_000);
          await s.cluster.split([2], [1, 3]);
        }
        await s.cluster.settle(closing);
        if (how === 'stop') await s.node(2).stop();
        await s.until('the node that starts has its table', () => s.node(3).db.tableInfo('t').loaded, 30_000);
        await s.written(3, 'k', 2);
        await s.allAgain();
      },
    );
  }
}

scenario(
  'complaint 20: a loader is not stuck behind an old lock: a node with a lock is stopped, taken for lost, and goes on',
  async (s) => {
    await s.startWithTable(3);
    const pause = s.pauseAt(2, 'participant.after_vote', { moment: 'sent' });
    s.killAt(1, 'commit.vote_received');
    s.write(1, 'k', 'locked');
    await s.until('peer 2 is stopped with its lock', () => pause.isReached);
    await s.cluster.advance(500);
    await s.cluster.split([2], [1, 3]);
    await s.node(1).start();
    await s.until('peer 1 has loaded', () => s.node(1).db.tableInfo('t').loaded, 30_000);
    await s.written(3, 'k', 'free');
    pause.release();
    await s.allAgain();
  },
);

scenario(
  'complaint 21: with its disc full a node takes no writes and answers reads; the others go on; it takes part again after a restart with room',
  async (s) => {
    await s.startWithTable(3);
    await s.written(3, 'k', 'before');
    s.node(3).disc.setFull(true);
    const refused = s.write(3, 'k', 'on a full disc');
    await s.until('it is told', () => refused.answers > 0);
    expect(refused.error).toMatchObject({ code: 'disc_full' });
    expect(s.node(3).db.dirtyRead('t', 'k')).toBeDefined();
    expect(s.node(3).eventsOf('disc_failed')).toHaveLength(1);
    await s.written(1, 'k', 'the others go on');
    await s.node(3).stop();
    await s.allAgain();
    expect(s.values('k')).toEqual(['the others go on', 'the others go on', 'the others go on']);
  },
);

for (const moment of ['at', 'sent'] as const) {
  for (const point of [
    'commit.after_prepare_sent',
    'commit.decided',
    'commit.after_commit_sent',
    'participant.before_apply',
  ] as const) {
    scenario(
      `complaint 25: everybody dies with a transaction of two rows in doubt (${point}, ${moment}): both rows are there afterwards or neither, on every node`,
      async (s) => {
        await s.startWithTable(3);
        const node = point.startsWith('commit') ? 1 : 2;
        s.at(node, point, () => {
          const die = (): void => {
            for (const one of s.cluster.nodes)
              if (one.isRunning) one.kill({ sent: moment === 'sent' ? 'arrives' : 'lost' });
          };
          if (moment === 'at') die();
          else s.node(node).onceSent(die);
        });
        s.run(1, (tx) => {
          tx.write('t', 'debit', -1);
          tx.write('t', 'credit', 1);
        });
        await s.until('everybody is dead', () => s.cluster.nodes.every(({ isRunning }) => !isRunning));
        await s.allAgain();
        const sums = [1, 2, 3].map((n) => [s.values('debit', [n])[0], s.values('credit', [n])[0]]);
        for (const pair of sums)
          expect([
            [-1, 1],
            [undefined, undefined],
          ]).toContainEqual(pair);
        for (const pair of sums) expect(pair).toEqual(sums[0]);
      },
    );
  }
}

scenario(
  'complaint 13: to end a conflict of definitions one side deletes its table: the other side keeps its own, with its rows',
  async (s) => {
    s.cluster = await Cluster.startApart(2);
    await s.cluster.settle(s.node(1).db.createTable({ name: 't', disc_copies: [s.node(1).name], majority: true }));
    await s.cluster.settle(s.node(2).db.createTable({ name: 't', disc_copies: [s.node(2).name] }));
    s.cluster.heal();
    await s.cluster.advance(5_000);
    for (const node of [1, 2]) await s.node(node).write('t', 'row of', node);
    await s.cluster.settle(s.node(2).db.deleteTable('t'));
    await s.cluster.together();
    await s.cluster.advance(3_000);
    expect(s.node(1).db.dirtyRead('t', 'row of')).toBe(1);
    s.expectRest();
  },
);
