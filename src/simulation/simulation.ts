/** One seed: the cluster, what it is asked, what it suffers, the quiet after, and the verdict. */
import type { DatabaseOptions } from '../../storage/types.ts';
import { checkHistory, type Violation } from './checkers.ts';
import { Cluster, describe, type SimulatedNode } from './cluster.ts';
import type { DatabaseUnderTest } from './database-under-test.ts';
import type { DiscRemains } from './disc-remains.ts';
import {
  DISC_PROFILES,
  GROWING_PROFILES,
  NAMED_PROFILES,
  type Pace,
  PROFILES,
  type Profile,
  REMOVAL_PROFILES,
} from './fault-profiles.ts';
import { emptyHistory, type History, type Operation } from './history.ts';
import type { NetworkTimings } from './link-session.ts';
import { Nemesis } from './nemesis.ts';
import { stateOf, unrest } from './observe.ts';
import { RECREATED_TABLE } from './schema-operations.ts';
import { SeededRandom } from './seeded-random.ts';
import { MAJORITY_PROFILES, STRICT_PROFILES } from './strict-profiles.ts';
import { planTables } from './tables.ts';
import { Trace } from './trace.ts';
import { VirtualTime } from './virtual-time.ts';
import { Workload } from './workload.ts';
import { hardPace, KEYS } from './workloads.ts';

export interface SeedOptions {
  readonly seed: number;
  /** Virtual time under faults; drawn from the seed when absent. */
  readonly durationMs?: number;
  readonly nodes?: number;
  /** By name; drawn from the seed when absent. */
  readonly profile?: string;
  readonly openDatabase: (options: DatabaseOptions) => Promise<DatabaseUnderTest>;
  readonly trace?: (line: string) => void;
}

export interface SeedResult {
  readonly seed: number;
  readonly profile: string;
  readonly nodes: number;
  readonly hash: string;
  readonly violations: readonly Violation[];
  readonly checked: Readonly<Record<string, number>>;
  readonly counts: SeedCounts;
  readonly history: History;
}

export interface SeedCounts {
  readonly virtualMs: number;
  readonly events: number;
  readonly transactions: number;
  readonly acknowledged: number;
  readonly failed: number;
  readonly uncertain: number;
  readonly reruns: number;
  readonly messages: number;
  readonly starts: number;
  readonly healed: number;
  readonly conflicts: number;
  readonly split: boolean;
  readonly faults: Readonly<Record<string, number>>;
  readonly errors: Readonly<Record<string, number>>;
}

/** Of which a seed draws one. */
const DRAWN_PROFILES: readonly Profile[] = [
  ...PROFILES,
  ...DISC_PROFILES,
  ...REMOVAL_PROFILES,
  ...GROWING_PROFILES,
  ...STRICT_PROFILES,
  ...MAJORITY_PROFILES,
];

/** Those a seed may draw, and those that are only had by name. */
export const ALL_PROFILES: readonly Profile[] = [...DRAWN_PROFILES, ...NAMED_PROFILES];

/** One in ten hammers; most leave time for faults to happen between operations too. */
const THINK_MS_MOST: readonly number[] = [60, 200, 300, 400, 600, 800, 1000, 1500, 2000, 3000];
const DURATION_MS: readonly [number, number] = [12_000, 32_000];
const FORMING_MS_MAX = 60_000;
const ANSWER_MS_MAX = 90_000;
const SETTLING_MS_MAX = 120_000;
const REST_MS = 3000;
/** After it no vow is left (promises.ts). */
const VOWS_MS_MAX = 12_000;
const POLL_MS = 200;

export async function runSeed(options: SeedOptions): Promise<SeedResult> {
  const simulation = new Simulation(options);
  return await simulation.run();
}

export function profileNamed(name: string): Profile | undefined {
  return ALL_PROFILES.find((profile) => profile.name === name);
}

