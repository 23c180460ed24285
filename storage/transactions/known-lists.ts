import type { NodeId } from '../environment.ts';

const LISTS_MAX = 64;

/** The lists of nodes met last, by their text: the same nodes are the same list, and compared as such. */
export class KnownLists {
  readonly #lists = new Map<string, readonly NodeId[]>();

  get(nodes: readonly NodeId[]): readonly NodeId[] {
    const name = nodes.join(' ');
    const known = this.#lists.get(name);
    if (known !== undefined) return known;
    if (this.#lists.size >= LISTS_MAX) this.#lists.clear();
    this.#lists.set(name, nodes);
    return nodes;
  }
}
