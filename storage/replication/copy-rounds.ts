/**
 * How the leader gets rows from the sources to the members while all of them write on: in rounds, each for what changed
 * since the one before, piece by piece and no faster than the slowest takes them.
 */
import type { NodeId } from '../environment.ts';
import { COPY_ROUNDS_MAX, KEYS_WAITING_MAX, PIECES_IN_FLIGHT_MAX } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import { mergeFunctionOf, PARTITION_LEDGER } from '../schema/definition.ts';
import { bucketsFor, differingBuckets } from '../tables/digest.ts';
import type { Row, Token } from '../tables/row.ts';
import { Kind, type Message } from '../transactions/messages.ts';
import type { Version } from '../types.ts';
import type { DeltaRow, OutsiderEntry, StagedRow } from './connection-messages.ts';
import { ledgerId, ledgerRow, makeRoom, owedEntries } from './ledger-entries.ts';
import type { Lives } from './lives.ts';
import type { TablePlan } from './merge-plan.ts';
import { ruleContextOf } from './rule-context.ts';
import { type Slice, TableMerge } from './table-merge.ts';

export interface CopyHost {
  readonly node: NodeState;
  /** Of the connection transaction. */
  readonly id: number;
  readonly members: readonly NodeId[];
  /** Version of the ledger's new rows. */
  readonly hlc: number;
  /** The lives that the members know of. */
  readonly lives: Lives;
  nameOf(node: NodeId): string;
  post(node: NodeId, message: Message): void;
  /** Runs `act` in a turn of its own. */
  later(act: () => void): void;
  /** Few keys are left, or they change as fast as they are copied: the rest needs the writers to stop. */
  copied(): void;
}

export class CopyRounds {
  readonly #host: CopyHost;
  readonly #node: NodeState;
  readonly #merges = new Map<string, TableMerge>();
  /** Sources whose offers of this round are not complete: `table node` in the first, then node. */
  readonly #awaited = new Set<string>();
  /** By table that is to be compared: the digests of its buckets, by source, until all are there. */
  readonly #digests = new Map<string, { readonly full: boolean; readonly octets: Map<NodeId, Uint8Array> }>();
  /** Pieces that a member has not taken yet. */
  readonly #inFlight: Map<NodeId, number>;
  /** Sources whose piece is here but not passed on: they send no more until told. */
  readonly #heldBack: NodeId[] = [];
  /** By member, once it has taken all of a round: keys it changed since it offered them. */
  readonly #touched = new Map<NodeId, number>();
  /** Entries of the ledger that this merge makes. */
  readonly #entries = new Set<string>();
  #round = 0;
  #pumping = false;
  /** `sending`: a round is under way. `sent`: members have yet to take its last piece. `over`: no more rounds. */
  #state: 'sending' | 'sent' | 'over' = 'sending';

  constructor(host: CopyHost) {
    this.#host = host;
    this.#node = host.node;
    this.#inFlight = new Map(host.members.map((member) => [member, 0]));
  }

  /**
   * `lacking`: members whose replica has nothing of its own. `full`: all rows are asked for. `isAlike`: by their reports
   * all replicas are equal, whatever they may have noted for each other. `rows`: how many the largest replica has.
   */
  add(plan: TablePlan, lacking: readonly NodeId[], full: boolean, isAlike: boolean, rows: number): void {
    const { name } = plan.definition;
    const merge = new TableMerge(plan, this.#host.members, lacking);
    this.#merges.set(name, merge);
    const isComparable = lacking.length === 0 && plan.sources.length > 1 && !merge.hasStrangers;
    const isCompared = isComparable && !isAlike;
    const buckets = isComparable && isAlike ? new Uint8Array(1) : null;
    if (full && buckets === null) merge.compared = undefined;
    if (isCompared) this.#digests.set(name, { full, octets: new Map() });
    for (const { node } of plan.sources) {
      // Even equal replicas may owe something to nodes that are still away: that is always told.
      merge.expect(node);
      this.#awaited.add(`${name} ${node}`);
      if (isCompared) this.#host.post(node, [Kind.buckets, this.#host.id, name, bucketsFor(rows)]);
      else this.#ask(name, node, full, buckets);
    }
    for (const { source, full } of plan.leftovers) this.#ask(name, source.node, full, null);
  }

  #ask(table: string, node: NodeId, full: boolean, buckets: Uint8Array | null): void {
    this.#awaited.add(`${table} ${node}`);
    this.#host.post(node, [Kind.delta, this.#host.id, table, full, buckets]);
  }

