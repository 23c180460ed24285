/**
 * Who wins when two islands hold different versions of a key (storage.md §6). Pure: the same input gives the same
 * winner on whichever node it is asked.
 */
import type { NodeId } from '../environment.ts';
import type { MergeRule } from '../types.ts';

/**
 * What a side knows of its version.
 * - `unchanged`: not written since the other side last had it.
 * - `unacknowledged`: the other side took part in the write; it may or may not have kept it.
 * - `apart`: written without the other side.
 * - `foreign`: the two sides never shared this table before.
 */
export const ChangeKind = { unchanged: 0, unacknowledged: 1, apart: 2, foreign: 3 } as const;
export type ChangeKind = (typeof ChangeKind)[keyof typeof ChangeKind];

export interface Candidate {
  readonly kind: ChangeKind;
  /** hlc 0: the side has no such key and knows of no delete. */
  readonly hlc: number;
  readonly node: NodeId;
  /** null: deleted, or absent. */
  readonly bytes: Uint8Array | null;
  /** Node ids of the island that offers it. */
  readonly island: readonly NodeId[];
}

export interface Verdict {
  readonly winner: Candidate;
  /** Both sides had changed it to different contents: the loser belongs into the ledger. */
  readonly conflict: boolean;
}

export interface RuleContext {
  readonly rule: MergeRule;
  /** Whether the value octets of a candidate name its writer as owner. */
  ownedByWriter(candidate: Candidate): boolean;
  readonly primary: NodeId | undefined;
}

function sameOctets(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function newer(a: Candidate, b: Candidate): Candidate {
  if (a.hlc !== b.hlc) return a.hlc > b.hlc ? a : b;
  return a.node >= b.node ? a : b;
}

function byRule(a: Candidate, b: Candidate, context: RuleContext): Candidate {
  if (context.rule === 'primary' && context.primary !== undefined) {
    const primary = context.primary;
    const ours = a.island.includes(primary);
    if (ours !== b.island.includes(primary)) return ours ? a : b;
  }
  if (context.rule === 'owner') {
    const ours = context.ownedByWriter(a);
    if (ours !== context.ownedByWriter(b)) return ours ? a : b;
  }
  return newer(a, b);
}

export function settle(a: Candidate, b: Candidate, context: RuleContext): Verdict {
  if (a.hlc === b.hlc && a.node === b.node) return { winner: a, conflict: false };
  // A side without the key and without a delete of it has nothing to say against the other.
  if (a.hlc === 0) return { winner: b, conflict: false };
  if (b.hlc === 0) return { winner: a, conflict: false };
  if (a.kind >= ChangeKind.apart && b.kind >= ChangeKind.apart && !sameOctets(a.bytes, b.bytes)) {
    return { winner: byRule(a, b, context), conflict: true };
  }
  // Whoever wrote alone had seen every version both sides shared, and its clock with it: the greater one came later.
  return { winner: newer(a, b), conflict: false };
}
