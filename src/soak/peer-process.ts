/** One peer of the soak, seen from outside: its process, what it tells, what is asked of it, what it suffers. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createWriteStream, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { callApi, type Endpoint } from '../cli/api-client.ts';
import { type LabPeer, labFiles } from '../lab/state.ts';
import type { PeerRecord, PeerRequest } from './records.ts';

export interface PeerProcessOptions {
  readonly directory: string;
  readonly peer: LabPeer;
  readonly endpoint: Endpoint;
  /** Program and first arguments that start a working peer; its configuration file and place follow. */
  readonly command: readonly [string, ...string[]];
  readonly peers: number;
  /** The process ended although nobody asked it to. */
  died(how: string): void;
}

/** `Omit` over each member of a union. */
type Asked<T> = T extends unknown ? Omit<T, 'id'> : never;

export class PeerProcess {
  readonly index: number;
  readonly address: string;
  readonly label: string;
  /** Everything told since it was last taken, oldest first. */
  records: PeerRecord[] = [];
  starts = 0;
  /** Told `ready` and alive. */
  isReady = false;
  readonly #options: PeerProcessOptions;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #isEnding = false;
  #asked = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  #lastId = 0;
  #whenReady: (() => void)[] = [];

  constructor(options: PeerProcessOptions) {
    this.#options = options;
    this.index = options.peer.index - 1;
    this.address = options.peer.address;
    this.label = options.peer.name;
  }

  start(): void {
    const { directory, peer, command, peers } = this.#options;
    // Written here, not by the peer: a peer whose files cannot grow must still be able to say why it ends.
    const output = createWriteStream(join(directory, peer.folder, labFiles.peerConsole), { flags: 'a', mode: 0o600 });
    const [program, ...first] = command;
    const configuration = join(directory, peer.folder, labFiles.peerConfiguration);
    const child = spawn(program, [...first, configuration, String(this.index), String(peers)], {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    child.stdout.on('data', (octets: Buffer) => output.write(octets));
    child.stderr.on('data', (octets: Buffer) => output.write(octets));
    child.once('close', () => output.end());
    this.starts += 1;
    this.#child = child;
    this.#isEnding = false;
    const lines = createInterface({ input: child.stdio[3] as Readable });
    lines.on('line', (line) => this.#told(JSON.parse(line) as PeerRecord));
    // A request to a process that is just dying fails on its own; its end is told below.
    child.stdin?.on('error', () => undefined);
    this.#ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#gone(signal ?? `code ${code}`);
        resolve();
      });
    });
  }

  #told(record: PeerRecord): void {
    if (record.type === 'answer') {
      const asked = this.#asked.get(record.id);
      this.#asked.delete(record.id);
      if (record.error === undefined) asked?.resolve(record.result);
      else asked?.reject(new Error(`${this.label}: ${record.error}`));
      return;
    }
    this.records.push(record);
    if (record.type !== 'ready') return;
    this.isReady = true;
    for (const tell of this.#whenReady.splice(0)) tell();
  }

  #gone(how: string): void {
    this.#child = undefined;
    this.isReady = false;
    for (const { reject } of this.#asked.values()) reject(new Error(`${this.label} ended (${how})`));
    this.#asked.clear();
    if (!this.#isEnding) this.#options.died(how);
  }

  ready(): Promise<void> {
    if (this.isReady) return Promise.resolve();
    return new Promise((resolve) => this.#whenReady.push(resolve));
  }

  ask(request: Asked<PeerRequest>): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.#child === undefined) return reject(new Error(`${this.label} does not run`));
      this.#asked.set(id, { resolve, reject });
      this.#child.stdin?.write(`${JSON.stringify({ ...request, id })}\n`);
    });
  }

  /** Ends the process by a signal and waits until it is gone. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.#isEnding = true;
    this.#child?.kill(signal);
    await this.#ended;
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** From now on no file of this process can grow: to it the disc is full. */
  fillDisc(): void {
    const { pid } = this.#child ?? {};
    if (pid === undefined) return;
    const done = spawnSync('prlimit', ['--pid', String(pid), '--fsize=1:unlimited'], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`prlimit failed: ${done.error?.message ?? done.stderr}`);
  }

  async fault(body: unknown): Promise<void> {
    await callApi(this.#options.endpoint, { method: 'POST', path: '/api/v1/lab/faults', body, timeoutMs: 10_000 });
  }

  /** Resident memory in octets, and open files. */
  resources(): { readonly residentBytes: number; readonly files: number } {
    const pid = this.#child?.pid;
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const residentBytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
    return { residentBytes, files: readdirSync(`/proc/${pid}/fd`).length };
  }
}
