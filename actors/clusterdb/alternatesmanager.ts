/**
 * Takes changed peer data (L27) and rewrites `alternatesConfiguration`, a table of this node alone with a row for each
 * peer. Each row is a write of the table's own process, which logs L25 for it. When all are made, the resolver hears it,
 * and only then tells the next change: the lines of two changes never run into each other.
 */
import type { Value } from '../../storage/index.ts';
import { emitterOf, logging } from '../diagnostics/log-record.ts';
import type { ActorContext, Effect, From, GenServer, HostInfo, Next, WorkerContext } from '../otp/types.ts';
import { CLUSTER_ITEM, TABLE, type TlsVerify } from './cluster-configuration.ts';
import { alternatePeerChanged, writeFailed } from './log-lines.ts';
import {
  type ConfigurationPort,
  failureOf,
  type PeersMessage,
  type PeersTakenMessage,
  PROCESS,
  type ResolvedPeer,
  type TableMessage,
  type TableRequest,
} from './ports.ts';
import { writeThrough } from './table-writes.ts';

export interface AlternatesManagerArgs {
  readonly configuration: ConfigurationPort;
  /** Row numbers the table holds when this process starts, so that rows of peers since removed can be deleted. */
  alternateIndexes(): readonly number[];
}

export interface AlternatesManagerState {
  readonly args: AlternatesManagerArgs;
  readonly indexes: readonly number[];
  readonly tlsVerify: TlsVerify;
}

export type AlternatesManagerCall = { readonly type: 'status' };

const WRITE = 'write';

export const alternatesmanager: GenServer<
  AlternatesManagerState,
  AlternatesManagerArgs,
  AlternatesManagerCall,
  never,
  PeersMessage | TableMessage
> = {
  init(args) {
    return { state: { args, indexes: args.alternateIndexes(), tlsVerify: args.configuration().tlsVerify } };
  },

  handleCall(_message, from: From, state) {
    return { state, effects: [{ type: 'reply', to: from, value: { indexes: state.indexes } }] };
  },

  handleCast(_message, state) {
    return { state };
  },

  handleInfo(message: PeersMessage | TableMessage | HostInfo, state, context) {
    if (message.type === 'table') return { state: { ...state, tlsVerify: modeAfter(message, state.tlsVerify) } };
    if (message.type === 'worker') return { state, effects: taken(message, context) };
    return message.type === 'peers' ? onPeers(message.peers, state, context) : { state };
  },
};

function onPeers(
  peers: readonly ResolvedPeer[],
  state: AlternatesManagerState,
  context: ActorContext,
): Next<AlternatesManagerState> {
  const indexes = peers.map((peer) => peer.index);
  const gone = state.indexes.filter((index) => !indexes.includes(index));
  const requests: TableRequest[] = peers.map((peer) => ({
    type: 'insert',
    rows: [{ key: peer.index, value: alternateRow(peer, state.tlsVerify) }],
  }));
  if (gone.length > 0) requests.push({ type: 'delete', keys: gone });
  const work = async (worker: WorkerContext): Promise<void> => {
    for (const request of requests) await writeThrough(worker, TABLE.alternatesConfiguration, request);
  };
  return {
    state: { ...state, indexes },
    effects: [...logging(alternatePeerChanged(emitterOf(context))), { type: 'run', name: WRITE, work }],
  };
}

/** Written or not, the resolver goes on: the next change brings every row again. */
function taken(info: HostInfo & { type: 'worker' }, context: ActorContext): Effect[] {
  const message: PeersTakenMessage = { type: 'peers_taken' };
  const effect: Effect = { type: 'send', to: PROCESS.peerNameResolver, message };
  if (info.ok) return [effect];
  const reason = failureOf(info.reason).message;
  return [...logging(writeFailed(emitterOf(context), TABLE.alternatesConfiguration, reason)), effect];
}

/** The links' mode is part of what an alternate is: a change of it is a change of every alternate. */
function modeAfter(message: TableMessage, before: TlsVerify): TlsVerify {
  const { event } = message;
  if (event.table !== TABLE.clusterConfiguration || event.key !== CLUSTER_ITEM.tlsVerify) return before;
  return event.type === 'write' && event.value === 'Enforcing' ? 'Enforcing' : 'Permissive';
}

function alternateRow(peer: ResolvedPeer, tlsVerify: TlsVerify): Value {
  return {
    index: peer.index,
    address: peer.text,
    resolved: peer.address ?? null,
    source: peer.source,
    thisSystem: peer.own,
    tlsVerify,
  };
}
