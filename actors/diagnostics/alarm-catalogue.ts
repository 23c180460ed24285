/**
 * Every alarm this project may raise about clusters, as data (B29, B30). Ids, titles, descriptions and severities are
 * facts of the field; remedies are our own words. An alarm's id and uuid never change.
 *
 * Three uuids are known (20004, 20006, 20007). The others are OURS: version 5 uuids of the id's decimal digits in the
 * namespace `alarmNamespace`, written out here so that nothing has to be computed, and checked by a test.
 */
export type AlarmSeverity = 'emergency' | 'alert' | 'critical' | 'error' | 'warning' | 'notice' | 'info' | 'debug';

export interface Alarm {
  readonly id: number;
  readonly uuid: string;
  readonly title: string;
  /** May hold parameters as `<name>`. */
  readonly description: string;
  /** The whole Detail of the event, where it is not `<title>: <description>`: the four replication errors of E115. */
  readonly detail?: string;
  readonly severity: AlarmSeverity;
  /** The log tag: alarms that management raises about configuration carry its own. */
  readonly tag: 'alarm' | 'management';
  readonly remedy: string;
}

/** Version 5 uuid of `alarms.peerage.example` in the DNS namespace. */
export const alarmNamespace = 'b8ed79eb-f5ab-5f15-a545-82b4bf5b03cc';

