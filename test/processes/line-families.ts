/**
 * The families of log lines (L1–L13, L19–L29), each told by its tags, its keys in order and its fixed values. A line
 * that has the words of a family and not its form belongs to none, so a test that counts families finds it missing.
 */
import { firstValueOf, type ParsedLine } from '../../src/log/index.ts';

interface Family {
  readonly tags: string;
  /** Every key, in order. */
  readonly keys: string;
  readonly values: Readonly<Record<string, string | RegExp>>;
}

/** E137, byte for byte. */
export const NOPROC_REASON =
  '{ badrpc, { EXIT, { aborted, { noproc, { gen_server, call, [ kernel_safe_sup, { start_child, { dets_sup, ' +
  '{ dets_sup, start_link, }, permanent, 1000, supervisor, [ dets_sup ] } }, infinity ] } } } } }';

const replication = (location: string, detail: string): Family => ({
  tags: 'replication',
  keys: 'UTCTime Module Level CodeLocation Detail',
  values: { Module: 'developer.replication', Level: 'INFO', CodeLocation: location, Detail: detail },
});

const cdb = (detail: string): Family => ({
  tags: '',
  keys: 'UTCTime Module Level Node PID Detail Node',
  values: { Module: 'developer.clusterdb.cdb', Level: 'INFO', Detail: detail },
});

const alarm = (tag: string, id: string, uuid: string, detail: string, event: string, level: string): Family => ({
  tags: tag,
  keys: 'Level Event Id UUID Severity Detail UTCTime',
  values: { Level: level, Event: event, Id: id, UUID: uuid, Severity: 'warning', Detail: detail },
});

const management = (module: string, location: string, keys: string, values: Family['values']): Family => ({
  tags: 'management',
  keys: `UTCTime Module Level CodeLocation ${keys}`,
  values: { Module: module, Level: 'INFO', CodeLocation: location, ...values },
});

const item = (detail: RegExp): Family => ({
  tags: '',
  keys: 'UTCTime Event Node PID Detail',
  values: { Event: 'System Configuration Changed', Detail: detail },
});

const actor = (module: string, detail: string, keys = '', level = 'INFO'): Family => ({
  tags: '',
  keys: `UTCTime Module Level Node PID Detail${keys}`,
  values: { Module: module, Level: level, Detail: detail },
});

const DATABASE_UUID = '0f96695e-d954-4f6f-85c1-2ef1eae6f764';
const DATABASE_DETAIL =
  'Cluster database communication failure: The database is unable to replicate with one or more of the cluster peers';
const PEERS_UUID = '3bca6888-f622-11df-93be-07cc953d7b99';
const PEERS_DETAIL =
  'Cluster communication failure: The system is unable to communicate with one or more of the cluster peers';
const RESTART_UUID = 'e2b8e3d1-b731-4d7d-b606-4682a8f0c2e6';
const RESTART_DETAIL =
  'Restart required: Cluster configuration has been changed, however a restart is required for this to take effect';

