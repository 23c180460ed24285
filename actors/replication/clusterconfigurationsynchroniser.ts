/**
 * The configuration copy: every two minutes each peer runs it on its own clock (L1–L5, E3, E134). The primary has
 * nothing to fetch; a subordinate compares its cluster-wide configuration with the primary's by hash and takes the
 * primary's rows when it differs (E4–E6). Peer-specific settings are in another table and never touched.
 *
 * A run that fails says so in one line of ours and by the alarm that fits (E115); the next good run lowers it.
 */
import {
  type ClusterConfiguration,
  nodeNameOfRow,
  type OwnIdentity,
  ownRowIndex,
  TABLE,
} from '../clusterdb/cluster-configuration.ts';
import { type AlarmRequest, type ConfigurationPort, failureOf, PROCESS, type TableRow } from '../clusterdb/ports.ts';
import { writeThrough } from '../clusterdb/table-writes.ts';
import { logging } from '../diagnostics/log-record.ts';
import type { ActorContext, Effect, From, GenServer, HostInfo, LogRecord, Next, WorkerContext } from '../otp/types.ts';
import {
  answerFor,
  type ConfigurationRequest,
  configurationHash,
  judge,
  REPLICATION_ALARM,
  replicationAlarmIds,
  settingsOf,
} from './clusterconfigurationutils.ts';
import * as line from './log-lines.ts';

export interface SynchroniserArgs {
  readonly configuration: ConfigurationPort;
  readonly own: OwnIdentity;
  readonly softwareVersion: string;
  /** Every row in order with the address it resolved to and the short name of its system, for L2. */
  alternates(): readonly line.AlternateAddress[];
  /** `clusterdb@<fqdn>` of a row as its peer named itself; a row that is a name needs no answer here. */
  nodeNameOfPeer(index: number): string | undefined;
  /** The cluster-wide configuration held here (`configurationRowsOf`). */
  rows(): readonly TableRow[];
  readonly intervalMs?: number;
  readonly firstRunMs?: number;
  /** How long the primary may take to answer. */
  readonly callTimeoutMs?: number;
}

export type SynchronisationResult =
  | { readonly ok: true; readonly role: 'primary' }
  /** `rowsTaken` is undefined when the configuration was equal and nothing was taken. */
  | { readonly ok: true; readonly role: 'subordinate'; readonly rowsTaken: number | undefined }
  | { readonly ok: false; readonly alarmId: number; readonly reason: string };

export interface SynchroniserState {
  readonly args: SynchroniserArgs;
  readonly running: { readonly startedAt: number; readonly askers: readonly From[] } | undefined;
  readonly previous:
    | { readonly at: number; readonly durationMs: number; readonly result: SynchronisationResult }
    | undefined;
  readonly nextAt: number;
}

export type SynchroniserCall =
  | ConfigurationRequest
  | { readonly type: 'status' }
  /** Runs now and answers with the result. `force` takes the primary's rows whatever is held here (E119). */
  | { readonly type: 'synchronise'; readonly force: boolean };

export interface SynchroniserStatus {
  /** Ms since the epoch (B15). */
  readonly previous: SynchroniserState['previous'];
  readonly nextAt: number;
  readonly running: boolean;
}

export type SynchroniseAnswer =
  | SynchronisationResult
  | { readonly ok: false; readonly alarmId: undefined; readonly code: 'is_primary' | 'busy'; readonly reason: string };

export const synchroniseIntervalDefaultMs = 120_000;
const firstRunDefaultMs = 5_000;
const callTimeoutDefaultMs = 10_000;
/** After a run that did not reach the primary. */
const retryMs = 10_000;
/** Callers that may wait for one run. */
const askersMax = 32;
const RUN = 'run';
const SYNCHRONISE = 'synchronise';

export const clusterconfigurationsynchroniser: GenServer<
  SynchroniserState,
  SynchroniserArgs,
  SynchroniserCall,
  never,
  never
