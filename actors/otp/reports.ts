import { describeReason } from './exit.ts';
import type { ExitReason, LogLevel, LogRecord, Pid } from './types.ts';

/** The host's own lines of the event log: `Module`, `Node`, `PID`, `Detail`, then what it is about. */
export interface ReportSource {
  readonly node: string;
  readonly pid: Pid;
}

type Fields = readonly (readonly [key: string, value: string])[];

function report(module: string, level: LogLevel, source: ReportSource, detail: string, more: Fields): LogRecord {
  return {
    tag: undefined,
    utcTime: 'first',
    level,
    fields: [
      ['Module', `developer.otp.${module}`],
      ['Level', level],
      ['Node', source.node],
      ['PID', source.pid.text],
      ['Detail', detail],
      ...more,
    ],
  };
}

export function processCrashed(source: ReportSource, id: string, reason: ExitReason): LogRecord {
  return report('process', 'ERROR', source, 'Process ended abnormally', [
    ['Process', id],
    ['Reason', describeReason(reason)],
  ]);
}

export function mailboxFull(source: ReportSource, id: string, max: number): LogRecord {
  return report('process', 'WARN', source, 'Mailbox full, messages refused', [
    ['Process', id],
    ['Limit', String(max)],
  ]);
}

export function childRestarted(source: ReportSource, id: string, reason: ExitReason, restarts: number): LogRecord {
  return report('supervisor', 'WARN', source, 'Restarting child', [
    ['Child', id],
    ['Reason', describeReason(reason)],
    ['Restarts', String(restarts)],
  ]);
}

export function startFailed(source: ReportSource, id: string, reason: ExitReason): LogRecord {
  return report('supervisor', 'ERROR', source, 'Child failed to start', [
    ['Child', id],
    ['Reason', describeReason(reason)],
  ]);
}

export function intensityReached(source: ReportSource, id: string, intensity: number, periodMs: number): LogRecord {
  return report('supervisor', 'ERROR', source, 'Too many restarts, supervisor gives up', [
    ['Supervisor', id],
    ['Intensity', String(intensity)],
    ['Period-ms', String(periodMs)],
  ]);
}

export function childKilled(source: ReportSource, id: string, timeoutMs: number): LogRecord {
  return report('supervisor', 'WARN', source, 'Child did not stop in time and was killed', [
    ['Child', id],
    ['Timeout-ms', String(timeoutMs)],
  ]);
}

export function badFrame(source: ReportSource, from: string, problem: string): LogRecord {
  return report('remote', 'WARN', source, 'Frame dropped', [
    ['From', from],
    ['Reason', problem],
  ]);
}

export function hostFault(source: ReportSource, reason: ExitReason): LogRecord {
  return report('system', 'ERROR', source, 'Invariant broken in the actor host', [['Reason', describeReason(reason)]]);
}
