/**
 * Owns the state of this node's database links. It reacts to what the database says of other nodes, starts the worker
 * that runs the node connection transaction, and knows when 20006 and 20004 are true. It never tries again by itself:
 * the database does, and says so (a second loop here would only fight with that one).
 *
 * A worker that fails is reported and this process keeps its pid (E136, E150).
 */
import type { SystemEvent } from '../../storage/index.ts';
import { emitterOf, logging } from '../diagnostics/log-record.ts';
import type { ActorContext, Effect, From, GenServer, HostInfo, Next } from '../otp/types.ts';
import {
  type AlarmDelays,
  type AlarmRules,
  alarmDelays,
  alarmDue,
  DATABASE_ALARM,
  initialRules,
  isApart,
  isUnreachable,
  linksChanged,
  nodeApart,
  nodeLost,
  nodesJoined,
  REACHABILITY_ALARM,
  type RulesStep,
  settle,
  timerName,
} from './alarm-rules.ts';
import * as line from './log-lines.ts';
import { type AlarmRequest, type ConnectPort, type LinksMessage, type PeerLink, PROCESS } from './ports.ts';
import { type ConnectOutcome, type DownReason, synchronise } from './synchronise.ts';

export interface CdbArgs {
  readonly database: ConnectPort;
  /** The links as they are when this process starts; later changes come as `links` messages. */
  links(): readonly PeerLink[];
  readonly delays?: AlarmDelays;
  /** How long after its start this process says nothing about peers that have not answered yet. */
  readonly startupGraceMs?: number;
  /** How often reachable peers are compared with replicating ones (B69). */
  readonly compareMs?: number;
}

export interface CdbState {
  readonly args: CdbArgs;
  readonly rules: AlarmRules;
  /** Nodes with a worker under way; true: the database called again meanwhile. */
  readonly workers: ReadonlyMap<string, boolean>;
  readonly downReasons: ReadonlyMap<string, DownReason>;
  /** The reason last logged for a node, so that the database's own tries do not fill the log. */
  readonly failures: ReadonlyMap<string, string>;
  /** Reachable nodes that did not replicate when last compared. */
  readonly suspects: ReadonlySet<string>;
}

export type CdbCall = { readonly type: 'status' };

/** Verdict on the cluster's database, as the page shows it (E56). */
export interface CdbStatus {
  readonly databaseStatus: 'Active' | 'Failed';
  readonly apart: readonly string[];
  readonly unreachable: boolean;
  readonly connecting: readonly string[];
}

export type CdbInfo = SystemEvent | LinksMessage;

const startupGraceDefaultMs = 5_000;
const compareDefaultMs = 10_000;
const COMPARE = 'compare';
const WORKER = 'connect ';

export const cdb: GenServer<CdbState, CdbArgs, CdbCall, never, CdbInfo> = {
  init(args) {
    const state: CdbState = {
      args,
      rules: initialRules(args.links()),
      workers: new Map(),
      downReasons: new Map(),
      failures: new Map(),
      suspects: new Set(),
    };
    const graceMs = args.startupGraceMs ?? startupGraceDefaultMs;
    // Peers that are still dialled at start are no failure yet: the same rule, with a longer patience.
    const step = settle(state.rules, { databaseMs: graceMs, reachabilityMs: graceMs });
    // A predecessor of this process may have raised what is no longer true; lowering what is not raised does nothing.
    const stale = [DATABASE_ALARM, ...(step.rules.reachability === 'quiet' ? [REACHABILITY_ALARM] : [])];
    return next(state, step, [comparing(args), ...stale.map((id) => request({ type: 'lower', id }))]);
  },

  handleCall(_message, from: From, state) {
    const apart = [...state.rules.apart].sort();
    const unreachable = isUnreachable(state.rules);
    const value: CdbStatus = {
      databaseStatus: isApart(state.rules) || unreachable ? 'Failed' : 'Active',
      apart,
      unreachable,
      connecting: [...state.workers.keys()].sort(),
    };
    return { state, effects: [{ type: 'reply', to: from, value }] };
  },

  handleCast(_message, state) {
    return { state };
  },

  handleInfo(message: CdbInfo | HostInfo, state, context) {
    switch (message.type) {
      case 'mnesia_down':
        return onDown(message, state, context);
      case 'mnesia_up':
        return onUp(message.node, state, context);
      case 'inconsistent_database':
        return onInconsistent(message, state, context);
      case 'connected':
        return onConnected(message, state, context);
      case 'connect_failed':
        return onConnectFailed(message, state, context);
      case 'links':
        return next(state, linksChanged(state.rules, message.peers, delaysOf(state)));
      case 'worker':
        return onWorker(message, state, context);
      case 'timeout':
        return onTimeout(message.name, state, context);
      case 'DOWN':
        return { state };
      default:
        return onReport(message, state, context);
    }
  },
};

