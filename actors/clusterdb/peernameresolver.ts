/**
 * Turns peer rows into addresses and tells those who live by them: the link layer, databasemanager (L26) and
 * alternatesmanager. Every change of the cluster's configuration ends in one notification of its own, a short while
 * after it and one after the other, so that a change and what it sets off are seen in this order. Peers that failed DNS
 * are tried again on a period of its own (L19).
 */
import type { TableEvent } from '../../storage/index.ts';
import { emitterOf, logging } from '../diagnostics/log-record.ts';
import type { ActorContext, Effect, From, GenServer, HostInfo, Next, WorkerContext } from '../otp/types.ts';
import { sameValue } from './cdbtable.ts';
import { CLUSTER_ITEM, type IpVersion, type OwnIdentity, ownRowIndex, TABLE } from './cluster-configuration.ts';
import { nameNotResolved, notifyingDatabaseManager, triggeringForcedUpdate } from './log-lines.ts';
import {
  type ConfigurationPort,
  failureOf,
  type PeersMessage,
  type PeersTakenMessage,
  PROCESS,
  type ResolvedPeer,
  type TableMessage,
} from './ports.ts';
import { type LookupOutcome, lookUpAll, resolveLocally, withAnswers } from './resolution.ts';

export interface PeerNameResolverArgs {
  readonly configuration: ConfigurationPort;
  readonly own: OwnIdentity;
  /** DNS; rejects with an error whose message says why. Only called in a worker. */
  lookup(name: string, ipVersion: IpVersion): Promise<string>;
  /** The link layer. All rows, this system's own marked; called at every notification, whether or not they changed. */
  setPeers(peers: readonly ResolvedPeer[]): void;
  /** Period of L19, ms; shown as Queue-Time-ms. */
  readonly forcedUpdateMs?: number;
  /** From a change to its notification, ms. */
  readonly notifyDelayMs?: number;
  /** How long DNS may take in all, ms. */
  readonly lookupTimeoutMs?: number;
}

export interface PeerNameResolverState {
  readonly args: PeerNameResolverArgs;
  readonly peers: readonly ResolvedPeer[];
  /** Names that have no answer from DNS now. */
  readonly failed: ReadonlySet<string>;
  /** Number of the last run begun, and of the last one whose result was taken. */
  readonly begun: number;
  readonly taken: number;
  /** Numbers of notifications that are due. */
  readonly due: readonly number[];
  /** Of those, the ones of a mode changed here, oldest first: their time begins with the record of the change. */
  readonly unrecorded: readonly number[];
  /** A notification is being carried out; those whose time comes meanwhile are held. */
  readonly telling: boolean;
  readonly held: readonly number[];
}

export type PeerNameResolverCall = { readonly type: 'peers' };

export const forcedUpdateDefaultMs = 300_000;
/** The recorded timeline has 46 ms from L21 to L26 on the peer whose page was used. */
const notifyDelayDefaultMs = 46;
const lookupTimeoutDefaultMs = 5_000;
/** The record of a mode changed here is written at once; should it never be, the change is told all the same. */
const recordWaitMs = 1_000;
/** Rows of one node's own table take milliseconds; should nobody answer, the next change is not kept back for ever. */
const tellingMsMax = 5_000;
/** Changes in a burst past this many share the last notification. */
const notificationsMax = 8;
const FORCED_UPDATE = 'forced-update';
const NOTIFY = 'notify-';
const RESOLVE = 'resolve-';
const TELLING = 'telling';

export const peernameresolver: GenServer<
  PeerNameResolverState,
  PeerNameResolverArgs,
  PeerNameResolverCall,
  never,
  TableMessage | PeersTakenMessage
