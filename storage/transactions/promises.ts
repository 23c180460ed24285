/**
 * Promises that outlive the process. Where a majority must agree, a vote counts for ever: a node that is killed after its
 * yes and comes back without it would let a new majority form that has never heard of the commit. So a vote over a table
 * with `majority` on disc is written before it is given, the coordinator's own as well; with it what was promised and
 * accepted while it was settled without its coordinator (settlement.ts). With the rows it becomes a record that the commit
 * was made, and it goes when every participant is known to have them: one that was lost on the way may come back and ask.
 */
import { parsePromiseKey, promiseKey, promiseRange } from '../disc/key-space.ts';
import type { DiscFailure, NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { RecentCommit } from '../replication/recent-commits.ts';
import { needsMajority } from '../schema/majorities.ts';
import type { Table } from '../tables/table.ts';
import { decodeKey, decodeValue, encodeKey, encodeValue, keyToken } from '../term.ts';
import type { Key, Value } from '../types.ts';
import type { ProposedCheck, ProposedWrite } from './proposals.ts';

/** A try to settle a promise without its coordinator: moment and node. Totally ordered; its own proposals are below all. */
export type Ballot = readonly [moment: number, node: NodeId];

export const NO_BALLOT: Ballot = [0, ''];

export interface Accepted {
  readonly ballot: Ballot;
  readonly commit: boolean;
}

export function isLower(a: Ballot, b: Ballot): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}

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
  /** Nothing of a lower ballot is accepted any more. */
  readonly ballot: Ballot;
  /** By which ballot it is to end, and how. */
  readonly accepted: Accepted | undefined;
}

/** Of a promise that came to an end here. `overtaken`: a merge brought newer rows, which tell not whether it was made. */
export type End = 'made' | 'overtaken';

/** What a node that does not hold a promise has promised and accepted about its end. */
export interface Vow {
  readonly hlc: number;
  readonly participants: readonly NodeId[];
  readonly ballot: Ballot;
  readonly accepted: Accepted | undefined;
}

/** A vow is kept so long after it was last used, and until all who took part are here: then nobody asks any more, ms. */
const VOW_MS = 10_000;

interface Ended {
  readonly end: End;
  readonly participants: readonly NodeId[];
}

type PackedWrite = readonly [table: string, key: Key, bytes: Uint8Array | null];
type PackedCheck = readonly [table: string, key: Key, hlc: number, node: NodeId, digest: string | null];
type PackedAccepted = readonly [moment: number, node: NodeId, commit: boolean] | null;
/** A promise as it is on the disc, and as it is given to others. */
export type PackedPromise = readonly [
  state: 'promised',
  n: number,
  hlc: number,
  participants: NodeId[],
  writes: PackedWrite[],
  checks: PackedCheck[],
  age: number,
  round: number,
  sync: boolean,
  ballot: Ballot,
  accepted: PackedAccepted,
];
type Packed =
  | PackedPromise
  | readonly [state: 'vow', n: number, hlc: number, participants: NodeId[], ballot: Ballot, accepted: PackedAccepted]
  | readonly [state: End, n: number, hlc: number, participants: NodeId[], changes: PackedWrite[]];

export class Promises {
  readonly #node: NodeState;
  /** What is on the disc, by coordinator. */
  readonly #kept = new Map<NodeId, Set<number>>();
  readonly #ended = new Map<NodeId, Map<number, Ended>>();
  /** Ended, everywhere as far as their coordinators know, but for participants that were lost on the way. */
  readonly #lingering = new Map<NodeId, Set<number>>();
  readonly #vows = new Map<NodeId, Map<number, { readonly vow: Vow; readonly sinceMs: number }>>();
  /** Read from the disc at start, for the participant to take up. */
  restored: { readonly coordinator: NodeId; readonly promise: PromisedProposal }[] = [];

  constructor(node: NodeState) {
    this.#node = node;
  }

  /**
   * Whether a promise over these writes has to be on this node's disc. A participant without such a table may hold another
   * one that the same transaction writes, and then its vote counts as much.
   */
  isNeeded(writes: readonly { readonly table: Table }[], isParticipant: boolean): boolean {
    for (const { table } of writes) {
      if (needsMajority(table.definition) && (table.onDisc || (isParticipant && !table.held))) return true;
    }
    return false;
  }

  /**
   * `kept` hears when it is with the operating system, of a synced transaction on the medium; it replaces an earlier one of
   * the same transaction.
   */
  keep(coordinator: NodeId, promise: PromisedProposal, kept: (failure: DiscFailure | undefined) => void): void {
    this.#put(coordinator, promise.n, this.packed(promise, promise.writes));
    this.#node.outbox.whenWritten({ discDone: kept }, promise.sync);
  }

  /** With some of its writes. */
  packed(promise: PromisedProposal, written: readonly ProposedWrite[]): PackedPromise {
    const { n, hlc, age, round, sync, participants, checks, ballot, accepted } = promise;
    const writes = written.map(({ table, key, bytes }): PackedWrite => [table.name, key, bytes ?? null]);
    const packedChecks = checks.map(
      ({ table, key, hlc: version, node, digest }): PackedCheck => [table.name, key, version, node, digest ?? null],
    );
    const list = [...participants];
    return ['promised', n, hlc, list, writes, packedChecks, age, round, sync, ballot, packAccepted(accepted)];
  }

