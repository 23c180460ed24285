/**
 * Twice the load that three nodes can carry, while one of them is slow in one way after the other: whether memory stays
 * flat, answers come within bounds, refusals say when to try again, and all is well again as soon as the load is.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadSample, TableState } from './calls.ts';
import { type BenchCluster, peerage } from './cluster.ts';
import { loadNow, round } from './figures.ts';
import { Histogram } from './histogram.ts';
import type { ClusterOptions } from './measure.ts';
import { until } from './until.ts';
import { type OverloadCounts, overloadVerdicts, type Verdict } from './verdicts.ts';

export interface OverloadOptions extends ClusterOptions {
  /** How long the load is too much. */
  readonly overloadMs: number;
  readonly report: (second: OverloadSecond) => void;
}

export type OverloadPhase = 'before' | 'plain' | 'slow link' | 'pauses' | 'slow disc' | 'after';

/** What all nodes did between two looks at them, about a second apart. */
export interface OverloadSecond {
  readonly phase: OverloadPhase;
  /** Since the first look, s. */
  readonly second: number;
  readonly offered_per_s: number;
  readonly answered_per_s: number;
  readonly overloaded_per_s: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly in_flight: readonly number[];
  readonly rss_mb: readonly number[];
  readonly loadavg1: number;
}

export interface OverloadResult {
  readonly capacity_per_s: number;
  readonly seconds: readonly OverloadSecond[];
  readonly verdicts: readonly Verdict[];
}

const TABLE = 'bench';
const ROWS = 10_000;
const MEGABYTE = 1 << 20;
const CAPACITY_CLIENTS = 64;
const CAPACITY_MS = 2000;
const WARM_MS = 1000;
const LOOK_MS = 1000;
/** Of what the nodes can carry. */
const EASY_SHARE = 0.4;
const OVERLOAD_SHARE = 2;
const BEFORE_LOOKS = 3;
/** The node that is slow; clients are on all of them. */
const SLOW_NODE = 3;
const LINK_DELAY_MS = 50;
const DISC_DELAY_MS = 100;
const PAUSE_MS = 400;
const PAUSE_EVERY_MS = 1200;
const RECOVERY_LOOKS_MAX = 40;
const EQUAL_MS_MAX = 60_000;

export async function measureOverload(options: OverloadOptions): Promise<OverloadResult> {
  return await peerage.withCluster(options, (cluster) => new Overload(cluster as BenchCluster, options).run());
}

class Overload {
  readonly #cluster: BenchCluster;
  readonly #options: OverloadOptions;
  readonly #seconds: OverloadSecond[] = [];
  readonly #startedMs = performance.now();
  /** The most that was answered in a second so far: on a busy machine the first measurement may have shown too little. */
  #capacityPerS = 0;
  readonly #counts = { succeeded: 0, overloaded: 0, overloadedWithoutTime: 0, unknown: 0, longestMs: 0 };

  constructor(cluster: BenchCluster, options: OverloadOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  async run(): Promise<OverloadResult> {
    const { overloadMs } = this.#options;
    await this.#cluster.createTable(TABLE, 'disc_copies');
    await this.#cluster.first.call('populate', { table: TABLE, from: 0, to: ROWS, n: 0 });
    const easy = (await this.#measureCapacity()) * EASY_SHARE;
    const before = await this.#cluster.first.call('tableState', TABLE);
    await this.#offer(easy);
    for (let look = 0; look < BEFORE_LOOKS; look++) await this.#lookOnce('before');
    await this.#offerTooMuch('plain', overloadMs / 4);
    await this.#cluster.setDelay(SLOW_NODE, LINK_DELAY_MS);
    await this.#offerTooMuch('slow link', overloadMs / 4);
    await this.#cluster.setDelay(SLOW_NODE, 0);
    await this.#pausing(() => this.#offerTooMuch('pauses', overloadMs / 4));
    await this.#cluster.node(SLOW_NODE).call('setDiscDelay', DISC_DELAY_MS);
    await this.#offerTooMuch('slow disc', overloadMs / 4);
    await this.#cluster.node(SLOW_NODE).call('setDiscDelay', 0);
    await this.#offer(easy);
    const recoveredMs = await this.#recovery();
    const counts = await this.#settled(before, recoveredMs);
    const verdicts = overloadVerdicts(this.#seconds, counts);
    return { capacity_per_s: this.#capacityPerS, seconds: this.#seconds, verdicts };
  }

  /** By the same operation in a closed loop, with clients on all nodes. */
  async #measureCapacity(): Promise<number> {
    const runs = await Promise.all(
      this.#cluster.nodes.map((node) =>
        node.call('run', {
          operation: 'tx_read_modify_write',
          table: TABLE,
          keys: ROWS,
          clients: CAPACITY_CLIENTS,
          warmMs: WARM_MS,
          measuredMs: CAPACITY_MS,
          profiles: {},
          label: 'capacity',
        }),
      ),
    );
    this.#capacityPerS = Math.round((runs.reduce((sum, { operations }) => sum + operations, 0) * 1000) / CAPACITY_MS);
    return this.#capacityPerS;
  }

  async #offer(ratePerS: number): Promise<void> {
    const { nodes } = this.#cluster;
    const share = ratePerS / nodes.length;
    await Promise.all(nodes.map((node) => node.call('setLoad', { table: TABLE, keys: ROWS, ratePerS: share })));
  }

  async #offerTooMuch(phase: OverloadPhase, forMs: number): Promise<void> {
    const endMs = performance.now() + forMs;
    do {
      await this.#offer(this.#capacityPerS * OVERLOAD_SHARE);
      const { answered_per_s } = await this.#lookOnce(phase);
      this.#capacityPerS = Math.max(this.#capacityPerS, answered_per_s);
    } while (performance.now() < endMs);
  }

