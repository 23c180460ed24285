/**
 * Promises that outlive the process. Where a majority must agree, a vote counts for ever: a node that is killed after its
 * yes and comes back without it would let a new majority form that has never heard of the commit. So a vote over a table
 * with `majority` on disc is written before it is given, the coordinator's own as well; with the rows it becomes a record
 * that the commit was made, and it goes when every participant is known to have them.
 */
import { parsePromiseKey, promiseKey, promiseRange } from '../disc/key-space.ts';
import type { DiscFailure, NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { type Change, RecentCommit } from '../replication/recent-commits.ts';
import type { Table } from '../tables/table.ts';
import { decodeKey, decodeValue, encodeKey, encodeValue, keyToken } from '../term.ts';
import type { Key, Value } from '../types.ts';
import type { ProposedCheck, ProposedWrite } from './proposals.ts';

/** What is promised: a proposal as it was last put. */
export interface PromisedProposal {
  readonly n: number;
  readonly hlc: number;
  readonly age: number;
  readonly round: number;
  readonly sync: boolean;
  readonly participants: readonly NodeId[];
  readonly writes: readonly ProposedWrite[];
  readonly checks: readonly ProposedCheck[];
}

type PackedWrite = readonly [table: string, key: Key, bytes: Uint8Array | null];
type PackedCheck = readonly [table: string, key: Key, hlc: number, node: NodeId, digest: string | null];
type Packed =
  | readonly [
      state: 'promised',
      n: number,
      hlc: number,
      participants: NodeId[],
      writes: PackedWrite[],
      checks: PackedCheck[],
      age: number,
      round: number,
      sync: boolean,
    ]
  | readonly [state: 'made', n: number, hlc: number, participants: NodeId[], changes: PackedWrite[]];

export class Promises {
  readonly #node: NodeState;
  /** What is on the disc, by coordinator. */
  readonly #kept = new Map<NodeId, Set<number>>();
  /** Read from the disc at start, for the participant to take up. */
  restored: { readonly coordinator: NodeId; readonly promise: PromisedProposal }[] = [];

  constructor(node: NodeState) {
    this.#node = node;
  }

  /** Whether a promise over these writes has to be on this node's disc. */
  isNeeded(writes: readonly { readonly table: Table }[]): boolean {
    for (const { table } of writes) if (table.definition.majority && table.onDisc) return true;
    return false;
  }

  /** `kept` hears when it is with the operating system; it replaces an earlier one of the same transaction. */
  keep(coordinator: NodeId, promise: PromisedProposal, kept: (failure: DiscFailure | undefined) => void): void {
    const { n, hlc, age, round, sync, participants, writes, checks } = promise;
    const packedChecks = checks.map(
      ({ table, key, hlc: version, node, digest }): PackedCheck => [table.name, key, version, node, digest ?? null],
    );
    const packed: Packed = [
      'promised',
      n,
      hlc,
      [...participants],
      writes.map(({ table, key, bytes }): PackedWrite => [table.name, key, bytes ?? null]),
      packedChecks,
      age,
      round,
      sync,
    ];
    this.#put(coordinator, n, packed);
    this.#node.outbox.whenWritten({ discDone: kept }, false);
  }

  /** In the same batch as the rows. */
  made(coordinator: NodeId, { n, hlc, participants, changes }: RecentCommit): void {
    if (!this.#kept.get(coordinator)?.has(n)) return;
    const packed = changes.map(({ table, key, deleted }): PackedWrite => [table.name, key, deleted ? null : NO_OCTETS]);
    this.#put(coordinator, n, ['made', n, hlc, [...participants], packed]);
  }

  forget(coordinator: NodeId, n: number): void {
    if (!this.#kept.get(coordinator)?.delete(n)) return;
    this.#node.outbox.write({ type: 'del', key: promiseKey(coordinator, encodeKey(n)) });
  }

  #put(coordinator: NodeId, n: number, packed: Packed): void {
    this.#note(coordinator, n);
    const value = encodeValue(packed as unknown as Value);
    this.#node.outbox.write({ type: 'put', key: promiseKey(coordinator, encodeKey(n)), value });
  }

  #note(coordinator: NodeId, n: number): void {
    const numbers = this.#kept.get(coordinator);
    if (numbers === undefined) this.#kept.set(coordinator, new Set([n]));
    else numbers.add(n);
  }

  /** At start, after tables and rows. `found` hears each version. */
  async restore(found: (hlc: number) => void): Promise<void> {
    const { from, to } = promiseRange();
    await this.#node.environment.disc.scan(from, to, (entries) => {
      for (const [key, value] of entries) {
        const { coordinator, encodedKey } = parsePromiseKey(key);
        this.#note(coordinator, decodeKey(encodedKey) as number);
        this.#restore(coordinator, decodeValue(value) as unknown as Packed, found);
      }
    });
  }

  #restore(coordinator: NodeId, packed: Packed, found: (hlc: number) => void): void {
    const [state, n, hlc, participants] = packed;
    found(hlc);
    const writes = this.#writesOf(packed[4]);
    if (state === 'made') {
      const changes: Change[] = writes.filter(({ table }) => table.held);
      this.#node.recent.add(coordinator, new RecentCommit(n, hlc, participants, changes));
      return;
    }
    const [, , , , , checks, age, round, sync] = packed;
    const promise = { n, hlc, age, round, sync, participants, writes, checks: this.#checksOf(checks) };
    this.restored.push({ coordinator, promise });
  }

  #writesOf(packed: readonly PackedWrite[]): ProposedWrite[] {
    return packed.flatMap(([name, key, bytes]) => {
      const table = this.#node.tables.get(name);
      const token = keyToken(key);
      return table === undefined ? [] : [{ table, key, token, deleted: bytes === null, bytes: bytes ?? undefined }];
    });
  }

  #checksOf(packed: readonly PackedCheck[]): ProposedCheck[] {
    return packed.flatMap(([name, key, hlc, node, digest]) => {
      const table = this.#node.tables.get(name);
      const token = keyToken(key);
      return table === undefined ? [] : [{ table, key, token, hlc, node, digest: digest ?? undefined }];
    });
  }
}

const NO_OCTETS = new Uint8Array(0);
