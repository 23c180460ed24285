/**
 * What real Mnesia was seen to lose, experiment by experiment (E1 to E13), and what it loses when the process is killed:
 * the same cuts, writes and kills here, and nothing is lost.
 */
import { expect } from 'vitest';
import type { SystemEvent } from '../../../storage/types.ts';
import { createSeededRandom } from '../disc/virtual-clock.ts';
import { Cluster } from '../support/cluster.ts';
import { KINDS, type Scenario, scenario } from '../support/scenario.ts';

/** The rows of the experiments: base rows, then writes and deletes on both sides of the cut. */
async function writeBothSides(s: Scenario, left: number, right: number): Promise<void> {
  await s.node(left).write('t', 'k1', 'left');
  await s.node(left).write('t', 'k10', 'left_only');
  await s.node(left).delete('t', 'k3');
  await s.cluster.advance(10);
  await s.node(right).write('t', 'k1', 'right');
  await s.node(right).write('t', 'k20', 'right_only');
  await s.node(right).write('t', 'k2', 'right2');
}

async function withBase(s: Scenario, count: number, options = {}): Promise<void> {
  await s.startWithTable(count, 'disc_copies', {}, options);
  for (const key of ['k1', 'k2', 'k3']) await s.node(1).write('t', key, 'base');
  await s.cluster.advance(1_000);
}

/** Of both sides everything, deletes too; the row both wrote is the later one's, and the other's is in the ledger. */
function expectBothSides(s: Scenario): void {
  const merged = { k1: 'right', k2: 'right2', k3: undefined, k10: 'left_only', k20: 'right_only' };
  for (const { name, db } of s.cluster.nodes) {
    expect({ name, ...Object.fromEntries(Object.keys(merged).map((key) => [key, db.dirtyRead('t', key)])) }).toEqual({
      name,
      ...merged,
    });
    expect(db.ledger().map(({ key, winner, loser }) => [key, winner.value, loser.value])).toEqual([
      ['k1', 'right', 'left'],
    ]);
  }
}

function eventsAbout(s: Scenario, node: number, other: number): SystemEvent['type'][] {
  const { name } = s.node(other);
  return s
    .node(node)
    .events.filter((event) => 'node' in event && event.node === name)
    .map(({ type }) => type);
}

scenario(
  'E1 two nodes are cut and healed: events come in order on both sides, the rows of both are there, and new writes reach both',
  async (s) => {
    await withBase(s, 2);
    for (const node of s.cluster.nodes) node.events.length = 0;
    await s.cluster.split([1], [2]);
    await writeBothSides(s, 1, 2);
    await s.cluster.healAndMeet();
    for (const [node, other] of [
      [1, 2],
      [2, 1],
    ] as const) {
      expect(eventsAbout(s, node, other)).toEqual(['mnesia_down', 'inconsistent_database', 'mnesia_up']);
    }
    expectBothSides(s);
    await s.written(1, 'k50', 'after');
    await s.allAgain();
    expect(s.values('k50')).toEqual(['after', 'after']);
  },
);

scenario('E2 one of three is cut off and comes back link by link: it does not stay outside', async (s) => {
  await withBase(s, 3);
  await s.cluster.split([1], [2, 3]);
  await writeBothSides(s, 1, 2);
  s.cluster.network.heal('id1', 'id2');
  await s.cluster.advance(3_000);
  s.cluster.network.heal('id1', 'id3');
  await s.cluster.together();
  await s.cluster.advance(2_000);
  expectBothSides(s);
  await s.allAgain();
});

