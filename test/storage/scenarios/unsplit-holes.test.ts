/** The eleven holes of unsplit, the merge that users of Mnesia put on top of it: each closed here, each shown closed. */
import { expect } from 'vitest';
import type { Key, Value } from '../../../storage/types.ts';
import { type Scenario, scenario } from '../support/scenario.ts';

function rowsAt(s: Scenario, node: number): [Key, Value][] {
  const { db } = s.node(node);
  return db.dirtyAllKeys('t').map((key): [Key, Value] => [key, db.dirtyRead('t', key)]);
}

async function writeRows(s: Scenario, node: number, prefix: string, count: number): Promise<void> {
  await s.cluster.settle(
    s.node(node).db.transaction((tx) => {
      for (let n = 0; n < count; n++) tx.write('t', `${prefix}${n}`, n);
    }),
  );
}

/** Mends the network and looks at the nodes after each virtual ms until all are one island. */
async function healWatching(s: Scenario, look: () => void): Promise<void> {
  s.cluster.heal();
  const areOne = (): boolean =>
    s.cluster.nodes.every(
      (node) => node.isRunning && node.db.systemInfo().runningDbNodes.length === s.cluster.nodes.length,
    );
  for (let ms = 0; ms < 30_000 && !areOne(); ms++) {
    await s.cluster.advance(1);
    look();
  }
  expect(areOne()).toBe(true);
}

scenario(
  'unsplit hole 1: keys that exist on one side only are visited too, from whichever side the merge is led',
  async (s) => {
    await s.startWithTable(3);
    for (const [left, right] of [
      [[1], [2, 3]],
      [[1, 2], [3]],
      [[2], [1, 3]],
    ] as const) {
      await s.cluster.split(left, right);
      await writeRows(s, left[0], `left${left}`, 3);
      await writeRows(s, right[0], `right${left}`, 4);
      await s.cluster.healAndMeet();
    }
    await s.allAgain();
    for (const node of [1, 2, 3]) expect(rowsAt(s, node)).toHaveLength(21);
  },
);

scenario(
  'unsplit hole 2: no kind of key or value stops the merge, and lists of several entries are values like any other',
  async (s) => {
    await s.startWithTable(2);
    const keys: Key[] = ['text', 1, -0.5, 10n ** 20n, true, null, new Uint8Array([1, 2]), ['a', 1, [null]], ''];
    await s.cluster.split([1], [2]);
    for (const [index, key] of keys.entries()) {
      await s
        .node(1 + (index % 2))
        .write('t', key, [{ list: ['of', 'several'] }, null, undefined, 1n, new Uint8Array(3)]);
    }
    await s.node(1).write('t', 'both', ['left', 1]);
    await s.node(2).write('t', 'both', ['right', 2, 3]);
    await s.allAgain();
    for (const node of [1, 2]) expect(rowsAt(s, node)).toHaveLength(keys.length + 1);
    expect(s.node(1).db.ledger()).toHaveLength(1);
  },
);

for (const deleter of [1, 2]) {
  scenario(
    `unsplit hole 3: what peer ${deleter} deleted does not come back from the other, now or after everybody's restart`,
    async (s) => {
      await s.startWithTable(2);
      await writeRows(s, 1, 'row', 5);
      await s.cluster.advance(1_000);
      await s.cluster.split([1], [2]);
      for (let n = 0; n < 4; n++) await s.node(deleter).delete('t', `row${n}`);
      await s.allAgain();
      for (const node of s.cluster.nodes) node.kill();
      await s.allAgain();
      for (const node of [1, 2]) expect(rowsAt(s, node)).toEqual([['row4', 4]]);
    },
  );
}

scenario(
  'unsplit hole 4: a row that was changed on top of the other side’s wins over it, however often the sides part, and is no conflict',
  async (s) => {
    await s.startWithTable(2);
    await s.written(1, 'k', 'version 0');
    for (let round = 1; round <= 6; round++) {
      await s.cluster.split([1], [2]);
      const writer = 1 + (round % 2);
      // Twice: the greater counter is not the only thing that tells.
      await s.written(writer, 'k', `version ${round} draft`);
      await s.written(writer, 'k', `version ${round}`);
      await s.cluster.healAndMeet();
      expect(s.values('k')).toEqual([`version ${round}`, `version ${round}`]);
    }
    await s.allAgain();
    expect(s.node(1).db.ledger()).toEqual([]);
  },
);

scenario(
  'unsplit hole 5: a merge says once to each node that it is done, with what was taken, given and in conflict',
  async (s) => {
    await s.startWithTable(2);
    await s.cluster.split([1], [2]);
    await writeRows(s, 1, 'left', 3);
    await writeRows(s, 2, 'right', 2);
    await s.node(1).write('t', 'both', 1);
    await s.node(2).write('t', 'both', 2);
    for (const node of s.cluster.nodes) node.events.length = 0;
    await s.allAgain();
    for (const node of s.cluster.nodes)
      expect(node.eventsOf('connected')).toEqual([expect.objectContaining({ nodes: s.cluster.names, conflicts: 1 })]);
    // Two rows, the ledger's entry, and at the loser's side the winner.
    expect(s.node(1).eventsOf('connected')[0]).toMatchObject({ rowsTaken: 4 });
    expect(s.node(2).eventsOf('connected')[0]).toMatchObject({ rowsTaken: 4 });
  },
);