function delaysOf(state: CdbState): AlarmDelays {
  return state.args.delays ?? alarmDelays;
}

function comparing(args: CdbArgs): Effect {
  return { type: 'startTimer', name: COMPARE, delayMs: args.compareMs ?? compareDefaultMs };
}

function next(state: CdbState, step: RulesStep, before: readonly Effect[] = []): Next<CdbState> {
  return { state: { ...state, rules: step.rules }, effects: [...before, ...step.effects] };
}

/** L6, L7, L8, then the worker of L9–L11. */
function onDown(event: SystemEvent & { type: 'mnesia_down' }, state: CdbState, context: ActorContext): Next<CdbState> {
  const downReasons = new Map(state.downReasons).set(event.node, event.reason);
  if (!event.wasAccessible) return { state: { ...state, downReasons } };
  const from = emitterOf(context);
  const lines = logging(
    line.processedMnesiaDown(from, event.node),
    line.inconsistentDatabase(from, event.node),
    line.connectingDatabase(from, event.node, 'running_partitioned_network'),
  );
  const started = connect({ ...state, downReasons }, event.node);
  const step = nodeLost(started.state.rules, event.node, delaysOf(state));
  return next(started.state, step, [...lines, ...(started.effects ?? [])]);
}

function onUp(node: string, state: CdbState, context: ActorContext): Next<CdbState> {
  const step = nodesJoined(state.rules, [node], delaysOf(state));
  return next(forget(state, [node]), step, logging(line.processedMnesiaUp(emitterOf(context), node)));
}

function onInconsistent(
  event: SystemEvent & { type: 'inconsistent_database' },
  state: CdbState,
  context: ActorContext,
): Next<CdbState> {
  // The link is back, so an older reason for its loss would be wrong in the next L11.
  const downReasons = new Map(state.downReasons);
  downReasons.delete(event.node);
  const started = connect({ ...state, downReasons }, event.node);
  const lines = logging(line.connectingDatabase(emitterOf(context), event.node, event.context));
  return { state: started.state, effects: [...lines, ...(started.effects ?? [])] };
}

function onConnected(
  event: SystemEvent & { type: 'connected' },
  state: CdbState,
  context: ActorContext,
): Next<CdbState> {
  const others = event.nodes.filter((node) => node !== context.node);
  const lines = logging(line.connectedDatabase(emitterOf(context), others, event));
  return next(forget(state, others), nodesJoined(state.rules, others, delaysOf(state)), lines);
}

/** The database's own tries: one line for each new reason, not for each try. */
function onConnectFailed(
  event: SystemEvent & { type: 'connect_failed' },
  state: CdbState,
  context: ActorContext,
): Next<CdbState> {
  const step = nodeApart(state.rules, event.node, delaysOf(state));
  if (state.workers.has(event.node) || state.failures.get(event.node) === event.reason) return next(state, step);
  const failures = new Map(state.failures).set(event.node, event.reason);
  const lines = logging(line.failedConnecting(emitterOf(context), event.node, event.reason));
  return next({ ...state, failures }, step, lines);
}

/** One worker a node at a time; a call that comes while one runs is remembered. */
function connect(state: CdbState, node: string): Next<CdbState> {
  if (state.workers.has(node)) return { state: { ...state, workers: new Map(state.workers).set(node, true) } };
  const downReason = state.downReasons.get(node);
  const { connectNode } = state.args.database;
  const effect: Effect = {
    type: 'run',
    name: WORKER + node,
    work: (worker) => synchronise(worker, (name) => connectNode.call(state.args.database, name), node, downReason),
  };
  return { state: { ...state, workers: new Map(state.workers).set(node, false) }, effects: [effect] };
}

function onWorker(info: HostInfo & { type: 'worker' }, state: CdbState, context: ActorContext): Next<CdbState> {
  const node = info.name.slice(WORKER.length);
  const again = state.workers.get(node) === true;
  const workers = new Map(state.workers);
  workers.delete(node);
  const ended = { ...state, workers };
  const outcome = info.ok ? (info.value as ConnectOutcome) : undefined;
  if (outcome?.ok === true) return next(ended, nodesJoined(state.rules, [node], delaysOf(state)));
  const step = nodeApart(state.rules, node, delaysOf(state));
  const failures = outcome === undefined ? state.failures : new Map(state.failures).set(node, outcome.reason);
  const failed = { ...ended, rules: step.rules, failures };
  const lines = info.ok
    ? []
    : logging(line.databaseReport('ERROR', emitterOf(context), 'Connection worker ended', [['Node', node]]));
  const rerun = again ? connect(failed, node) : { state: failed };
  return { state: rerun.state, effects: [...lines, ...step.effects, ...(rerun.effects ?? [])] };
}

