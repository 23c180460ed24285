/**
 * How a line of the event log is put together before it has a time and a host. Every room makes its lines with these
 * three functions, so that the order of the fields (E139) is decided in one place. `src/log/format.ts` writes them out.
 */
import type { ActorContext, Effect, LogLevel, LogRecord, WorkerContext } from '../otp/types.ts';

export type Field = readonly [key: string, value: string];

/** Who writes the line: the first `Node` and the `PID` of database lines (E138). */
export interface Emitter {
  readonly node: string;
  readonly pid: string;
}

export function emitterOf(context: ActorContext): Emitter {
  return { node: context.node, pid: context.self.text };
}

/** A worker has a pid of its own, which is how L9–L11 are told apart from the lines of their parent (E136). */
export function emitterOfWorker(worker: WorkerContext): Emitter {
  return { node: worker.self.node, pid: worker.self.text };
}

/** A module line: UTCTime, Module, Level, then `fields`. */
export function moduleLine(
  tag: string | undefined,
  module: string,
  level: LogLevel,
  fields: readonly Field[],
): LogRecord {
  return { tag, utcTime: 'first', level, fields: [['Module', module], ['Level', level], ...fields] };
}

/** A module line of a database process: the emitter's node and pid stand before the rest. */
export function processLine(module: string, level: LogLevel, from: Emitter, fields: readonly Field[]): LogRecord {
  return moduleLine(undefined, module, level, [['Node', from.node], ['PID', from.pid], ...fields]);
}

/** L21, L25: an event of a database process; UTCTime first, neither Module nor Level. */
export function processEvent(event: string, from: Emitter, detail: string): LogRecord {
  return {
    tag: undefined,
    utcTime: 'first',
    level: 'INFO',
    fields: [
      ['Event', event],
      ['Node', from.node],
      ['PID', from.pid],
      ['Detail', detail],
    ],
  };
}

/** Booleans are written `True` and `False`, what is missing `null`. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  return JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner)) ?? 'null';
}

/** Log effects in order. */
export function logging(...records: readonly LogRecord[]): Effect[] {
  return records.map((record) => ({ type: 'log', record }));
}