const families: ReadonlyMap<string, Family> = new Map([
  ['L1', replication('clusterconfigurationsynchroniser(270)', 'Starting synchronisation')],
  [
    'L2',
    {
      tags: 'replication',
      keys: 'UTCTime Module Level CodeLocation AlternateIPAddresses ConfigurationMasterIndex LocalPeerIndex',
      values: {
        Module: 'developer.replication',
        Level: 'INFO',
        CodeLocation: 'clusterconfigurationutils(750)',
        AlternateIPAddresses: /^\[(u'\(\S+ \S+\)'(, )?)+\]$/,
      },
    },
  ],
  [
    'L3',
    replication(
      'clusterconfigurationsynchroniser(257)',
      'This peer is the cluster master, local configuration has already been replicated to the other peers',
    ),
  ],
  [
    'L4',
    replication(
      'clusterconfigurationsynchroniser(254)',
      'This peer is not the cluster master, local configuration is already up to date',
    ),
  ],
  ['L5', replication('clusterconfigurationsynchroniser(336)', 'Synchronisation completed successfully')],
  ['L6', cdb('Processed mnesia_down event from accessible node')],
  [
    'L7',
    {
      tags: '',
      keys: 'UTCTime Module Level Node PID Detail Context Node',
      values: {
        Module: 'developer.clusterdb.cdb',
        Level: 'ERROR',
        Detail: 'Inconsistent Database',
        Context: 'from mnesia system - mnesia down',
      },
    },
  ],
  ['L8', cdb('Connecting database on mnesia running_partitioned_network event')],
  ['L9', cdb('Ready to perform node connection transaction')],
  ['L10', cdb('Running node connection transaction')],
  ['L11', actor('developer.clusterdb.synchronise', 'Failed connecting to node', ' Node Reason', 'WARN')],
  ['L12', alarm('alarm', '20006', DATABASE_UUID, DATABASE_DETAIL, 'Alarm Raised', 'WARN')],
  ['L13', alarm('alarm', '20004', PEERS_UUID, PEERS_DETAIL, 'Alarm Raised', 'WARN')],
  ['lowered 20006', alarm('alarm', '20006', DATABASE_UUID, DATABASE_DETAIL, 'Alarm Lowered', 'INFO')],
  ['lowered 20004', alarm('alarm', '20004', PEERS_UUID, PEERS_DETAIL, 'Alarm Lowered', 'INFO')],
  [
    'L20',
    {
      tags: '',
      keys: 'UTCTime Module Level Node PID Detail TableName',
      values: {
        Module: 'developer.cdbtable.cdb.clusterConfiguration',
        Level: 'DEBUG',
        Detail: 'Inserting into table',
        TableName: 'clusterConfiguration',
      },
    },
  ],
  ['L21', item(/^xconfiguration clusterConfiguration \S+ - changed from: .+ to: .+$/)],
  [
    'L22',
    {
      tags: 'httpd[] web',
      keys: 'Event Detail Src-ip Src-port User Level UTCTime',
      values: {
        Event: 'System Configuration Changed',
        Detail: /^configuration\/cluster\/\S+ - changed from: '.+' to: '.+'$/,
        Level: '1',
        UTCTime: /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/,
      },
    },
  ],
  [
    'L23',
    management('developer.management.databasemanager', 'databasemanager(312)', 'Detail', {
      Detail: 'Cluster configuration change detected',
    }),
  ],
  [
    'L24',
    management('developer.management.databasemanager', 'databasemanager(405)', 'Detail Startup New', {
      Detail: 'TLS Verify change status',
    }),
  ],
  ['L25', item(/^xconfiguration alternatesConfiguration - Changed$/)],
  ['L26', actor('developer.clusterdb.peernameresolver', 'Notifying databasemanager (Management Framework)')],
  ['L27', actor('developer.clusterdb.alternatesmanager', 'alternate peer changed info recieved')],
  [
    'L28',
    management('developer.diagnostics.alarmmanager', 'alarmmanager(173)', 'Detail UUID Parameters', {
      Detail: 'Raising alarm',
      Parameters: 'null',
    }),
  ],
  ['L29', alarm('management', '20007', RESTART_UUID, RESTART_DETAIL, 'Alarm Raised', 'WARN')],
]);

function isOf(line: ParsedLine, { tags, keys, values }: Family): boolean {
  const ownTags = line.tags.map((tag) => (tag.processId === undefined ? tag.name : `${tag.name}[]`)).join(' ');
  if (ownTags !== tags || line.fields.map((field) => field.key).join(' ') !== keys) return false;
  return Object.entries(values).every(([key, wanted]) => {
    const value = firstValueOf(line, key) ?? '';
    return typeof wanted === 'string' ? value === wanted : wanted.test(value);
  });
}

/** Undefined for lines of ours that no timeline knows. */
export function familyOf(line: ParsedLine): string | undefined {
  for (const [name, family] of families) if (isOf(line, family)) return name;
  return undefined;
}

/** The lines of these families, in order, as their names. */
export function familiesIn(lines: readonly ParsedLine[], wanted: readonly string[]): string[] {
  return lines.map(familyOf).filter((name): name is string => name !== undefined && wanted.includes(name));
}

/** The node a line is about: the second of its two `Node` fields (E138). */
export function aboutNode(line: ParsedLine): string | undefined {
  return line.fields.filter((field) => field.key === 'Node')[1]?.value;
}

export function ofFamily(lines: readonly ParsedLine[], name: string): ParsedLine[] {
  return lines.filter((line) => familyOf(line) === name);
}
