/** Programs of other systems: whether they are there, and the processes of them. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { CliError } from '../../cli/errors.ts';

/** @throws CliError that says which programs are missing and what to install */
export async function requirePrograms(system: string, names: readonly string[], packages: string): Promise<void> {
  const missing: string[] = [];
  for (const name of names) if (!(await isOnPath(name))) missing.push(name);
  if (missing.length === 0) return;
  throw new CliError(
    'bench_program_missing',
    `${system} cannot be measured`,
    `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not on PATH`,
    `install them (on Debian: apt-get install ${packages}), or leave --beside ${system} out`,
  );
}

async function isOnPath(name: string): Promise<boolean> {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const found = await access(join(directory, name), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}

/** Processes of one measurement. */
export class Programs {
  readonly #children: ChildProcess[] = [];

  start(program: string, words: readonly string[], options: SpawnOptions): ChildProcess {
    const child = spawn(program, words, options);
    // Whoever waits for the program learns it from there; an event that nobody hears would end the driver.
    child.on('error', () => undefined);
    this.#children.push(child);
    return child;
  }

  /** @throws Error with what the program said when it does not end well */
  async run(program: string, words: readonly string[], options: SpawnOptions = {}): Promise<string> {
    const child = this.start(program, words, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stdout?.on('data', (text: Buffer) => {
      said += text.toString();
    });
    child.stderr?.on('data', (text: Buffer) => {
      said += text.toString();
    });
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`${program} ${words.join(' ')} ended with ${code}: ${said.trim()}`);
    return said;
  }

  async killAll(): Promise<void> {
    const running = this.#children.filter((child) => child.exitCode === null && child.signalCode === null);
    const ended = running.map((child) => once(child, 'exit'));
    for (const child of running) child.kill('SIGKILL');
    await Promise.all(ended);
  }
}

/** Ports that were free a moment ago, each another one. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

/** Linux counts in hundredths of a second. */
const US_PER_TICK = 10_000;

/** Processor time of a process, user and system; undefined where the system does not tell. */
export function processorUs(pid: number | undefined): number | undefined {
  try {
    // The name, in brackets, may hold anything; what follows it does not.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) * US_PER_TICK;
  } catch {
    return undefined;
  }
}

export interface ResidentMemory {
  readonly rssBytes: number;
  readonly rssBytesMost: number;
}

/** What a process has in memory, and had at most; zeros where the system does not tell. */
export function residentMemory(pid: number | undefined): ResidentMemory {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const bytesOf = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024;
    return { rssBytes: bytesOf('VmRSS'), rssBytesMost: bytesOf('VmHWM') };
  } catch {
    return { rssBytes: 0, rssBytesMost: 0 };
  }
}