export const alarmCatalogue: readonly Alarm[] = [
  {
    id: 15004,
    uuid: 'd4eb2a93-dd40-52c6-a491-888a507b4125',
    title: 'Application failed',
    description: 'An unexpected software error was detected in <module>',
    severity: 'error',
    tag: 'alarm',
    remedy:
      'Read the incident report of the module, then restart this system if the module does not come back by itself.',
  },
  {
    id: 15005,
    uuid: '186696f2-10f5-59e9-8d73-0c5c095859bd',
    title: 'Database failure',
    description: 'Please remove database and restore from backup, then reboot the system',
    severity: 'warning',
    tag: 'alarm',
    remedy:
      'Take a system snapshot, remove this system from the cluster, restore its own backup and add it back. The other peers keep serving meanwhile.',
  },
  {
    id: 15007,
    uuid: 'c9349733-5234-5497-b5ab-b6bfb379f34c',
    title: 'The system is busy',
    description: 'The system is shutting down, or starting',
    severity: 'alert',
    tag: 'alarm',
    remedy: 'Wait until this system has started; nothing else is needed.',
  },
  {
    id: 15008,
    uuid: 'ee38fa7f-9677-5b64-8d32-55015ae5f92a',
    title: 'Failed to load database',
    description: 'The database failed to load; some configuration data has been lost',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Compare this system with another peer, then restore its own backup.',
  },
  {
    id: 15009,
    uuid: '8786c917-4116-50d2-8f49-434c5876a8e0',
    title: 'Factory reset started',
    description: 'Factory reset started',
    severity: 'alert',
    tag: 'alarm',
    remedy: 'Wait for the reset to finish; do not switch the system off.',
  },
  {
    id: 15010,
    uuid: '28b784f6-655c-54e3-ae33-a87f0549336e',
    title: 'Application failed',
    description: 'An unexpected software error was detected in <module>',
    severity: 'error',
    tag: 'alarm',
    remedy:
      'Read the incident report of the module, then restart this system if the module does not come back by itself.',
  },
  {
    id: 15011,
    uuid: '44bc73a3-f7ad-52b9-9d51-b26fe76b6bed',
    title: 'Application failed',
    description: 'An unexpected software error was detected in <module>',
    severity: 'error',
    tag: 'alarm',
    remedy:
      'Read the incident report of the module, then restart this system if the module does not come back by itself.',
  },
  {
    id: 15013,
    uuid: '272d2471-9326-5677-8ce9-760aed169960',
    title: 'Factory reset failed',
    description: 'Factory reset failed',
    severity: 'alert',
    tag: 'alarm',
    remedy: 'Put the reset image into the factory reset folder, then restart this system.',
  },
  {
    id: 15015,
    uuid: '848727e3-c992-540d-9c8c-956455282a28',
    title: 'Maintenance mode',
    description: 'The system is in maintenance mode and will no longer accept calls and registrations',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Switch maintenance mode off when the work is done; a restart switches it off too.',
  },
  {
    id: 15023,
    uuid: 'd0786b92-2f4e-5204-8e8f-ce679bbe95dd',
    title: 'Restore failed',
    description: 'Backup was not restored. The system is restored onto the previous configuration.',
    severity: 'error',
    tag: 'alarm',
    remedy: 'Read the event log for the reason, correct it and restore again.',
  },
  {
    id: 15028,
    uuid: '80c8f69f-737e-57a8-bbea-13abb04ac3e2',
    title: 'Restart required',
    description:
      'Server certificate and private key have been changed, however a restart is required for this to take effect.',
    severity: 'warning',
    tag: 'management',
    remedy: 'Restart this system at a quiet moment.',
  },
  {
    id: 20003,
    uuid: '0cfee551-d4cf-51b0-861d-2232e0b41043',
    title: 'Invalid cluster configuration',
    description: 'The cluster configuration is invalid',
    severity: 'warning',
    tag: 'management',
    remedy: 'Make sure that this system is in its own peer list and that no address stands there twice.',
  },
  {
    id: 20004,
    uuid: '3bca6888-f622-11df-93be-07cc953d7b99',
    title: 'Cluster communication failure',
    description: 'The system is unable to communicate with one or more of the cluster peers',
    severity: 'warning',
    tag: 'alarm',
    remedy:
      'Look at System > Clustering for the peer that has failed; check that it runs and that TCP 4371 and 4372 are open to it.',
  },
  {
    id: 20005,
    uuid: '2d7a4ac3-b22b-5470-a145-01015c74c870',
    title: 'Invalid peer address',
    description: 'One or more peer addresses are invalid',
    severity: 'warning',
    tag: 'management',
    remedy: 'Correct the peer rows: each holds an IP address or a name that resolves to one.',
  },
  {
    id: 20006,
    uuid: '0f96695e-d954-4f6f-85c1-2ef1eae6f764',
    title: 'Cluster database communication failure',
    description: 'The database is unable to replicate with one or more of the cluster peers',
    severity: 'warning',
    tag: 'alarm',
    remedy:
      'Wait: the database joins the peer again by itself once it is reachable. If the peer is reachable and this stays, restart that peer.',
  },
  {
    id: 20007,
    uuid: 'e2b8e3d1-b731-4d7d-b606-4682a8f0c2e6',
    title: 'Restart required',
    description: 'Cluster configuration has been changed, however a restart is required for this to take effect',
    severity: 'warning',
    tag: 'management',
    remedy: 'Restart this system; in a cluster the primary first, then the other peers one at a time.',
  },
  {
    id: 20008,
    uuid: 'e98e4d83-1b34-59a7-a8e3-952eeb6d886c',
    title: 'Cluster replication error',
    description:
      'Automatic replication of configuration has been temporarily disabled because an upgrade is in progress',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Finish the upgrade of the remaining peers; copying resumes when all run the same version.',
  },
  {
    id: 20009,
    uuid: '47ca1ff5-b020-578d-a8d5-765db98b6144',
    title: 'Cluster replication error',
    description: 'There was an error during automatic replication of configuration',
    detail: 'Cluster replication error: manual synchronization of configuration is required',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Read the reason in the event log. If it stays, run xcommand ForceConfigUpdate on this peer.',
  },
  {
    id: 20011,
    uuid: '7c2a2cf2-7778-560d-8485-ee6a48951a9c',
    title: 'Cluster replication error',
    description:
      "This peer's configuration conflicts with the primary's configuration, manual synchronization of configuration is required",
    detail:
      "Cluster replication error: this peer's configuration conflicts with the primary's configuration, manual synchronization of configuration is required",
    severity: 'warning',
    tag: 'alarm',
    remedy:
      "Run xcommand ForceConfigUpdate on this peer; it drops its own cluster-wide settings and takes the primary's.",
  },
  {
    id: 20012,
    uuid: '571104fc-3212-5fc9-9c8a-e5407926c7eb',
    title: 'Cluster replication error',
    description: "This peer's cluster configuration settings do not match the configuration primary peer's settings",
    severity: 'warning',
    tag: 'management',
    remedy: 'Make cluster name, IP version and the peer list, in the same order, equal to those of the primary.',
  },
  {
    id: 20014,
    uuid: '1e8a8b9e-e9b7-58e8-b113-195a34bd1adc',
    title: 'Cluster replication error',
    description:
      "Cannot find primary or this peer's configuration file, manual synchronization of configuration is required",
    detail:
      "Cluster replication error: cannot find primary or this subordinate's peer configuration file, manual synchronization of configuration is required",
    severity: 'warning',
    tag: 'alarm',
    remedy:
      'Check that the primary lists this peer and this peer lists the primary, then run xcommand ForceConfigUpdate here.',
  },
  {
    id: 20015,
    uuid: 'a3229225-bff1-5727-8d76-a06b2e45fc68',
    title: 'Cluster replication error',
    description: 'The local system does not appear in the list of peers',
    severity: 'warning',
    tag: 'management',
    remedy: 'Put the address of this system into its own peer list.',
  },
  {
    id: 20016,
    uuid: '23889f85-44d3-5a36-8ee4-9f581adb9f89',
    title: 'Cluster replication error',
    description: 'The primary peer is unreachable',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Check that the primary runs and can be reached. If it is gone for good, make another peer the primary.',
  },
  {
    id: 20017,
    uuid: '296fb826-4943-594b-a967-4f8769869036',
    title: 'Cluster replication error',
    description: 'Configuration primary ID is inconsistent, manual synchronization of configuration is required',
    detail:
      'Cluster replication error: configuration primary ID is inconsistent, manual synchronization of configuration is required',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Set the same Configuration primary on every peer, the old primary first.',
  },
  {
    id: 20018,
    uuid: '20523079-5b5d-5f39-b938-ef5abe8e3834',
    title: 'Invalid clustering configuration',
    description: 'H.323 mode must be turned On - clustering uses H.323 communications between peers',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Switch H.323 on under Configuration > Protocols > H.323.',
  },
  {
    id: 20019,
    uuid: 'a42124d1-df46-5e6f-8db4-bc7d97e903f3',
    title: 'Cluster name not configured',
    description: 'If FindMe or clustering are in use a cluster name must be defined.',
    severity: 'warning',
    tag: 'management',
    remedy: 'Set the cluster name on System > Clustering, the same on every peer.',
  },
  {
    id: 20020,
    uuid: 'd9f39dab-c5b3-58b1-86d3-4f7250499dde',
    title: 'Restart required',
    description: 'TLS verification configuration does not match active status.',
    severity: 'warning',
    tag: 'management',
    remedy: 'Restart this system so that the configured mode becomes the active one.',
  },
  {
    id: 20021,
    uuid: '65fa7f16-8cab-5e82-9f8a-a7370b97dfc2',
    title: 'Cluster communication failure',
    description: 'Unable to establish a TCP connection with <peers> on ports <ports>',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Open the ports named here between the peers.',
  },
  {
    id: 20024,
    uuid: '8b9bec05-0143-572a-976b-3ad0d74b56d1',
    title: 'Cluster configuration error',
    description: 'Cluster is in inconsistent state',
    severity: 'warning',
    tag: 'alarm',
    remedy:
      'Read the event log for the table and property that differ, then remove the peer that is wrong and add it again.',
  },
  {
    id: 20025,
    uuid: '8f54fe30-b518-595b-9ba1-9aae8514acd8',
    title: 'Failed to synchronize database',
    description: 'Database synchronization failed on node <nodename>, reboot node <nodename> from CLI',
    severity: 'critical',
    tag: 'alarm',
    remedy: 'Restart the named node from its command line.',
  },
  {
    id: 20026,
    uuid: '569d60da-3825-5f45-93e6-89b86630aaf6',
    title: 'Failed to recover ClusterDB log server',
    description: 'ClusterDB log server is frozen and CDB log messages are not processed.',
    severity: 'critical',
    tag: 'alarm',
    remedy: 'Check the free space of the log disc, then restart this system.',
  },
  {
    id: 25001,
    uuid: '3e0da7de-7188-5df1-a6bf-a0d7bb954205',
    title: 'Restart required',
    description: 'Network configuration has been changed, however a restart is required for this to take effect',
    severity: 'warning',
    tag: 'management',
    remedy: 'Restart this system.',
  },
  {
    id: 25002,
    uuid: 'b68c6d54-4899-50c9-aa21-593694f625f4',
    title: 'Date and time not validated',
    description: 'The system is unable to obtain the correct time and date from an NTP server',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Check the time settings and that an NTP server can be reached.',
  },
  {
    id: 25010,
    uuid: 'ce5877cc-f839-53be-8854-217eeb227151',
    title: 'Restart required',
    description: 'IP configuration has been changed, however a restart is required for this to take effect',
    severity: 'warning',
    tag: 'management',
    remedy: 'Restart this system.',
  },
  {
    id: 25021,
    uuid: '511bd966-2c03-5d88-b886-b752421a8f3b',
    title: 'NTP server not available',
    description: 'The system is unable to contact an NTP server',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Check the NTP server addresses and the DNS settings.',
  },
  {
    id: 40046,
    uuid: '51ca35dd-dbc0-5d90-b9ae-b92319485067',
    title: 'FIPS140-2 compliance restriction',
    description: 'Clustered systems are not FIPS140-2 compliant',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Disband the cluster if compliance is needed.',
  },
  {
    id: 40049,
    uuid: '044ae0e1-3217-5861-a6b8-294f2f7ef7ef',
    title: 'Cluster TLS permissive',
    description: 'Cluster TLS verification mode permits invalid certificates',
    severity: 'notice',
    tag: 'management',
    remedy: 'Give every peer a certificate with the name of its row, then set TLS verification mode to Enforce.',
  },
  {
    id: 40055,
    uuid: '862dd6ae-ea63-50cc-b7b1-54441fa4bff4',
    title: 'Failed to update key file',
    description: 'Failed to update system key file due to inconsistent state',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Run xCommand ForceSystemKeyUpdate: on a peer without this alarm when clustered, here when not.',
  },
  {
    id: 40068,
    uuid: '035a66aa-1e2e-5ab9-8cd4-b3191d8303ce',
    title: 'Server certificate validity',
    description: 'Server certificate has expired or expires today',
    severity: 'critical',
    tag: 'alarm',
    remedy: 'Install a new certificate now.',
  },
  {
    id: 40069,
    uuid: '4b864c4f-612c-5a5d-a88c-738320550948',
    title: 'Server certificate validity',
    description: 'Server certificate expires in <days> days',
    severity: 'alert',
    tag: 'alarm',
    remedy: 'Install a new certificate before that day.',
  },
  {
    id: 45003,
    uuid: '8e8556fc-027e-575b-ba35-bbb2a2d2b3aa',
    title: 'Configuration warning',
    description: 'H.323 and SIP modes are set to Off; one or both of them should be enabled',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Switch H.323 or SIP on.',
  },
  {
    id: 45006,
    uuid: '646a11c4-58d1-5cec-8efc-24fff4800d78',
    title: 'Configuration warning',
    description: 'Expected default link between the Default Subzone and the Cluster Subzone is missing',
    severity: 'warning',
    tag: 'alarm',
    remedy: 'Add the default links with xCommand DefaultLinksAdd.',
  },
];

const byId = new Map(alarmCatalogue.map((alarm) => [alarm.id, alarm]));

export function alarmById(id: number): Alarm | undefined {
  return byId.get(id);
}

export type AlarmParameters = Readonly<Record<string, string>>;

/** The description with its parameters filled in; one that was not given keeps its `<name>`, which says so. */
export function describeAlarm(alarm: Alarm, parameters: AlarmParameters = {}): string {
  return alarm.description.replace(/<([a-z]+)>/g, (whole, name: string) =>
    Object.hasOwn(parameters, name) ? (parameters[name] ?? whole) : whole,
  );
}

/** Detail of the alarm's events: `<title>: <description>`, or the fixed text of a replication error. */
export function alarmDetail(alarm: Alarm, parameters: AlarmParameters = {}): string {
  return alarm.detail ?? `${alarm.title}: ${describeAlarm(alarm, parameters)}`;
}

/** `Parameters` of L28: `null` when there are none. */
export function shownParameters(parameters: AlarmParameters = {}): string {
  const entries = Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.length === 0 ? 'null' : `{${entries.map(([name, value]) => `${name}: ${value}`).join(', ')}}`;
}
