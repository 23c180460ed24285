/** One row in memory: immutable, replaced as a whole by the next write. Its identity therefore is its version. */
import type { NodeId } from '../environment.ts';
import { decodeValue, encodeValue } from '../term.ts';
import type { Key, Value } from '../types.ts';

export type Token = string | number | bigint | boolean | null;

const ABSENT = Symbol('absent');

export class Row {
  readonly key: Key;
  readonly token: Token;
  readonly hlc: number;
  readonly node: NodeId;
  /** Decoded on first read: a replica that is only kept, not read, never pays for it. */
  #value: Value | typeof ABSENT;
  #bytes: Uint8Array | undefined;

  constructor(
    key: Key,
    token: Token,
    hlc: number,
    node: NodeId,
    value: Value | undefined,
    bytes: Uint8Array | undefined,
  ) {
    this.key = key;
    this.token = token;
    this.hlc = hlc;
    this.node = node;
    this.#value = bytes !== undefined && value === undefined ? ABSENT : value;
    this.#bytes = bytes;
  }

  get value(): Value {
    if (this.#value === ABSENT) this.#value = decodeValue(this.#bytes as Uint8Array);
    return this.#value as Value;
  }

  get bytes(): Uint8Array {
    this.#bytes ??= encodeValue(this.value);
    return this.#bytes;
  }
}

/** Whether version (hlc, node) is above (otherHlc, otherNode). Versions of one key are totally ordered by this. */
export function isNewer(hlc: number, node: NodeId, otherHlc: number, otherNode: NodeId): boolean {
  return hlc > otherHlc || (hlc === otherHlc && node > otherNode);
}