class Simulation {
  private readonly options: SeedOptions;
  private readonly time = new VirtualTime();
  private readonly random: SeededRandom;
  private readonly trace: Trace;
  private readonly history: History;
  private readonly profile: Profile;
  private readonly pace: Pace;
  private readonly cluster: Cluster;
  private readonly workload: Workload;
  private readonly nemesis: Nemesis;
  private readonly violations: Violation[] = [];
  private giveUp: () => void = () => undefined;
  private lastPhase = 'forming';

  constructor(options: SeedOptions) {
    this.options = options;
    this.random = new SeededRandom(options.seed);
    this.trace = new Trace(this.time, options.trace);
    const draw = this.random.fork('plan');
    const nodeCount = options.nodes ?? draw.pick([2, 3, 3, 3, 3, 4, 4, 4, 5, 6]);
    this.profile = pickProfile(options, draw);
    const workload = this.profile.workload ?? 'mixed';
    const tables = planTables(draw, nodeCount, workload);
    const labels = Array.from({ length: nodeCount }, (_, index) => `peer${index + 1}`);
    this.history = emptyHistory(options.seed, labels, tables);
    this.pace =
      this.profile.pace ?? (workload === 'mixed' || workload === 'schema' ? pickPace(draw) : hardPace(workload, draw));
    const { time, trace, history } = this;
    const onBroken = (what: string): void => this.broken(what);
    this.cluster = new Cluster({
      time,
      random: this.random.fork('cluster'),
      trace,
      history,
      nodeCount,
      timings: pickTimings(draw),
      openDatabase: options.openDatabase,
      onBroken,
    });
    this.workload = new Workload({
      cluster: this.cluster,
      time,
      random: this.random.fork('workload'),
      trace,
      history,
      clientsPerNode: this.pace.clientsPerNode,
      thinkMs: this.pace.thinkMs,
      dawdleMsMost: this.pace.dawdleMsMost,
      keys: draw.pick(KEYS[workload]),
      workload,
      onBroken,
    });
    this.nemesis = new Nemesis({
      cluster: this.cluster,
      time,
      random: this.random.fork('nemesis'),
      trace,
      profile: this.profile,
    });
  }

  async run(): Promise<SeedResult> {
    const gaveUp = new Promise<void>((resolve) => {
      this.giveUp = resolve;
    });
    const script = async (): Promise<void> => {
      await Promise.race([this.script(), gaveUp]);
    };
    try {
      await this.time.run(script, (owner, error) => {
        const who = 'label' in owner ? String(owner.label) : 'somebody';
        this.broken(`${who} threw: ${describe(error)}`);
      });
    } catch (error) {
      this.broken(`the simulation could not go on while ${this.lastPhase}: ${describe(error)}`);
    }
    let checked: Readonly<Record<string, number>> = {};
    if (this.violations.length === 0) {
      const result = checkHistory(this.history);
      this.violations.push(...result.violations);
      checked = result.checked;
    }
    return {
      seed: this.options.seed,
      profile: this.profile.name,
      nodes: this.cluster.nodes.length,
      hash: this.trace.hash,
      violations: this.violations,
      checked,
      counts: this.countAll(),
      history: this.history,
    };
  }

  private async script(): Promise<void> {
    const draw = this.random.fork('script');
    const last = this.cluster.nodes.at(-1) as SimulatedNode;
    last.isToCome = this.profile.weights['new node'] !== undefined && last.index > 1;
    for (const node of draw.shuffle(this.cluster.nodes)) {
      if (!node.isToCome) this.cluster.start(node);
      await this.time.sleep(draw.between(0, 300));
    }
    if (!(await this.atRest('forming the cluster', FORMING_MS_MAX))) return;
    this.phase('working under faults');
    this.workload.start();
    await this.nemesis.run(this.options.durationMs ?? this.pace.durationMs);
    this.nemesis.quiet();
    this.phase('waiting for the last answers');
    const late = this.time.sleep(ANSWER_MS_MAX).then(() => 'late' as const);
    await Promise.race([this.workload.stop(), late]);
    if (!(await this.atRest('settling', SETTLING_MS_MAX))) return;
    await this.lastWrites();
    await this.restoreOne(draw);
    if (!(await this.atRest('settling after the last writes', SETTLING_MS_MAX))) return;
    await this.time.sleep(REST_MS);
    const states = this.cluster.nodes.map((node) => stateOf(node, this.history.tables));
    const remains = await this.remains();
    this.history.final.push(...states.map((state, index) => ({ ...state, remains: remains[index] })));
    if (!this.profile.splits && this.history.split && !this.history.servedOldDisc) {
      this.violations.push({
        checker: 'no needless split',
        text: 'A node lost sight of another that was alive, and no fault of this seed explains it.',
      });
    }
    if (draw.chance(0.5)) await this.restartAll(draw);
  }

