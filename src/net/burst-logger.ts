/** Shell of the burst log: writes the first line at once and the summaries when they are due. */
import type { LogLevel, LogRecord } from '../../actors/otp/types.ts';
import type { Clock, TimerHandle } from '../../storage/environment.ts';
import { type BurstLimits, BurstLog, type BurstSummary } from './burst-log.ts';
import { BURST_QUIET_MS } from './limits.ts';
import type { LogFields } from './log-records.ts';

export interface BurstLoggerOptions {
  readonly clock: Clock;
  readonly log: (record: LogRecord) => void;
  readonly record: (level: LogLevel, detail: string, fields: LogFields) => LogRecord;
  readonly limits?: Partial<BurstLimits>;
}

export class BurstLogger {
  readonly #options: BurstLoggerOptions;
  readonly #bursts: BurstLog;
  readonly #checkMs: number;
  #timer: TimerHandle | undefined;

  constructor(options: BurstLoggerOptions) {
    this.#options = options;
    this.#bursts = new BurstLog(options.limits);
    this.#checkMs = Math.max(20, (options.limits?.quietMs ?? BURST_QUIET_MS) / 2);
  }

  get total(): number {
    return this.#bursts.total;
  }

  note(source: string, kind: string, detail: string, fields: LogFields = []): void {
    const shown = this.#bursts.note(source, kind, this.#options.clock.monotonicMs());
    if (shown !== undefined) {
      this.#options.log(this.#options.record('WARN', detail, [['Src-ip', shown], ['Reason', kind], ...fields]));
    }
    this.#timer ??= this.#options.clock.after(this.#checkMs, () => this.#check());
  }

  close(): void {
    if (this.#timer !== undefined) this.#options.clock.cancel(this.#timer);
    this.#timer = undefined;
  }

  #check(): void {
    this.#timer = undefined;
    for (const summary of this.#bursts.expire(this.#options.clock.monotonicMs())) this.#summarise(summary);
    if (!this.#bursts.isIdle) this.#timer = this.#options.clock.after(this.#checkMs, () => this.#check());
  }

  #summarise(summary: BurstSummary): void {
    const seconds = (summary.durationMs / 1000).toFixed(1);
    const detail = `${summary.count} more of the same came within ${seconds} s and were not logged one by one`;
    this.#options.log(
      this.#options.record('WARN', detail, [
        ['Src-ip', summary.source],
        ['Reason', summary.kind],
        ['Count', String(summary.count)],
      ]),
    );
  }
}
