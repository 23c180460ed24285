/** Everything the running peer may import of its actors. */
export type { AlternatesManagerArgs } from './clusterdb/alternatesmanager.ts';
export { alternatesmanager } from './clusterdb/alternatesmanager.ts';
export { type CdbArgs, type CdbCall, type CdbStatus, cdb } from './clusterdb/cdb.ts';
export { type CdbtableArgs, cdbtable, sameValue } from './clusterdb/cdbtable.ts';
export * from './clusterdb/cluster-configuration.ts';
export * as clusterdbLines from './clusterdb/log-lines.ts';
export {
  type PeerNameResolverArgs,
  type PeerNameResolverCall,
  peernameresolver,
} from './clusterdb/peernameresolver.ts';
export * from './clusterdb/ports.ts';
export { type LookupOutcome, type Resolution, resolveLocally } from './clusterdb/resolution.ts';
export { type DownReason, NODEDOWN_REASON, NOPROC_REASON } from './clusterdb/synchronise.ts';
export * from './diagnostics/alarm-catalogue.ts';
export {
  type AlarmAnswer,
  type AlarmManagerArgs,
  type AlarmManagerCall,
  type AlarmRow,
  alarmmanager,
  alarmRows,
  asAlarmRow,
  type ShownAlarm,
} from './diagnostics/alarmmanager.ts';
export * as diagnosticsLines from './diagnostics/log-lines.ts';
export { type Emitter, type Field, moduleLine, processEvent, processLine, shown } from './diagnostics/log-record.ts';
export {
  type DatabaseManagerArgs,
  type DatabaseManagerCall,
  type DatabaseManagerStatus,
  databasemanager,
} from './management/databasemanager.ts';
export * as managementLines from './management/log-lines.ts';
export * from './otp/index.ts';
export {
  type EarlyEvents,
  forwardTableEvents,
  keepEarlyEvents,
  type PeerDatabase,
  type PeerPorts,
  type PeerTimings,
  peerChildren,
} from './peer-tree.ts';
export {
  clusterconfigurationsynchroniser,
  type SynchronisationResult,
  type SynchroniseAnswer,
  type SynchroniserArgs,
  type SynchroniserCall,
  type SynchroniserStatus,
} from './replication/clusterconfigurationsynchroniser.ts';
export { configurationHash, configurationRowsOf } from './replication/clusterconfigurationutils.ts';
export type { AlternateAddress } from './replication/log-lines.ts';
export * as replicationLines from './replication/log-lines.ts';
