/** What becomes of a member's tables once a merge is made: which are active, and which lists of replicas count. */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { awaitedFor, isEstablishedAt } from '../schema/majorities.ts';
import type { Table } from '../tables/table.ts';
import type { StageHead } from './connection-messages.ts';

/** Tables of the whole island. */
export function sharedTables(node: NodeState): Table[] {
  return [...node.tables.values()].filter((table) => !table.definition.localContent);
}

/** Returns the tables that become active with this merge. */
export function activate(node: NodeState, head: StageHead): Table[] {
  const loaded: Table[] = [];
  for (const name of head.unloaded) {
    const table = node.tables.get(name);
    if (table?.held) table.loaded = false;
  }
  for (const name of head.loaded) {
    const table = node.tables.get(name);
    if (table === undefined || !table.held) continue;
    if (!table.loaded) loaded.push(table);
    table.loaded = true;
    table.fresh = false;
    table.rootless = head.rootless.includes(name);
  }
  return loaded;
}

/** Of no former list there is a majority any more without one that has the new definition on its disc. */
export function establish(node: NodeState, members: ReadonlySet<NodeId>): void {
  for (const table of sharedTables(node)) {
    const { definition, forgetful } = table;
    if (isEstablishedAt(definition, members, forgetful)) node.define({ ...definition, formers: [] });
  }
}

/** Tables that were given other replicas, and take no writes until enough of those before have been met. */
export function tellAwaiting(node: NodeState): void {
  for (const { definition, forgetful, name } of sharedTables(node)) {
    const awaited = awaitedFor(definition, node.view, forgetful);
    if (awaited.size > 0) node.emit({ type: 'majority_awaited', table: name, nodes: node.namesOf(awaited) });
  }
}