> = {
  init(args, context) {
    const idle = { due: [], unrecorded: [], telling: false, held: [] };
    const state = { args, peers: [], failed: new Set<string>(), begun: 0, taken: 0, ...idle };
    const begun = resolve(state, 'told', context);
    return { state: begun.state, effects: [queueForcedUpdate(args), ...(begun.effects ?? [])] };
  },

  handleCall(_message, from: From, state) {
    return { state, effects: [{ type: 'reply', to: from, value: state.peers }] };
  },

  handleCast(_message, state) {
    return { state };
  },

  handleInfo(message: TableMessage | PeersTakenMessage | HostInfo, state, context) {
    if (message.type === 'table') return onTable(message.event, state);
    if (message.type === 'peers_taken') return onTold(state, context);
    if (message.type === 'timeout') return onTimeout(message.name, state, context);
    if (message.type === 'worker') return onAnswers(message, state, context);
    return { state };
  },
};

function queueForcedUpdate(args: PeerNameResolverArgs): Effect {
  return { type: 'startTimer', name: FORCED_UPDATE, delayMs: args.forcedUpdateMs ?? forcedUpdateDefaultMs };
}

/** A change that means something to peers. */
function concernsPeers(event: TableEvent): boolean {
  const after = event.type === 'write' ? event.value : undefined;
  return !sameValue(event.oldValue, after);
}

function isItem(event: TableEvent, item: string): boolean {
  return event.table === TABLE.clusterConfiguration && event.key === item;
}

/**
 * The record of a pending change that this node made itself is no change of its own: with it begins the time of the
 * change it belongs to (so the page's peer notifies once, after the record, and the others twice).
 */
function onTable(event: TableEvent, state: PeerNameResolverState): Next<PeerNameResolverState> {
  if (!concernsPeers(event)) return { state };
  const delayMs = state.args.notifyDelayMs ?? notifyDelayDefaultMs;
  const madeHere = event.origin === 'local';
  if (madeHere && isItem(event, CLUSTER_ITEM.pendingChange)) {
    const [recorded, ...unrecorded] = state.unrecorded;
    if (recorded === undefined) return { state };
    return { state: { ...state, unrecorded }, effects: [{ type: 'startTimer', name: NOTIFY + recorded, delayMs }] };
  }
  const last = state.due.at(-1);
  const full = state.due.length >= notificationsMax && last !== undefined;
  const number = full ? last : (last ?? state.begun) + 1;
  const due = full ? state.due : [...state.due, number];
  if (!madeHere || full || !isItem(event, CLUSTER_ITEM.tlsVerify)) {
    return { state: { ...state, due }, effects: [{ type: 'startTimer', name: NOTIFY + number, delayMs }] };
  }
  const unrecorded = [...state.unrecorded, number];
  const waiting: Effect = { type: 'startTimer', name: NOTIFY + number, delayMs: recordWaitMs };
  return { state: { ...state, due, unrecorded }, effects: [waiting] };
}

function onTimeout(name: string, state: PeerNameResolverState, context: ActorContext): Next<PeerNameResolverState> {
  if (name.startsWith(NOTIFY)) {
    const number = Number(name.slice(NOTIFY.length));
    const next = { ...state, unrecorded: state.unrecorded.filter((one) => one !== number) };
    return state.telling ? { state: { ...next, held: [...state.held, number] } } : notify(next, number, context);
  }
  if (name === TELLING) return onTold(state, context);
  if (name !== FORCED_UPDATE) return { state };
  const again = queueForcedUpdate(state.args);
  if (state.failed.size === 0) return { state, effects: [again] };
  const queueTimeMs = state.args.forcedUpdateMs ?? forcedUpdateDefaultMs;
  const begun = resolve(state, 'if-changed', context);
  const lines = logging(triggeringForcedUpdate(emitterOf(context), queueTimeMs));
  return { state: begun.state, effects: [...lines, again, ...(begun.effects ?? [])] };
}

function notify(state: PeerNameResolverState, number: number, context: ActorContext): Next<PeerNameResolverState> {
  return resolve({ ...state, due: state.due.filter((one) => one !== number) }, 'told', context);
}