  /** A node that is paused answers when it runs again, and its second is a little longer. */
  async #lookOnce(phase: OverloadPhase): Promise<OverloadSecond> {
    const fromMs = performance.now();
    await sleep(LOOK_MS);
    const samples = await Promise.all(this.#cluster.nodes.map((node) => node.call('loadSample', null)));
    const second = secondOf(phase, samples, performance.now() - fromMs, fromMs - this.#startedMs);
    for (const sample of samples) {
      this.#counts.succeeded += sample.succeeded;
      this.#counts.overloaded += sample.overloaded;
      this.#counts.overloadedWithoutTime += sample.overloadedWithoutTime;
      this.#counts.unknown += sample.unknown;
      this.#counts.longestMs = Math.max(this.#counts.longestMs, sample.longestMs);
    }
    this.#seconds.push(second);
    this.#options.report(second);
    return second;
  }

  /** Like a machine whose owner gives it too little time: not long enough to be given up by the others. */
  async #pausing(during: () => Promise<void>): Promise<void> {
    const node = this.#cluster.node(SLOW_NODE);
    let isOver = false;
    const pauses = (async () => {
      while (!isOver) {
        node.signal('SIGSTOP');
        await sleep(PAUSE_MS);
        node.signal('SIGCONT');
        await sleep(PAUSE_EVERY_MS - PAUSE_MS);
      }
    })();
    try {
      await during();
    } finally {
      isOver = true;
      await pauses;
    }
  }

  /** How long after the load was easy again answers were as they had been; undefined when they never were. */
  async #recovery(): Promise<number | undefined> {
    const easy = Math.max(...this.#seconds.filter(({ phase }) => phase === 'before').map(({ p99_ms }) => p99_ms));
    const fromMs = performance.now();
    for (let look = 0; look < RECOVERY_LOOKS_MAX; look++) {
      const second = await this.#lookOnce('after');
      const isQuiet = second.overloaded_per_s === 0 && Object.keys(second.errors).length === 0;
      if (isQuiet && second.p99_ms <= Math.max(easy * EASY_AGAIN_TIMES, EASY_AGAIN_MS)) {
        return performance.now() - fromMs;
      }
    }
    return undefined;
  }

  async #settled(before: TableState, recoveredMs: number | undefined): Promise<OverloadCounts> {
    await this.#offer(0);
    await until('every arrival to be answered', EQUAL_MS_MAX, async () => {
      const { in_flight } = await this.#lookOnce('after');
      return in_flight.every((count) => count === 0);
    });
    const areEqual = await this.#cluster.equal(TABLE, EQUAL_MS_MAX).then(
      () => true,
      () => false,
    );
    const { sum } = await this.#cluster.first.call('tableState', TABLE);
    return { ...this.#counts, made: sum - before.sum, areEqual, recoveredMs };
  }
}

/** Answers are as before once they take no more than so many times as long, or this long at all. */
const EASY_AGAIN_TIMES = 3;
const EASY_AGAIN_MS = 100;

function secondOf(
  phase: OverloadPhase,
  samples: readonly LoadSample[],
  tookMs: number,
  sinceStartMs: number,
): OverloadSecond {
  const latencies = new Histogram();
  const errors: Record<string, number> = {};
  for (const sample of samples) {
    latencies.merge(sample.latencies);
    for (const [code, count] of Object.entries(sample.errors)) errors[code] = (errors[code] ?? 0) + count;
  }
  const perSecond = (of: (sample: LoadSample) => number): number =>
    Math.round((samples.reduce((sum, sample) => sum + of(sample), 0) * 1000) / tookMs);
  return {
    phase,
    second: Math.round(sinceStartMs / 1000),
    offered_per_s: perSecond(({ offered }) => offered),
    answered_per_s: perSecond(({ succeeded }) => succeeded),
    overloaded_per_s: perSecond(({ overloaded }) => overloaded),
    errors,
    p50_ms: round(latencies.percentileUs(0.5) / 1000, 1),
    p99_ms: round(latencies.percentileUs(0.99) / 1000, 1),
    in_flight: samples.map(({ inFlight }) => inFlight),
    rss_mb: samples.map(({ rssBytes }) => Math.round(rssBytes / MEGABYTE)),
    loadavg1: loadNow(),
  };
}