scenario(
  'E2D two of three lose each other and both see the third: no commit is on two of an island and not on its third',
  async (s) => {
    await withBase(s, 3);
    s.cluster.network.cut('id1', 'id2');
    for (let n = 0; n < 400; n++) {
      if (n % 4 === 0) s.write(1 + ((n / 4) % 3), `row${n}`, n);
      await s.cluster.advance(10);
      for (const a of s.cluster.nodes) {
        const island = a.db.systemInfo().runningDbNodes;
        for (const b of s.cluster.nodes) {
          const isMutual = island.includes(b.name) && b.db.systemInfo().runningDbNodes.includes(a.name);
          const isQuiet = a.db.systemInfo().transactions + b.db.systemInfo().transactions === 0;
          if (isMutual && isQuiet)
            expect([n, a.name, a.db.tableInfo('t').digest]).toEqual([n, a.name, b.db.tableInfo('t').digest]);
        }
      }
    }
    // Not for ever half together: of the two that lost each other, one is out.
    const islands = s.cluster.nodes.map(({ db }) => db.systemInfo().runningDbNodes.length).sort();
    expect(islands).toEqual([1, 2, 2]);
    await s.allAgain();
  },
);

scenario(
  'E2P one lost link does not leave everybody alone: two go on together, and the third is back when the link is',
  async (s) => {
    await withBase(s, 3);
    s.cluster.network.cut('id2', 'id3');
    await s.cluster.advance(5_000);
    expect(s.cluster.nodes.map(({ db }) => db.systemInfo().runningDbNodes.length).sort()).toEqual([1, 2, 2]);
    await s.allAgain();
  },
);

for (const restarted of [1, 2]) {
  for (const how of ['stop', 'kill'] as const) {
    scenario(
      `E3 after a cut peer ${restarted} is restarted (${how}): what it committed during the cut is not thrown away for the other side's tables`,
      async (s) => {
        await withBase(s, 2);
        await s.cluster.split([1], [2]);
        await writeBothSides(s, 1, 2);
        if (how === 'stop') await s.node(restarted).stop();
        else s.node(restarted).kill();
        s.cluster.heal();
        await s.node(restarted).start();
        await s.cluster.together();
        await s.cluster.advance(2_000);
        expectBothSides(s);
        await s.allAgain();
      },
    );
  }
}

for (const order of [
  [1, 2],
  [2, 1],
] as const) {
  for (const how of ['stop', 'kill'] as const) {
    scenario(
      `E4 after a cut both end (${how}) and start in the order ${order.join(' ')}: the rows of both are there, whoever is first`,
      async (s) => {
        await withBase(s, 2);
        await s.cluster.split([1], [2]);
        await writeBothSides(s, 1, 2);
        for (const node of s.cluster.nodes) {
          if (how === 'stop') await node.stop();
          else node.kill();
        }
        s.cluster.heal();
        for (const node of order) {
          await s.node(node).start();
          await s.cluster.advance(order[0] === node ? 500 : 0);
        }
        await s.cluster.together();
        await s.cluster.advance(2_000);
        expectBothSides(s);
        await s.allAgain();
      },
    );
  }
}

scenario(
  'E5 connectNode after a cut, with healing by itself switched off: the tables are one when it resolves, not only the list of nodes',
  async (s) => {
    s.cluster = await Cluster.startApart(2, { autoConnect: false });
    s.cluster.heal();
    await s.cluster.advance(1_000);
    await s.cluster.settle(s.node(1).db.connectNode(s.node(2).name));
    await s.cluster.createTable('t');
    for (const key of ['k1', 'k2', 'k3']) await s.node(1).write('t', key, 'base');
    await s.cluster.advance(1_000);
    await s.cluster.split([1], [2]);
    await writeBothSides(s, 1, 2);
    s.cluster.heal();
    await s.cluster.advance(5_000);
    expect(s.node(1).db.systemInfo().runningDbNodes).toEqual([s.node(1).name]);
    await s.cluster.settle(s.node(1).db.connectNode(s.node(2).name));
    await s.cluster.advance(10);
    expectBothSides(s);
    const attempt = s.write(2, 'k900', 'new');
    await s.until('the new row is answered', () => attempt.answers > 0);
    await s.cluster.advance(10);
    expect(s.values('k900')).toEqual(['new', 'new']);
  },
);

