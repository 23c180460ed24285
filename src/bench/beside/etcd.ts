/** etcd, measured by the same work: members on loopback, every write on the discs of most of them, clients in this process. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeCalls, RunFigures, RunRequest, TableState } from '../calls.ts';
import { type ClientOperation, runClients } from '../clients.ts';
import type { ClusterOptions, MeasuredCluster, MeasuredNode, System, Workload } from '../measure.ts';
import { nodeOf } from '../measure.ts';
import { type BenchRow, incremented, rowOf } from '../records.ts';
import { withScratch } from '../scratch.ts';
import { until } from '../until.ts';
import { EtcdClient } from './etcd-client.ts';
import { freePorts, Programs, processorUs, requirePrograms, residentMemory } from './programs.ts';

const START_MS_MAX = 30_000;
const ROWS_AT_ONCE = 200;
/** What etcd can do of what clients do. */
const OPERATIONS = ['tx_read', 'tx_write', 'sync_tx_write', 'tx_read_modify_write'];

interface Member {
  readonly process: ChildProcess;
  readonly client: EtcdClient;
}

class EtcdNode implements MeasuredNode {
  readonly number: number;
  readonly #member: Member;
  /** All clients talk to the leader: through another member they would only wait longer. */
  readonly #leader: EtcdClient;

  constructor(number: number, member: Member, leader: EtcdClient) {
    this.number = number;
    this.#member = member;
    this.#leader = leader;
  }

  async call<C extends keyof NodeCalls>(
    call: C,
    argument: Parameters<NodeCalls[C]>[0],
  ): Promise<Awaited<ReturnType<NodeCalls[C]>>> {
    const calls: Partial<Record<keyof NodeCalls, () => Promise<unknown>>> = {
      populate: () => this.#populate(argument as Parameters<NodeCalls['populate']>[0]),
      run: () => this.#run(argument as RunRequest),
      tableState: () => this.#tableState(argument as string),
    };
    const run = calls[call];
    if (run === undefined) throw new Error(`etcd is not measured by ${call}`);
    return (await run()) as Awaited<ReturnType<NodeCalls[C]>>;
  }

  signal(signal: NodeJS.Signals): void {
    this.#member.process.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
  }

  async #populate({ table, from, to, n }: Parameters<NodeCalls['populate']>[0]): Promise<void> {
    for (let first = from; first < to; first += ROWS_AT_ONCE) {
      const keys = Array.from({ length: Math.min(ROWS_AT_ONCE, to - first) }, (_, at) => first + at);
      await Promise.all(keys.map((key) => this.#leader.put(keyOf(table, key), textOf(rowOf(key, n)))));
    }
  }

  async #run(request: RunRequest): Promise<RunFigures> {
    const { clients, warmMs, measuredMs } = request;
    let attempts = 0;
    const operation = this.#operation(request, () => {
      attempts += 1;
    });
    const running = runClients({ clients, salt: 0, warmMs, measuredMs }, operation);
    await sleep(warmMs);
    const before = this.#processorUs(clients > 0);
    await sleep(measuredMs);
    const cpuUs = this.#processorUs(clients > 0) - before;
    const figures = await running;
    return { ...figures, attempts, cpuUs, ...residentMemory(this.#member.process.pid) };
  }

  /** The work of the clients is that of the node they belong to. */
  #processorUs(hasClients: boolean): number {
    const { user, system } = process.cpuUsage();
    return (processorUs(this.#member.process.pid) ?? 0) + (hasClients ? user + system : 0);
  }

  #operation({ operation, table, keys }: RunRequest, attempted: () => void): ClientOperation {
    const leader = this.#leader;
    const key = (state: number): string => keyOf(table, state % keys);
    const write = (state: number): Promise<void> => leader.put(key(state), textOf(rowOf(state % keys, state)));
    switch (operation) {
      case 'tx_read':
        return { isSynchronous: false, run: (state) => read(leader, key(state)) };
      case 'tx_write':
      case 'sync_tx_write':
        return { isSynchronous: false, run: write };
      case 'tx_read_modify_write':
        return { isSynchronous: false, run: (state) => increment(leader, key(state), attempted) };
      default:
        throw new Error(`etcd has no ${operation}`);
    }
  }

  async #tableState(table: string): Promise<TableState> {
    let rows = 0;
    let sum = 0;
    for (;;) {
      const found = await this.#leader.get(keyOf(table, rows));
      if (found === undefined) return { rows, sum, digest: '' };
      rows += 1;
      sum += (JSON.parse(found.value) as BenchRow).val.n;
    }
  }
}

