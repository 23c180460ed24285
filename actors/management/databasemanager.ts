/**
 * Notices changes of the cluster's configuration (L23), compares them with what this peer started with (L24) and has
 * the alarm manager say that a restart is required (20007, E113). The mode of the links changes with the restart and
 * never before it (E74); this process only knows that it waits.
 *
 * On the peer where the TLS mode was changed it also records the change as pending, which is the second insert of the
 * recorded timeline (T3); L24 follows it. Other peers get that record by replication and write none.
 */
import type { TableEvent, Value } from '../../storage/index.ts';
import { sameValue } from '../clusterdb/cdbtable.ts';
import {
  CLUSTER_ITEM,
  type ClusterConfiguration,
  PEER_ITEM,
  TABLE,
  type TlsVerify,
} from '../clusterdb/cluster-configuration.ts';
import {
  type AlarmRequest,
  type ConfigurationPort,
  type PeersMessage,
  PROCESS,
  type ResolvedPeer,
  type TableMessage,
  type TableRequest,
} from '../clusterdb/ports.ts';
import { writeThrough } from '../clusterdb/table-writes.ts';
import { logging } from '../diagnostics/log-record.ts';
import type { ActorContext, Effect, From, GenServer, HostInfo, Next, WorkerContext } from '../otp/types.ts';
import { clusterConfigurationChangeDetected, tlsVerifyChangeStatus } from './log-lines.ts';

export interface DatabaseManagerArgs {
  readonly configuration: ConfigurationPort;
  /** The configuration this peer started with, read once before the tree was started. */
  readonly startup: ClusterConfiguration;
  /** The mode the links really use. Differs from `startup.tlsVerify` only when the peer could not start with that. */
  readonly activeTlsVerify: TlsVerify;
  /** From a change to this process noticing it, ms. */
  readonly noticeDelayMs?: number;
  /** From noticing to asking for 20007, ms. */
  readonly restartAlarmDelayMs?: number;
}

export interface DatabaseManagerState {
  readonly args: DatabaseManagerArgs;
  readonly peers: readonly ResolvedPeer[];
  /** Changes not yet noticed, oldest first. */
  readonly unnoticed: readonly Change[];
  /** Numbers the workers that record a pending change. */
  readonly recorded: number;
}

interface Change {
  readonly item: string;
  readonly value: Value;
  readonly madeHere: boolean;
}

export type DatabaseManagerCall = { readonly type: 'status' };

export interface DatabaseManagerStatus {
  readonly restartRequired: boolean;
  /** What differs from the start, in words of the page. */
  readonly changes: readonly string[];
  readonly tlsVerifyAtStart: TlsVerify;
  readonly tlsVerify: TlsVerify;
  readonly peers: readonly ResolvedPeer[];
}

/** T3: L21 to L23 takes 2 or 3 ms; the page's own line (L22) stands between them. */
const noticeDelayDefaultMs = 3;
/** T3: 160 ms and 220 ms from the change to 20007. */
const restartAlarmDelayDefaultMs = 180;
const NOTICE = 'notice';
const RESTART_ALARM = 'restart-required';
const RECORD = 'record-';
/** A burst of changes past this many is noticed as one. */
const unnoticedMax = 64;

export const RESTART_REQUIRED = 20007;
export const NAME_MISSING = 20019;
export const TLS_STATUS_DIFFERS = 20020;
export const TLS_PERMISSIVE = 40049;

export const databasemanager: GenServer<
  DatabaseManagerState,
  DatabaseManagerArgs,
  DatabaseManagerCall,
  never,
  TableMessage | PeersMessage
> = {
  init(args) {
    const state: DatabaseManagerState = { args, peers: [], unnoticed: [], recorded: 0 };
    const { startup, activeTlsVerify } = args;
    // B21: the configured mode is not the one in use. B22: Permissive must not stay for ever unnoticed.
    const differs = alarm(activeTlsVerify !== startup.tlsVerify, TLS_STATUS_DIFFERS);
    const permissive = alarm(activeTlsVerify === 'Permissive' && startup.peers.length > 1, TLS_PERMISSIVE);
    return { state, effects: [differs, permissive, ...configurationAlarms(args)] };
  },

  handleCall(_message, from: From, state) {
    const { args } = state;
    const now = args.configuration();
    const changes = changesSince(args.startup, now);
    const value: DatabaseManagerStatus = {
      restartRequired: changes.length > 0,
      changes,
      tlsVerifyAtStart: args.startup.tlsVerify,
      tlsVerify: now.tlsVerify,
      peers: state.peers,
    };
    return { state, effects: [{ type: 'reply', to: from, value }] };
  },

  handleCast(_message, state) {
    return { state };
  },

  handleInfo(message: TableMessage | PeersMessage | HostInfo, state, context) {
    if (message.type === 'table') return onTable(message.event, state);
    if (message.type === 'peers') return { state: { ...state, peers: message.peers } };
    if (message.type === 'worker') return { state, effects: afterRecording(message, state) };
    if (message.type !== 'timeout') return { state };
    if (message.name === RESTART_ALARM) return { state, effects: configurationAlarms(state.args) };
    return message.name === NOTICE ? notice(state, context) : { state };
  },
};

