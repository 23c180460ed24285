/**
 * A peer's event log: lines to a file, to the console, to whoever listens, and the last ones in memory. pino carries
 * them; its destination takes the message as it is, because the line IS the format (see format.ts).
 *
 * Writing is synchronous: a peer that is killed has written every line it logged. Losing the log never stops a peer:
 * a file that can no longer be written is counted, said once on the console, and tried again with each line.
 */
import { type DestinationStream, destination, pino } from 'pino';
import type { LogLevel, LogRecord } from '../../actors/index.ts';
import type { Clock } from '../../storage/index.ts';
import { formatLine } from './format.ts';
import { LogFile } from './log-file.ts';
import { timeZone } from './time.ts';

export interface EventLogOptions {
  /** Short system name, the second word of every line. */
  readonly host: string;
  readonly clock: Pick<Clock, 'wallMs'>;
  /** Path of the log file; absent: no file. Missing folders are made. */
  readonly file?: string;
  /** Lines to standard output, or to a function. */
  readonly console?: boolean | ((line: string) => void);
  /** `UTC`, `-05:00`, an IANA name; default this machine's zone. */
  readonly timeZone?: string;
  /** Lines kept for `recent`. */
  readonly recentLinesMax?: number;
}

export type LogListener = (line: string, record: LogRecord) => void;

export interface EventLog {
  /** Writes one line and returns it. Never throws. */
  write(record: LogRecord): string;
  /** Hears every line from now on. A listener that throws is dropped. */
  subscribe(listener: LogListener): () => void;
  /** The last `count` lines, oldest first. */
  recent(count: number): readonly string[];
  /** Opens the file again under its name, after it was moved away (SIGHUP). */
  reopen(): void;
  counters(): { readonly lines: number; readonly writeFailures: number; readonly listenersDropped: number };
  close(): void;
}

export const recentLinesDefault = 2_000;
export const listenersMax = 256;

/** What pino sets on a destination that asks for it: the message of the line being written. */
const metadata = Symbol.for('pino.metadata');

interface RawDestination extends DestinationStream {
  lastMsg?: string;
  [metadata]: true;
}

/** Hands pino's message on as the whole line. */
function rawLines(write: (line: string) => void): RawDestination {
  return {
    [metadata]: true,
    write() {
      write(`${this.lastMsg ?? ''}\n`);
    },
  };
}

/** Last lines in a ring: constant work and constant memory for each line. */
class RecentLines {
  readonly #lines: string[] = [];
  readonly #linesMax: number;
  #next = 0;

  constructor(linesMax: number) {
    this.#linesMax = linesMax;
  }

  push(line: string): void {
    this.#lines[this.#next] = line;
    this.#next = (this.#next + 1) % this.#linesMax;
  }

  last(count: number): readonly string[] {
    const full = this.#lines.length === this.#linesMax;
    const ordered = full ? [...this.#lines.slice(this.#next), ...this.#lines.slice(0, this.#next)] : [...this.#lines];
    return count <= 0 ? [] : ordered.slice(-count);
  }
}

const pinoLevels: Readonly<Record<LogLevel, 'debug' | 'info' | 'warn' | 'error'>> = {
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  ERROR: 'error',
};

class PinoEventLog implements EventLog {
  readonly #host: string;
  readonly #clock: Pick<Clock, 'wallMs'>;
  readonly #zone: ReturnType<typeof timeZone>;
  readonly #recent: RecentLines;
  readonly #listeners = new Set<LogListener>();
  readonly #logger: ReturnType<typeof pino>;
  readonly #console: ((line: string) => void) | undefined;
  readonly #file: LogFile | undefined;
  #lines = 0;
  #writeFailures = 0;
  #listenersDropped = 0;
  #complained = false;
  #closed = false;

  constructor(options: EventLogOptions) {
    this.#host = options.host;
    this.#clock = options.clock;
    this.#zone = timeZone(options.timeZone);
    this.#recent = new RecentLines(Math.max(1, options.recentLinesMax ?? recentLinesDefault));
    this.#console = consoleWriter(options.console);
    this.#file =
      options.file === undefined ? undefined : new LogFile(options.file, (thrown) => this.#fileFailed(thrown));
    const raw = rawLines((line) => this.#emit(line));
    this.#logger = pino({ level: 'debug', base: null, timestamp: false }, raw);
  }

  write(record: LogRecord): string {
    const line = formatLine(record, { wallMs: this.#clock.wallMs(), host: this.#host, zone: this.#zone });
    this.#lines += 1;
    this.#recent.push(line);
    if (!this.#closed) this.#logger[pinoLevels[record.level]](line);
    for (const listener of [...this.#listeners]) this.#tell(listener, line, record);
    return line;
  }

  subscribe(listener: LogListener): () => void {
    if (this.#listeners.size >= listenersMax) {
      throw new RangeError(`The event log has ${listenersMax} listeners already; end one before adding another.`);
    }
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  recent(count: number): readonly string[] {
    return this.#recent.last(count);
  }

  reopen(): void {
    this.#complained = false;
    this.#file?.reopen();
  }

  counters() {
    return { lines: this.#lines, writeFailures: this.#writeFailures, listenersDropped: this.#listenersDropped };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listeners.clear();
    this.#file?.close();
  }

  #emit(line: string): void {
    this.#console?.(line);
    this.#file?.write(line);
  }

  #tell(listener: LogListener, line: string, record: LogRecord): void {
    try {
      listener(line, record);
    } catch (thrown) {
      this.#listeners.delete(listener);
      this.#listenersDropped += 1;
      this.#console?.(`event log: a listener failed and was dropped: ${String(thrown)}\n`);
    }
  }

  #fileFailed(thrown: unknown): void {
    this.#writeFailures += 1;
    if (this.#complained) return;
    this.#complained = true;
    // Without a console the operator still has to hear of it somewhere.
    const say = this.#console ?? ((line: string) => process.stderr.write(line));
    say(`event log: the log file cannot be written (${String(thrown)}); lines go on without it\n`);
  }
}

function consoleWriter(option: EventLogOptions['console']): ((line: string) => void) | undefined {
  if (option === undefined || option === false) return undefined;
  if (typeof option === 'function') return (line) => option(line.slice(0, -1));
  // pino's own guard drops EPIPE here: a reader that went away must not end the peer.
  const standardOutput = destination({ dest: 1, sync: true });
  return (line) => {
    standardOutput.write(line);
  };
}

export function createEventLog(options: EventLogOptions): EventLog {
  return new PinoEventLog(options);
}
