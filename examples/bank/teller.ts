/** One process of the bank: a database with a replica of both tables, and clients that transfer money. */
import { openNode } from '../support/node.ts';
import { type Answer, type Order, START_BALANCE, TABLES } from './orders.ts';

/** Sending to a parent that went away must not be how a teller ends. */
function answer(message: Answer): void {
  process.send?.(message, () => undefined);
}

async function serve(first: Extract<Order, { type: 'open' }>): Promise<void> {
  const { directory, nodeName, network } = first;
  const clusterKey = Buffer.from(network.clusterKeyHex, 'hex');
  const { database, close } = await openNode(directory, nodeName, { ...network, clusterKey });
  for (const name of TABLES) await database.createTable({ name, disc_copies: [nodeName] });
  await database.waitForTables(TABLES, 20_000);
  let transfers = 0;

  const seed = (accounts: number) =>
    database.transaction((tx) => {
      for (let at = 0; at < accounts; at++) tx.write('accounts', at, START_BALANCE);
    });

  const transfer = async (accounts: number): Promise<void> => {
    transfers += 1;
    const id = `${nodeName} ${database.systemInfo().incarnation} ${transfers}`;
    const from = Math.floor(Math.random() * accounts);
    const to = (from + 1 + Math.floor(Math.random() * (accounts - 1))) % accounts;
    await database.transaction((tx) => {
      const balance = tx.read('accounts', from) as number;
      const amount = Math.min(balance, 1 + Math.floor(Math.random() * 20));
      tx.write('accounts', from, balance - amount);
      tx.write('accounts', to, (tx.read('accounts', to) as number) + amount);
      tx.write('transfers', id, [from, to, amount]);
    });
    answer({ type: 'acknowledged', id });
  };

  const client = async (accounts: number, endMs: number): Promise<void> => {
    while (performance.now() < endMs) {
      await transfer(accounts).catch((error: unknown) => answer({ type: 'refused', reason: String(error) }));
    }
  };

  const audit = (): Answer => {
    let sum = 0;
    database.dirtyForEach('accounts', (_, balance) => {
      sum += balance as number;
    });
    const digests = TABLES.map((name) => database.tableInfo(name).digest).join(' ');
    const nodes = database.systemInfo().runningDbNodes.length;
    return { type: 'audit', sum, transfers: database.dirtyAllKeys('transfers') as string[], digests, nodes };
  };

  process.on('message', (order: Order) => {
    if (order.type === 'seed') void seed(order.accounts).then(() => answer({ type: 'done' }));
    if (order.type === 'audit') answer(audit());
    if (order.type === 'close') void close().then(() => process.exit(0));
    if (order.type !== 'run') return;
    const endMs = performance.now() + order.durationMs;
    const clients = Array.from({ length: order.clients }, () => client(order.accounts, endMs));
    void Promise.all(clients).then(() => answer({ type: 'done' }));
  });
  answer({ type: 'open' });
}

process.once('message', (order: Order) => {
  if (order.type === 'open') void serve(order);
});
process.once('disconnect', () => process.exit(1));