/** Items an operator sets; the record of a pending change is not one of them. */
function isOperatorItem(event: TableEvent): boolean {
  if (event.table === TABLE.clusterConfiguration) return event.key !== CLUSTER_ITEM.pendingChange;
  return event.table === TABLE.peerConfiguration;
}

function onTable(event: TableEvent, state: DatabaseManagerState): Next<DatabaseManagerState> {
  const value = event.type === 'write' ? event.value : undefined;
  if (!isOperatorItem(event) || sameValue(event.oldValue, value)) return { state };
  const change = { item: String(event.key), value, madeHere: event.origin === 'local' };
  const unnoticed = [...state.unnoticed, change].slice(-unnoticedMax);
  if (state.unnoticed.length > 0) return { state: { ...state, unnoticed } };
  const delayMs = state.args.noticeDelayMs ?? noticeDelayDefaultMs;
  return { state: { ...state, unnoticed }, effects: [{ type: 'startTimer', name: NOTICE, delayMs }] };
}

/** L23 once for what came together, then the mode's own lines, then the alarm a while later. */
function notice(state: DatabaseManagerState, context: ActorContext): Next<DatabaseManagerState> {
  const delayMs = state.args.restartAlarmDelayMs ?? restartAlarmDelayDefaultMs;
  const effects: Effect[] = logging(clusterConfigurationChangeDetected());
  let { recorded } = state;
  for (const change of state.unnoticed) {
    if (change.item !== CLUSTER_ITEM.tlsVerify) continue;
    if (change.madeHere) {
      recorded += 1;
      effects.push(recordPending(recorded, change, context));
    } else {
      effects.push(...modeLine(change.value, state));
    }
  }
  effects.push({ type: 'startTimer', name: RESTART_ALARM, delayMs });
  return { state: { ...state, unnoticed: [], recorded }, effects };
}

function modeLine(mode: Value, state: DatabaseManagerState): Effect[] {
  return logging(tlsVerifyChangeStatus(state.args.startup.tlsVerify === 'Enforcing', mode === 'Enforcing'));
}

/** The second insert of T3, through the process that owns the table. */
function recordPending(number: number, change: Change, context: ActorContext): Effect {
  const request: TableRequest = {
    type: 'insert',
    rows: [
      {
        key: CLUSTER_ITEM.pendingChange,
        value: { item: change.item, value: change.value, node: context.node, at: context.nowMs },
      },
    ],
  };
  const work = async (worker: WorkerContext): Promise<Value> => {
    await writeThrough(worker, TABLE.clusterConfiguration, request);
    return change.value;
  };
  return { type: 'run', name: RECORD + number, work };
}

/**
 * L24. The record serves those who read it later; the change itself is saved, so a record that could not be written
 * (the table's process has logged why) does not keep the line back.
 */
function afterRecording(info: HostInfo & { type: 'worker' }, state: DatabaseManagerState): Effect[] {
  const mode = info.ok ? (info.value as Value) : state.args.configuration().tlsVerify;
  return modeLine(mode, state);
}

function alarm(wanted: boolean, id: number): Effect {
  const message: AlarmRequest = { type: wanted ? 'raise' : 'lower', id };
  return { type: 'cast', to: PROCESS.alarmManager, message };
}

/**
 * 20007 while anything differs from the start; it is lowered when it was put back, and a restart begins with no
 * difference. 20019 while a system that has peers has no cluster name.
 */
function configurationAlarms(args: DatabaseManagerArgs): Effect[] {
  const now = args.configuration();
  return [
    alarm(changesSince(args.startup, now).length > 0, RESTART_REQUIRED),
    alarm(now.peers.length > 0 && now.name === '', NAME_MISSING),
  ];
}

/** What a restart would make effective. The address mapping is not in it: it works without one (E88). */
export function changesSince(startup: ClusterConfiguration, now: ClusterConfiguration): readonly string[] {
  const changes: string[] = [];
  if (startup.name !== now.name) changes.push(PEER_ITEM.name);
  if (startup.configurationPrimary !== now.configurationPrimary) changes.push(PEER_ITEM.primary);
  if (startup.ipVersion !== now.ipVersion) changes.push(PEER_ITEM.ipVersion);
  if (startup.tlsVerify !== now.tlsVerify) changes.push(CLUSTER_ITEM.tlsVerify);
  if (!sameValue(startup.peers, now.peers)) changes.push('peers');
  return changes;
}
