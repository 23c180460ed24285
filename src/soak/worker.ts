/**
 * One peer of a soak: a whole peer, as `peerage peer` runs it, and clients of its database in the same process, which do
 * what the simulator's clients do and tell all of it to the soak (records.ts).
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Database, SystemEvent, TableEvent, Value } from '../../storage/index.ts';
import { systemCode } from '../cli/errors.ts';
import { loadConfiguration } from '../peer/configuration.ts';
import { outliveConsole } from '../peer/main.ts';
import { Peer } from '../peer/peer.ts';
import { byOf, keyText, type TablePlan } from '../simulation/history.ts';
import { definitionOf } from '../simulation/tables.ts';
import { Clients } from './clients.ts';
import { nowUs, soakTables } from './plan.ts';
import type { PeerRecord, PeerRequest, PeerTables } from './records.ts';

const RECORDS_FD = 3;
/** Rows deleted by one transaction when tables are cleared. */
const CLEARED_AT_ONCE = 100;
const CLEAR_DEADLINE_MS = 60_000;

/** Written at once: what stayed in a buffer of this process would be lost with it. */
export function tell(record: PeerRecord): void {
  let octets: Uint8Array = Buffer.from(`${JSON.stringify(record)}\n`);
  while (octets.length > 0) {
    try {
      octets = octets.subarray(writeSync(RECORDS_FD, octets));
    } catch (error) {
      if (systemCode(error) !== 'EAGAIN') throw error;
    }
  }
}

export async function runSoakPeer(configPath: string, index: number, count: number): Promise<void> {
  // A limit on the size of files is the soak's full disc: the write must fail, not the process end.
  process.on('SIGXFSZ', () => undefined);
  outliveConsole();
  const configuration = await loadConfiguration(configPath);
  let worker: SoakPeer | undefined;
  const peer = new Peer(configuration, {
    ready: (url) => tell({ type: 'ready', atUs: nowUs(), url }),
    fatal: (reason) => {
      process.stderr.write(`The peer ends itself: ${reason}\n`);
      process.exit(1);
    },
    opened: (database) => {
      worker = new SoakPeer(database, index, soakTables(count));
      void worker.open();
    },
  });
  process.once('SIGTERM', () => void peer.stop().then(() => process.exit(0)));
  createInterface({ input: process.stdin }).on('line', (line) => void worker?.answer(JSON.parse(line) as PeerRequest));
  await peer.start();
}

class SoakPeer {
  readonly #database: Database;
  readonly #plans: readonly TablePlan[];
  readonly #clients: Clients;
  readonly #opened: Promise<void>;
  #isOpen: () => void = () => undefined;

  constructor(database: Database, index: number, plans: readonly TablePlan[]) {
    this.#database = database;
    this.#plans = plans.filter((plan) => plan.holders.includes(index));
    this.#clients = new Clients({ database, index, plans, tell });
    this.#opened = new Promise((resolve) => {
      this.#isOpen = resolve;
    });
  }

  async open(): Promise<void> {
    const database = this.#database;
    database.subscribeSystem((event) => this.#sawSystemEvent(event));
    this.#tellView('open', []);
    for (const plan of this.#plans) {
      await database.createTable(definitionOf(plan, database.nodeName));
      database.subscribeTable(plan.name, (event) => this.#sawTableEvent(event));
    }
    this.#isOpen();
  }

  #sawSystemEvent(event: SystemEvent): void {
    const others = 'nodes' in event ? event.nodes : 'node' in event ? [event.node] : [];
    this.#tellView(event.type, others);
  }

  #tellView(event: string, others: readonly string[]): void {
    tell({ type: 'event', atUs: nowUs(), event, others, view: this.#database.systemInfo().runningDbNodes });
  }

  #sawTableEvent(event: TableEvent): void {
    tell({
      type: 'row',
      atUs: nowUs(),
      table: event.table,
      key: keyText(event.key),
      change: event.type,
      by: event.type === 'write' ? byOf(event.value) : undefined,
      oldBy: byOf(event.oldValue),
      version: event.version,
      origin: event.origin,
    });
  }

  async answer(request: PeerRequest): Promise<void> {
    let result: unknown;
    let error: string | undefined;
    try {
      await this.#opened;
      result = await this.#do(request);
    } catch (failure) {
      error = String(failure);
    }
    tell({ type: 'answer', atUs: nowUs(), id: request.id, result, error });
  }

  #do(request: PeerRequest): unknown {
    switch (request.ask) {
      case 'work':
        return this.#clients.start(request.work);
      case 'rest':
        return this.#clients.stop();
      case 'state':
        return this.#state();
      case 'rows':
        return this.#rows();
      case 'clear':
        return this.#clear(request.own);
    }
  }

  #state(): PeerTables {
    const { runningDbNodes, heldLocks, lockQueue, transactions } = this.#database.systemInfo();
    const tables: Record<string, { loaded: boolean; digest: string; awaiting: readonly string[] }> = {};
    for (const { name } of this.#plans) {
      const { loaded, digest, awaiting } = this.#database.tableInfo(name);
      tables[name] = { loaded, digest, awaiting };
    }
    return { view: runningDbNodes, heldLocks, lockQueue, transactions, tables };
  }

  #rows(): { rows: Record<string, [string, Value][]>; ledger: unknown } {
    const rows: Record<string, [string, Value][]> = {};
    for (const { name } of this.#plans) {
      const held: [string, Value][] = [];
      this.#database.dirtyForEach(name, (key, value) => held.push([keyText(key), value]));
      rows[name] = held.sort(([a], [b]) => (a < b ? -1 : 1));
    }
    return { rows, ledger: this.#database.ledger() };
  }

  async #clear(own: boolean): Promise<void> {
    for (const { name, localContent } of this.#plans) {
      if (localContent !== own) continue;
      const keys = this.#database.dirtyAllKeys(name);
      for (let from = 0; from < keys.length; from += CLEARED_AT_ONCE) {
        const some = keys.slice(from, from + CLEARED_AT_ONCE);
        const clear = (tx: { delete(table: string, key: (typeof some)[number]): void }): void => {
          for (const key of some) tx.delete(name, key);
        };
        await this.#database.transaction(clear, { deadlineMs: CLEAR_DEADLINE_MS });
      }
    }
  }
}
