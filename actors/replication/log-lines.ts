/** L1–L5: the configuration copy. `CodeLocation` is fixed for each message; numbers not in the L table are ours. */
import { type Field, moduleLine } from '../diagnostics/log-record.ts';
import type { LogLevel, LogRecord } from '../otp/types.ts';

function synchroniserLine(
  level: LogLevel,
  codeLocation: number,
  detail: string,
  more: readonly Field[] = [],
): LogRecord {
  return moduleLine('replication', 'developer.replication', level, [
    ['CodeLocation', `clusterconfigurationsynchroniser(${codeLocation})`],
    ['Detail', detail],
    ...more,
  ]);
}

/** L1 */
export function startingSynchronisation(): LogRecord {
  return synchroniserLine('INFO', 270, 'Starting synchronisation');
}

export interface AlternateAddress {
  readonly address: string;
  readonly name: string;
}

/** `[u'(10.15.13.15 expc01)', …]` (E135). A quote inside would end the element early, so it is escaped. */
export function alternateList(alternates: readonly AlternateAddress[]): string {
  const element = (text: string) => text.replace(/\\/g, '\\\\').replace(/'/g, "\\'");
  return `[${alternates.map((one) => `u'(${element(one.address)} ${element(one.name)})'`).join(', ')}]`;
}

/** L2: indexes count from 0 here and from 1 on the page. There is no Detail. */
export function peerListRead(
  alternates: readonly AlternateAddress[],
  configurationMasterIndex: number,
  localPeerIndex: number,
): LogRecord {
  return moduleLine('replication', 'developer.replication', 'INFO', [
    ['CodeLocation', 'clusterconfigurationutils(750)'],
    ['AlternateIPAddresses', alternateList(alternates)],
    ['ConfigurationMasterIndex', String(configurationMasterIndex)],
    ['LocalPeerIndex', String(localPeerIndex)],
  ]);
}

/** L3 */
export function isClusterMaster(): LogRecord {
  return synchroniserLine(
    'INFO',
    257,
    'This peer is the cluster master, local configuration has already been replicated to the other peers',
  );
}

/** L4 */
export function alreadyUpToDate(): LogRecord {
  return synchroniserLine(
    'INFO',
    254,
    'This peer is not the cluster master, local configuration is already up to date',
  );
}

/** Ours: the run took the primary's rows (E4, E6). */
export function tookConfiguration(rows: number): LogRecord {
  return synchroniserLine('INFO', 262, 'This peer is not the cluster master, local configuration has been replaced', [
    ['Rows', String(rows)],
  ]);
}

/** L5 */
export function synchronisationCompleted(): LogRecord {
  return synchroniserLine('INFO', 336, 'Synchronisation completed successfully');
}

/** Ours: a run that failed, with the id of the alarm that says it to the operator. */
export function synchronisationFailed(alarmId: number, reason: string): LogRecord {
  return synchroniserLine('ERROR', 341, 'Synchronisation failed', [
    ['AlarmId', String(alarmId)],
    ['Reason', reason],
  ]);
}