scenario('E6 a merge of both sides keeps the deletes of either', async (s) => {
  await withBase(s, 2);
  await s.cluster.split([1], [2]);
  await writeBothSides(s, 1, 2);
  await s.node(2).delete('t', 'k20');
  await s.cluster.healAndMeet();
  expect([s.values('k3'), s.values('k20')]).toEqual([
    [undefined, undefined],
    [undefined, undefined],
  ]);
  await s.allAgain();
});

for (const kind of KINDS) {
  scenario(
    `E8 a majority table (${kind}): the side of one refuses every kind of write and changes nothing; after the heal it takes part without a restart`,
    async (s) => {
      await s.startWithTable(3, 'disc_copies', { majority: true });
      await s.written(1, 'k', 'base');
      await s.cluster.split([1], [2, 3]);
      const refused = s.write(1, 'k', 'minority', kind);
      const deleted = s.run(1, (tx) => tx.delete('t', 'k'));
      await s.until('both have an answer', () => refused.answers + deleted.answers === 2, 2_000);
      for (const { error } of [refused, deleted]) {
        expect(error).toMatchObject({ code: 'no_majority', fields: { table: 't', nodes: s.cluster.names.slice(1) } });
      }
      expect(s.values('k', [1])).toEqual(['base']);
      await s.written(2, 'k', 'majority');
      await s.cluster.healAndMeet();
      await s.written(1, 'k', 'again', kind);
      await s.allAgain();
      expect(s.values('k')).toEqual(['again', 'again', 'again']);
    },
  );
}

scenario('E9 the last writer’s rows are awaited, and taken when it comes', async (s) => {
  await withBase(s, 2);
  await s.node(1).stop();
  await s.written(2, 'k', 'newest');
  await s.node(2).stop();
  await s.node(1).start();
  expect((await s.cluster.failure(s.node(1).db.waitForTables(['t'], 1_000))).fields.nodes).toEqual([s.node(2).name]);
  const refused = s.write(1, 'k', 'old');
  await s.until('the write is refused', () => refused.answers > 0);
  expect(refused.error?.code).toBe('table_not_loaded');
  await s.allAgain();
  expect(s.values('k')).toEqual(['newest', 'newest']);
});

scenario(
  'E9F a forced load and a write there: the newer row of the other is not lost, and both are told that they were apart',
  async (s) => {
    await withBase(s, 2);
    await s.node(1).stop();
    await s.written(2, 'newer', 'kept');
    await s.node(2).stop();
    await s.node(1).start();
    await s.cluster.settle(s.node(1).db.forceLoadTable('t'));
    await s.written(1, 'forced', 'kept too');
    await s.node(2).start();
    await s.cluster.together();
    await s.cluster.advance(1_000);
    expect([s.values('newer'), s.values('forced')]).toEqual([
      ['kept', 'kept'],
      ['kept too', 'kept too'],
    ]);
    await s.allAgain();
  },
);

for (const survivor of [1, 2]) {
  scenario(
    `E11 both are killed at once while peer ${3 - survivor}'s disc lags behind: the fresher rows win, not the smaller name`,
    async (s) => {
      await withBase(s, 2);
      s.node(3 - survivor).disc.setLatencyMs(30);
      const attempts = Array.from({ length: 10 }, (_, n) => s.write(survivor, n, n));
      await s.until('all are answered', () => attempts.every(({ answers }) => answers === 1));
      for (const node of s.cluster.nodes) node.kill();
      await s.allAgain();
      for (let n = 0; n < 10; n++) expect(s.values(n)).toEqual([n, n]);
    },
  );
}

