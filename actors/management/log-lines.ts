/** L22 (web), L23 and L24 (management). */
import { type Field, moduleLine, shown } from '../diagnostics/log-record.ts';
import type { LogRecord } from '../otp/types.ts';

function databaseManagerLine(codeLocation: number, fields: readonly Field[]): LogRecord {
  return moduleLine('management', 'developer.management.databasemanager', 'INFO', [
    ['CodeLocation', `databasemanager(${codeLocation})`],
    ...fields,
  ]);
}

/** L23 */
export function clusterConfigurationChangeDetected(): LogRecord {
  return databaseManagerLine(312, [['Detail', 'Cluster configuration change detected']]);
}

/** L24: whether the mode was Enforcing at start-up, and whether it is now. */
export function tlsVerifyChangeStatus(startup: boolean, now: boolean): LogRecord {
  return databaseManagerLine(405, [
    ['Detail', 'TLS Verify change status'],
    ['Startup', shown(startup)],
    ['New', shown(now)],
  ]);
}

export interface WebChange {
  /** Process id of the web server, in the tag. */
  readonly processId: number;
  /** `cluster/tls_verify`: the page's path below `configuration/`. */
  readonly item: string;
  readonly from: string;
  readonly to: string;
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly user: string;
}

/** L22 (E147): no Node, no PID; UTCTime last and without milliseconds. */
export function webConfigurationChanged(change: WebChange): LogRecord {
  return {
    tag: `httpd[${change.processId}]: web`,
    utcTime: 'last-seconds',
    level: 'INFO',
    fields: [
      ['Event', 'System Configuration Changed'],
      ['Detail', `configuration/${change.item} - changed from: '${change.from}' to: '${change.to}'`],
      ['Src-ip', change.sourceAddress],
      ['Src-port', String(change.sourcePort)],
      ['User', change.user],
      ['Level', '1'],
    ],
  };
}
