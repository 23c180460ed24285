/** Mnesia, measured by the same work: nodes of Erlang on loopback, default settings or a log that is dumped more rarely. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StorageKind } from '../../../storage/index.ts';
import { CliError } from '../../cli/errors.ts';
import type { OpenedNode } from '../calls.ts';
import { type ClusterOptions, type MeasuredCluster, nodeOf, type System, type Workload } from '../measure.ts';
import { withScratch } from '../scratch.ts';
import { until } from '../until.ts';
import { atomOf, MnesiaNode } from './mnesia-node.ts';
import { freePorts, Programs, requirePrograms } from './programs.ts';

const PACKAGES = 'erlang-base erlang-mnesia erlang-crypto';
const TUNED = ['-mnesia', 'dump_log_write_threshold', '50000', '-mnesia', 'dc_dump_limit', '40'];
const NO_MNESIA = 3;
const START_MS_MAX = 30_000;
/** A hung node is given up after a minute, and not before. */
const CONNECT_MS_MAX = 120_000;

interface Place {
  readonly directory: string;
  readonly code: string;
  readonly cookie: string;
  readonly epmdPort: number;
  readonly parameters: readonly string[];
}

class MnesiaCluster implements MeasuredCluster {
  readonly #programs: Programs;
  readonly #place: Place;
  readonly #nodes: MnesiaNode[] = [];

  constructor(programs: Programs, place: Place) {
    this.#programs = programs;
    this.#place = place;
  }

  get nodes(): readonly MnesiaNode[] {
    return this.#nodes;
  }

  get first(): MnesiaNode {
    return this.node(1);
  }

  node(number: number): MnesiaNode {
    return nodeOf(this.#nodes, number);
  }

  async start(count: number): Promise<void> {
    for (let number = 1; number <= count; number++) this.#nodes.push(this.#process(number));
    const all = this.#atoms();
    await Promise.all(this.#nodes.map((node) => node.tell('{connect, []}')));
    // Two nodes that dial each other at once may both be refused.
    for (const node of this.#nodes) await node.tell(`{connect, [${all}]}`);
    await this.first.tell(`{create_schema, [${all}]}`);
    await Promise.all(this.#nodes.map((node) => node.tell('start')));
    await this.connected(count);
  }

  async createTable(name: string, storage: StorageKind): Promise<void> {
    await this.first.tell(`{create_table, ${name}, ${storage}, [${this.#atoms()}]}`);
  }

  async close(number: number): Promise<void> {
    await this.node(number).tell('settle');
    await this.node(number).call('close', null);
    await this.node(number).kill();
  }

  async open(number: number): Promise<OpenedNode> {
    const node = this.#process(number);
    this.#nodes[number - 1] = node;
    const others = this.#nodes.filter((other) => other.isRunning && other !== node);
    await node.tell(`{connect, [${others.map((other) => atomOf(other.number))}]}`);
    const { start_ms } = await node.tell<{ readonly start_ms: number }>('start');
    return { port: 0, openMs: start_ms };
  }

  /** Mnesia looks for the others by itself while it starts. */
  connect(): Promise<void> {
    return Promise.resolve();
  }

  async connected(count: number): Promise<void> {
    await until(`${count} nodes of Mnesia to be one cluster`, CONNECT_MS_MAX, async () => {
      const running = this.#nodes.filter((node) => node.isRunning);
      const counts = await Promise.all(running.map((node) => node.call('runningNodes', null)));
      return counts.every((seen) => seen === count);
    });
  }

  /** A table that is loaded was copied as a whole; comparing sizes is enough, and costs a large table nothing. */
  async equal(table: string, timeoutMs: number): Promise<void> {
    await until(`equal replicas of ${table}`, timeoutMs, async () => {
      const running = this.#nodes.filter((node) => node.isRunning);
      const sizes = await Promise.all(running.map((node) => node.call('digest', table)));
      return new Set(sizes).size === 1;
    });
    await Promise.all(this.#nodes.filter((node) => node.isRunning).map((node) => node.tell('settle')));
  }

  file(name: string): string {
    return join(this.#place.directory, name);
  }

  setRoundTrip(): Promise<void> {
    return Promise.reject(new Error('the links of Mnesia cannot be made slow'));
  }

  cut(): Promise<void> {
    return Promise.reject(new Error('the links of Mnesia cannot be cut'));
  }

  heal(): Promise<void> {
    return Promise.resolve();
  }

  #process(number: number): MnesiaNode {
    const { directory, ...place } = this.#place;
    return new MnesiaNode(this.#programs, { ...place, number, directory: join(directory, `n${number}`) });
  }

  #atoms(): string {
    return this.#nodes.map(({ number }) => atomOf(number)).join(', ');
  }
}

async function withMnesia<T>(
  parameters: readonly string[],
  options: ClusterOptions,
  use: (cluster: MeasuredCluster) => Promise<T>,
): Promise<T> {
  const programs = new Programs();
  return await withScratch(
    options.directory,
    () => programs.killAll(),
    async (directory) => {
      const code = join(directory, 'code');
      await mkdir(code);
      await programs.run('erlc', ['-o', code, sourceFile()]);
      const [epmdPort] = (await freePorts(1)) as [number];
      programs.start('epmd', ['-address', '127.0.0.1', '-port', String(epmdPort)], { stdio: 'ignore' });
      await until('epmd to listen', START_MS_MAX, () => listens(epmdPort));
      const cookie = randomBytes(16).toString('hex');
      const ticktime = ['-kernel', 'net_ticktime', String(Math.ceil(options.netTicktimeMs / 1000))];
      const place = { directory, code, cookie, epmdPort, parameters: [...parameters, ...ticktime] };
      const cluster = new MnesiaCluster(programs, place);
      await cluster.start(options.nodes);
      return await use(cluster);
    },
  );
}

/** Of the sources: Erlang compiles it itself, wherever this module was built to. */
function sourceFile(): string {
  const here = new URL('.', import.meta.url);
  const beside = fileURLToPath(new URL('mnesia_bench_node.erl', here));
  return existsSync(beside) ? beside : fileURLToPath(new URL('../src/bench/beside/mnesia_bench_node.erl', here));
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1');
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

async function checkMnesia(name: string): Promise<void> {
  await requirePrograms(name, ['erl', 'erlc', 'epmd'], PACKAGES);
  const found = `halt(case code:lib_dir(mnesia) of {error, _} -> ${NO_MNESIA}; _ -> 0 end).`;
  await new Programs().run('erl', ['-noshell', '-noinput', '-eval', found]).catch((error: Error) => {
    const remedy = `install it (on Debian: apt-get install ${PACKAGES}), or leave --beside ${name} out`;
    throw new CliError('bench_program_missing', `${name} cannot be measured`, error.message, remedy);
  });
}

/** Mnesia does not heal by itself, and its links have no faults on demand. */
function isMeasured({ operation, roundTripMs }: Workload): boolean {
  return operation !== 'cut_and_heal' && roundTripMs === 0;
}

function mnesiaNamed(name: string, parameters: readonly string[]): System {
  return {
    name,
    measures: isMeasured,
    check: () => checkMnesia(name),
    withCluster: (options, use) => withMnesia(parameters, options, use),
  };
}

export const mnesia = mnesiaNamed('mnesia', []);
/** With a log that is dumped into the tables more rarely: the setting its users choose for many writes. */
export const mnesiaTuned = mnesiaNamed('mnesia-tuned', TUNED);
