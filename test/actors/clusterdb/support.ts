/** What the actors' tests share: contexts, pids, effects by kind, and the recorded lines as a fixture. */
import { readFileSync } from 'node:fs';
import type { ActorContext, Effect, From, LogRecord, Pid, WorkerContext } from '../../../actors/index.ts';
import { fixedZone, formatLine } from '../../../src/log/index.ts';

/** The recorded lines, in the order they were recorded. */
export const excerpts: readonly string[] = readFileSync(
  new URL('../../fixtures/log-excerpts.txt', import.meta.url),
  'utf8',
)
  .split('\n')
  .filter((line) => line !== '');

export const self = 'clusterdb@expc01.apolo.local';
export const other = 'clusterdb@expc02.apolo.local';

export function pid(text: string, node = self): Pid {
  return { node, serial: Number(text.split('.')[1] ?? 0), text };
}

export function context(text = '<0.159.0>', node = self, nowMs = 1_597_262_263_353): ActorContext {
  return { self: pid(text, node), node, nowMs };
}

export const asker: From = { pid: pid('<0.9.0>'), callId: 1 };

export function records(effects: readonly Effect[] | undefined): readonly LogRecord[] {
  return (effects ?? []).flatMap((effect) => (effect.type === 'log' ? [effect.record] : []));
}

/** Everything after the prefix time of the line a record becomes, at `nowMs`. */
export function body(record: LogRecord, wallMs = context().nowMs): string {
  return withoutPrefix(formatLine(record, { wallMs, host: 'expc01', zone: fixedZone(-300) }));
}

/** A line without its prefix time, which may be a millisecond later than its UTCTime. */
export function withoutPrefix(line: string): string {
  return line.slice(line.indexOf(' ') + 1);
}

/** A line without what differs between two runs: times, pids, the web server's process id. */
export function shape(line: string): string {
  return withoutPrefix(line)
    .replace(/UTCTime="[^"]*"/, 'UTCTime="…"')
    .replace(/PID="[^"]*"/, 'PID="…"')
    .replace(/httpd\[\d+\]/, 'httpd[…]');
}

export function ofType<Type extends Effect['type']>(
  effects: readonly Effect[] | undefined,
  type: Type,
): readonly Extract<Effect, { type: Type }>[] {
  return (effects ?? []).filter((effect): effect is Extract<Effect, { type: Type }> => effect.type === type);
}

/** A worker's context whose calls are answered by `answer`, and what it logged. */
export function fakeWorker(
  answer: (to: unknown, message: unknown) => unknown = () => ({ ok: true }),
  text = '<0.14215.425>',
  node = self,
): { readonly worker: WorkerContext; readonly logged: LogRecord[] } {
  const logged: LogRecord[] = [];
  const worker: WorkerContext = {
    self: pid(text, node),
    call: async (to, message) => answer(to, message),
    send: () => undefined,
    log: (record) => {
      logged.push(record);
    },
    sleep: () => new Promise(() => undefined),
  };
  return { worker, logged };
}
