/**
 * The whole cluster in one value: every peer is asked at the same time, and what they say is laid side by side. A peer
 * that does not answer is part of the report, with the reason, and never a reason to have none.
 */

import type { AlarmStatus, PeerRowStatus, PeerStatus } from '../peer/peer-handle.ts';
import { listText } from './table.ts';

/** What became of asking one peer. */
export interface Answer {
  readonly index: number | undefined;
  readonly label: string;
  readonly url: string;
  readonly status: PeerStatus | undefined;
  /** Why there is no status. */
  readonly reason: string | undefined;
  /** What to do about it. */
  readonly remedy: string | undefined;
}

export interface LinkReport {
  readonly index: number;
  readonly address: string;
  readonly state: string;
  readonly rttMs: number | null;
  readonly certificate: string | null;
  readonly clustering: string;
}

export interface PeerReport {
  readonly index: number | null;
  readonly name: string | null;
  readonly url: string;
  readonly answered: boolean;
  readonly reason: string | null;
  /** `Active` when it serves and replicates; otherwise what its database says; `No answer`. */
  readonly state: string;
  readonly role: 'primary' | 'subordinate' | null;
  readonly version: string | null;
  readonly uptimeMs: number | null;
  readonly restartRequired: boolean | null;
  readonly links: readonly LinkReport[];
}

export interface TableReport {
  readonly name: string;
  readonly localContent: boolean;
  readonly copies: number;
  readonly copiesLoaded: number;
  readonly sizes: readonly number[];
  /** `equal`, `differs`, or `single` when there is only one loaded copy or each peer's is its own. */
  readonly digests: 'equal' | 'differs' | 'single';
  readonly awaiting: readonly string[];
}

export interface AlarmReport {
  readonly id: string;
  readonly severity: string;
  readonly title: string;
  readonly description: string;
  readonly remedy: string;
  /** Since when at the peer that has had it longest. */
  readonly raisedAt: string;
  readonly peers: readonly string[];
}

export interface ClusterReport {
  readonly time: string;
  readonly health: 'healthy' | 'unhealthy';
  readonly cluster: {
    readonly name: string;
    readonly configurationPrimary: number;
    readonly ipVersion: string;
    readonly tlsVerify: string;
  } | null;
  readonly peers: readonly PeerReport[];
  readonly tables: readonly TableReport[];
  readonly alarms: readonly AlarmReport[];
  /** Everything a person should act on, most urgent first. */
  readonly problems: readonly string[];
}

/** Says the same as `restartRequired`, with the remedy. */
const RESTART_REQUIRED_ALARM = '20007';

const isGoodRow = (row: PeerRowStatus) => row.state === 'Active' || row.state === 'This system';

function peerReport(answer: Answer): PeerReport {
  const { status } = answer;
  if (status === undefined) {
    return {
      index: answer.index ?? null,
      name: null,
      url: answer.url,
      answered: false,
      reason: answer.reason ?? 'no answer',
      state: 'No answer',
      role: null,
      version: null,
      uptimeMs: null,
      restartRequired: null,
      links: [],
    };
  }
  const { cluster } = status;
  return {
    index: cluster.thisPeer,
    name: status.systemName,
    url: answer.url,
    answered: true,
    reason: null,
    state: cluster.databaseStatus,
    role: cluster.configurationPrimary === cluster.thisPeer ? 'primary' : 'subordinate',
    version: status.version,
    uptimeMs: Math.round(status.uptimeMs),
    restartRequired: status.restartRequired,
    links: cluster.peers
      .filter((row) => row.state !== 'This system')
      .map((row) => ({
        index: row.index,
        address: row.text,
        state: row.state,
        rttMs: row.rttMs ?? null,
        certificate: row.certificate?.text ?? null,
        clustering: row.clustering.text,
      })),
  };
}

export function tableReports(statuses: readonly PeerStatus[]): TableReport[] {
  const names = new Set(statuses.flatMap((status) => status.database.tables.map((table) => table.name)));
  return [...names].sort().map((name) => {
    const copies = statuses
      .flatMap((status) => status.database.tables.filter((table) => table.name === name))
      .filter((table) => table.storageType !== 'unknown');
    const loaded = copies.filter((copy) => copy.loaded);
    const localContent = copies.some((copy) => copy.localContent);
    const digests = new Set(loaded.map((copy) => copy.digest));
    const isSingle = localContent || loaded.length < 2;
    return {
      name,
      localContent,
      copies: copies.length,
      copiesLoaded: loaded.length,
      sizes: loaded.map((copy) => copy.size),
      digests: isSingle ? 'single' : digests.size === 1 ? 'equal' : 'differs',
      awaiting: [...new Set(copies.filter((copy) => !copy.loaded).flatMap((copy) => copy.awaiting))].sort(),
    };
  });
}

const severities = ['emergency', 'alert', 'critical', 'error', 'warning', 'notice', 'info', 'debug'];