for (const point of ['connect.prepared', 'connect.before_apply', 'connect.after_apply'] as const) {
  for (const victim of [1, 2]) {
    scenario(
      `unsplit hole 6: peer ${victim} dies at ${point} of a merge of 1,500 rows: no node ever shows a part of them`,
      async (s) => {
        await s.startWithTable(3);
        await s.cluster.split([1], [2, 3]);
        await writeRows(s, 1, 'left', 700);
        await writeRows(s, 2, 'right', 800);
        await s.cluster.advance(1_000);
        s.killAt(victim, point);
        const sizes = new Set<number>();
        const look = (): void => {
          for (const { isRunning, db } of s.cluster.nodes.filter((node) => node.isRunning)) {
            if (isRunning && db.tableInfo('t').loaded) sizes.add(db.tableInfo('t').size);
          }
        };
        s.cluster.heal();
        for (let ms = 0; ms < 1_000; ms++) {
          await s.cluster.advance(1);
          look();
        }
        expect(s.node(victim).isRunning).toBe(false);
        await s.node(victim).start();
        await healWatching(s, look);
        expect([...sizes].filter((size) => ![700, 800, 1_500].includes(size))).toEqual([]);
        await s.allAgain();
        for (const node of [1, 2, 3]) expect(rowsAt(s, node)).toHaveLength(1_500);
      },
    );
  }
}

scenario(
  'unsplit hole 7: two nodes that count each other as running never have different tables, at any moment of a heal',
  async (s) => {
    await s.startWithTable(3);
    await s.cluster.split([1], [2, 3]);
    await writeRows(s, 1, 'left', 50);
    await writeRows(s, 3, 'right', 50);
    await healWatching(s, () => {
      for (const a of s.cluster.nodes) {
        for (const b of s.cluster.nodes) {
          const areTogether = [
            [a, b],
            [b, a],
          ].every(([one, other]) => one?.db.systemInfo().runningDbNodes.includes(other?.name ?? ''));
          if (areTogether) expect([a.name, a.db.tableInfo('t').digest]).toEqual([a.name, b.db.tableInfo('t').digest]);
        }
      }
    });
    await s.allAgain();
  },
);

for (const order of [
  ['12', '23', '13'],
  ['13', '12', '23'],
  ['23', '13', '12'],
]) {
  scenario(
    `unsplit hole 8: three islands of one and a network that comes back link by link (${order.join(', ')}) become one, with all rows`,
    async (s) => {
      await s.startWithTable(3);
      await s.cluster.split([1], [2, 3]);
      await s.cluster.split([2], [3]);
      for (const node of [1, 2, 3]) await writeRows(s, node, `of${node}x`, 5);
      for (const link of order) {
        s.cluster.network.heal(`id${link[0]}`, `id${link[1]}`);
        await s.cluster.advance(2_500);
      }
      await s.allAgain();
      for (const node of [1, 2, 3]) expect(rowsAt(s, node)).toHaveLength(15);
    },
  );
}

scenario(
  'unsplit hole 9: readers are answered at every moment of a heal, and no writer waits for the walk over the rows',
  async (s) => {
    await s.startWithTable(3);
    await s.written(1, 'k', 0);
    await s.cluster.split([1], [2, 3]);
    await writeRows(s, 1, 'left', 1_000);
    await writeRows(s, 2, 'right', 1_000);
    await s.cluster.advance(1_000);
    let [longestMs, sinceMs, n] = [0, s.cluster.clock.monotonicMs(), 0];
    let writing = s.write(2, 'k', n);
    await healWatching(s, () => {
      for (const node of [1, 2, 3]) expect(s.node(node).db.dirtyRead('t', 'k')).toBeTypeOf('number');
      const nowMs = s.cluster.clock.monotonicMs();
      longestMs = Math.max(longestMs, nowMs - sinceMs);
      if (writing.answers === 0) return;
      sinceMs = nowMs;
      writing = s.write(2, 'k', ++n);
    });
    expect(longestMs).toBeLessThan(100);
    await s.allAgain();
  },
);

scenario(
  'unsplit hole 10: dirty writers on both sides do not race with the merge: whatever was answered is there on all nodes',
  async (s) => {
    await s.startWithTable(3);
    await s.cluster.split([1], [2, 3]);
    await writeRows(s, 1, 'left', 100);
    let n = 0;
    await healWatching(s, () => {
      s.write(1, `dirty1-${n}`, n, 'dirty');
      s.write(3, `dirty3-${n}`, n, 'dirty');
      n += 1;
    });
    await s.cluster.advance(1_000);
    const answered = s.attempts.filter(({ isAcknowledged }) => isAcknowledged);
    expect(answered.length).toBe(s.attempts.length);
    expect(n).toBeGreaterThan(5);
    await s.allAgain();
  },
);

scenario(
  'unsplit hole 11: links that break and come back at once, and are noticed by one side only, leave no difference',
  async (s) => {
    await s.startWithTable(3);
    for (let round = 0; round < 12; round++) {
      const [a, b] = [
        ['id1', 'id2'],
        ['id2', 'id3'],
        ['id1', 'id3'],
      ][round % 3] as [string, string];
      // Heard by both at once, or by one of them some ms later than by the other.
      s.cluster.network.cut(a, b, round % 2 === 0 ? {} : { [a]: 3 * round });
      s.write(1 + (round % 3), round, `round ${round}`);
      await s.cluster.advance(round % 4);
      s.cluster.network.heal(a, b);
      s.write(1 + ((round + 1) % 3), `also ${round}`, round);
      await s.cluster.advance(700);
    }
    await s.cluster.advance(5_000);
    expect(s.attempts.filter(({ answers }) => answers !== 1)).toEqual([]);
    await s.allAgain();
  },
);
