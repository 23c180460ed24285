/** What is written and read: the same rows and the same sequence of keys for every system that is measured. */
import type { Value } from '../../storage/index.ts';

const MULTIPLIER = 16_807;
const MODULUS = 2_147_483_647;
const FIRST = 1000;
const CLIENT_STEP = 7919;
const SALTS = 1000;
const GROUP_SIZE = 10;

/** Where the sequence of a client (from 1) begins; nodes with different salts go different ways. */
export function firstState(client: number, salt: number): number {
  return FIRST + salt + CLIENT_STEP * client;
}

/** x·16807 mod 2³¹−1, by folding the product: a division of doubles would cost more than some operations measured. */
export function nextState(state: number): number {
  const product = state * MULTIPLIER;
  const high = Math.floor(product / (MODULUS + 1));
  const sum = high + (product - high * (MODULUS + 1));
  return sum >= MODULUS ? sum - MODULUS : sum;
}

/** From the name of a node, 0 to 999. */
export function saltOf(nodeName: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < nodeName.length; at++) hash = Math.imul(hash ^ nodeName.charCodeAt(at), 0x01000193) >>> 0;
  return hash % SALTS;
}

/** A type, not an interface: only those are values for the database. */
export type BenchRow = {
  readonly grp: number;
  readonly val: { readonly n: number; readonly name: string; readonly mail: string; readonly note: string };
};

/** A record of about 100 octets of payload. */
export function rowOf(key: number, n: number): BenchRow {
  return {
    grp: Math.floor(key / GROUP_SIZE),
    val: {
      n,
      name: 'user-0123456789-0123456789',
      mail: 'someone.somewhere@example.invalid',
      note: 'abcdefghijklmnopqrstuvwxyz',
    },
  };
}

export function incremented(row: Value): BenchRow {
  const { grp, val } = row as BenchRow;
  return { grp, val: { ...val, n: val.n + 1 } };
}