  /** Only rows of buckets that are not alike everywhere are asked for. What changes after a source answered is touched. */
  onBucketDigests(from: NodeId, table: string, octets: Uint8Array): void {
    const merge = this.#merges.get(table);
    const digests = this.#digests.get(table);
    if (this.#state === 'over' || merge === undefined || digests === undefined) return;
    digests.octets.set(from, octets);
    if (digests.octets.size < merge.plan.sources.length) return;
    this.#digests.delete(table);
    const differing = differingBuckets([...digests.octets.values()]);
    if (digests.full) merge.compared = differing;
    for (const { node } of merge.plan.sources) this.#ask(table, node, digests.full, differing);
  }

  begin(): void {
    this.#pump();
  }

  end(): void {
    this.#state = 'over';
  }

  /** Nodes whose offers or whose acceptance are waited for. */
  get awaited(): NodeId[] {
    const sources = [...this.#awaited].map((text) => text.slice(text.lastIndexOf(' ') + 1));
    return [...sources, ...[...this.#inFlight].filter(([, pieces]) => pieces > 0).map(([member]) => member)];
  }

  get conflicts(): number {
    return [...this.#merges.values()].reduce((sum, { conflicts }) => sum + conflicts, 0);
  }

  get rows(): number {
    return [...this.#merges.values()].reduce((sum, { rows }) => sum + rows, 0);
  }

  onDeltaRows(from: NodeId, message: Message): void {
    const [, , table, rows, outsiders, last] = message as unknown as [
      number,
      number,
      string | null,
      DeltaRow[],
      OutsiderEntry[],
      boolean,
    ];
    const merge = table === null ? undefined : this.#merges.get(table);
    merge?.take(from, rows, outsiders);
    if (this.#state === 'over') return;
    if (last && this.#round === 0) {
      merge?.complete(from);
      this.#awaited.delete(`${table} ${from}`);
    } else if (last && table === null) {
      this.#awaited.delete(from);
    }
    this.#heldBack.push(from);
    this.#pump();
  }

  onStageTaken(from: NodeId, last: boolean, touched: number): void {
    this.#inFlight.set(from, (this.#inFlight.get(from) as number) - 1);
    if (this.#state === 'over') return;
    if (!last) return this.#pump();
    this.#touched.set(from, touched);
    if (this.#touched.size < this.#host.members.length) return;
    this.#round += 1;
    const left = [...this.#touched.values()].reduce((sum, keys) => sum + keys, 0);
    if (left <= this.#node.limits.lastKeysMax || this.#round >= COPY_ROUNDS_MAX) {
      this.#state = 'over';
      return this.#host.copied();
    }
    this.#state = 'sending';
    this.#touched.clear();
    for (const source of this.#sources()) {
      this.#awaited.add(source);
      this.#host.post(source, [Kind.deltaAgain, this.#host.id]);
    }
  }

  #sources(): Set<NodeId> {
    const sources = [...this.#merges.values()].flatMap(({ plan }) => [
      ...plan.sources,
      ...plan.leftovers.map(({ source }) => source),
    ]);
    return new Set(sources.map(({ node }) => node));
  }

  /** Passes on what can be merged, a slice a turn. */
  #pump(): void {
    if (this.#pumping || this.#state !== 'sending') return;
    let waiting = 0;
    for (const { ready } of this.#merges.values()) waiting += ready;
    if (waiting < KEYS_WAITING_MAX) {
      for (const source of this.#heldBack.splice(0)) this.#host.post(source, [Kind.deltaTaken, this.#host.id]);
    }
    for (const pieces of this.#inFlight.values()) if (pieces >= PIECES_IN_FLIGHT_MAX) return;
    if (waiting === 0 && this.#awaited.size > 0) return;
    this.#pumping = true;
    this.#host.later(() => {
      this.#pumping = false;
      if (this.#state !== 'sending') return;
      if (this.#stageSlice() || this.#awaited.size > 0) return this.#pump();
      this.#state = 'sent';
      for (const member of this.#host.members) this.#sendPiece(member, [null, [], []]);
    });
  }

  /** What is left, at once: writers wait for it. */
  stageRest(): void {
    let more = true;
    while (more) more = this.#stageSlice();
  }

  /** Merges one slice and sends each member what it needs of it. Whether there was anything to do. */
  #stageSlice(): boolean {
    for (const [name, merge] of this.#merges) {
      if (merge.ready === 0) continue;
      const slice = merge.settle(ruleContextOf(this.#node, merge.plan.definition, this.#host.lives));
      this.#keepLosers(slice);
      for (const member of merge.holders) {
        const rows = merge.rowsFor(member, slice.settled);
        const owed = merge.owedFor(member, slice.settled);
        if (rows.length + owed.length > 0) this.#sendPiece(member, [name, rows, owed]);
      }
      return true;
    }
    return false;
  }

  #sendPiece(member: NodeId, [name, rows, owed]: [name: string | null, rows: unknown[], owed: unknown[]]): void {
    this.#inFlight.set(member, (this.#inFlight.get(member) as number) + 1);
    this.#host.post(member, [Kind.stage, this.#host.id, null, name, rows, owed, name === null]);
  }

  #keepLosers({ losers, revoked }: Slice): void {
    const ledger = this.#merges.get(PARTITION_LEDGER);
    if (ledger === undefined || losers.length + revoked.length === 0) return;
    for (const { table, key, loser } of revoked) {
      const id = ledgerId(table, key, loser);
      this.#entries.delete(id);
      ledger.revokeOwn(id);
    }
    const known = this.#ledgerRows;
    for (const loser of losers) {
      const row = ledgerRow(loser, this.#version, (node) => this.#host.nameOf(node));
      // A conflict met again, after a merge that was only half made, has its entry already.
      if (known.has(row[0] as string)) continue;
      this.#entries.add(row[0] as string);
      this.#write(ledger, row);
    }
  }

  get #version(): Version {
    return { hlc: this.#host.hlc, node: this.#node.self };
  }

  get #ledgerRows(): ReadonlyMap<Token, Row> {
    return this.#node.tables.get(PARTITION_LEDGER)?.rows ?? new Map();
  }

  #write(ledger: TableMerge, row: StagedRow): void {
    const away = [...ledger.plan.definition.replicas.keys()].filter((node) => !this.#host.members.includes(node));
    ledger.takeOwn(row, owedEntries(row, away));
  }

  /** Gives up settled entries of the ledger for new ones. Returns for how many there is no room even so. */
  makeRoom(): number {
    const ledger = this.#merges.get(PARTITION_LEDGER);
    if (ledger === undefined || this.#entries.size === 0) return 0;
    const limit = this.#node.limits.ledgerEntriesMax;
    // Above whatever was done to those entries while this transaction copied.
    const version = { hlc: this.#node.hlc.tick(), node: this.#node.self };
    const { deletes, lacking } = makeRoom(this.#ledgerRows, this.#entries.size, limit, version);
    for (const row of deletes) this.#write(ledger, row);
    this.stageRest();
    return lacking;
  }

  /** Says which keys the merge functions could not decide. */
  tellFailures(): void {
    for (const { plan, failures } of this.#merges.values()) {
      const name = mergeFunctionOf(plan.definition) ?? '';
      for (const { key, reason } of failures.values()) {
        this.#node.emit({ type: 'merge_function_failed', table: plan.definition.name, key, function: name, reason });
      }
    }
  }
}
