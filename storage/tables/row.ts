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
  /** Octets as they came; once kept, their letters: a text lies among the objects and costs a fraction of an array. */
  #bytes: Uint8Array | string | undefined;

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
    if (this.#value === ABSENT) {
      this.#value = decodeValue(this.bytes);
      this.#bytes = undefined;
    }
    return this.#value as Value;
  }

  get bytes(): Uint8Array {
    const bytes = this.#bytes;
    if (bytes === undefined) return encodeValue(this.value);
    if (typeof bytes !== 'string') return bytes;
    const { buffer, byteOffset, length } = Buffer.from(bytes, 'latin1');
    return new Uint8Array(buffer, byteOffset, length);
  }

  /** Lets go of the octets it was made from, which may be part of a message: from now on it stands for itself. */
  keep(): void {
    const bytes = this.#bytes;
    if (bytes === undefined || typeof bytes === 'string') return;
    this.#bytes = this.#value === ABSENT ? latin1Slice.call(bytes, 0, bytes.length) : undefined;
  }
}

/** Works on any octets, not on a Buffer alone. */
const latin1Slice = (Buffer.prototype as unknown as { latin1Slice: (from: number, to: number) => string }).latin1Slice;

/** Whether version (hlc, node) is above (otherHlc, otherNode). Versions of one key are totally ordered by this. */
export function isNewer(hlc: number, node: NodeId, otherHlc: number, otherNode: NodeId): boolean {
  return hlc > otherHlc || (hlc === otherHlc && node > otherNode);
}