> = {
  init(args, context) {
    const delayMs = args.firstRunMs ?? firstRunDefaultMs;
    const state = { args, running: undefined, previous: undefined, nextAt: context.nowMs + delayMs };
    return { state, effects: [{ type: 'startTimer', name: RUN, delayMs }] };
  },

  handleCall(message, from, state, context) {
    if (message.type === 'synchronise') return onSynchronise(message.force, from, state, context);
    const value = message.type === 'status' ? statusOf(state) : answerTo(message, state.args);
    return { state, effects: [{ type: 'reply', to: from, value }] };
  },

  handleCast(_message, state) {
    return { state };
  },

  handleInfo(message: HostInfo, state, context) {
    if (message.type === 'worker') return onWorker(message, state, context);
    if (message.type !== 'timeout' || message.name !== RUN) return { state };
    const delayMs = state.args.intervalMs ?? synchroniseIntervalDefaultMs;
    const queued: Effect = { type: 'startTimer', name: RUN, delayMs };
    const waiting = { ...state, nextAt: context.nowMs + delayMs };
    // A run that waits for its primary is not overtaken by the next one.
    if (state.running !== undefined) return { state: waiting, effects: [queued] };
    const begun = begin(waiting, [], false, context);
    return { state: begun.state, effects: [queued, ...(begun.effects ?? [])] };
  },
};

function statusOf(state: SynchroniserState): SynchroniserStatus {
  return { previous: state.previous, nextAt: state.nextAt, running: state.running !== undefined };
}

function answerTo(request: ConfigurationRequest, args: SynchroniserArgs) {
  const configuration = args.configuration();
  const localPeer = ownRowIndex(configuration, args.own);
  return answerFor(request, settingsOf(configuration, args.softwareVersion), localPeer, args.rows());
}

function onSynchronise(
  force: boolean,
  from: From,
  state: SynchroniserState,
  context: ActorContext,
): Next<SynchroniserState> {
  const configuration = state.args.configuration();
  if (force && ownRowIndex(configuration, state.args.own) === configuration.configurationPrimary) {
    // B64: on the primary this would throw the cluster's configuration away.
    const reason = 'This peer is the configuration primary: there is no other configuration to take.';
    return refuseAsker(from, state, { ok: false, alarmId: undefined, code: 'is_primary', reason });
  }
  if (state.running === undefined) return begin(state, [from], force, context);
  const { askers } = state.running;
  if (force || askers.length >= askersMax) {
    const reason = 'A synchronisation is running; try again when it has ended.';
    return refuseAsker(from, state, { ok: false, alarmId: undefined, code: 'busy', reason });
  }
  return { state: { ...state, running: { ...state.running, askers: [...askers, from] } } };
}

function refuseAsker(from: From, state: SynchroniserState, value: SynchroniseAnswer): Next<SynchroniserState> {
  return { state, effects: [{ type: 'reply', to: from, value }] };
}

/** L1, L2, and what can be decided without asking anybody. */
function begin(
  state: SynchroniserState,
  askers: readonly From[],
  force: boolean,
  context: ActorContext,
): Next<SynchroniserState> {
  const { args } = state;
  const configuration = args.configuration();
  // A system in no cluster has nothing to copy and nobody to tell; an asker is told so.
  if (configuration.peers.length === 0 && askers.length === 0) return { state };
  const started = { ...state, running: { startedAt: context.nowMs, askers } };
  const own = ownRowIndex(configuration, args.own);
  const primary = configuration.configurationPrimary;
  const first = [line.startingSynchronisation()];
  if (own === undefined) {
    const reason = `none of the peer rows is ${args.own.fqdn} or an address of it`;
    return end(started, fail('notInList', reason), first, context);
  }
  first.push(line.peerListRead(args.alternates(), primary - 1, own - 1));
  if (own === primary) {
    first.push(line.isClusterMaster());
    return end(started, { ok: true, role: 'primary' }, first, context);
  }
  const row = configuration.peers[primary - 1];
  if (row === undefined) return end(started, fail('primaryNotFound', `there is no peer ${primary}`), first, context);
  const node = args.nodeNameOfPeer(primary) ?? nodeNameOfRow(row);
  if (node === undefined) {
    return end(started, fail('primaryUnreachable', `${row} has not been reached yet`), first, context);
  }
  const work = (worker: WorkerContext) => fetchFrom(worker, node, args, configuration, own, force);
  return { state: started, effects: [...logging(...first), { type: 'run', name: SYNCHRONISE, work }] };
}

