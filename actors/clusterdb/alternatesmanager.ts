/**
 * Takes changed peer data (L27) and rewrites `alternatesConfiguration`, a table of this node alone with a row for each
 * peer. Each row is a write of the table's own process, which logs L25 for it.
 */
import type { Value } from '../../storage/index.ts';
import { emitterOf, logging } from '../diagnostics/log-record.ts';
import type { Effect, From, GenServer, HostInfo } from '../otp/types.ts';
import { CLUSTER_ITEM, TABLE, type TlsVerify } from './cluster-configuration.ts';
import { alternatePeerChanged } from './log-lines.ts';
import {
  type ConfigurationPort,
  cdbtableName,
  type PeersMessage,
  type ResolvedPeer,
  type TableMessage,
  type TableRequest,
} from './ports.ts';

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

const OWNER = cdbtableName(TABLE.alternatesConfiguration);

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
    if (message.type !== 'peers') return { state };
    const indexes = message.peers.map((peer) => peer.index);
    const gone = state.indexes.filter((index) => !indexes.includes(index));
    const requests: TableRequest[] = message.peers.map((peer) => ({
      type: 'insert',
      rows: [{ key: peer.index, value: alternateRow(peer, state.tlsVerify) }],
    }));
    if (gone.length > 0) requests.push({ type: 'delete', keys: gone });
    return {
      state: { ...state, indexes },
      effects: [...logging(alternatePeerChanged(emitterOf(context))), ...requests.map(toOwner)],
    };
  },
};

function toOwner(message: TableRequest): Effect {
  return { type: 'cast', to: OWNER, message };
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