  /** What lies on the discs; what was promised to those who settle is kept for some seconds after all is quiet. */
  private async remains(): Promise<readonly (DiscRemains | undefined)[]> {
    for (let waitedMs = 0; ; waitedMs += REST_MS) {
      const remains = await Promise.all(this.cluster.nodes.map((node) => this.cluster.remains(node)));
      if (waitedMs >= VOWS_MS_MAX || remains.every((left) => (left?.promises.length ?? 0) === 0)) return remains;
      await this.time.sleep(REST_MS);
    }
  }

  /** All at once, in order or by force: what is on the discs must be what was in memory. */
  private async restartAll(draw: SeededRandom): Promise<void> {
    this.phase('starting all again');
    const inOrder = draw.chance(0.5);
    if (inOrder) await Promise.all(this.cluster.nodes.map((node) => this.cluster.stop(node)));
    else for (const node of this.cluster.nodes) this.cluster.kill(node, 'killed');
    for (const node of draw.shuffle(this.cluster.nodes)) {
      await this.time.sleep(draw.between(0, 2000));
      this.cluster.start(node);
    }
    if (!(await this.atRest('starting all again', SETTLING_MS_MAX))) return;
    this.history.afterRestart = this.cluster.nodes.map((node) => stateOf(node, this.history.tables));
  }

  /** Every node can still write to every table, and every other one gets it. */
  private async lastWrites(): Promise<void> {
    this.phase('writing once more from each node');
    for (const node of this.cluster.nodes) {
      for (const plan of this.history.tables) {
        if (!plan.name.startsWith('registers') && plan.name !== 'lists_majority') continue;
        if (plan.holders.length === 0) continue;
        const written = this.lastWrite(node.index, plan.name);
        const answer = await Promise.race([
          written,
          this.time.sleep(ANSWER_MS_MAX).then(() => 'no answer within 90 s'),
        ]);
        if (answer === undefined) continue;
        this.violations.push({
          checker: 'liveness',
          text: `${node.label} cannot write to ${plan.name} when all is quiet: ${answer}`,
        });
        this.giveUp();
        return;
      }
    }
  }

  /** What lost a conflict can be had back, on every node. */
  private async restoreOne(draw: SeededRandom): Promise<void> {
    // Rows that belong together, as pairs or sums, must be put back together; registers stand alone.
    const ledger = this.cluster.nodes[0]?.database?.ledger() ?? [];
    const entries = ledger.filter(({ table }) => table.startsWith('registers') && table !== RECREATED_TABLE);
    const node = draw.pick(this.cluster.nodes);
    if (entries.length === 0 || !node.database || !this.history.split) return;
    this.phase('putting a loser of the ledger back');
    const entry = draw.pick(entries);
    try {
      await node.database.restoreFromLedger(entry.id);
    } catch (error) {
      this.violations.push({ checker: 'ledger restores', text: `${entry.id} on ${node.label}: ${describe(error)}` });
      return;
    }
    this.history.restored = entry;
  }