function fail(why: keyof typeof REPLICATION_ALARM, reason: string): SynchronisationResult {
  return { ok: false, alarmId: REPLICATION_ALARM[why], reason };
}

/** The worker: asks the primary, judges, takes, and checks that what was taken is what the primary has. */
async function fetchFrom(
  worker: WorkerContext,
  node: string,
  args: SynchroniserArgs,
  configuration: ClusterConfiguration,
  own: number,
  force: boolean,
): Promise<SynchronisationResult> {
  const ownHash = configurationHash(args.rows());
  // A forced run asks with a hash nobody has, so that the rows come in any case.
  const request: ConfigurationRequest = { type: 'configuration', hash: force ? '' : ownHash };
  let answer: unknown;
  try {
    answer = await worker.call(
      { name: PROCESS.synchroniser, node },
      request,
      args.callTimeoutMs ?? callTimeoutDefaultMs,
    );
  } catch (thrown) {
    return fail('primaryUnreachable', `${node} did not answer: ${failureOf(thrown).message}`);
  }
  const settings = settingsOf(configuration, args.softwareVersion);
  const verdict = judge(settings, configuration.peers[own - 1] ?? '', ownHash, answer, force);
  if (verdict.type === 'refuse') return { ok: false, alarmId: verdict.alarmId, reason: verdict.reason };
  if (verdict.type === 'equal') return { ok: true, role: 'subordinate', rowsTaken: undefined };
  await writeThrough(worker, TABLE.systemConfiguration, { type: 'replace', rows: verdict.rows });
  if (configurationHash(args.rows()) !== verdict.hash) {
    return fail('conflicts', 'the local configuration still differs after the primary’s was taken');
  }
  return { ok: true, role: 'subordinate', rowsTaken: verdict.rows.length };
}

function onWorker(
  info: HostInfo & { type: 'worker' },
  state: SynchroniserState,
  context: ActorContext,
): Next<SynchroniserState> {
  const result = info.ok ? (info.value as SynchronisationResult) : fail('failed', failureOf(info.reason).message);
  return end(state, result, decision(result), context);
}

/** L4, or ours when rows were taken. */
function decision(result: SynchronisationResult): readonly LogRecord[] {
  if (!result.ok || result.role === 'primary') return [];
  return [result.rowsTaken === undefined ? line.alreadyUpToDate() : line.tookConfiguration(result.rowsTaken)];
}

/** L5 or the failure, the alarms that follow from it, and an answer to everybody who waits. */
function end(
  state: SynchroniserState,
  result: SynchronisationResult,
  lines: readonly LogRecord[],
  context: ActorContext,
): Next<SynchroniserState> {
  const at = state.running?.startedAt ?? context.nowMs;
  const askers = state.running?.askers ?? [];
  const last = result.ok ? line.synchronisationCompleted() : line.synchronisationFailed(result.alarmId, result.reason);
  const replies = askers.map((to): Effect => ({ type: 'reply', to, value: result }));
  const previous = { at, durationMs: context.nowMs - at, result };
  const effects = [...logging(...lines, last), ...alarms(result.ok ? undefined : result.alarmId), ...replies];
  const retryAt = context.nowMs + retryMs;
  if (result.ok || result.alarmId !== REPLICATION_ALARM.primaryUnreachable || state.nextAt <= retryAt) {
    return { state: { ...state, running: undefined, previous }, effects };
  }
  // The primary may be back in a moment: the alarm shall not stand until the next regular run.
  effects.push({ type: 'startTimer', name: RUN, delayMs: retryMs });
  return { state: { ...state, running: undefined, previous, nextAt: retryAt }, effects };
}

/** One of the family at most is true; the alarm manager ignores what changes nothing. */
function alarms(current: number | undefined): Effect[] {
  return replicationAlarmIds.map((id) => {
    const message: AlarmRequest = { type: id === current ? 'raise' : 'lower', id };
    return { type: 'cast', to: PROCESS.alarmManager, message };
  });
}
