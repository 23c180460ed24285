/**
 * Where did every acknowledged write go? It must be found by walking back from what there is at the end: the rows, and
 * both versions of each entry of the ledger, over the links "overwrote, having seen it". A merge that lets one version
 * win overwrites without having seen, so the loser is only found through the ledger: exactly what is promised.
 */

import type { Version } from '../../storage/types.ts';
import { isDirty, mayBeGone } from './dirty-losses.ts';
import {
  byOf,
  compareVersions,
  deleteName,
  type History,
  keyText,
  type Operation,
  type RowEvent,
  type Step,
  versionOfDelete,
} from './history.ts';

interface State {
  readonly name: string;
  version: Version;
  readonly type: 'write' | 'delete';
  /** States its writer saw in its place; from the coordinator where that one lived to apply it. */
  readonly before: Set<string | undefined>;
  fromCoordinator: boolean;
}

type Places = Map<string, Map<string, State>>;

export interface MissingWrite {
  readonly operation: Operation;
  readonly text: string;
}

export function findMissing(history: History): { missing: MissingWrite[]; checked: number; skipped: number } {
  const places = statesOf(history);
  const reached = reachedStates(history, places);
  const deletes = deletesByPlace(history);
  const plans = new Map(history.tables.map((table) => [table.name, table]));
  const missing: MissingWrite[] = [];
  let checked = 0;
  let skipped = 0;
  for (const operation of history.operations) {
    if (operation.outcome !== 'ok') continue;
    for (const step of lastChanges(operation)) {
      if (plans.get(step.table)?.localContent) continue;
      if (history.mayLose.has(step.table)) {
        skipped++;
        continue;
      }
      checked++;
      const place = `${step.table}/${keyText(step.key)}`;
      const found =
        step.type === 'write'
          ? reached.get(place)?.has(step.by)
          : deleteIsThere(deletes.get(place), operation, places.get(place), reached.get(place));
      if (found || mayBeGone(history, operation, step)) continue;
      const what = step.type === 'write' ? `the write ${step.by}` : 'a delete';
      missing.push({
        operation,
        text: `${what} of ${place}, acknowledged to ${operation.client} at ${operation.completedUs} µs, is gone${lastSeen(history, place)}`,
      });
    }
  }
  return { missing, checked, skipped };
}

/** A transaction that changes a row twice only ever shows the last change. */
function lastChanges(operation: Operation): Iterable<Step & { type: 'write' | 'delete' }> {
  const last = new Map<string, Step & { type: 'write' | 'delete' }>();
  for (const step of operation.steps) {
    if (step.type === 'write' || step.type === 'delete') last.set(`${step.table}/${keyText(step.key)}`, step);
  }
  return last.values();
}

function statesOf(history: History): Places {
  const places: Places = new Map();
  for (const event of history.rows) {
    if (event.origin === 'merge') continue;
    const place = `${event.table}/${event.key}`;
    const states = places.get(place) ?? new Map<string, State>();
    places.set(place, states);
    const fromCoordinator = event.origin === 'local';
    const state = states.get(event.by);
    if (!state) {
      states.set(event.by, {
        name: event.by,
        version: event.version,
        type: event.type,
        before: new Set([event.before]),
        fromCoordinator,
      });
    } else if (compareVersions(event.version, state.version) !== 0) {
      // A loser put back from the ledger is another write of the same name: what it saw comes on top.
      state.before.add(event.before);
    } else if (isDirty(event.table)) {
      // Nobody voted: each replica applies it over what has come to it by then, and the greater version stands on all.
      state.before.add(event.before);
    } else if (fromCoordinator && !state.fromCoordinator) {
      state.before.clear();
      state.before.add(event.before);
      state.fromCoordinator = true;
    } else if (fromCoordinator === state.fromCoordinator) {
      state.before.add(event.before);
    }
  }
  for (const states of places.values()) addMergedDeletes(states);
  return places;
}

/**
 * Of two islands that both deleted a row the merge makes one delete. It changes no row, so it shows first where somebody
 * wrote over it.
 */
function addMergedDeletes(states: Map<string, State>): void {
  for (const { before } of [...states.values()]) {
    for (const name of before) {
      const version = name === undefined || states.has(name) ? undefined : versionOfDelete(name);
      if (name === undefined || version === undefined) continue;
      states.set(name, { name, version, type: 'delete', before: new Set([undefined]), fromCoordinator: false });
    }
  }
}

