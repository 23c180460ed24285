/** Log records of the network layer. They never hold a key, a proof or a private key. */
import type { LogLevel, LogRecord } from '../../actors/otp/types.ts';

export type LogFields = readonly (readonly [key: string, value: string])[];

export function linkRecord(node: string, level: LogLevel, detail: string, fields: LogFields = []): LogRecord {
  return {
    tag: undefined,
    utcTime: 'first',
    level,
    fields: [['Module', 'developer.clusterdb.links'], ['Level', level], ['Node', node], ['Detail', detail], ...fields],
  };
}

export function rasRecord(level: LogLevel, detail: string, fields: LogFields = []): LogRecord {
  return {
    tag: 'tvcs',
    utcTime: 'first',
    level,
    fields: [['Module', 'network.h323'], ['Level', level], ...fields, ['Detail', detail]],
  };
}
