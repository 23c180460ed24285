/**
 * What a node remembers over its restarts. A life begins with what the disc held; writes of an earlier life above that
 * are forgotten there, as are all of a table kept in memory only, and what the node votes for later says nothing of them.
 */
import type { NodeId } from '../environment.ts';

export interface Life {
  /** The latest moment found on the disc when it began. */
  readonly remembered: number;
  /** The moment it began, above all it remembers. */
  readonly born: number;
}

export type Lives = ReadonlyMap<NodeId, Life>;

/** As it travels and lies on disc: `[node, remembered, born]`. */
export type PackedLife = [node: NodeId, remembered: number, born: number];

export function packLives(lives: Lives): PackedLife[] {
  return [...lives].map(([node, { remembered, born }]): PackedLife => [node, remembered, born]).sort();
}

/** Adds what is told; of two lives of one node the later one is known. */
export function learnLives(lives: Map<NodeId, Life>, told: readonly PackedLife[]): void {
  for (const [node, remembered, born] of told) {
    if (born > (lives.get(node)?.born ?? 0)) lives.set(node, { remembered, born });
  }
}

/** Whether the node's write at `hlc` is of a life that it has forgotten. */
export function isForgotten(life: Life | undefined, hlc: number, isInMemory: boolean): boolean {
  return life !== undefined && hlc <= life.born && (isInMemory || hlc > life.remembered);
}
