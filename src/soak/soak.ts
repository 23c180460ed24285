/**
 * A long run of real peers. Time is cut into rounds: clients work while one fault follows the other, then all rests, the
 * simulator's checkers read what happened, memory and open files are measured, and the tables are emptied for the next.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { labAccess, labEndpoint } from '../lab/endpoints.ts';
import { sleep } from '../lab/processes.ts';
import type { Lab } from '../lab/state.ts';
import { checkHistory, type Violation } from '../simulation/checkers.ts';
import type { TablePlan } from '../simulation/history.ts';
import { SeededRandom } from '../simulation/seeded-random.ts';
import { type FaultKind, Faults } from './faults.ts';
import { PeerProcess } from './peer-process.ts';
import { nowUs, soakTables } from './plan.ts';
import { historyOf, type PeerEnd, type Told } from './real-history.ts';
import type { PeerTables } from './records.ts';

export interface SoakOptions {
  readonly lab: Lab;
  readonly seed: number;
  /** How long to begin new rounds; there is always one. */
  readonly minutes: number;
  readonly roundMs: number;
  /** A round lasts until so many processes were killed in it, if that takes longer. */
  readonly roundKills: number;
  readonly faultEveryMs: number;
  readonly faults: readonly FaultKind[];
  /** One peer is never killed, so that its memory over the run tells something. */
  readonly keepOne: boolean;
  readonly command: readonly [string, ...string[]];
  say(text: string): void;
}

export interface RoundResult {
  readonly round: number;
  readonly operations: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
  readonly conflicts: number;
  readonly split: boolean;
  readonly restMs: number;
  readonly violations: readonly Violation[];
  readonly checked: Readonly<Record<string, number>>;
  readonly resources: readonly { readonly residentBytes: number; readonly files: number }[];
}

export interface SoakResult {
  readonly rounds: readonly RoundResult[];
  readonly faults: Readonly<Record<string, number>>;
  /** Index of the peer that was never killed, if one was spared. */
  readonly steady: number | undefined;
  readonly kills: number;
  readonly seconds: number;
}

const START_MS_MAX = 60_000;
const REST_MS_MAX = 60_000;
const ANSWERS_MS_MAX = 90_000;
const POLL_MS = 100;
const WORK_MS_MIN = 400;
const CLIENTS = 3;
const THINK_MS: readonly [number, number] = [1, 60];
const KEYS = 20;

export class Soak {
  readonly #options: SoakOptions;
  readonly #random: SeededRandom;
  readonly #peers: readonly PeerProcess[];
  readonly #tables: readonly TablePlan[];
  readonly #faults: Faults;
  readonly #steady: number | undefined;
  readonly #deaths: Told[][];
  readonly #mayLose = new Set<string>();
  readonly #nextIndex: number[];
  readonly #unexpected: Violation[] = [];
  #ledgerSeen = new Set<string>();

