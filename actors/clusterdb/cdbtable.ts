/**
 * The process that owns a table: it makes every write an actor or a page asks for, in order and each in a transaction
 * of its own worker, says what was applied here (L20 before, L21 or L25 after, local or replicated), and tells the
 * actors that live by the table. The pid in those lines is this process's, so that a log can be followed by table.
 */
import type { Key, TableEvent, Transaction, Value } from '../../storage/index.ts';
import { emitterOf, logging, shown } from '../diagnostics/log-record.ts';
import type { ActorContext, Effect, From, GenServer, HostInfo, Next } from '../otp/types.ts';
import { insertingIntoTable, itemChanged, tableChanged, writeFailed } from './log-lines.ts';
import { failureOf, type TableAnswer, type TableRequest, type TransactionPort } from './ports.ts';

export interface CdbtableArgs {
  readonly table: string;
  readonly database: TransactionPort;
  /** Registered names of the actors told of each event of the table. */
  readonly subscribers: readonly string[];
  /** Whether a row inserted here is announced by L20. Tables the system rewrites by itself are not. */
  readonly announceInserts: boolean;
  /** `items`: L21 for each changed row an operator set. `table`: L25 for each row written. `none`: silence. */
  readonly changes: 'items' | 'table' | 'none';
  /** Whether a key is an operator's item (L21); default all. */
  isItem?(key: Key): boolean;
  /** The table's name in `xconfiguration …`, when it is not the table's own. */
  readonly shownAs?: string;
  /** Requests that may wait; past it they are refused. */
  readonly queueMax?: number;
}

interface Job {
  readonly request: TableRequest;
  readonly from: From | undefined;
}

export interface CdbtableState {
  readonly args: CdbtableArgs;
  readonly running: Job | undefined;
  readonly waiting: readonly Job[];
  /** Changes of the running job that are applied here and not answered yet: the subscribers hear of them after that. */
  readonly untold: readonly TableEvent[];
}

export const queueMaxDefault = 1_000;
const WRITE = 'write';

export const cdbtable: GenServer<CdbtableState, CdbtableArgs, TableRequest, TableRequest, TableEvent> = {
  init(args) {
    return { state: { args, running: undefined, waiting: [], untold: [] } };
  },

  handleCall(request, from, state, context) {
    return accept({ request, from }, state, context);
  },

  handleCast(request, state, context) {
    return accept({ request, from: undefined }, state, context);
  },

  handleInfo(message: TableEvent | HostInfo, state, context) {
    if (message.type === 'worker') return finish(message, state, context);
    if (message.type === 'write' || message.type === 'delete') return applied(message, state, context);
    return { state };
  },
};

function accept(job: Job, state: CdbtableState, context: ActorContext): Next<CdbtableState> {
  if (state.running === undefined) return start(job, state, context);
  if (state.waiting.length >= (state.args.queueMax ?? queueMaxDefault)) {
    const message = `Table "${state.args.table}" has ${state.waiting.length} writes waiting; try again later.`;
    return { state, effects: answer(job, { ok: false, error: { code: 'overloaded', message } }, state, context) };
  }
  return { state: { ...state, waiting: [...state.waiting, job] } };
}

function start(job: Job, state: CdbtableState, context: ActorContext): Next<CdbtableState> {
  const { database, table, announceInserts } = state.args;
  const inserts = job.request.type === 'insert' && announceInserts ? job.request.rows : [];
  const lines = logging(...inserts.map(() => insertingIntoTable(emitterOf(context), table)));
  const work = () => database.transaction((tx) => write(tx, table, job.request));
  return { state: { ...state, running: job }, effects: [...lines, { type: 'run', name: WRITE, work }] };
}

function write(tx: Transaction, table: string, request: TableRequest): void {
  if (request.type === 'delete') {
    for (const key of request.keys) tx.delete(table, key);
    return;
  }
  if (request.type === 'insert') {
    for (const { key, value } of request.rows) tx.write(table, key, value);
    return;
  }
  const wanted = new Map(request.rows.map((row) => [keyText(row.key), row]));
  for (const key of tx.allKeys(table)) if (!wanted.has(keyText(key))) tx.delete(table, key);
  for (const { key, value } of wanted.values()) {
    if (!tx.has(table, key) || !sameValue(tx.read(table, key), value)) tx.write(table, key, value);
  }
}

function finish(info: HostInfo & { type: 'worker' }, state: CdbtableState, context: ActorContext): Next<CdbtableState> {
  const job = state.running;
  if (job === undefined || info.name !== WRITE) return { state };
  const outcome: TableAnswer = info.ok ? { ok: true } : { ok: false, error: failureOf(info.reason) };
  const told = state.untold.flatMap((event) => tellSubscribers(event, state.args));
  const effects = [...answer(job, outcome, state, context), ...told];
  const [following, ...waiting] = state.waiting;
  const idle = { ...state, running: undefined, waiting, untold: [] };
  if (following === undefined) return { state: idle, effects };
  const started = start(following, idle, context);
  return { state: started.state, effects: [...effects, ...(started.effects ?? [])] };
}

/** A caller is answered; a cast that failed has nobody to tell, so the log is told. */
function answer(job: Job, outcome: TableAnswer, state: CdbtableState, context: ActorContext): Effect[] {
  const failed = outcome.ok
    ? []
    : logging(writeFailed(emitterOf(context), state.args.table, `${outcome.error.code}: ${outcome.error.message}`));
  return job.from === undefined ? failed : [...failed, { type: 'reply', to: job.from, value: outcome }];
}

/**
 * L21 or L25, then the subscribers: whoever acts on a change finds its line before its own. Of a change asked for here
 * they hear when whoever asked has been answered, so that the page's line (L22) comes before theirs, too.
 */
function applied(event: TableEvent, state: CdbtableState, context: ActorContext): Next<CdbtableState> {
  const lines = logging(...changeLines(event, state.args, context));
  if (event.origin !== 'local' || state.running === undefined) {
    return { state, effects: [...lines, ...tellSubscribers(event, state.args)] };
  }
  const untold = state.args.subscribers.length === 0 ? [] : [...state.untold, event];
  return { state: { ...state, untold }, effects: lines };
}

function tellSubscribers(event: TableEvent, args: CdbtableArgs): Effect[] {
  return args.subscribers.map((to): Effect => ({ type: 'send', to, message: { type: 'table', event } }));
}

function changeLines(event: TableEvent, args: CdbtableArgs, context: ActorContext) {
  const name = args.shownAs ?? args.table;
  if (args.changes === 'table') return [tableChanged(emitterOf(context), name)];
  if (args.changes === 'none' || (args.isItem !== undefined && !args.isItem(event.key))) return [];
  const after = event.type === 'write' ? event.value : undefined;
  if (sameValue(event.oldValue, after)) return [];
  return [itemChanged(emitterOf(context), name, shown(event.key), shown(event.oldValue), shown(after))];
}

/** Text that is equal for equal keys and values: object members in order of their names, octets as numbers. */
export function keyText(value: Key | Value): string {
  if (value === undefined) return 'undefined';
  if (value instanceof Uint8Array) return `octets:${[...value].join(',')}`;
  if (typeof value === 'bigint') return `${value}n`;
  if (Array.isArray(value)) return `[${value.map((inner: Key | Value) => keyText(inner)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value as { readonly [key: string]: Value });
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([name, inner]) => `${JSON.stringify(name)}:${keyText(inner)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

export function sameValue(a: Value, b: Value): boolean {
  return a === b || keyText(a) === keyText(b);
}
