/** L12, L13, L28, L29: alarms in the event log; L14–L18: what call control writes about RAS between peers. */
import type { LogLevel, LogRecord } from '../otp/types.ts';
import type { Alarm, AlarmSeverity } from './alarm-catalogue.ts';
import { moduleLine } from './log-record.ts';

/** L28 (E148) */
export function raisingAlarm(uuid: string, parameters: string): LogRecord {
  return moduleLine('management', 'developer.diagnostics.alarmmanager', 'INFO', [
    ['CodeLocation', 'alarmmanager(173)'],
    ['Detail', 'Raising alarm'],
    ['UUID', uuid],
    ['Parameters', parameters],
  ]);
}

/** L12, L13, L29 say `Alarm Raised` (E139); lowered and acknowledged are ours, in the same form (B34). */
export type AlarmEventName = 'Alarm Raised' | 'Alarm Lowered' | 'Alarm Acknowledged';

export function levelOf(severity: AlarmSeverity): LogLevel {
  if (severity === 'warning') return 'WARN';
  if (severity === 'notice' || severity === 'info') return 'INFO';
  return severity === 'debug' ? 'DEBUG' : 'ERROR';
}

export function alarmEvent(event: AlarmEventName, alarm: Alarm, detail: string, user?: string): LogRecord {
  const level = event === 'Alarm Raised' ? levelOf(alarm.severity) : 'INFO';
  return {
    tag: alarm.tag,
    utcTime: 'last',
    level,
    fields: [
      ['Level', level],
      ['Event', event],
      ['Id', String(alarm.id)],
      ['UUID', alarm.uuid],
      ['Severity', alarm.severity],
      ['Detail', detail],
      ...(user === undefined ? [] : ([['User', user]] as const)),
    ],
  };
}

/** Ours: a request the alarm manager could not carry out. */
export function alarmManagerTrouble(detail: string, reason: string): LogRecord {
  return moduleLine('management', 'developer.diagnostics.alarmmanager', 'ERROR', [
    ['Detail', detail],
    ['Reason', reason],
  ]);
}

export interface RasSending {
  readonly message: 'SCI' | 'LRQ';
  readonly sequenceNumber: number;
  readonly destinationAddress: string;
  readonly outcome: 'Retransmit' | 'Timeout';
}

/** L14, L15, L17, L18 (E140, E141): the level is followed by a colon in this module, which format.ts knows. */
export function rasSent(sending: RasSending): LogRecord {
  return moduleLine('tvcs', 'network.h323', 'INFO', [
    ['Action', 'Sent'],
    ['Dst-ip', sending.destinationAddress],
    ['Dst-port', '1719'],
    ['Detail', `Sending RAS ${sending.message} SeqNum=${sending.sequenceNumber} ${sending.outcome}=True`],
  ]);
}

/** L16 (E142) */
export function gatekeeperTimedOut(address: string): LogRecord {
  return {
    tag: 'tvcs',
    utcTime: 'last',
    level: 'WARN',
    fields: [
      ['Event', 'External Server Communications Failure'],
      ['Reason', 'gatekeeper timed out'],
      ['Service', 'NeighbourGatekeeper'],
      ['Detail', `name:${address}:1719`],
      ['Level', '1'],
    ],
  };
}
