/**
 * Raises, lowers and acknowledges this peer's alarms (E111–E118, B31). It logs L28 and then the event, keeps the alarms
 * in the replicated table `alarms` so that every peer can show all of them, and writes there only rows of its own node.
 *
 * Its memory is the truth; the table follows. One worker at a time writes what changed, in the state it has then, so
 * that an alarm raised and lowered in one breath can never be left standing in the table.
 */
import type { Key, Value } from '../../storage/index.ts';
import { TABLE } from '../clusterdb/cluster-configuration.ts';
import { type AlarmRequest, failureOf, type ReadPort, type TableRow } from '../clusterdb/ports.ts';
import { writeThrough } from '../clusterdb/table-writes.ts';
import type { ActorContext, Effect, From, GenServer, HostInfo, Next, WorkerContext } from '../otp/types.ts';
import {
  type Alarm,
  type AlarmParameters,
  type AlarmSeverity,
  alarmById,
  alarmDetail,
  describeAlarm,
  shownParameters,
} from './alarm-catalogue.ts';
import { alarmEvent, alarmManagerTrouble, raisingAlarm } from './log-lines.ts';
import { logging } from './log-record.ts';

/** A row of `alarms`, key `[owner, id]`. Only its owner writes it. */
export interface AlarmRow {
  /** `clusterdb@<fqdn>` of the peer whose alarm it is. */
  readonly owner: string;
  /** Which life of that peer raised it: an alarm that is still true after a restart is a new one. */
  readonly incarnation: number;
  readonly id: number;
  readonly uuid: string;
  readonly severity: AlarmSeverity;
  readonly title: string;
  readonly description: string;
  /** The Detail of its event. */
  readonly detail: string;
  /** Ms since the epoch. */
  readonly raisedAt: number;
  readonly acknowledged: boolean;
}

/** A row with what to do about it, as shown to people. */
export interface ShownAlarm extends AlarmRow {
  readonly remedy: string;
}

export interface AlarmManagerArgs {
  /** Every peer's rows, as they are in the table now. */
  rows(): readonly AlarmRow[];
  /** Boot counter of this node. */
  readonly incarnation: number;
  /** Pause before a write that failed is tried again, ms. */
  readonly retryMs?: number;
}

export interface AlarmManagerState {
  readonly args: AlarmManagerArgs;
  readonly raised: ReadonlyMap<number, AlarmRow>;
  /** Ids whose row in the table may differ from `raised`. */
  readonly unsaved: ReadonlySet<number>;
  readonly saving: boolean;
  /** Why the last write failed, so that a table that stays shut is reported once and not at every try. */
  readonly trouble: string | undefined;
}

export type AlarmManagerCall =
  | AlarmRequest
  | { readonly type: 'acknowledge'; readonly id: number; readonly user: string }
  | { readonly type: 'list'; readonly scope: 'own' | 'cluster' };

export type AlarmAnswer =
  | { readonly ok: true }
  | { readonly ok: false; readonly error: { readonly code: 'no_such_alarm' | 'not_raised'; readonly message: string } };

const retryDefaultMs = 2_000;
const SAVE = 'save';
const RETRY = 'retry';

export const alarmmanager: GenServer<AlarmManagerState, AlarmManagerArgs, AlarmManagerCall, AlarmRequest, never> = {
  init(args, context) {
    const own = args.rows().filter((row) => row.owner === context.node);
    const ours = own.filter((row) => row.incarnation === args.incarnation);
    // Rows of an earlier life are gone with it (E113, B31); rows of this life were raised before this process fell.
    const stale = own.filter((row) => row.incarnation !== args.incarnation).map((row) => row.id);
    const raised = new Map(ours.map((row) => [row.id, row]));
    return save({ args, raised, unsaved: new Set(stale), saving: false, trouble: undefined }, [], context);
  },

  handleCall(message, from, state, context) {
    if (message.type === 'list') {
      const rows = message.scope === 'own' ? [...state.raised.values()] : clusterRows(state, context);
      return { state, effects: [{ type: 'reply', to: from, value: rows.map(withRemedy).sort(byOwnerAndId) }] };
    }
    if (message.type === 'acknowledge') return acknowledge(message.id, message.user, from, state, context);
    return change(message, state, context, from);
  },

  handleCast(message, state, context) {
    return change(message, state, context, undefined);
  },

  handleInfo(message: HostInfo, state, context) {
    if (message.type === 'worker') return saved(message, state, context);
    if (message.type === 'timeout' && message.name === RETRY) return save(state, [], context);
    return { state };
  },
};

