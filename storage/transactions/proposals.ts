/**
 * Proposals as octets. All a node proposes in one turn to the same participants is written once, into one octet string
 * that goes to each of them; a value is copied into it as it lies in its row.
 *
 *     proposal   number − the one before (varint), version (double), age (double), flags (1 synchronous),
 *                count of writes (varint), writes, count of checks (varint), checks
 *     write      table (varint, index in the message's list), key, 0 for a delete or length + 1 and the value's octets
 *     check      table, 1 key, version as double (0: absent) and the text of the node that wrote it, or 0 and the text of
 *                the digest of the whole table
 *     text       length (varint), UTF-8
 *     key        1 and 4 octets for a whole number that fits them, else 0, length and the ordered octets of the key
 */
import type { NodeId } from '../environment.ts';
import type { Outbox } from '../outbox.ts';
import type { Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { decodeKey, encodeKey, encodeValue, keyToken } from '../term.ts';
import type { Key } from '../types.ts';
import { checksOf } from './checks.ts';
import { Kind, type PrepareMessage } from './messages.ts';
import type { TransactionRun, WriteOperation } from './run.ts';

/** Octets of proposals that share a message; one proposal is never cut. */
const BATCH_BYTES_MAX = 128 * 1024;
const FLAG_SYNC = 1;
const KEY_INT = 1;
const KEY_OCTETS = 0;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The coordinator's side: proposals of the present turn. */
export class ProposalWriter {
  readonly #outbox: Outbox;
  #octets = new Uint8Array(64 * 1024);
  #view = new DataView(this.#octets.buffer);
  #at = 0;
  #message: PrepareMessage | undefined = undefined;
  #last = 0;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
    outbox.beforeFlush(() => this.#close());
  }

  /** Sends the run's proposal to all its participants but this node, in order with all else sent to them. */
  send(run: TransactionRun, self: NodeId): void {
    const { participants, n } = run;
    const to = participants[0] === self ? participants : [self, ...participants];
    const message = this.#messageTo(to, Kind.prepare, participants, n, undefined);
    this.#head(n, run.version, run.age);
    this.#octet(run.sync ? FLAG_SYNC : 0);
    this.#varint(run.writes.length);
    for (const write of run.writes) this.#write(message, write);
    this.#checks(message, run);
  }

  /**
   * A dirty write to all of `to` but the first, which is this node. `place` in the order of its decisions when it is this
   * node's own, 0 where it hands on what it was told by `writer`.
   */
  sendDirty(
    to: readonly NodeId[],
    participants: readonly NodeId[],
    writer: NodeId,
    place: number,
    own: DirtyChange,
  ): void {
    const message = this.#messageTo(to, Kind.dirty, participants, place, writer);
    this.#head(place, own.version, 0);
    this.#octet(0);
    this.#varint(1);
    this.#write(message, own);
    this.#octet(0);
  }

  #head(n: number, version: number, age: number): void {
    this.#varint(n - this.#last);
    this.#last = n;
    this.#double(version);
    this.#double(age);
  }

  /** Octets of the proposals not handed over yet. */
  get bytes(): number {
    return this.#at;
  }

  /** The message that all of `to` but the first are sent and that still grows. */
  #messageTo(
    to: readonly NodeId[],
    kind: number,
    participants: readonly NodeId[],
    n: number,
    writer: NodeId | undefined,
  ): PrepareMessage {
    const growing = this.#message;
    if (growing !== undefined && this.#continues(growing, to, kind, participants, writer)) return growing;
    this.#close();
    const message = [kind, participants, [], n, EMPTY] as unknown as PrepareMessage;
    if (writer !== undefined) message.push(writer);
    this.#message = message;
    this.#last = n;
    for (let i = 1; i < to.length; i++) this.#outbox.send(to[i] as NodeId, message);
    return message;
  }

  #continues(
    message: PrepareMessage,
    to: readonly NodeId[],
    kind: number,
    participants: readonly NodeId[],
    writer: NodeId | undefined,
  ): boolean {
    if (message[0] !== kind || message[1] !== participants || message[5] !== writer) return false;
    if (this.#at > BATCH_BYTES_MAX) return false;
    for (let i = 1; i < to.length; i++) if (!this.#outbox.isLast(to[i] as NodeId, message)) return false;
    return true;
  }

  #close(): void {
    if (this.#message === undefined) return;
    this.#message[4] = this.#octets.slice(0, this.#at);
    this.#message = undefined;
    this.#at = 0;
  }

  #write(message: PrepareMessage, write: WrittenChange): void {
    this.#table(message, write.table);
    this.#key(write.key);
    if (write.deleted) return this.#octet(0);
    write.bytes ??= encodeValue(write.value);
    this.#varint(write.bytes.length + 1);
    this.#put(write.bytes);
  }

  #checks(message: PrepareMessage, run: TransactionRun): void {
    if (run.reads.length === 0 && run.tableReads.length === 0) return this.#octet(0);
    const checks = checksOf(run);
    this.#varint(checks.length);
    for (const check of checks) {
      this.#table(message, check.table);
      this.#octet(check.digest === undefined ? 1 : 0);
      if (check.digest === undefined) {
        this.#key(check.key);
        this.#double(check.hlc);
        this.#text(check.node);
      } else this.#text(check.digest);
    }
  }

  #text(text: string): void {
    const octets = encoder.encode(text);
    this.#varint(octets.length);
    this.#put(octets);
  }

  #table(message: PrepareMessage, table: Table): void {
    const names = message[2];
    let index = names.indexOf(table.name);
    if (index < 0) index = names.push(table.name) - 1;
    this.#varint(index);
  }

  #key(key: Key): void {
    if (typeof key === 'number' && (key | 0) === key) {
      this.#room(5);
      this.#octets[this.#at++] = KEY_INT;
      this.#view.setInt32(this.#at, key);
      this.#at += 4;
      return;
    }
    const octets = encodeKey(key);
    this.#octet(KEY_OCTETS);
    this.#varint(octets.length);
    this.#put(octets);
  }

  #octet(value: number): void {
    this.#room(1);
    this.#octets[this.#at++] = value;
  }

  #double(value: number): void {
    this.#room(8);
    this.#view.setFloat64(this.#at, value);
    this.#at += 8;
  }

  #varint(value: number): void {
    this.#room(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#octets[this.#at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#octets[this.#at++] = rest;
  }

  #put(octets: Uint8Array): void {
    this.#room(octets.length);
    this.#octets.set(octets, this.#at);
    this.#at += octets.length;
  }

  #room(count: number): void {
    if (this.#at + count <= this.#octets.length) return;
    const larger = new Uint8Array(Math.max(this.#octets.length * 2, this.#at + count));
    larger.set(this.#octets.subarray(0, this.#at));
    this.#octets = larger;
    this.#view = new DataView(larger.buffer);
  }
}

const EMPTY = new Uint8Array(0);

/** A write as it is put into octets. */
type WrittenChange = Pick<WriteOperation, 'table' | 'key' | 'value' | 'deleted' | 'bytes'>;

export interface DirtyChange extends WrittenChange {
  readonly version: number;
}

/** One write of a proposal; `table` is undefined when this node does not know the table. */
export interface ProposedWrite {
  readonly table: Table;
  readonly key: Key;
  readonly token: Token;
  readonly deleted: boolean;
  readonly bytes: Uint8Array | undefined;
}

/** What a read met, to be met by others too: a row, hlc 0 where there is none, or a whole table by its digest. */
export interface ProposedCheck {
  readonly table: Table;
  readonly key: Key;
  readonly token: Token;
  readonly hlc: number;
  readonly node: NodeId;
  readonly digest: string | undefined;
}

/** What is made of each proposal read. `isUnknown`: it names a table this node does not know. */
export type ProposalMaker<T> = (
  n: number,
  version: number,
  age: number,
  sync: boolean,
  writes: ProposedWrite[],
  checks: readonly ProposedCheck[],
  isUnknown: boolean,
) => T;

const NO_CHECKS: readonly ProposedCheck[] = [];

/** Reads the octets of one message; a TypeError or RangeError when they are not what ProposalWriter writes. */
export class ProposalReader {
  readonly #octets: Uint8Array;
  readonly #view: DataView;
  readonly #tables: readonly (Table | undefined)[];
  #at = 0;
  #n: number;
  #isUnknown = false;

  constructor(message: PrepareMessage, tables: ReadonlyMap<string, Table>) {
    const [, , names, n, octets] = message;
    if (!(octets instanceof Uint8Array) || !Array.isArray(names)) throw new TypeError('proposals are octets');
    // Not a Buffer: what is cut from it has to be plain.
    this.#octets = new Uint8Array(octets.buffer, octets.byteOffset, octets.byteLength);
    this.#view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
    this.#tables = names.map((name) => tables.get(name));
    this.#n = n;
  }

  /** All of them are read before any is looked at: a message that is damaged has no effect. */
  all<T>(make: ProposalMaker<T>): T[] {
    const proposals: T[] = [];
    while (this.#at < this.#octets.length) proposals.push(this.#proposal(make));
    return proposals;
  }

  #proposal<T>(make: ProposalMaker<T>): T {
    this.#isUnknown = false;
    this.#n += this.#varint();
    const version = this.#double();
    const age = this.#double();
    const sync = (this.#octet() & FLAG_SYNC) !== 0;
    const writes: ProposedWrite[] = [];
    for (let left = this.#bounded(this.#varint()); left > 0; left--) writes.push(this.#write());
    const isUnknown = this.#isUnknown;
    let checks = NO_CHECKS;
    const count = this.#bounded(this.#varint());
    // Of a table this node does not know it has nothing to say.
    if (count > 0)
      checks = Array.from({ length: count }, () => this.#check()).filter(({ table }) => table !== undefined);
    return make(this.#n, version, age, sync, writes, checks, isUnknown);
  }

  #write(): ProposedWrite {
    const table = this.#table();
    const key = this.#key();
    const size = this.#varint();
    const bytes = size === 0 ? undefined : this.#take(size - 1);
    return { table, key, token: keyToken(key), deleted: size === 0, bytes };
  }

  #check(): ProposedCheck {
    const table = this.#table();
    if (this.#octet() === 0) return { table, key: null, token: null, hlc: 0, node: '', digest: this.#text() };
    const key = this.#key();
    return { table, key, token: keyToken(key), hlc: this.#double(), node: this.#text(), digest: undefined };
  }

  #text(): string {
    return decoder.decode(this.#take(this.#varint()));
  }

  #table(): Table {
    const index = this.#varint();
    if (index >= this.#tables.length) throw new RangeError('a table that the message does not name');
    const table = this.#tables[index];
    if (table === undefined) this.#isUnknown = true;
    // A proposal that is marked unknown is refused before any of its writes is looked at.
    return table as Table;
  }

  #key(): Key {
    const tag = this.#octet();
    if (tag === KEY_INT) {
      const key = this.#view.getInt32(this.#at);
      this.#at += 4;
      return key;
    }
    if (tag !== KEY_OCTETS) throw new TypeError('a key of an unknown kind');
    return decodeKey(this.#take(this.#varint()));
  }

  #octet(): number {
    return this.#view.getUint8(this.#at++);
  }

  #double(): number {
    const value = this.#view.getFloat64(this.#at);
    this.#at += 8;
    return value;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const octet = this.#view.getUint8(this.#at++);
      value += (octet & 0x7f) * scale;
      if (octet < 0x80) return value;
      scale *= 0x80;
    }
  }

  #take(count: number): Uint8Array {
    const from = this.#at;
    this.#at += this.#bounded(count);
    return this.#octets.subarray(from, this.#at);
  }

  #bounded(count: number): number {
    if (count > this.#octets.length - this.#at) throw new RangeError('proposals that end too early');
    return count;
  }
}