  constructor(options: SoakOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    const { lab, command } = options;
    const access = labAccess(lab);
    const peers = lab.state.peers;
    this.#peers = peers.map(
      (peer) =>
        new PeerProcess({
          directory: lab.directory,
          peer,
          endpoint: labEndpoint(access, peer),
          command,
          peers: peers.length,
          died: (how) =>
            this.#unexpected.push({ checker: 'nothing breaks', text: `${peer.name} ended by itself: ${how}` }),
        }),
    );
    this.#steady = options.keepOne ? this.#random.integer(0, peers.length - 1) : undefined;
    this.#tables = soakTables(peers.length);
    this.#deaths = peers.map(() => []);
    this.#nextIndex = peers.map((_, index) => index);
    this.#faults = new Faults({
      peers: this.#peers,
      random: this.#random.fork('faults'),
      kinds: options.faults,
      steady: this.#steady,
      killing: (peer) => this.#noteDeath(peer),
      say: options.say,
    });
  }

  async run(): Promise<SoakResult> {
    const startedUs = nowUs();
    const rounds: RoundResult[] = [];
    try {
      for (const peer of this.#peers) peer.start();
      await within(START_MS_MAX, 'the peers to be ready', Promise.all(this.#peers.map((peer) => peer.ready())));
      await this.#clear();
      for (;;) {
        const result = await this.#round(rounds.length + 1);
        rounds.push(result);
        this.#options.say(roundText(result, this.#steady));
        const isOver = (nowUs() - startedUs) / 60_000_000 >= this.#options.minutes;
        if (result.violations.length > 0 || isOver) break;
        await this.#clear();
      }
    } finally {
      for (const peer of this.#peers) peer.resume();
      await Promise.all(this.#peers.map((peer) => peer.end('SIGTERM')));
    }
    const seconds = Math.round((nowUs() - startedUs) / 1e6);
    return { rounds, faults: this.#faults.counts, kills: this.#faults.kills, steady: this.#steady, seconds };
  }

  // -- one round ---------------------------------------------------------------------------------------------------

  async #round(round: number): Promise<RoundResult> {
    this.#take();
    this.#mayLose.clear();
    const endUs = nowUs() + this.#options.roundMs * 1000;
    const endKills = this.#faults.kills + this.#options.roundKills;
    for (const peer of this.#peers) await this.#work(peer, round);
    while (nowUs() < endUs || this.#faults.kills < endKills) {
      const nextUs = nowUs() + this.#options.faultEveryMs * 1000;
      const starts = this.#peers.map((peer) => peer.starts);
      await this.#faults.one();
      const started = this.#peers.filter((peer) => peer.starts !== starts[peer.index]);
      for (const peer of started) await this.#work(peer, round);
      await this.#loaded(started);
      // However long the fault took, the clients of a peer that has just come back get something done before the next.
      const leastMs = started.length > 0 ? WORK_MS_MIN : 0;
      await sleep(Math.max(leastMs, (nextUs - nowUs()) / 1000));
    }
    const violations: Violation[] = [];
    const restUs = nowUs();
    const state = await this.#rest(violations);
    const restMs = Math.round((nowUs() - restUs) / 1000);
    return this.#verdict(round, restMs, state, violations);
  }

  async #work(peer: PeerProcess, round: number): Promise<void> {
    const work = {
      seed: this.#options.seed * 1_000_000 + round * 1000 + peer.starts,
      clients: CLIENTS,
      thinkMs: THINK_MS,
      keys: KEYS,
      firstIndex: this.#nextIndex[peer.index] as number,
      step: this.#peers.length,
    };
    // A peer that is killed does not tell how far it came: the next one begins far behind it.
    this.#nextIndex[peer.index] = work.firstIndex + this.#peers.length * 1_000_000;
    await peer.ask({ ask: 'work', work });
  }

  async #loaded(peers: readonly PeerProcess[]): Promise<void> {
    const untilUs = nowUs() + START_MS_MAX * 1000;
    for (const peer of peers) {
      for (;;) {
        const { tables } = (await peer.ask({ ask: 'state' })) as PeerTables;
        const missing = Object.entries(tables).filter(([, { loaded }]) => !loaded);
        if (missing.length === 0) break;
        if (nowUs() > untilUs) {
          const texts = missing.map(([name, { awaiting }]) => `${name} (awaiting ${awaiting.join(', ')})`);
          throw new Error(`${peer.label} has not loaded ${texts.join(', ')} in ${START_MS_MAX / 1000} s.`);
        }
        await sleep(POLL_MS);
      }
    }
  }

  /** Clients had their last answers, and the peers are one island with equal replicas and nothing left over. */
  async #rest(violations: Violation[]): Promise<PeerTables[]> {
    const answers = this.#peers.map((peer) => peer.ask({ ask: 'rest' }));
    await within(ANSWERS_MS_MAX, 'the last answers of the clients', Promise.all(answers));
    const untilUs = nowUs() + REST_MS_MAX * 1000;
    for (;;) {
      const states = (await Promise.all(this.#peers.map((peer) => peer.ask({ ask: 'state' })))) as PeerTables[];
      const reasons = unrest(states);
      if (reasons.length === 0) return states;
      if (nowUs() > untilUs) {
        violations.push({
          checker: 'liveness',
          text: `not at rest after ${REST_MS_MAX / 1000} s: ${reasons.join('; ')}`,
        });
        return states;
      }
      await sleep(POLL_MS);
    }
  }

  async #verdict(round: number, restMs: number, states: PeerTables[], violations: Violation[]): Promise<RoundResult> {
    const held = (await Promise.all(this.#peers.map((peer) => peer.ask({ ask: 'rows' })))) as Omit<PeerEnd, 'state'>[];
    const ends = held.map(({ rows, ledger }, index) => {
      const fresh = ledger.filter(({ id }) => !this.#ledgerSeen.has(id));
      return { state: states[index] as PeerTables, rows, ledger: fresh };
    });
    for (const { id } of held[0]?.ledger ?? []) this.#ledgerSeen.add(id);
    const told = this.#take();
    const history = historyOf({ number: round, tables: this.#tables, told, ends, mayLose: this.#mayLose });
    const { violations: found, checked } = checkHistory(history);
    violations.push(...this.#unexpected.splice(0), ...found);
    if (violations.length > 0) this.#keep(round, { told, ends, violations });
    const count = (outcome: string): number => history.operations.filter((one) => one.outcome === outcome).length;
    return {
      round,
      operations: history.operations.length,
      acknowledged: count('ok'),
      refused: count('fail'),
      unknown: count('info'),
      conflicts: ends[0]?.ledger.length ?? 0,
      split: history.split,
      restMs,
      violations,
      checked,
      resources: this.#peers.map((peer) => peer.resources()),
    };
  }

  /** Evidence is kept beside the data directories of the peers. */
  #keep(round: number, evidence: unknown): void {
    const path = join(this.#options.lab.directory, `round-${round}.json.gz`);
    writeFileSync(path, gzipSync(JSON.stringify(evidence)));
    this.#options.say(`what the peers told in round ${round} is kept in ${path}`);
  }

  // -- between rounds ------------------------------------------------------------------------------------------------

  /** Everything told since the last time, by peer. */
  #take(): Told[][] {
    return this.#peers.map((peer) => {
      const records = peer.records;
      peer.records = [];
      const deaths = this.#deaths[peer.index]?.splice(0) ?? [];
      return [...records, ...deaths].sort((a, b) => a.atUs - b.atUs);
    });
  }

  async #clear(): Promise<void> {
    const chosen = this.#random.pick(this.#peers);
    await within(ANSWERS_MS_MAX, `${chosen.label} to empty the tables`, chosen.ask({ ask: 'clear', own: false }));
    const own = this.#peers.map((peer) => peer.ask({ ask: 'clear', own: true }));
    await within(ANSWERS_MS_MAX, 'each peer to empty its own tables', Promise.all(own));
    await this.#rest([]);
  }

  /** Rows kept in memory only are safe while another peer runs with this one; nobody outside knows better than this. */
  #noteDeath(peer: PeerProcess): void {
    this.#deaths[peer.index]?.push({ type: 'death', atUs: nowUs() });
    for (const plan of this.#tables) if (plan.storage === 'ram') this.#mayLose.add(plan.name);
  }
}

function unrest(states: readonly PeerTables[]): string[] {
  const reasons: string[] = [];
  states.forEach(({ view, heldLocks, lockQueue, transactions, tables }, index) => {
    const label = `peer${index + 1}`;
    if (view.length !== states.length) reasons.push(`${label} runs with ${view.join(', ')}`);
    if (heldLocks + lockQueue + transactions > 0) {
      reasons.push(`${label} has ${heldLocks} locks, ${lockQueue} waiting, ${transactions} transactions`);
    }
    for (const [name, { loaded, digest, awaiting }] of Object.entries(tables)) {
      if (!loaded) reasons.push(`${name} is not loaded on ${label}, awaiting ${awaiting.join(', ')}`);
      const other = states.find((state) => (state.tables[name]?.digest ?? digest) !== digest);
      if (other !== undefined && name !== 'local') reasons.push(`${name} differs on ${label}`);
    }
  });
  return reasons;
}

function roundText(result: RoundResult, steady: number | undefined): string {
  const { round, acknowledged, refused, unknown, conflicts, restMs, violations, resources } = result;
  const used = resources[steady ?? 0];
  const resident = `peer${(steady ?? 0) + 1} has ${Math.round((used?.residentBytes ?? 0) / 2 ** 20)} MiB and ${used?.files} files`;
  const verdict = violations.length === 0 ? 'every check held' : `${violations.length} checks FAILED`;
  return (
    `round ${round}: ${acknowledged} acknowledged, ${refused} refused, ${unknown} unknown, ${conflicts} conflicts, ` +
    `at rest after ${restMs} ms, ${resident}: ${verdict}`
  );
}

async function within<T>(limitMs: number, what: string, done: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${limitMs / 1000} s for ${what}.`)), limitMs);
  });
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}