function change(
  request: AlarmRequest,
  state: AlarmManagerState,
  context: ActorContext,
  from: From | undefined,
): Next<AlarmManagerState> {
  const alarm = alarmById(request.id);
  if (alarm === undefined) {
    const message = `There is no alarm ${request.id} in the catalogue.`;
    const answer: AlarmAnswer = { ok: false, error: { code: 'no_such_alarm', message } };
    return { state, effects: [...logging(alarmManagerTrouble('Unknown alarm', message)), ...reply(from, answer)] };
  }
  const next =
    request.type === 'raise' ? raise(alarm, request.parameters, state, context) : lower(alarm, state, context);
  return { state: next.state, effects: [...(next.effects ?? []), ...reply(from, { ok: true })] };
}

function reply(from: From | undefined, value: AlarmAnswer): Effect[] {
  return from === undefined ? [] : [{ type: 'reply', to: from, value }];
}

/** Raised twice is raised once; new parameters are a new statement and said again. */
function raise(
  alarm: Alarm,
  parameters: AlarmParameters | undefined,
  state: AlarmManagerState,
  context: ActorContext,
): Next<AlarmManagerState> {
  const detail = alarmDetail(alarm, parameters);
  const before = state.raised.get(alarm.id);
  if (before?.detail === detail) return { state };
  const row: AlarmRow = {
    owner: context.node,
    incarnation: state.args.incarnation,
    id: alarm.id,
    uuid: alarm.uuid,
    severity: alarm.severity,
    title: alarm.title,
    description: describeAlarm(alarm, parameters),
    detail,
    raisedAt: context.nowMs,
    acknowledged: false,
  };
  const lines = logging(
    raisingAlarm(alarm.uuid, shownParameters(parameters)),
    alarmEvent('Alarm Raised', alarm, detail),
  );
  return save(withRow(state, row), lines, context);
}

function lower(alarm: Alarm, state: AlarmManagerState, context: ActorContext): Next<AlarmManagerState> {
  const row = state.raised.get(alarm.id);
  if (row === undefined) return { state };
  const raised = new Map(state.raised);
  raised.delete(alarm.id);
  const lowered = { ...state, raised, unsaved: new Set([...state.unsaved, alarm.id]) };
  return save(lowered, logging(alarmEvent('Alarm Lowered', alarm, row.detail)), context);
}

/** Only this peer's own alarms can be acknowledged here (B31); another peer's are acknowledged there. */
function acknowledge(
  id: number,
  user: string,
  from: From,
  state: AlarmManagerState,
  context: ActorContext,
): Next<AlarmManagerState> {
  const row = state.raised.get(id);
  const alarm = alarmById(id);
  if (row === undefined || alarm === undefined) {
    const message = `Alarm ${id} is not raised on this peer. Acknowledge another peer's alarm on that peer.`;
    return { state, effects: reply(from, { ok: false, error: { code: 'not_raised', message } }) };
  }
  const answer = reply(from, { ok: true });
  if (row.acknowledged) return { state, effects: answer };
  const lines = logging(alarmEvent('Alarm Acknowledged', alarm, row.detail, user));
  return save(withRow(state, { ...row, acknowledged: true }), [...lines, ...answer], context);
}