function keyOf(table: string, key: number): string {
  return `${table}/${key}`;
}

function textOf(row: BenchRow): string {
  return JSON.stringify(row);
}

async function read(client: EtcdClient, key: string): Promise<BenchRow> {
  const found = await client.get(key);
  if (found === undefined) throw new Error(`row ${key} is missing`);
  return JSON.parse(found.value) as BenchRow;
}

async function increment(client: EtcdClient, key: string, attempted: () => void): Promise<void> {
  for (;;) {
    attempted();
    const found = await client.get(key);
    if (found === undefined) throw new Error(`row ${key} is missing`);
    const next = textOf(incremented(JSON.parse(found.value) as BenchRow));
    if (await client.putIfUnchanged(key, found.modRevision, next)) return;
  }
}

class EtcdCluster implements MeasuredCluster {
  readonly nodes: readonly EtcdNode[];
  readonly #directory: string;

  constructor(nodes: readonly EtcdNode[], directory: string) {
    this.nodes = nodes;
    this.#directory = directory;
  }

  get first(): EtcdNode {
    return this.node(1);
  }

  node(number: number): EtcdNode {
    return nodeOf(this.nodes, number);
  }

  /** Keys of etcd need no table. */
  createTable(): Promise<void> {
    return Promise.resolve();
  }

  /** Replicas of etcd are one log; there is nothing to compare before it is read. */
  equal(): Promise<void> {
    return Promise.resolve();
  }

  connected(): Promise<void> {
    return Promise.resolve();
  }

  connect(): Promise<void> {
    return Promise.resolve();
  }

  heal(): Promise<void> {
    return Promise.resolve();
  }

  file(name: string): string {
    return join(this.#directory, name);
  }

  close(): Promise<void> {
    return notMeasured('stopped');
  }

  open(): Promise<never> {
    return notMeasured('started again');
  }

  setRoundTrip(): Promise<void> {
    return notMeasured('made slow');
  }

  cut(): Promise<void> {
    return notMeasured('cut off');
  }
}

function notMeasured(how: string): Promise<never> {
  return Promise.reject(new Error(`members of etcd are not ${how} by this measurement`));
}

async function withEtcd<T>(options: ClusterOptions, use: (cluster: MeasuredCluster) => Promise<T>): Promise<T> {
  const programs = new Programs();
  const clients: EtcdClient[] = [];
  const endAll = async (): Promise<void> => {
    for (const client of clients) client.close();
    await programs.killAll();
  };
  return await withScratch(options.directory, endAll, async (directory) => {
    const members = await startMembers(programs, options.nodes, directory);
    clients.push(...members.map(({ client }) => client));
    const leader = await leaderOf(members);
    const ordered = [leader, ...members.filter((member) => member !== leader)];
    const nodes = ordered.map((member, at) => new EtcdNode(at + 1, member, leader.client));
    return await use(new EtcdCluster(nodes, directory));
  });
}

async function startMembers(programs: Programs, count: number, directory: string): Promise<Member[]> {
  const ports = await freePorts(2 * count);
  const peers = ports.slice(count).map((port) => `http://127.0.0.1:${port}`);
  const cluster = peers.map((url, at) => `m${at}=${url}`).join(',');
  return peers.map((peer, at) => {
    const url = `http://127.0.0.1:${ports[at]}`;
    const words = [
      ...['--name', `m${at}`, '--data-dir', join(directory, `m${at}`), '--log-level', 'error'],
      ...['--listen-client-urls', url, '--advertise-client-urls', url],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', cluster, '--initial-cluster-token', 'bench'],
    ];
    const process = programs.start('etcd', words, { stdio: 'ignore' });
    return { process, client: new EtcdClient(ports[at]!) };
  });
}

async function leaderOf(members: Member[]): Promise<Member> {
  let leader: Member | undefined;
  await until('etcd to have a leader', START_MS_MAX, async () => {
    for (const member of members) {
      const status = await member.client.status().catch(() => undefined);
      if (status !== undefined && status.leaderId !== 0 && status.leaderId === status.memberId) leader = member;
    }
    return leader !== undefined;
  });
  return leader!;
}

export const etcd: System = {
  name: 'etcd',
  measures: ({ operation, roundTripMs }: Workload) => OPERATIONS.includes(operation) && roundTripMs === 0,
  check: () => requirePrograms('etcd', ['etcd'], 'etcd-server'),
  withCluster: withEtcd,
};