/** A notice is worth reading and nothing to act on at once. */
function isProblem(alarm: AlarmReport): boolean {
  return severities.indexOf(alarm.severity) <= severities.indexOf('warning');
}

export function alarmReports(statuses: readonly PeerStatus[]): AlarmReport[] {
  const byUuid = new Map<string, { alarm: AlarmStatus; peers: string[]; raisedAt: string }>();
  for (const status of statuses) {
    for (const alarm of status.alarms) {
      const known = byUuid.get(alarm.uuid);
      if (known === undefined) byUuid.set(alarm.uuid, { alarm, peers: [status.systemName], raisedAt: alarm.raisedAt });
      else {
        known.peers.push(status.systemName);
        if (alarm.raisedAt < known.raisedAt) known.raisedAt = alarm.raisedAt;
      }
    }
  }
  const rank = (severity: string) => severities.indexOf(severity);
  return [...byUuid.values()]
    .map(({ alarm, peers, raisedAt }) => ({
      id: alarm.id,
      severity: alarm.severity,
      title: alarm.title,
      description: alarm.description,
      remedy: alarm.remedy,
      raisedAt,
      peers,
    }))
    .sort((a, b) => rank(a.severity) - rank(b.severity) || (a.id < b.id ? -1 : 1));
}

function peerProblems(answers: readonly Answer[]): string[] {
  const silent = answers.filter((answer) => answer.status === undefined);
  const problems = silent.map(
    ({ label, reason, remedy }) => `${label} did not answer: ${reason}${remedy === undefined ? '' : ` – ${remedy}`}`,
  );
  for (const { status } of answers) {
    if (status === undefined) continue;
    const name = status.systemName;
    const rows = status.cluster.peers.filter((row) => !isGoodRow(row));
    for (const row of rows) {
      problems.push(`${name} has no working link to peer ${row.index} (${row.text}): ${row.reason ?? row.state}`);
    }
    const { databaseStatus, databaseDetail } = status.cluster;
    if (databaseStatus !== 'Active' && rows.length === 0) {
      problems.push(`the database of ${name} is ${databaseStatus}: ${databaseDetail}`);
    }
    const hasAlarm = status.alarms.some((alarm) => alarm.id === RESTART_REQUIRED_ALARM);
    if (status.restartRequired && !hasAlarm)
      problems.push(`${name} must be restarted for a changed configuration to take effect`);
  }
  return problems;
}

/** R14: what must be the same on every peer. */
function mismatchProblems(statuses: readonly PeerStatus[]): string[] {
  const compared: ReadonlyArray<readonly [string, (status: PeerStatus) => string]> = [
    ['versions', (status) => status.version],
    ['cluster names', (status) => status.cluster.name],
    ['configuration primaries', (status) => String(status.cluster.configurationPrimary)],
    ['IP versions', (status) => status.cluster.ipVersion],
    ['TLS verification modes', (status) => status.cluster.tlsVerify],
    ['peer lists', (status) => status.cluster.peers.map((row) => row.text).join(' ')],
  ];
  return compared.flatMap(([what, read]) => {
    const values = new Map<string, string[]>();
    for (const status of statuses) values.set(read(status), [...(values.get(read(status)) ?? []), status.systemName]);
    if (values.size < 2) return [];
    const sides = [...values].map(([value, names]) => `${listText(names)}: ${value}`);
    return [`the peers have different ${what} (${sides.join('; ')})`];
  });
}

function tableProblems(tables: readonly TableReport[]): string[] {
  const unloaded = tables.filter((table) => table.copiesLoaded < table.copies);
  const differing = tables.filter((table) => table.digests === 'differs');
  return [
    ...unloaded.map((table) => {
      const awaited = table.awaiting.length === 0 ? '' : `, waiting for ${listText(table.awaiting)}`;
      return `table ${table.name} is loaded on ${table.copiesLoaded} of ${table.copies} peers${awaited}`;
    }),
    ...differing.map((table) => `the copies of table ${table.name} differ`),
  ];
}

export function clusterReport(answers: readonly Answer[], time: string): ClusterReport {
  const statuses = answers.flatMap((answer) => answer.status ?? []);
  const first = statuses[0]?.cluster;
  const tables = tableReports(statuses);
  const alarms = alarmReports(statuses);
  const problems = [
    ...peerProblems(answers),
    ...mismatchProblems(statuses),
    ...tableProblems(tables),
    ...alarms
      .filter(isProblem)
      .map((alarm) => `alarm ${alarm.id} (${alarm.severity}) on ${listText(alarm.peers)}: ${alarm.title}`),
  ];
  return {
    time,
    health: problems.length === 0 ? 'healthy' : 'unhealthy',
    cluster:
      first === undefined
        ? null
        : {
            name: first.name,
            configurationPrimary: first.configurationPrimary,
            ipVersion: first.ipVersion,
            tlsVerify: first.tlsVerify,
          },
    peers: answers.map(peerReport).sort((a, b) => (a.index ?? 99) - (b.index ?? 99)),
    tables,
    alarms,
    problems,
  };
}
