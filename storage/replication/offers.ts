/**
 * A member as source: offers its rows to the leader in pieces while it serves on, remembers which keys change behind
 * the walk, and offers those again until the freeze makes an end of it.
 */
import type { NodeId } from '../environment.ts';
import { PIECES_IN_FLIGHT_MAX } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import type { Token } from '../tables/row.ts';
import type { Table, Touched } from '../tables/table.ts';
import { Kind, type Message } from '../transactions/messages.ts';
import type { DeltaRow, OutsiderEntry } from './connection-messages.ts';
import { nextPiece, type OfferTerms, offerOf, offers, outsiderEntries, withdrawal } from './delta.ts';

/** One walk to be sent. `table` null marks the end of a round. */
interface Walk {
  readonly table: string | null;
  readonly rows: Iterator<DeltaRow>;
  readonly outsiders: Iterator<OutsiderEntry>;
}

const octetsOf = (row: DeltaRow): number => row[3]?.length ?? 0;
const nothing = (): number => 0;

export interface OffersHost {
  readonly node: NodeState;
  readonly id: number;
  readonly members: readonly NodeId[];
  post(message: Message): void;
  /** Runs `act` in a turn of its own. */
  later(act: () => void): void;
}

export class Offers {
  readonly #host: OffersHost;
  readonly #node: NodeState;
  readonly #terms = new Map<string, OfferTerms>();
  readonly #walks: Walk[] = [];
  #inFlight = 0;
  #pumping = false;
  #ended = false;

  /** From here on every change is remembered: the first report must come after. */
  constructor(host: OffersHost) {
    this.#host = host;
    this.#node = host.node;
    for (const table of this.#node.tables.values()) if (!table.definition.localContent) table.touched = new Map();
  }

  /** Keys that changed since they were offered. */
  get touchedKeys(): number {
    let count = 0;
    for (const { table } of this.#terms.values()) count += table.touched?.size ?? 0;
    return count;
  }

  /** `buckets`: only rows of these, one octet each, 0 or 1. */
  offer(table: Table, full: boolean, buckets?: Uint8Array): void {
    const others = this.#host.members.filter((member) => !this.#node.view.has(member));
    const terms: OfferTerms = { table, others, full, buckets };
    this.#terms.set(table.name, terms);
    this.#add({
      table: table.name,
      rows: offers(this.#node, terms),
      outsiders: outsiderEntries(this.#node, table, this.#host.members),
    });
  }

  /** A round of its own for what changed since. */
  offerTouched(): void {
    for (const terms of this.#terms.values()) {
      const walk = this.#touchedWalk(terms);
      if (walk !== undefined) this.#add(walk);
    }
    this.#add({ table: null, rows: [].values(), outsiders: [].values() });
  }

  /** The last of it, all at once: nothing changes any more. */
  offerLast(): void {
    for (const terms of this.#terms.values()) {
      const walk = this.#touchedWalk(terms);
      while (walk !== undefined && !this.#sendPiece(walk));
    }
  }

  #touchedWalk(terms: OfferTerms): Walk | undefined {
    const { table } = terms;
    const touched = table.touched;
    if (touched === undefined || touched.size === 0) return undefined;
    table.touched = new Map();
    return {
      table: table.name,
      rows: this.#again(terms, touched),
      outsiders: outsiderEntries(this.#node, table, this.#host.members, touched),
    };
  }

  *#again(terms: OfferTerms, touched: ReadonlyMap<Token, Touched>): Generator<DeltaRow> {
    for (const [token, change] of touched) yield offerOf(this.#node, terms, token, change) ?? withdrawal(change);
  }

  taken(): void {
    this.#inFlight -= 1;
    this.#pump();
  }

  #add(walk: Walk): void {
    this.#walks.push(walk);
    this.#pump();
  }

  /** One piece a turn, so that a copy stands in nobody's way. */
  #pump(): void {
    if (this.#pumping || this.#ended || this.#inFlight >= PIECES_IN_FLIGHT_MAX) return;
    const walk = this.#walks[0];
    if (walk === undefined) return;
    this.#pumping = true;
    this.#host.later(() => {
      this.#pumping = false;
      if (this.#ended) return;
      this.#inFlight += 1;
      if (this.#sendPiece(walk)) this.#walks.shift();
      this.#pump();
    });
  }

  /** Whether it was the walk's last. */
  #sendPiece({ table, rows, outsiders }: Walk): boolean {
    const { piece, done } = nextPiece(rows, octetsOf);
    const told: { piece: OutsiderEntry[]; done: boolean } = done
      ? nextPiece(outsiders, nothing)
      : { piece: [], done: false };
    if (told.done) this.#node.environment.probe('connect.offered');
    this.#host.post([Kind.deltaRows, this.#host.id, table, piece, told.piece, told.done]);
    return told.done;
  }

  end(): void {
    this.#ended = true;
    for (const table of this.#node.tables.values()) table.touched = undefined;
  }
}
