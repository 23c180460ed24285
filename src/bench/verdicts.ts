/** What an overload showed, judged. Pure. */
import type { OverloadSecond } from './overload.ts';

export interface Verdict {
  readonly name: 'memory' | 'latency' | 'refusals' | 'recovery' | 'nothing lost' | 'replicas equal';
  readonly holds: boolean;
  /** What was seen, with figures. */
  readonly seen: string;
}

export interface OverloadCounts {
  readonly succeeded: number;
  readonly overloaded: number;
  readonly overloadedWithoutTime: number;
  /** Failed, and may have been made all the same. */
  readonly unknown: number;
  readonly longestMs: number;
  /** How many the table counted. */
  readonly made: number;
  readonly areEqual: boolean;
  readonly recoveredMs: number | undefined;
}

/** From the middle of the overload to its end, memory may grow by this share and this much. */
const GROWTH_SHARE = 0.25;
const GROWTH_MB = 64;
/** The deadline of a transaction, and the time to notice it in a process that has too much to do. */
const LATENCY_MS_MAX = 33_000;
const RECOVERY_MS_MAX = 10_000;

export function overloadVerdicts(seconds: readonly OverloadSecond[], counts: OverloadCounts): Verdict[] {
  const { succeeded, overloaded, overloadedWithoutTime, unknown, longestMs, made, recoveredMs } = counts;
  return [
    memoryVerdict(seconds.filter(({ phase }) => phase !== 'before' && phase !== 'after')),
    {
      name: 'latency',
      holds: longestMs <= LATENCY_MS_MAX,
      seen: `the longest answer took ${Math.round(longestMs)} ms; ${LATENCY_MS_MAX} are allowed`,
    },
    {
      name: 'refusals',
      holds: overloaded > 0 && overloadedWithoutTime === 0,
      seen: `${overloaded} were refused as overloaded, ${overloadedWithoutTime} of them without a time to try again`,
    },
    {
      name: 'recovery',
      holds: recoveredMs !== undefined && recoveredMs <= RECOVERY_MS_MAX,
      seen:
        recoveredMs === undefined
          ? 'answers did not come as before the overload any more'
          : `answers came as before ${Math.round(recoveredMs)} ms after the load was easy again`,
    },
    {
      name: 'nothing lost',
      holds: made >= succeeded && made <= succeeded + unknown,
      seen: `${succeeded} were answered as made, the table counts ${made}; of ${unknown} the outcome was not known`,
    },
    {
      name: 'replicas equal',
      holds: counts.areEqual,
      seen: counts.areEqual ? 'all replicas hold the same rows' : 'replicas differ',
    },
  ];
}

/** The second half against the most there was in the first: who queues without a bound grows all the time. */
function memoryVerdict(overload: readonly OverloadSecond[]): Verdict {
  const half = Math.ceil(overload.length / 2);
  const nodes = overload[0]?.rss_mb.length ?? 0;
  const most = (part: readonly OverloadSecond[], node: number): number =>
    Math.max(0, ...part.map(({ rss_mb }) => rss_mb[node] ?? 0));
  const grown = Array.from({ length: nodes }, (_, node) => {
    const [first, second] = [most(overload.slice(0, half), node), most(overload.slice(half), node)];
    return { first, second, holds: second <= first * (1 + GROWTH_SHARE) + GROWTH_MB };
  });
  const seen = grown.map(({ first, second }, at) => `node ${at + 1} ${first} then ${second} MB`).join(', ');
  return { name: 'memory', holds: nodes > 0 && grown.every(({ holds }) => holds), seen: `at most ${seen}` };
}
