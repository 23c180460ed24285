/**
 * What the configuration copy compares and decides, as plain functions: rows and their hash, the request a subordinate
 * sends, the answer a primary gives, and what the subordinate makes of it (E4–E6, E115, R14). Nothing here waits.
 */
import { createHash } from 'node:crypto';
import { keyText } from '../clusterdb/cdbtable.ts';
import { type ClusterConfiguration, TABLE } from '../clusterdb/cluster-configuration.ts';
import type { ReadPort, TableRow } from '../clusterdb/ports.ts';

/** Rows a primary may hand over in one answer; more than any configuration of this product has. */
export const configurationRowsMax = 20_000;

/** Ids of the alarms that say why a copy failed; at most one of them is true at a time. */
export const REPLICATION_ALARM = {
  upgradeInProgress: 20008,
  failed: 20009,
  conflicts: 20011,
  settingsDiffer: 20012,
  primaryNotFound: 20014,
  notInList: 20015,
  primaryUnreachable: 20016,
  primaryInconsistent: 20017,
} as const;

export const replicationAlarmIds: readonly number[] = Object.values(REPLICATION_ALARM);

/** What both sides must agree on before anything is copied. */
export interface ClusterSettings {
  readonly name: string;
  readonly ipVersion: string;
  readonly configurationPrimary: number;
  readonly peers: readonly string[];
  readonly softwareVersion: string;
}

export interface ConfigurationRequest {
  readonly type: 'configuration';
  /** Hash of what the asker holds: rows are only sent when it differs. */
  readonly hash: string;
}

export interface ConfigurationAnswer {
  readonly type: 'configuration';
  readonly settings: ClusterSettings;
  /** Row number of the answering peer in its own list. */
  readonly localPeer: number | undefined;
  readonly hash: string;
  readonly rows: readonly TableRow[] | undefined;
}

export type Verdict =
  | { readonly type: 'equal' }
  | { readonly type: 'take'; readonly rows: readonly TableRow[]; readonly hash: string }
  | { readonly type: 'refuse'; readonly alarmId: number; readonly reason: string };

export function settingsOf(configuration: ClusterConfiguration, softwareVersion: string): ClusterSettings {
  const { name, ipVersion, configurationPrimary, peers } = configuration;
  return { name, ipVersion, configurationPrimary, peers, softwareVersion };
}

/** The cluster-wide configuration in key order, so that equal tables have equal hashes. */
export function configurationRowsOf(database: ReadPort): readonly TableRow[] {
  const rows: (readonly [string, TableRow])[] = [];
  database.dirtyForEach(TABLE.systemConfiguration, (key, value) => {
    rows.push([keyText(key), { key, value }]);
  });
  rows.sort(([a], [b]) => (a < b ? -1 : 1));
  return rows.map(([, row]) => row);
}

export function configurationHash(rows: readonly TableRow[]): string {
  const hash = createHash('sha256');
  for (const line of rows.map(({ key, value }) => `${keyText(key)}=${keyText(value)}\n`).sort()) hash.update(line);
  return hash.digest('hex');
}

export function answerFor(
  request: ConfigurationRequest,
  settings: ClusterSettings,
  localPeer: number | undefined,
  rows: readonly TableRow[],
): ConfigurationAnswer {
  const hash = configurationHash(rows);
  return { type: 'configuration', settings, localPeer, hash, rows: request.hash === hash ? undefined : rows };
}

/**
 * What a subordinate makes of the answer. The order matters: versions first, because peers of different versions may
 * differ in anything else; then who is primary; then whether the primary knows this peer at all.
 */
export function judge(own: ClusterSettings, ownRow: string, ownHash: string, answer: unknown, force: boolean): Verdict {
  if (!isAnswer(answer)) return refuse('failed', 'the primary gave an answer that is no configuration');
  const { settings } = answer;
  if (settings.softwareVersion !== own.softwareVersion) {
    const versions = `this peer runs ${own.softwareVersion}, the primary runs ${settings.softwareVersion}`;
    return refuse('upgradeInProgress', versions);
  }
  if (settings.configurationPrimary !== own.configurationPrimary) {
    const ids = `this peer names peer ${own.configurationPrimary}, that peer names peer ${settings.configurationPrimary}`;
    return refuse('primaryInconsistent', ids);
  }
  if (answer.localPeer !== settings.configurationPrimary) {
    return refuse('primaryInconsistent', `peer ${own.configurationPrimary} does not find itself in that row`);
  }
  if (!settings.peers.some((text) => text.toLowerCase() === ownRow.toLowerCase())) {
    return refuse('primaryNotFound', `the primary does not list ${ownRow}`);
  }
  const difference = settingDifference(own, settings);
  if (difference !== undefined) return refuse('settingsDiffer', difference);
  if (answer.hash === ownHash && !force) return { type: 'equal' };
  if (answer.rows === undefined) {
    return answer.hash === ownHash ? { type: 'equal' } : refuse('failed', 'the primary sent no rows');
  }
  if (configurationHash(answer.rows) !== answer.hash) return refuse('failed', 'the rows do not match their hash');
  return { type: 'take', rows: answer.rows, hash: answer.hash };
}

function refuse(why: keyof typeof REPLICATION_ALARM, reason: string): Verdict {
  return { type: 'refuse', alarmId: REPLICATION_ALARM[why], reason };
}

/** R14: names the first thing that differs. */
function settingDifference(own: ClusterSettings, theirs: ClusterSettings): string | undefined {
  if (own.name !== theirs.name) return `cluster name: "${own.name}" here, "${theirs.name}" at the primary`;
  if (own.ipVersion !== theirs.ipVersion)
    return `IP version: ${own.ipVersion} here, ${theirs.ipVersion} at the primary`;
  const rows = Math.max(own.peers.length, theirs.peers.length);
  for (let at = 0; at < rows; at += 1) {
    const here = own.peers[at] ?? '';
    const there = theirs.peers[at] ?? '';
    if (here.toLowerCase() !== there.toLowerCase()) {
      return `Peer ${at + 1} address: "${here}" here, "${there}" at the primary`;
    }
  }
  return undefined;
}

type Fields = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

/** An answer came over the network: everything used later is checked here. */
export function isAnswer(value: unknown): value is ConfigurationAnswer {
  if (!isObject(value) || value.type !== 'configuration' || typeof value.hash !== 'string') return false;
  const { settings, rows, localPeer } = value;
  if (localPeer !== undefined && typeof localPeer !== 'number') return false;
  if (!isObject(settings) || typeof settings.configurationPrimary !== 'number') return false;
  if (![settings.name, settings.ipVersion, settings.softwareVersion].every((text) => typeof text === 'string'))
    return false;
  if (!Array.isArray(settings.peers) || !settings.peers.every((text) => typeof text === 'string')) return false;
  if (rows === undefined) return true;
  return (
    Array.isArray(rows) && rows.length <= configurationRowsMax && rows.every((row) => isObject(row) && 'key' in row)
  );
}