function withRow(state: AlarmManagerState, row: AlarmRow): AlarmManagerState {
  return {
    ...state,
    raised: new Map(state.raised).set(row.id, row),
    unsaved: new Set([...state.unsaved, row.id]),
  };
}

/** Starts the one worker that brings the table up to what is true, unless it runs or nothing is left to write. */
function save(state: AlarmManagerState, before: readonly Effect[], context: ActorContext): Next<AlarmManagerState> {
  if (state.saving || state.unsaved.size === 0) return { state, effects: before };
  const ids = [...state.unsaved];
  const inserts = ids.flatMap((id) => tableRow(state.raised.get(id)));
  const keys = ids.filter((id) => !state.raised.has(id)).map((id): Key => [context.node, id]);
  const work = async (worker: WorkerContext) => {
    if (keys.length > 0) await writeThrough(worker, TABLE.alarms, { type: 'delete', keys });
    if (inserts.length > 0) await writeThrough(worker, TABLE.alarms, { type: 'insert', rows: inserts });
  };
  return {
    state: { ...state, unsaved: new Set(), saving: true },
    effects: [...before, { type: 'run', name: `${SAVE} ${ids.join(' ')}`, work }],
  };
}

function tableRow(row: AlarmRow | undefined): TableRow[] {
  return row === undefined ? [] : [{ key: [row.owner, row.id], value: { ...row } }];
}

/** What could not be written is tried again after a pause, in whatever state it is then. */
function saved(
  info: HostInfo & { type: 'worker' },
  state: AlarmManagerState,
  context: ActorContext,
): Next<AlarmManagerState> {
  if (info.ok) return save({ ...state, saving: false, trouble: undefined }, [], context);
  const ids = info.name.split(' ').slice(1).map(Number);
  const { code, message } = failureOf(info.reason);
  const trouble = `${code}: ${message}`;
  const said = state.trouble === trouble;
  return {
    state: { ...state, saving: false, trouble, unsaved: new Set([...state.unsaved, ...ids]) },
    effects: [
      ...(said ? [] : logging(alarmManagerTrouble('Alarms could not be written to the table', trouble))),
      { type: 'startTimer', name: RETRY, delayMs: state.args.retryMs ?? retryDefaultMs },
    ],
  };
}

/** Every peer's alarms: the others' from the table, our own from memory, where they are a moment earlier. */
function clusterRows(state: AlarmManagerState, context: ActorContext): AlarmRow[] {
  const others = state.args.rows().filter((row) => row.owner !== context.node);
  return [...others, ...state.raised.values()];
}

function withRemedy(row: AlarmRow): ShownAlarm {
  return { ...row, remedy: alarmById(row.id)?.remedy ?? '' };
}

function byOwnerAndId(a: ShownAlarm, b: ShownAlarm): number {
  return a.owner === b.owner ? a.id - b.id : a.owner < b.owner ? -1 : 1;
}

/** A row of the table as this module means it, or undefined: rows come from other peers and other versions. */
export function asAlarmRow(value: Value): AlarmRow | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array)
    return undefined;
  const row = value as Readonly<Record<string, Value>>;
  const texts = ['owner', 'uuid', 'severity', 'title', 'description', 'detail'];
  const numbers = ['incarnation', 'id', 'raisedAt'];
  const complete =
    texts.every((name) => typeof row[name] === 'string') &&
    numbers.every((name) => typeof row[name] === 'number') &&
    typeof row.acknowledged === 'boolean';
  return complete ? (row as unknown as AlarmRow) : undefined;
}

/** `rows` of the alarm manager over the database's replica. */
export function alarmRows(database: ReadPort): readonly AlarmRow[] {
  const rows: AlarmRow[] = [];
  database.dirtyForEach(TABLE.alarms, (_key, value) => {
    const row = asAlarmRow(value);
    if (row !== undefined) rows.push(row);
  });
  return rows;
}