  private async lastWrite(index: number, table: string): Promise<string | undefined> {
    const node = this.cluster.nodes[index];
    const operation: Operation = {
      index: this.history.operations.length,
      client: 'last',
      node: index,
      kind: table.startsWith('lists') ? 'append' : 'register-write',
      invokedUs: this.time.nowUs,
      completedUs: undefined,
      outcome: 'pending',
      error: undefined,
      attempts: 0,
      sync: true,
      steps: [],
    };
    this.history.operations.push(operation);
    const key = table.startsWith('lists') ? 'last' : `last${index}`;
    try {
      await node?.database?.syncTransaction((tx) => {
        operation.attempts++;
        const by = `${operation.index}.${operation.attempts}`;
        const before = tx.read(table, key);
        const list = (before as { list?: string[] } | undefined)?.list ?? [];
        const value = table.startsWith('lists') ? { by, list: [...list, by] } : { by, owner: node.name };
        tx.write(table, key, value);
        operation.steps = [
          { type: 'read', table, key, value: before },
          { type: 'write', table, key, value, by },
        ];
      });
      operation.outcome = 'ok';
    } catch (error) {
      operation.outcome = 'info';
      operation.error = String(error);
    }
    operation.completedUs = this.time.nowUs;
    return operation.error;
  }

  private async atRest(phase: string, mostMs: number): Promise<boolean> {
    this.phase(phase);
    const untilUs = this.time.nowUs + mostMs * 1000;
    for (;;) {
      await this.time.sleep(POLL_MS);
      // Most of the time the first reason is enough.
      if (unrest(this.cluster, this.history.tables).next().done) return true;
      if (this.time.nowUs < untilUs) continue;
      const reasons = [...unrest(this.cluster, this.history.tables)];
      this.violations.push({
        checker: 'liveness',
        text: `not at rest after ${mostMs / 1000} s of ${phase}:\n  ${reasons.join('\n  ')}`,
      });
      return false;
    }
  }

  private phase(name: string): void {
    this.lastPhase = name;
    this.trace.record('fault', 'script', name);
  }

  private broken(what: string): void {
    this.violations.push({ checker: 'nothing breaks', text: what });
    this.trace.record('fault', 'script', 'something broke', () => what);
    this.giveUp();
  }

  private countAll(): SeedCounts {
    const { history, workload } = this;
    const transactions = history.operations.filter((operation) => !operation.kind.startsWith('dirty'));
    const mostEntries = Math.max(0, ...history.final.map((node) => node.ledger.length));
    return {
      virtualMs: this.time.nowMs,
      events: this.time.events,
      transactions: transactions.length,
      acknowledged: history.operations.filter((operation) => operation.outcome === 'ok').length,
      failed: workload.counts.fail ?? 0,
      uncertain: workload.counts.info ?? 0,
      reruns: history.operations.reduce((sum, operation) => sum + Math.max(0, operation.attempts - 1), 0),
      messages: this.cluster.network.counts.messages,
      starts: this.cluster.counts.starts,
      healed: history.membership.filter((event) => event.type === 'connected').length,
      conflicts: mostEntries,
      split: history.split,
      faults: { ...this.nemesis.counts },
      errors: { ...workload.errors },
    };
  }
}

function pickProfile(options: SeedOptions, draw: SeededRandom): Profile {
  const drawn = draw.pick([...PROFILES, ...DRAWN_PROFILES]);
  if (options.profile === undefined) return drawn;
  const named = profileNamed(options.profile);
  if (named) return named;
  const names = ALL_PROFILES.map((profile) => profile.name).join(', ');
  throw new RangeError(`There is no profile of faults named "${options.profile}". Choose one of: ${names}.`);
}

function pickPace(draw: SeededRandom): Pace {
  const thinkMsMost = draw.pick(THINK_MS_MOST);
  return {
    clientsPerNode: draw.integer(1, 4),
    thinkMs: [1, thinkMsMost],
    dawdleMsMost: Math.max(15, thinkMsMost / 10),
    durationMs: draw.between(DURATION_MS[0], DURATION_MS[1]),
  };
}

function pickTimings(draw: SeededRandom): NetworkTimings {
  const far = draw.chance(0.25);
  return {
    latencyMs: far ? [5, 60] : [0.1, 3],
    jitterChance: draw.pick([0, 0.05, 0.3]),
    jitterMsMax: draw.pick([2, 10, 50]),
    netTicktimeMs: 4000,
    resumeWindowMs: 1000,
  };
}