function reachedStates(history: History, places: Places): Map<string, Set<string>> {
  const reached = new Map<string, Set<string>>();
  for (const [place, states] of places) {
    const seen = new Set<string>();
    reached.set(place, seen);
    for (const root of rootsOf(history, place, states)) walk(states, root, seen);
    // Two islands that both deleted a row agree; only one of the deletes leaves a trace, or that of the merge does.
    const deletes = [...states.values()].filter((state) => state.type === 'delete');
    const noted = deletesInLedger(history, place);
    for (let before = -1; before < seen.size; ) {
      before = seen.size;
      const traces = [...noted, ...deletes.filter(({ name }) => seen.has(name)).map(({ version }) => version)];
      for (const state of deletes) {
        if (traces.some((version) => compareVersions(version, state.version) > 0)) walk(states, state.name, seen);
      }
    }
  }
  return reached;
}

function deletesInLedger(history: History, place: string): Version[] {
  const [table, key] = splitPlace(place);
  return history.final
    .flatMap(({ ledger }) => ledger)
    .filter((entry) => entry.table === table && keyText(entry.key) === key)
    .flatMap(({ winner, loser }) => [winner, loser])
    .flatMap(({ deleted, version }) => (deleted ? [version] : []));
}

function rootsOf(history: History, place: string, states: ReadonlyMap<string, State>): string[] {
  const [table = '', key = ''] = splitPlace(place);
  const roots: string[] = [];
  let absent = false;
  for (const node of history.final) {
    const state = node.tables.get(table);
    if (!state) continue;
    const value = state.rows.get(key);
    const by = value === undefined ? undefined : byOf(value);
    if (by !== undefined) roots.push(by);
    else absent = true;
    for (const entry of node.ledger) {
      if (entry.table !== table || keyText(entry.key) !== key) continue;
      for (const side of [entry.winner, entry.loser]) {
        const name = side.deleted ? deleteName(side.version) : byOf(side.value);
        if (name !== undefined) roots.push(name);
      }
    }
  }
  if (absent) {
    const deletes = [...states.values()].filter((state) => state.type === 'delete');
    const last = deletes.sort((a, b) => compareVersions(b.version, a.version))[0];
    if (last) roots.push(last.name);
  }
  return roots;
}

function walk(states: ReadonlyMap<string, State>, from: string, seen: Set<string>): void {
  const front = [from];
  for (let name = front.pop(); name !== undefined; name = front.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const state = states.get(name);
    if (!state) continue;
    for (const before of state.before) {
      const earlier = before ?? latestDeleteBefore(states, state)?.name;
      if (earlier !== undefined) front.push(earlier);
    }
  }
}

/** A write over a row that is not there, on a node that did not see it go (it was started since). */
function latestDeleteBefore(states: ReadonlyMap<string, State>, state: State): State | undefined {
  let latest: State | undefined;
  for (const other of states.values()) {
    if (other.type !== 'delete' || compareVersions(other.version, state.version) >= 0) continue;
    if (!latest || compareVersions(other.version, latest.version) > 0) latest = other;
  }
  return latest;
}

function deletesByPlace(history: History): Map<string, RowEvent[]> {
  const deletes = new Map<string, RowEvent[]>();
  for (const row of history.rows) {
    if (row.type !== 'delete' || row.origin === 'merge') continue;
    const place = `${row.table}/${row.key}`;
    const known = deletes.get(place);
    if (known) known.push(row);
    else deletes.set(place, [row]);
  }
  return deletes;
}

function deleteIsThere(
  deletes: readonly RowEvent[] | undefined,
  { node, invokedUs, completedUs = 0 }: Operation,
  states: ReadonlyMap<string, State> | undefined,
  reached: ReadonlySet<string> | undefined,
): boolean {
  const event = deletes?.find((row) => row.node === node && row.atUs >= invokedUs && row.atUs <= completedUs);
  if (!event) return false;
  if (reached?.has(event.by)) return true;
  return [...(states?.values() ?? [])].some(
    (state) => state.type === 'delete' && reached?.has(state.name) && compareVersions(state.version, event.version) > 0,
  );
}

function lastSeen(history: History, place: string): string {
  const [table = '', key = ''] = splitPlace(place);
  const now = history.final.map((node) => {
    const value = node.tables.get(table)?.rows.get(key);
    return `${node.label}: ${value === undefined ? 'no row' : (byOf(value) ?? 'a value without a name')}`;
  });
  return `. Now ${now.join(', ')}; nothing there descends from it and the ledger has no entry for it`;
}

export function splitPlace(place: string): [string, string] {
  const slash = place.indexOf('/');
  return [place.slice(0, slash), place.slice(slash + 1)];
}