function onTimeout(name: string, state: CdbState, context: ActorContext): Next<CdbState> {
  if (name === timerName(DATABASE_ALARM)) return next(state, alarmDue(state.rules, DATABASE_ALARM));
  if (name === timerName(REACHABILITY_ALARM)) return next(state, alarmDue(state.rules, REACHABILITY_ALARM));
  return name === COMPARE ? onCompare(state, context) : { state };
}

/**
 * Compares reachable peers with replicating ones. Twice in a row apart is a silent split (B69): no event told of it, so
 * nothing else would. A node that replicates is joined, whatever was believed.
 */
function onCompare(state: CdbState, context: ActorContext): Next<CdbState> {
  const running = new Set(state.args.database.runningDbNodes());
  const up = state.rules.peers.flatMap(({ up, nodeName }) => (up && nodeName !== undefined ? [nodeName] : []));
  const suspects = new Set(up.filter((node) => !running.has(node)));
  const split = [...suspects].filter((node) => state.suspects.has(node));
  const joined = [...state.rules.apart, ...state.rules.lost].filter((node) => running.has(node));
  const first = nodesJoined(state.rules, joined, delaysOf(state));
  const effects = [...first.effects, ...logging(...split.map((node) => line.notReplicating(emitterOf(context), node)))];
  let { rules } = first;
  for (const node of split) {
    const step = nodeApart(rules, node, delaysOf(state));
    effects.push(...step.effects);
    rules = step.rules;
  }
  return { state: { ...state, rules, suspects }, effects: [...effects, comparing(state.args)] };
}

function forget(state: CdbState, nodes: readonly string[]): CdbState {
  const downReasons = new Map(state.downReasons);
  const failures = new Map(state.failures);
  for (const node of nodes) {
    downReasons.delete(node);
    failures.delete(node);
  }
  return { ...state, downReasons, failures };
}

function request(message: AlarmRequest): Effect {
  return { type: 'cast', to: PROCESS.alarmManager, message };
}

/** What else the database says: each of these would otherwise be silent. */
function onReport(event: SystemEvent, state: CdbState, context: ActorContext): Next<CdbState> {
  const from = emitterOf(context);
  switch (event.type) {
    case 'schema_conflict': {
      const fields = [
        ['Node', event.node],
        ['TableName', event.table],
        ['Property', event.property],
      ] as const;
      const record = line.databaseReport('ERROR', from, 'Table definitions differ, databases cannot connect', fields);
      return { state, effects: [...logging(record), request({ type: 'raise', id: 20024 })] };
    }
    case 'disc_failed': {
      const record = line.databaseReport('ERROR', from, 'Database disc failed', [
        ['Reason', `${event.code}: ${event.message}`],
      ]);
      return { state, effects: [...logging(record), request({ type: 'raise', id: 15005 })] };
    }
    case 'disc_damaged': {
      const { kind, message, table } = event.damage;
      const fields: [string, string][] = [['Reason', `${kind}: ${message}`]];
      if (table !== undefined) fields.unshift(['TableName', table]);
      const record = line.databaseReport('ERROR', from, 'Database disc is damaged', fields);
      return { state, effects: [...logging(record), request({ type: 'raise', id: 15005 })] };
    }
    case 'majority_awaited': {
      const detail =
        'Table takes no writes: its replicas were changed, and too few of them are connected. Start or connect these nodes; one that is gone for good has to be removed from the cluster';
      const fields = [
        ['TableName', event.table],
        ['Nodes', event.nodes.join(', ')],
      ] as const;
      return { state, effects: logging(line.databaseReport('WARN', from, detail, fields)) };
    }
    case 'clock_skew': {
      const fields = [
        ['Node', event.node],
        ['Skew-ms', String(event.skewMs)],
      ] as const;
      return { state, effects: logging(line.databaseReport('WARN', from, 'Clocks of two peers differ', fields)) };
    }
    case 'table_loaded': {
      const fields = [
        ['TableName', event.table],
        ['Source', event.from],
      ] as const;
      return { state, effects: logging(line.databaseReport('DEBUG', from, 'Table loaded', fields)) };
    }
    default:
      return { state };
  }
}