for (const kind of ['transaction', 'sync'] as const) {
  scenario(
    `E12 the coordinator of three is killed right after an answer (${kind}), again and again: nothing answered is missing on the survivors`,
    async (s) => {
      await s.startWithTable(3);
      for (let round = 0; round < 9; round++) {
        const coordinator = 1 + (round % 3);
        const survivors = [1, 2, 3].filter((node) => node !== coordinator);
        const attempts = Array.from({ length: 8 }, (_, n) => s.write(coordinator, `${round}.${n}`, n, kind));
        await s.until('one is answered', () => attempts.some(({ answers }) => answers > 0));
        s.node(coordinator).kill();
        await s.cluster.advance(300);
        const answered = attempts.filter(({ isAcknowledged }) => isAcknowledged);
        expect(answered.length).toBeGreaterThan(0);
        for (const { writes } of answered)
          for (const [key, value] of writes) expect(s.values(key, survivors)).toEqual([value, value]);
        await s.node(coordinator).start();
        await s.cluster.together();
      }
      await s.allAgain();
    },
  );
}

for (const kind of ['transaction', 'sync'] as const) {
  for (let seed = 1; seed <= 24; seed++) {
    scenario(
      `E13 round ${seed} (${kind}): 16 writers at one node of a majority table, which is cut off: every answered row is on the majority`,
      async (s) => {
        const random = createSeededRandom(seed);
        await s.startWithTable(3, 'disc_copies', { majority: true }, { seed });
        for (const node of s.cluster.nodes) node.disc.setLatencyMs(random.next() * 3, 2);
        for (const [from, to] of [
          ['id1', 'id2'],
          ['id1', 'id3'],
          ['id2', 'id1'],
          ['id3', 'id1'],
        ] as const) {
          s.cluster.network.delay(from, to, 0.3 + random.next() * 3);
        }
        const writers = new Map<number, number>();
        const write = (): void => {
          for (let writer = 0; writer < 16; writer++) {
            const last = writers.get(writer);
            if (last !== undefined && s.attempts[last]?.answers === 0) continue;
            if (last !== undefined && s.attempts[last]?.error !== undefined) continue;
            writers.set(writer, s.attempts.length);
            s.write(1, `${writer}.${s.attempts.length}`, writer, kind);
          }
        };
        for (let ms = 0; ms < 40; ms++) {
          write();
          await s.cluster.advance(1);
        }
        // Each end of each link hears of the cut in its own time.
        for (const other of ['id2', 'id3'])
          s.cluster.network.cut('id1', other, { id1: random.next() * 8, [other]: random.next() * 8 });
        for (let ms = 0; ms < 60; ms++) {
          write();
          await s.cluster.advance(1);
        }
        await s.until('every writer was told', () => s.attempts.every(({ answers }) => answers > 0));
        await s.cluster.advance(1_000);
        const answered = s.attempts.filter(({ isAcknowledged }) => isAcknowledged);
        expect(answered.length).toBeGreaterThan(30);
        const missing = answered
          .flatMap(({ writes }) => [...writes])
          .filter(([key, value]) => s.values(key, [2, 3]).some((found) => found !== value));
        expect(missing).toEqual([]);
        await s.allAgain();
      },
    );
  }
}

for (const count of [1, 3]) {
  for (const kind of ['transaction', 'sync'] as const) {
    scenario(
      `f durability (${kind}, ${count === 1 ? 'one node' : 'three nodes'}): every process is killed right after answers, eight times over: nothing answered is missing`,
      async (s) => {
        await s.startWithTable(count);
        const random = createSeededRandom(count);
        for (let life = 0; life < 8; life++) {
          for (const node of s.cluster.nodes) node.disc.setLatencyMs(random.next() * 4, 3);
          const attempts: ReturnType<typeof s.write>[] = [];
          const lastMs = 25 + Math.floor(random.next() * 20);
          for (let ms = 0; ms < lastMs; ms++) {
            for (let n = 0; n < 4; n++) attempts.push(s.write(1 + (n % count), `${life}.${ms}.${n}`, n, kind));
            await s.cluster.advance(1);
          }
          for (const node of s.cluster.nodes) node.kill();
          const answered = attempts.filter(({ isAcknowledged }) => isAcknowledged);
          expect(answered.length).toBeGreaterThan(0);
          await s.allAgain();
          for (const { writes } of answered)
            for (const [key, value] of writes) expect(s.values(key, [1])).toEqual([value]);
        }
      },
    );
  }
}
