/** What a member of a node connection transaction says of itself: first while it serves on, again once it is frozen. */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { packTable } from '../schema/packed.ts';
import { packChange } from '../schema/table-properties.ts';
import type { PromisedRow } from '../transactions/guards.ts';
import type { StorageKind } from '../types.ts';
import type { MemberReport, ReplicaReport } from './connection-messages.ts';
import { seenDown } from './down-notes.ts';
import { forgottenHere, promisedHere } from './forgetful.ts';
import { packLives } from './lives.ts';

export function reportOf(node: NodeState, members: readonly NodeId[], orphans: PromisedRow[] = []): MemberReport {
  const shared = [...node.tables.values()].filter((table) => !table.definition.localContent);
  const replicas: ReplicaReport[] = shared
    .filter((table) => table.held && table.definition.deletedAt === 0)
    .map(({ name, loaded, fresh, digest, rows, rootless, kind }) => {
      return [name, loaded, fresh, digest.text, rows.size, rootless, kind as StorageKind];
    });
  return {
    name: node.selfName,
    view: [...node.view].sort(),
    downs: seenDown(node),
    went: [...node.downs].map(([down, { hlc }]): [NodeId, number] => [down, hlc]),
    storedHlc: node.storedHlc,
    retired: [...node.retired, ...replacedAmong(node, members)],
    acknowledged: node.acknowledged.packed(),
    masters: [...node.masters],
    lives: packLives(node.lives),
    collapsed: node.changed.packed(),
    changes: node.proposals.changes.map(packChange),
    removed: [...new Set([...node.removed, ...node.proposals.removed])].sort(),
    withoutMajority: [...node.proposals.withoutMajority].sort(),
    forced: [...node.proposals.forced].sort(),
    forgetful: forgottenHere(node),
    promised: promisedHere(node),
    orphans,
    schema: shared.map((table) => packTable(node.proposed(table))),
    replicas,
  };
}

/**
 * Earlier identities of members, known by a name that one of them bears now. Each member says so: a node that comes back
 * with nothing on its disc may be the leader, and does not remember who it was.
 */
function replacedAmong(node: NodeState, members: readonly NodeId[]): NodeId[] {
  const borne = new Set(members.map((member) => node.names.get(member)));
  const isGone = (one: NodeId): boolean => !members.includes(one) && !node.isLinked(one);
  return [...node.names].filter(([one, name]) => borne.has(name) && isGone(one)).map(([one]) => one);
}
