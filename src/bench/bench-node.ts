/** One node of a cluster that is measured: a database with its links and its disc, and the clients inside it. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createClock,
  createRandom,
  Database,
  type DataDirectory,
  endOfTurn,
  type LocalNode,
  openDataDirectory,
  probe,
  type TableDefinition,
} from '../../storage/index.ts';
import { ClusterLinks, createFaultLayer, type FaultLayer, type PeerAddress } from '../net/index.ts';
import { acknowledgeWrites } from './acknowledged.ts';
import type {
  AcknowledgeRequest,
  FaultRequest,
  GapFigures,
  GapRequest,
  LoadRequest,
  LoadSample,
  LookForRequest,
  MemoryFigures,
  NodeCalls,
  NodeSettings,
  OpenedNode,
  PopulateRequest,
  RunFigures,
  RunRequest,
  TableState,
  WaitRequest,
} from './calls.ts';
import { type ClientFigures, runClients } from './clients.ts';
import { measureGap } from './gap.ts';
import { clientOperation } from './node-operations.ts';
import { OpenLoop } from './open-loop.ts';
import { startProfiles } from './profiler.ts';
import { type BenchRow, rowOf, saltOf } from './records.ts';
import { SlowDisc } from './slow-disc.ts';

const SOURCE_PORTS = [30_000, 35_999] as const;
const ROWS_PER_TRANSACTION = 2000;

interface Opened {
  readonly data: DataDirectory;
  readonly disc: SlowDisc;
  readonly links: ClusterLinks;
  readonly database: Database;
  readonly load: OpenLoop;
}

export class BenchNode implements NodeCalls {
  readonly #faults: FaultLayer = createFaultLayer(createClock());
  #opened: Opened | undefined;

  async open(settings: NodeSettings): Promise<OpenedNode> {
    const startedMs = performance.now();
    const before = process.cpuUsage();
    const { directory, nodeName, transactionsMax } = settings;
    const [clock, random] = [createClock(), createRandom()];
    const data = await openDataDirectory(directory, random, clock);
    const { nodeId, incarnation } = data;
    const links = await this.#openLinks(settings, { nodeId, nodeName, incarnation, clock, random });
    const disc = new SlowDisc(data.disc);
    const environment = { clock, random, links: links.channel('db'), disc, endOfTurn, probe };
    const limits = transactionsMax === undefined ? {} : { transactionsMax };
    const database = await Database.open({ environment, nodeId, incarnation, nodeName, limits });
    this.#opened = { data, disc, links, database, load: new OpenLoop(database) };
    const { user, system } = process.cpuUsage(before);
    return { port: links.port, openMs: performance.now() - startedMs, openCpuMs: (user + system) / 1000 };
  }

  setPeers(rows: readonly PeerAddress[]): void {
    this.#links.setPeers(rows);
  }

  runningNodes(): number {
    return this.#database.systemInfo().runningDbNodes.length;
  }

  createTable(definition: TableDefinition): Promise<void> {
    return this.#database.createTable(definition);
  }

  async populate({ table, from, to, n }: PopulateRequest): Promise<void> {
    for (let first = from; first < to; first += ROWS_PER_TRANSACTION) {
      const end = Math.min(first + ROWS_PER_TRANSACTION, to);
      await this.#database.transaction((tx) => {
        for (let key = first; key < end; key++) tx.write(table, key, rowOf(key, n));
      });
    }
  }

  async run(request: RunRequest): Promise<RunFigures> {
    const { clients, warmMs, measuredMs } = request;
    const { operation, attempts } = clientOperation(this.#database, request);
    const salt = saltOf(this.#database.nodeName);
    const running = clients === 0 ? undefined : runClients({ clients, salt, warmMs, measuredMs }, operation);
    const cpuUs = await this.#measureProcessor(request);
    const figures: ClientFigures = (await running) ?? { operations: 0, succeeded: 0, errors: {}, latencies: [] };
    return { ...figures, attempts: attempts(), cpuUs, rssBytes: process.memoryUsage.rss() };
  }

  measureGap(request: GapRequest): Promise<GapFigures> {
    return measureGap(this.#database, request);
  }

  acknowledge(request: AcknowledgeRequest): Promise<never> {
    return acknowledgeWrites(this.#database, request);
  }

  lookFor({ table, file }: LookForRequest): { readonly found: number; readonly missing: number } {
    // The last line may have been cut by the kill: its write counts as answered only if all of it is there.
    const keys = readFileSync(file, 'utf8').split('\n').slice(0, -1).map(Number);
    const missing = keys.filter((key) => this.#database.dirtyRead(table, key) === undefined).length;
    return { found: keys.length - missing, missing };
  }

  setFaults({ peers, isCut, delayMs }: FaultRequest): void {
    this.#faults.heal();
    for (const { address, port } of peers) {
      if (isCut) this.#faults.cut(`${address}:${port}`, 'both');
      if (delayMs > 0) this.#faults.delay(`${address}:${port}`, delayMs);
    }
  }

  waitForTables({ tables, timeoutMs }: WaitRequest): Promise<void> {
    return this.#database.waitForTables(tables, timeoutMs);
  }

  memory(): MemoryFigures {
    const { rss, heapUsed } = process.memoryUsage();
    return { rssBytes: rss, rssBytesMost: process.resourceUsage().maxRSS * 1024, heapUsedBytes: heapUsed };
  }

  setLoad(request: LoadRequest): void {
    this.#require().load.set(request);
  }

  loadSample(): LoadSample {
    return this.#require().load.sample();
  }

  setDiscDelay(delayMs: number): void {
    this.#require().disc.delayMs = delayMs;
  }

  digest(table: string): string {
    return this.#database.tableInfo(table).digest;
  }

  tableState(table: string): TableState {
    let rows = 0;
    let sum = 0;
    this.#database.dirtyForEach(table, (_, value) => {
      rows += 1;
      sum += (value as BenchRow).val.n;
    });
    return { rows, sum, digest: this.#database.tableInfo(table).digest };
  }

  async close(): Promise<void> {
    const { data, links, database } = this.#require();
    await database.close();
    await data.close();
    await links.close();
  }

  get #database(): Database {
    return this.#require().database;
  }

  get #links(): ClusterLinks {
    return this.#require().links;
  }

  #require(): Opened {
    if (this.#opened === undefined) throw new Error('the node is not open; call open first');
    return this.#opened;
  }

  #openLinks(settings: NodeSettings, self: LocalNode): Promise<ClusterLinks> {
    const { address, port, certificate, privateKey, authority, clusterKey, netTicktimeMs, resumeWindowMs } = settings;
    return ClusterLinks.open({
      nodeId: self.nodeId,
      nodeName: self.nodeName,
      incarnation: self.incarnation,
      bindAddress: address,
      port,
      sourcePorts: SOURCE_PORTS,
      certificate,
      privateKey,
      trustedAuthorities: [authority],
      tlsVerify: 'Enforcing',
      clusterKey: Buffer.from(clusterKey, 'hex'),
      netTicktimeMs,
      resumeWindowMs,
      clock: self.clock,
      random: self.random,
      log: () => undefined,
      faults: this.#faults,
    });
  }

  async #measureProcessor({ warmMs, measuredMs, profiles, label }: RunRequest): Promise<number> {
    await sleep(warmMs);
    const stopProfiles = await startProfiles(profiles, label);
    const before = process.cpuUsage();
    await sleep(measuredMs);
    const { user, system } = process.cpuUsage(before);
    await stopProfiles();
    return user + system;
  }
}