/** What was told is in the tables, or nobody says so any more: the next one. */
function onTold(state: PeerNameResolverState, context: ActorContext): Next<PeerNameResolverState> {
  const [number, ...held] = state.held;
  const told = { ...state, telling: false, held };
  const next = number === undefined ? { state: told } : notify(told, number, context);
  return { state: next.state, effects: [{ type: 'cancelTimer', name: TELLING }, ...(next.effects ?? [])] };
}

/** A change is told whatever it resolves to; a repeated try only when it found something new. */
type Telling = 'told' | 'if-changed';

/** Rows that need no DNS are settled at once; the others by a worker, whose answers come as a message. */
function resolve(state: PeerNameResolverState, telling: Telling, context: ActorContext): Next<PeerNameResolverState> {
  const { args } = state;
  const configuration = args.configuration();
  const { peers, names } = resolveLocally(configuration, ownRowIndex(configuration, args.own));
  const number = state.begun + 1;
  if (names.length === 0) {
    return settle({ ...state, begun: number }, { number, telling, peers, answers: new Map() }, context);
  }
  const timeoutMs = args.lookupTimeoutMs ?? lookupTimeoutDefaultMs;
  const work = async (worker: WorkerContext): Promise<Run> => {
    const answers = lookUpAll(names, configuration.ipVersion, (name, ipVersion) => args.lookup(name, ipVersion));
    const late = worker.sleep(timeoutMs).then(() => lateAnswers(names, timeoutMs));
    return { number, telling, peers, answers: await Promise.race([answers, late]) };
  };
  return { state: { ...state, begun: number }, effects: [{ type: 'run', name: RESOLVE + number, work }] };
}

/** One resolution of all rows: which it was, and what came of it. */
interface Run {
  readonly number: number;
  readonly telling: Telling;
  readonly peers: readonly ResolvedPeer[];
  readonly answers: ReadonlyMap<string, LookupOutcome>;
}

function lateAnswers(names: readonly string[], timeoutMs: number): ReadonlyMap<string, LookupOutcome> {
  return new Map(names.map((name) => [name, { ok: false, reason: `DNS did not answer within ${timeoutMs} ms` }]));
}

function onAnswers(
  info: HostInfo & { type: 'worker' },
  state: PeerNameResolverState,
  context: ActorContext,
): Next<PeerNameResolverState> {
  const number = Number(info.name.slice(RESOLVE.length));
  // A later run has been taken already: its rows are newer than these.
  if (number <= state.taken) return { state };
  if (info.ok) return settle(state, info.value as Run, context);
  const configuration = state.args.configuration();
  const { peers, names } = resolveLocally(configuration, ownRowIndex(configuration, state.args.own));
  const reason = `the look-up ended: ${failureOf(info.reason).message}`;
  const answers = new Map(names.map((name) => [name, { ok: false, reason } as const]));
  return settle(state, { number, telling: 'told', peers, answers }, context);
}

/** Takes a run's result: links first, then L26 and those who are told. */
function settle(state: PeerNameResolverState, run: Run, context: ActorContext): Next<PeerNameResolverState> {
  const peers = withAnswers(run.peers, run.answers, state.peers);
  const failed = new Map([...run.answers].flatMap(([name, one]) => (one.ok ? [] : [[name, one.reason] as const])));
  const from = emitterOf(context);
  const news = [...failed].filter(([name]) => !state.failed.has(name));
  const complaints = logging(...news.map(([name, reason]) => nameNotResolved(from, name, reason)));
  const settled = { ...state, peers, failed: new Set(failed.keys()), taken: run.number };
  const same = JSON.stringify(peers) === JSON.stringify(state.peers);
  if (run.telling === 'if-changed' && same) return { state: settled, effects: complaints };
  state.args.setPeers(peers);
  const message: PeersMessage = { type: 'peers', peers };
  return {
    state: { ...settled, telling: true },
    effects: [
      ...complaints,
      ...logging(notifyingDatabaseManager(from)),
      { type: 'send', to: PROCESS.databaseManager, message },
      { type: 'send', to: PROCESS.alternatesManager, message },
      { type: 'startTimer', name: TELLING, delayMs: tellingMsMax },
    ],
  };
}
