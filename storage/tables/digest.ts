/**
 * A table's digest: the exclusive-or over all rows of a 64-bit mix of key and version. A row's version decides its
 * content, so equal digests mean equal replicas. It is kept up to date by each write and costs no scan.
 */
import type { Row, Token } from './row.ts';

const nodeHashes = new Map<string, number>();

function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

let lastNode = '';
let lastHash = hashText('');

function hashNode(node: string): number {
  // Rows written one after the other mostly come from one node.
  if (node === lastNode) return lastHash;
  lastHash = hashOfNode(node);
  lastNode = node;
  return lastHash;
}

function hashOfNode(node: string): number {
  let hash = nodeHashes.get(node);
  if (hash === undefined) {
    hash = hashText(node);
    nodeHashes.set(node, hash);
  }
  return hash;
}

const scratch = new DataView(new ArrayBuffer(8));

function hashNumber(value: number): number {
  if (Number.isSafeInteger(value)) return Math.imul(value | 0, 0x9e3779b1) ^ Math.floor(value / 0x100000000);
  scratch.setFloat64(0, value);
  return Math.imul(scratch.getInt32(0), 0x9e3779b1) ^ scratch.getInt32(4);
}

function hashToken(token: Token): number {
  if (typeof token === 'number') return hashNumber(token);
  if (typeof token === 'string') return hashText(token);
  if (typeof token === 'bigint') return hashText(`${token}n`);
  return token === null ? 0x2545f491 : token ? 0x6c62272e : 0x07bb0142;
}

function mix(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

export class Digest {
  #high = 0;
  #low = 0;

  /** Adds a row, or takes it away: the same operation. */
  toggle(row: Row): void {
    const key = hashToken(row.token);
    const counter = (row.hlc % 0x100000000) | 0;
    const wall = Math.floor(row.hlc / 0x100000000) | 0;
    const first = mix(key ^ Math.imul(counter, 0x27d4eb2f));
    const node = hashNode(row.node);
    this.#high ^= mix(first + wall + node);
    this.#low ^= mix(Math.imul(first, 0x165667b1) ^ Math.imul(wall + 0x3c6ef372, 0x9e3779b1) ^ node);
  }

  /** Adds the rows of another digest, or takes them away. */
  add(other: Digest): void {
    this.#high ^= other.#high;
    this.#low ^= other.#low;
  }

  copy(): Digest {
    const copy = new Digest();
    copy.#high = this.#high;
    copy.#low = this.#low;
    return copy;
  }

  get text(): string {
    const high = (this.#high >>> 0).toString(16).padStart(8, '0');
    return high + (this.#low >>> 0).toString(16).padStart(8, '0');
  }
}
