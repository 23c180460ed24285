/**
 * One line for the first of many, one for the rest. A stranger that knocks a thousand times a second costs two log
 * lines and one map entry. Pure: time is an argument, and the shell (burst-logger.ts) decides when to ask.
 */
import { BURST_LENGTH_MS_MAX, BURST_QUIET_MS, BURST_SOURCES_MAX } from './limits.ts';

export interface BurstSummary {
  readonly source: string;
  readonly kind: string;
  /** How many came after the first one, which was logged by itself. */
  readonly count: number;
  readonly durationMs: number;
}

interface Burst {
  readonly source: string;
  readonly kind: string;
  readonly startedMs: number;
  lastMs: number;
  count: number;
}

export interface BurstLimits {
  readonly quietMs: number;
  readonly lengthMsMax: number;
  readonly sourcesMax: number;
}

const DEFAULT_LIMITS: BurstLimits = {
  quietMs: BURST_QUIET_MS,
  lengthMsMax: BURST_LENGTH_MS_MAX,
  sourcesMax: BURST_SOURCES_MAX,
};

/** The source under which everything beyond `sourcesMax` is counted. */
export const OTHER_SOURCES = 'other sources';

export class BurstLog {
  readonly #limits: BurstLimits;
  readonly #bursts = new Map<string, Burst>();
  /** Everything ever noted, logged or not. */
  total = 0;

  constructor(limits: Partial<BurstLimits> = {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
  }

  /** The source to log now, or undefined when a running burst swallows this one. */
  note(source: string, kind: string, nowMs: number): string | undefined {
    this.total++;
    const known = this.#bursts.get(keyOf(source, kind));
    if (known !== undefined) {
      known.count++;
      known.lastMs = nowMs;
      return undefined;
    }
    const full = this.#bursts.size >= this.#limits.sourcesMax;
    return full ? this.#noteOther(kind, nowMs) : this.#begin(source, kind, nowMs);
  }

  /** The summaries of bursts that are over or have lasted too long. Bursts of a single event end without a line. */
  expire(nowMs: number): readonly BurstSummary[] {
    const summaries: BurstSummary[] = [];
    for (const [key, burst] of this.#bursts) {
      const quiet = nowMs - burst.lastMs >= this.#limits.quietMs;
      const long = nowMs - burst.startedMs >= this.#limits.lengthMsMax;
      if (!quiet && !long) continue;
      if (burst.count > 0) summaries.push(summaryOf(burst));
      this.#bursts.delete(key);
      // A burst that goes on keeps its entry, so that its next event is not "the first" again.
      if (!quiet) this.#bursts.set(key, { ...burst, startedMs: nowMs, count: 0 });
    }
    return summaries;
  }

  get isIdle(): boolean {
    return this.#bursts.size === 0;
  }

  get size(): number {
    return this.#bursts.size;
  }

  /** One entry per kind beyond the cap, never one per source. */
  #noteOther(kind: string, nowMs: number): string | undefined {
    const key = keyOf(OTHER_SOURCES, kind);
    const known = this.#bursts.get(key);
    if (known === undefined) return this.#begin(OTHER_SOURCES, kind, nowMs);
    known.count++;
    known.lastMs = nowMs;
    return undefined;
  }

  #begin(source: string, kind: string, nowMs: number): string {
    this.#bursts.set(keyOf(source, kind), { source, kind, startedMs: nowMs, lastMs: nowMs, count: 0 });
    return source;
  }
}

function keyOf(source: string, kind: string): string {
  return `${kind} ${source}`;
}

function summaryOf(burst: Burst): BurstSummary {
  return {
    source: burst.source,
    kind: burst.kind,
    count: burst.count,
    durationMs: Math.round(burst.lastMs - burst.startedMs),
  };
}
