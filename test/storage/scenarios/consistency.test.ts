/** mnesia_consistency_test: transfers all the time, from every node; the sum that any transaction sees is always right. */
import { scenario } from '../support/scenario.ts';
import { Bank } from './bank.ts';

for (const kind of ['ram_copies', 'disc_copies'] as const) {
  for (const restarted of [[2], [2, 3], [1]]) {
    for (const how of ['stop', 'kill'] as const) {
      scenario(
        `consistency_after_restart (${kind}): peers ${restarted.join(' and ')} ${how} in turn under transfers and return`,
        async (s) => {
          await s.startWithTable(3, kind);
          const bank = await Bank.open(s);
          await bank.work(200);
          for (const node of restarted) {
            if (how === 'kill') s.node(node).kill();
            else await s.node(node).stop();
            await bank.work(500);
            await s.node(node).start();
            await bank.work(500);
          }
          await bank.close();
        },
      );
    }
  }
}

scenario(
  'consistency_after_restart: all are killed in the middle of transfers, and again in the middle of starting',
  async (s) => {
    await s.startWithTable(3);
    const bank = await Bank.open(s);
    for (let life = 0; life < 3; life++) {
      await bank.work(300);
      for (const node of s.cluster.nodes) node.kill();
      for (const node of s.cluster.nodes) await node.start();
      await s.cluster.advance(15 * (life + 1));
      for (const node of s.cluster.nodes) node.kill();
      for (const node of s.cluster.nodes) await node.start();
      await s.until('they are together again', () =>
        s.cluster.nodes.every(({ db }) => db.systemInfo().runningDbNodes.length === 3),
      );
    }
    await bank.close();
  },
);

scenario('consistency_after_restart: one loses its power under transfers, with the tail of its disc', async (s) => {
  await s.startWithTable(3);
  const bank = await Bank.open(s);
  for (const node of [3, 1, 2]) {
    await bank.work(300);
    s.node(node).kill('synced');
    await bank.work(300);
    await s.node(node).start();
    await bank.work(500);
  }
  await bank.close();
});

scenario('consistency_after_add_replica: a third node gets its replica under transfers', async (s) => {
  await s.start(3);
  await s.cluster.settle(s.node(1).db.createTable({ name: 't', disc_copies: s.cluster.names.slice(0, 2) }));
  await s.cluster.advance(1_000);
  const bank = await Bank.open(s);
  await bank.work(200);
  const added = s.node(3).db.createTable({ name: 't', disc_copies: [s.node(3).name] });
  await bank.work(500);
  await s.cluster.settle(added);
  await bank.work(500);
  await bank.close();
});

scenario('consistency_after_add_replica: the new replica dies while it is being filled', async (s) => {
  await s.start(3);
  await s.cluster.settle(s.node(1).db.createTable({ name: 't', disc_copies: s.cluster.names.slice(0, 2) }));
  await s.cluster.advance(1_000);
  const bank = await Bank.open(s);
  s.killAt(3, 'connect.before_apply');
  s.node(3)
    .db.createTable({ name: 't', disc_copies: [s.node(3).name] })
    .catch(() => undefined);
  await bank.work(1_000);
  await s.node(3).start();
  await bank.work(500);
  await bank.close();
});

for (const side of [[1], [3]] as const) {
  scenario(
    `consistency_during_heal: peer ${side[0]} was cut off and only looked on; transfers go on through the heal`,
    async (s) => {
      await s.startWithTable(3);
      const bank = await Bank.open(s);
      await bank.work(200);
      const others = [1, 2, 3].filter((node) => node !== side[0]);
      await s.cluster.split(side, others);
      await bank.work(500, others);
      s.cluster.heal();
      await bank.work(1_500, others);
      await bank.close();
    },
  );
}

scenario(
  'consistency_during_heal: a majority table: both sides try, only one may, and the sum is right over the whole',
  async (s) => {
    await s.startWithTable(3, 'disc_copies', { majority: true });
    const bank = await Bank.open(s);
    for (const [left, right] of [
      [[1], [2, 3]],
      [[2], [1, 3]],
      [[1, 2], [3]],
    ] as const) {
      await bank.work(200);
      await s.cluster.split(left, right);
      await bank.work(800);
      s.cluster.heal();
      await bank.work(1_500);
    }
    await bank.close();
  },
);

scenario('consistency_during_heal: the leader of the heal dies in the middle, transfers go on', async (s) => {
  await s.startWithTable(3, 'disc_copies', { majority: true });
  const bank = await Bank.open(s);
  await s.cluster.split([1], [2, 3]);
  await bank.work(500);
  s.killAt(1, 'connect.before_apply');
  s.cluster.heal();
  await bank.work(1_500);
  await s.node(1).start();
  await bank.work(1_000);
  await bank.close();
});