  unpacked([
    ,
    n,
    hlc,
    participants,
    writes,
    checks,
    age,
    round,
    sync,
    ballot,
    accepted,
  ]: PackedPromise): PromisedProposal {
    const parts = { writes: this.#writesOf(writes), checks: this.#checksOf(checks), ballot };
    return { n, hlc, age, round, sync, participants, ...parts, accepted: unpackAccepted(accepted) };
  }

  /** `kept` hears when it is on the medium: it may be about a synced transaction. */
  vow(coordinator: NodeId, n: number, vow: Vow, kept: (failure: DiscFailure | undefined) => void): void {
    this.#noteVow(coordinator, n, vow);
    const { hlc, participants, ballot, accepted } = vow;
    this.#put(coordinator, n, ['vow', n, hlc, [...participants], ballot, packAccepted(accepted)]);
    this.#node.outbox.whenWritten({ discDone: kept }, true);
  }

  vowOf(coordinator: NodeId, n: number): Vow | undefined {
    return this.#vows.get(coordinator)?.get(n)?.vow;
  }

  #noteVow(coordinator: NodeId, n: number, vow: Vow): void {
    const vows = this.#vows.get(coordinator) ?? new Map();
    this.#vows.set(coordinator, vows.set(n, { vow, sinceMs: this.#node.environment.clock.monotonicMs() }));
  }

  /** Of a table with `majority`; on the disc, if the promise is, in the same batch as the rows. */
  ended(coordinator: NodeId, { n, hlc, participants, changes }: RecentCommit, end: End): void {
    let ofCoordinator = this.#ended.get(coordinator);
    if (ofCoordinator === undefined) {
      ofCoordinator = new Map();
      this.#ended.set(coordinator, ofCoordinator);
    }
    ofCoordinator.set(n, { end, participants });
    if (!this.#kept.get(coordinator)?.has(n)) return;
    const packed = changes.map(({ table, key, deleted }): PackedWrite => [table.name, key, deleted ? null : NO_OCTETS]);
    this.#put(coordinator, n, [end, n, hlc, [...participants], packed]);
  }

  endOf(coordinator: NodeId, n: number): End | undefined {
    return this.#ended.get(coordinator)?.get(n)?.end;
  }

  /** The coordinator has heard from all that it still counts on. */
  covered(coordinator: NodeId, n: number): void {
    const ended = this.#ended.get(coordinator)?.get(n);
    if (ended === undefined) return;
    if (this.#isEverywhere(ended)) this.forget(coordinator, n);
    else this.linger(coordinator, n);
  }

  /** Who was lost has come back: it took the rows over when the islands were merged. */
  sweep(): void {
    const nowMs = this.#node.environment.clock.monotonicMs();
    for (const [coordinator, vows] of this.#vows) {
      for (const [n, { vow, sinceMs }] of vows) {
        if (nowMs - sinceMs > VOW_MS && this.#isEverywhere(vow)) this.forget(coordinator, n);
      }
    }
    for (const [coordinator, numbers] of this.#lingering) {
      for (const n of numbers) {
        const ended = this.#ended.get(coordinator)?.get(n);
        if (ended === undefined) numbers.delete(n);
        else if (this.#isEverywhere(ended)) this.forget(coordinator, n);
      }
      if (numbers.size === 0) this.#lingering.delete(coordinator);
    }
  }

  /** No acknowledgement of it is awaited (any more): it goes when all who took part are here. */
  linger(coordinator: NodeId, n: number): void {
    const numbers = this.#lingering.get(coordinator);
    if (numbers === undefined) this.#lingering.set(coordinator, new Set([n]));
    else numbers.add(n);
  }

  #isEverywhere({ participants }: Pick<Ended, 'participants'>): boolean {
    const { view, retired } = this.#node;
    for (const participant of participants) if (!view.has(participant) && !retired.has(participant)) return false;
    return true;
  }

  /** Whether anything of it is to leave the disc. */
  forget(coordinator: NodeId, n: number): boolean {
    this.#ended.get(coordinator)?.delete(n);
    this.#vows.get(coordinator)?.delete(n);
    if (!this.#kept.get(coordinator)?.delete(n)) return false;
    this.#node.outbox.write({ type: 'del', key: promiseKey(coordinator, encodeKey(n)) });
    return true;
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
    if (state === 'vow') {
      const [, , , , ballot, accepted] = packed;
      found(ballot[0]);
      return this.#noteVow(coordinator, n, { hlc, participants, ballot, accepted: unpackAccepted(accepted) });
    }
    if (state !== 'promised') {
      const writes = this.#writesOf(packed[4]);
      const commit = new RecentCommit(
        n,
        hlc,
        participants,
        writes.filter(({ table }) => table.held),
      );
      this.ended(coordinator, commit, state);
      if (state === 'made') this.#node.recent.add(coordinator, commit);
      else this.linger(coordinator, n);
      return;
    }
    const promise = this.unpacked(packed);
    found(promise.ballot[0]);
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

function packAccepted(accepted: Accepted | undefined): PackedAccepted {
  return accepted === undefined ? null : [...accepted.ballot, accepted.commit];
}

function unpackAccepted(packed: PackedAccepted): Accepted | undefined {
  return packed === null ? undefined : { ballot: [packed[0], packed[1]], commit: packed[2] };
}
