/**
 * When 20006 and 20004 are true, as a value. `cdb` feeds it what the database and the links say, and carries out the
 * effects it gives back. It owns two timers, so that a peer that is back in time raises nothing.
 *
 * 20006 (E112): a node's database is not one with this one's, though it was or could be. Said ≈ 170 ms after the loss.
 * 20004 (E111): a configured peer cannot be reached, one that never joined included (E65). Said ≈ 418 ms after it.
 */
import type { Effect } from '../otp/types.ts';
import { nodeNameOfRow } from './cluster-configuration.ts';
import { type AlarmRequest, type PeerLink, PROCESS } from './ports.ts';

export const DATABASE_ALARM = 20006;
export const REACHABILITY_ALARM = 20004;
type AlarmId = typeof DATABASE_ALARM | typeof REACHABILITY_ALARM;

export interface AlarmDelays {
  readonly databaseMs: number;
  readonly reachabilityMs: number;
}

/** Link loss to alarm in the recorded timeline: 171 ms and 418 ms. The order of the two never changes. */
export const alarmDelays: AlarmDelays = { databaseMs: 170, reachabilityMs: 418 };

type Standing = 'quiet' | 'waiting' | 'raised';

export interface AlarmRules {
  /** Nodes whose database is not one with this one's. */
  readonly apart: ReadonlySet<string>;
  /** Nodes the database lost, until it or a link has them back. */
  readonly lost: ReadonlySet<string>;
  /** Configured rows but our own. */
  readonly peers: readonly PeerLink[];
  readonly database: Standing;
  readonly reachability: Standing;
}

export interface RulesStep {
  readonly rules: AlarmRules;
  readonly effects: readonly Effect[];
}

export function initialRules(peers: readonly PeerLink[]): AlarmRules {
  return { apart: new Set(), lost: new Set(), peers, database: 'quiet', reachability: 'quiet' };
}

export function timerName(id: AlarmId): string {
  return `alarm-${id}`;
}

/** The database lost a node it was one with. */
export function nodeLost(rules: AlarmRules, node: string, delays: AlarmDelays): RulesStep {
  return settle({ ...rules, apart: plus(rules.apart, node), lost: plus(rules.lost, node) }, delays);
}

/** A node is reachable as far as anyone knows, but its database could not be connected. */
export function nodeApart(rules: AlarmRules, node: string, delays: AlarmDelays): RulesStep {
  return settle({ ...rules, apart: plus(rules.apart, node) }, delays);
}

/** The database is one with these nodes. */
export function nodesJoined(rules: AlarmRules, nodes: readonly string[], delays: AlarmDelays): RulesStep {
  return settle({ ...rules, apart: minus(rules.apart, nodes), lost: minus(rules.lost, nodes) }, delays);
}

/** Rows or links changed. A node no row can mean any more is forgotten: it was taken out of the cluster. */
export function linksChanged(rules: AlarmRules, peers: readonly PeerLink[], delays: AlarmDelays): RulesStep {
  const up = peers.flatMap((peer) => (peer.up && peer.nodeName !== undefined ? [peer.nodeName] : []));
  const names = new Set(peers.map((peer) => peer.nodeName ?? nodeNameOfRow(peer.text)));
  const known = (nodes: ReadonlySet<string>) =>
    names.has(undefined) ? nodes : new Set([...nodes].filter((node) => names.has(node)));
  return settle({ ...rules, peers, apart: known(rules.apart), lost: minus(known(rules.lost), up) }, delays);
}

/** A timer of `settle` is due: what it waited for is still so, or it would have been cancelled. */
export function alarmDue(rules: AlarmRules, id: AlarmId): RulesStep {
  if (id === DATABASE_ALARM && rules.database === 'waiting') {
    return { rules: { ...rules, database: 'raised' }, effects: [request({ type: 'raise', id })] };
  }
  if (id === REACHABILITY_ALARM && rules.reachability === 'waiting') {
    return { rules: { ...rules, reachability: 'raised' }, effects: [request({ type: 'raise', id })] };
  }
  return { rules, effects: [] };
}

export function isApart(rules: AlarmRules): boolean {
  return rules.apart.size > 0;
}

export function isUnreachable(rules: AlarmRules): boolean {
  return rules.lost.size > 0 || rules.peers.some((peer) => !peer.up);
}

/** Compares what is true with what was said, for both alarms, 20006 first. */
export function settle(rules: AlarmRules, delays: AlarmDelays): RulesStep {
  const database = step(DATABASE_ALARM, rules.database, isApart(rules), delays.databaseMs);
  const reachability = step(REACHABILITY_ALARM, rules.reachability, isUnreachable(rules), delays.reachabilityMs);
  return {
    rules: { ...rules, database: database.standing, reachability: reachability.standing },
    effects: [...database.effects, ...reachability.effects],
  };
}

function step(
  id: AlarmId,
  standing: Standing,
  wanted: boolean,
  delayMs: number,
): { readonly standing: Standing; readonly effects: readonly Effect[] } {
  if (wanted && standing === 'quiet') {
    return { standing: 'waiting', effects: [{ type: 'startTimer', name: timerName(id), delayMs }] };
  }
  if (!wanted && standing === 'waiting') {
    return { standing: 'quiet', effects: [{ type: 'cancelTimer', name: timerName(id) }] };
  }
  if (!wanted && standing === 'raised') return { standing: 'quiet', effects: [request({ type: 'lower', id })] };
  return { standing, effects: [] };
}

function request(message: AlarmRequest): Effect {
  return { type: 'cast', to: PROCESS.alarmManager, message };
}

function plus(nodes: ReadonlySet<string>, node: string): ReadonlySet<string> {
  return nodes.has(node) ? nodes : new Set([...nodes, node]);
}

function minus(nodes: ReadonlySet<string>, gone: readonly string[]): ReadonlySet<string> {
  return gone.some((node) => nodes.has(node)) ? new Set([...nodes].filter((node) => !gone.includes(node))) : nodes;
}
