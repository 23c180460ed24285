/**
 * What the discs were told of the replicas of the table whose replicas move. A node takes a change of kind into memory
 * first: killed in that very turn, it comes back with the kind that is on its disc, and a copy in memory is gone.
 */
import { parseSchemaKey, SECTION_SCHEMA } from '../../storage/disc/key-space.ts';
import type { Disc, DiscOperation, NodeId } from '../../storage/environment.ts';
import type { PackedTable } from '../../storage/schema/packed.ts';
import { decodeValue } from '../../storage/term.ts';
import { overheardDisc } from './disc-trace.ts';
import { MOVING_TABLE } from './schema-operations.ts';

export class KeptKinds {
  readonly #onDisc = new Set<NodeId>();

  /** Whether the disc of this node keeps the rows of its replica, as far as it was written. */
  isOnDisc(node: NodeId): boolean {
    return this.#onDisc.has(node);
  }

  /** The same disc; what is written of the table is looked at once it is done. */
  watching(disc: Disc, node: NodeId): Disc {
    return overheardDisc(disc, (operations, _sync, failure) => {
      const definition = operations.findLast(isMoving);
      if (failure === undefined && definition !== undefined) this.#written(node, definition);
    });
  }

  #written(node: NodeId, definition: DiscOperation): void {
    this.#onDisc.delete(node);
    if (definition.type === 'del') return;
    const { replicas } = decodeValue(definition.value) as unknown as PackedTable;
    if (replicas.some(([holder, kind]) => holder === node && kind === 'disc_copies')) this.#onDisc.add(node);
  }
}

function isMoving({ key }: DiscOperation): boolean {
  return key[0] === SECTION_SCHEMA && parseSchemaKey(key) === MOVING_TABLE;
}
