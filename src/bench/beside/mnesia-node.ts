/** A node of Mnesia as the driver sees it: one term a line to it, one line of JSON back. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { GapRequest, NodeCalls, PopulateRequest, RunRequest } from '../calls.ts';
import type { MeasuredNode } from '../measure.ts';
import { saltOf } from '../records.ts';
import { type Programs, residentMemory } from './programs.ts';

export interface MnesiaNodeOptions {
  readonly number: number;
  readonly directory: string;
  /** Where the compiled module is. */
  readonly code: string;
  readonly cookie: string;
  readonly epmdPort: number;
  /** Of the runtime, beside those that name the node. */
  readonly parameters: readonly string[];
}

interface Answer {
  readonly ok: boolean;
  readonly why?: string;
}

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** What the module calls `state`, `load` and so on, by the names of our own calls. */
type Terms = { readonly [C in keyof NodeCalls]?: (argument: Parameters<NodeCalls[C]>[0], node: MnesiaNode) => string };

const TERMS: Terms = {
  runningNodes: () => 'running',
  populate: ({ table, from, to, n }: PopulateRequest) => `{populate, ${table}, ${from}, ${to}, ${n}}`,
  run: ({ operation, table, keys, clients, warmMs, measuredMs }: RunRequest, { salt }) =>
    `{run, ${operation}, ${table}, ${keys}, ${clients}, ${salt}, ${warmMs}, ${measuredMs}}`,
  measureGap: ({ table, keys, clients, warmMs, measuredMs }: GapRequest, { salt }) =>
    `{gap, ${table}, ${keys}, ${clients}, ${salt}, ${warmMs}, ${measuredMs}}`,
  acknowledge: ({ table, clients, firstKey, file }) =>
    `{acknowledge, ${table}, ${clients}, ${firstKey}, ${JSON.stringify(file)}}`,
  lookFor: ({ table, file }) => `{look_for, ${table}, ${JSON.stringify(file)}}`,
  waitForTables: ({ tables }) => `{wait, [${tables.join(', ')}]}`,
  memory: () => 'memory',
  tableState: (table) => `{state, ${table}}`,
  digest: (table) => `{size, ${table}}`,
  close: () => 'stop',
};

export class MnesiaNode implements MeasuredNode {
  readonly number: number;
  readonly salt: number;
  readonly #child: ChildProcess;
  readonly #waiting: Waiting[] = [];

  constructor(programs: Programs, options: MnesiaNodeOptions) {
    this.number = options.number;
    this.salt = saltOf(nodeNameOf(options.number));
    this.#child = programs.start('erl', wordsOf(options), {
      stdio: ['pipe', 'pipe', 2],
      env: { ...process.env, ERL_EPMD_PORT: String(options.epmdPort), ERL_EPMD_ADDRESS: '127.0.0.1' },
    });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#heard(line));
    this.#child.on('exit', (code, signal) => this.#gone(signal ?? `exit code ${code}`));
    this.#child.on('error', (error) => this.#gone(error.message));
    // A node that was killed does not read any more; its exit says so.
    this.#child.stdin!.on('error', () => undefined);
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async call<C extends keyof NodeCalls>(
    call: C,
    argument: Parameters<NodeCalls[C]>[0],
  ): Promise<Awaited<ReturnType<NodeCalls[C]>>> {
    const term = TERMS[call] as ((argument: unknown, node: MnesiaNode) => string) | undefined;
    if (term === undefined) throw new Error(`Mnesia is not measured by ${call}`);
    const answer = await this.tell<{ readonly value?: unknown }>(term(argument, this));
    const fields = { errors: {}, ...answer, ...residentMemory(this.#child.pid) };
    return ('value' in answer ? answer.value : fields) as Awaited<ReturnType<NodeCalls[C]>>;
  }

  /** @param command an Erlang term; answers come in the order of commands */
  async tell<T>(command: string): Promise<T> {
    const answer = await new Promise<Answer>((resolve, reject) => {
      if (!this.isRunning) throw new Error(`Mnesia node ${this.number} does not run`);
      this.#waiting.push({ resolve, reject });
      this.#child.stdin!.write(`${command}.\n`);
    });
    if (answer.ok) return answer as T;
    throw new Error(`Mnesia node ${this.number} failed at ${command.slice(0, 80)}: ${answer.why}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    if (!this.isRunning) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }

  #heard(line: string): void {
    // What the runtime itself prints belongs to nobody's answer.
    if (line.startsWith('@')) this.#waiting.shift()?.resolve(JSON.parse(line.slice(1)) as Answer);
    else process.stderr.write(`Mnesia node ${this.number}: ${line}\n`);
  }

  #gone(how: string): void {
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(`Mnesia node ${this.number} ended (${how})`));
  }
}

/** As Erlang writes it. */
export function atomOf(number: number): string {
  return `'${nodeNameOf(number)}'`;
}

function nodeNameOf(number: number): string {
  return `n${number}@127.0.0.1`;
}

function wordsOf({ number, directory, code, cookie, parameters }: MnesiaNodeOptions): string[] {
  return [
    ...['-noshell', '-pa', code, '-s', 'mnesia_bench_node', 'main'],
    ...['-name', nodeNameOf(number), '-setcookie', cookie, '-start_epmd', 'false'],
    ...['-kernel', 'inet_dist_use_interface', '{127,0,0,1}', '-kernel', 'logger_level', 'critical'],
    ...['-mnesia', 'dir', JSON.stringify(directory), ...parameters],
  ];
}
