/** Merge functions by name, as each node has them: whoever leads a merge calls them. */
import type { NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import type { SchemaTable } from '../schema/definition.ts';
import { mergeFunctionOf } from '../schema/definition.ts';
import { decodeValue, encodeValue, prepareValue } from '../term.ts';
import type { Key, MergeFunction, SystemEvent, Value, Version } from '../types.ts';
import type { Called, Candidate, SeenVersion } from './merge.ts';

/** What a merge function returns to delete the row. */
export const DELETE: unique symbol = Symbol('delete');

export class MergeFunctions {
  readonly #functions = new Map<string, MergeFunction>();
  readonly #missed = new Set<string>();

  register(name: string, run: MergeFunction): void {
    if (typeof run !== 'function') {
      throw new StorageError('bad_definition', `Merge function "${name}" is not a function. Pass one.`, {
        property: 'merge',
      });
    }
    this.#functions.set(name, run);
    this.#missed.clear();
  }

  get(name: string): MergeFunction | undefined {
    return this.#functions.get(name);
  }

  /** Why this node can neither lead nor join a merge of these tables: it would have to guess. Each is told once. */
  obstacle(tables: Iterable<SchemaTable>, emit: (event: SystemEvent) => void): string | undefined {
    let why: string | undefined;
    for (const table of tables) {
      const name = mergeFunctionOf(table);
      if (name === undefined || table.deletedAt > 0 || this.#functions.has(name)) continue;
      why ??= `it has no merge function "${name}", which table "${table.name}" needs: call registerMergeFunction there`;
      if (this.#missed.has(table.name)) continue;
      this.#missed.add(table.name);
      emit({ type: 'merge_function_missing', table: table.name, function: name });
    }
    return why;
  }
}

export interface FunctionCall {
  readonly run: MergeFunction;
  readonly table: string;
  readonly key: Key;
  /** The leader of the merge, whose side is `ours`. */
  readonly leader: NodeId;
  readonly valueBytesMax: number;
  nameOf(node: NodeId): string;
}

/** Calls a merge function for two versions that have not seen each other. Never throws. */
export function callMergeFunction(call: FunctionCall, a: Candidate, b: Candidate): Called {
  const [ours, theirs] = b.island.includes(call.leader) ? [b, a] : [a, b];
  const base = baseOf(ours, theirs);
  try {
    const result = call.run(contentOf(base ?? null), contentOf(ours.bytes), contentOf(theirs.bytes), {
      table: call.table,
      key: call.key,
      isBaseKnown: base !== undefined,
      oursDeleted: ours.bytes === null,
      theirsDeleted: theirs.bytes === null,
      oursVersion: versionOf(ours),
      theirsVersion: versionOf(theirs),
      oursNode: call.nameOf(ours.node),
      theirsNode: call.nameOf(theirs.node),
    });
    if (result === DELETE) return { bytes: null };
    if (result === undefined) return { failure: 'it returned nothing; return a value, or DELETE' };
    return { bytes: encodeValue(prepareValue(call.table, call.key, result, call)) };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
}

function contentOf(bytes: Uint8Array | null): Value {
  return bytes === null ? undefined : decodeValue(bytes);
}

function versionOf({ hlc, node }: Version): Version {
  return { hlc, node };
}

/** The content both sides had when they parted: each has noted it for somebody on the other side. */
function baseOf(ours: Candidate, theirs: Candidate): Uint8Array | null | undefined {
  for (const one of notedFor(ours, theirs.island)) {
    for (const other of notedFor(theirs, ours.island)) {
      if (one.hlc === other.hlc && one.node === other.node) return one.base;
    }
  }
  return undefined;
}

function notedFor(candidate: Candidate, island: readonly NodeId[]): SeenVersion[] {
  return island.flatMap((node) => {
    const seen = candidate.seen.get(node);
    return seen?.base === undefined ? [] : [seen];
  });
}
