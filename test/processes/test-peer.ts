/** One peer of a test's lab: its API over TLS, its log as lines and as parsed lines, its process. */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { conditionOf } from '../../src/lab/processes.ts';
import { type LabPeer, labFiles, readLab } from '../../src/lab/state.ts';
import { type ParsedLine, parseLine, render } from '../../src/log/index.ts';
import type { LoadRequest, LoadResult, PeerStatus } from '../../src/peer/peer-handle.ts';
import type { Key, LedgerEntry, Value } from '../../storage/index.ts';

const ANSWER_MS_MAX = 30_000;

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface CallOptions {
  readonly body?: unknown;
  /** The lab's token when left out. */
  readonly token?: string;
  /** The address to come from. */
  readonly localAddress?: string;
}

export interface LabRow {
  readonly key: Key;
  readonly value: Value;
}

export class TestPeer {
  readonly index: number;
  readonly name: string;
  readonly fqdn: string;
  readonly address: string;
  readonly nodeName: string;
  readonly ports: LabPeer['ports'];
  readonly logFile: string;
  readonly #directory: string;
  readonly #url: string;
  readonly #agent: Agent;
  readonly #token: string;

  constructor(directory: string, peer: LabPeer) {
    this.#directory = directory;
    this.index = peer.index;
    this.name = peer.name;
    this.fqdn = peer.fqdn;
    this.address = peer.address;
    this.ports = peer.ports;
    this.nodeName = `clusterdb@${peer.fqdn}`;
    this.logFile = join(directory, peer.folder, 'peer.log');
    this.#url = peer.url;
    this.#token = readFileSync(join(directory, labFiles.token), 'utf8').trim();
    const ca = readFileSync(join(directory, labFiles.authority), 'utf8');
    this.#agent = new Agent({ keepAlive: true, ca, servername: peer.fqdn, maxSockets: 64 });
  }

  close(): void {
    this.#agent.destroy();
  }

  // -- its process -----------------------------------------------------------------------------------------------------

  /** Undefined when it does not run. */
  get pid(): number | undefined {
    const known = readLab(this.#directory).state.peers[this.index - 1]?.process;
    return known === null || known === undefined || conditionOf(known) === 'gone' ? undefined : known.pid;
  }

  /** Resident memory, octets. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  // -- its API -----------------------------------------------------------------------------------------------------------

  call(method: 'GET' | 'POST', path: string, options: CallOptions = {}): Promise<Answer> {
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    const authorization = `Bearer ${options.token ?? this.#token}`;
    return new Promise((resolve, reject) => {
      const sent = request(
        new URL(`/api/v1/${path}`, this.#url),
        {
          method,
          agent: this.#agent,
          timeout: ANSWER_MS_MAX,
          ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
          headers: { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.on('error', reject);
          answer.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8');
            resolve({ status: answer.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) });
          });
        },
      );
      sent.on('timeout', () => sent.destroy(new Error(`${this.name} did not answer ${path}`)));
      sent.on('error', reject);
      sent.end(body);
    });
  }

  /** The body of an answer that must be good. */
  async ask(method: 'GET' | 'POST', path: string, options: CallOptions = {}): Promise<unknown> {
    const answer = await this.call(method, path, options);
    if (answer.status < 300) return answer.body;
    throw new Error(`${this.name} ${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }

  async status(): Promise<PeerStatus> {
    return (await this.ask('GET', 'status')) as PeerStatus;
  }

  /** Ids of the alarms that are raised here. */
  async alarmIds(): Promise<string[]> {
    return (await this.status()).alarms.map((alarm) => alarm.id);
  }

  async write(key: string, value: Value): Promise<void> {
    await this.ask('POST', 'lab/write', { body: { table: 'lab', key, value } });
  }

  async read(key: string): Promise<Value> {
    const path = `lab/read?table=lab&key=${encodeURIComponent(JSON.stringify(key))}`;
    return ((await this.ask('GET', path)) as { value: Value }).value;
  }

  /** Every row of the table `lab`. */
  async rows(): Promise<ReadonlyMap<string, Value>> {
    const { rows } = (await this.ask('GET', 'lab/rows')) as { rows: readonly LabRow[] };
    return new Map(rows.map((row) => [String(row.key), row.value]));
  }

  async load(body: LoadRequest): Promise<LoadResult> {
    return (await this.ask('POST', 'lab/load', { body })) as LoadResult;
  }

  async ledger(): Promise<readonly LedgerEntry[]> {
    return ((await this.ask('GET', 'ledger')) as { entries: readonly LedgerEntry[] }).entries;
  }

  /** Pids of the actors by their registered names. */
  async actors(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    const visit = (nodes: readonly ActorInfo[]) => {
      for (const { name, pid, children } of nodes) {
        if (name !== undefined) found.set(name, pid);
        visit(children);
      }
    };
    visit(((await this.ask('GET', 'tree')) as { tree: readonly ActorInfo[] }).tree);
    return found;
  }

  // -- its log -----------------------------------------------------------------------------------------------------------

  logText(): string {
    const text = readFileSync(this.logFile, 'utf8');
    // What stands after the last line end is being written at this moment.
    return text.slice(0, text.lastIndexOf('\n') + 1).trimEnd();
  }

  lines(from = 0): string[] {
    const text = this.logText();
    return text === '' ? [] : text.split('\n').slice(from);
  }

  /** How many lines the log has now: where `lines` and `log` may begin later. */
  mark(): number {
    return this.lines().length;
  }

  /** Lines that cannot be parsed, or are not the same when they are rendered again. */
  unreadableLines(): string[] {
    return this.lines().filter((text) => {
      const parsed = parseLine(text);
      return !parsed.ok || render(parsed.line) !== text;
    });
  }

  log(from = 0): ParsedLine[] {
    return this.lines(from).map((text) => {
      const parsed = parseLine(text);
      if (!parsed.ok) throw new Error(`${this.name} logged a line that cannot be read: ${parsed.problem}: ${text}`);
      return parsed.line;
    });
  }
}

interface ActorInfo {
  readonly name?: string;
  readonly pid: string;
  readonly children: readonly ActorInfo[];
}
