/** Watches rows change on every node from outside, to say of each write what its node held in its place before. */
import type { TableEvent, Version } from '../../storage/types.ts';
import { byOf, compareVersions, deleteName, keyText, type TablePlan } from './history.ts';
import { splitPlace } from './lineage.ts';
import { valueText } from './trace.ts';

export interface SeenChange {
  readonly place: string;
  readonly key: string;
  readonly by: string;
  readonly before: string | undefined;
}

interface Shown {
  /** State of each row as its last event told. */
  readonly states: Map<string, string>;
  /** The last delete of each row that this node made, or that its island had made when it joined. */
  readonly deletes: Map<string, Version>;
}

export class RowWatch {
  private readonly nodes: Shown[] = [];
  private readonly inMemory: ReadonlySet<string>;

  constructor(tables: readonly TablePlan[]) {
    this.inMemory = new Set(tables.filter(({ storage, moves }) => storage === 'ram' && !moves).map(({ name }) => name));
  }

  /** A new process shows its rows anew; what was deleted before stays deleted, but for tables in memory, which begin anew. */
  restart(node: number): void {
    const kept = [...(this.nodes[node]?.deletes ?? [])].filter(([place]) => !this.inMemory.has(splitPlace(place)[0]));
    this.nodes[node] = { states: new Map(), deletes: new Map(kept) };
  }

  /**
   * A node became one island with others. Where a row is gone on both, the later delete counts for both; it changed
   * nothing here, so no event told of it.
   */
  joined(node: number, members: readonly number[]): void {
    const mine = this.nodes[node];
    if (!mine) return;
    for (const member of members) {
      for (const [place, version] of this.nodes[member]?.deletes ?? []) {
        const known = mine.deletes.get(place);
        if (!known || compareVersions(version, known) > 0) mine.deletes.set(place, version);
      }
    }
  }

  saw(node: number, event: TableEvent): SeenChange {
    const { states, deletes } = this.nodes[node] as Shown;
    const key = keyText(event.key);
    const place = `${event.table}/${key}`;
    const by = event.type === 'write' ? (byOf(event.value) ?? valueText(event.value)) : deleteName(event.version);
    const gone = deletes.get(place);
    const before =
      byOf(event.oldValue) ??
      (gone && compareVersions(gone, event.version) < 0 ? deleteName(gone) : undefined) ??
      states.get(place);
    states.set(place, by);
    if (event.type === 'delete') deletes.set(place, event.version);
    return { place, key, by, before };
  }
}
