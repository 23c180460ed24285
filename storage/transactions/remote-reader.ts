/** Reads of tables that have no replica here: the row is fetched from a node that has one, then the function runs again. */
import type { NodeId } from '../environment.ts';
import type { StorageError } from '../errors.ts';
import type { NodeState } from '../node-state.ts';
import { Row, type Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { keyToken } from '../term.ts';
import type { Key } from '../types.ts';
import { Kind, type Message } from './messages.ts';
import type { TransactionRun } from './run.ts';

interface PendingFetch {
  readonly run: TransactionRun;
  readonly table: Table;
  readonly key: Key;
  readonly token: Token;
  readonly from: NodeId;
}

export class RemoteReader {
  readonly #node: NodeState;
  readonly #pending = new Map<number, PendingFetch>();
  #counter = 0;

  constructor(node: NodeState) {
    this.#node = node;
  }

  /** Without anybody to ask it is refused by `fail`. */
  fetch(
    run: TransactionRun,
    wanted: { table: Table; key: Key; token: Token },
    fail: (run: TransactionRun, error: StorageError) => void,
  ): void {
    const holders: NodeId[] = [];
    this.#node.addWriters(wanted.table, holders);
    const from = holders.sort()[0];
    if (from === undefined) return fail(run, this.#node.notLoaded(wanted.table));
    this.#counter += 1;
    run.unread = { table: wanted.table, from };
    this.#pending.set(this.#counter, { run, ...wanted, from });
    this.#node.send(from, [Kind.read, this.#counter, wanted.table.name, wanted.key]);
  }

  /** A holder answers at once; a row being written is answered with "not now". */
  onRead(from: NodeId, request: number, tableName: string, key: Key): void {
    const table = this.#node.tables.get(tableName);
    const token = keyToken(key);
    const ready = table?.loaded === true && table.locks.writerOf(token) === undefined;
    const row = ready ? table.rows.get(token) : undefined;
    this.#node.send(from, [Kind.readReply, request, ready, row?.hlc ?? 0, row?.node ?? '', row?.bytes ?? null]);
  }

  onReply(
    from: NodeId,
    message: Message,
    again: (run: TransactionRun) => void,
    later: (run: TransactionRun) => void,
  ): void {
    const [, request, ready, hlc, node, bytes] = message as unknown as [
      number,
      number,
      boolean,
      number,
      NodeId,
      Uint8Array | null,
    ];
    const fetch = this.#pending.get(request);
    if (fetch === undefined || fetch.from !== from) return;
    this.#pending.delete(request);
    const { run, table, key, token } = fetch;
    if (run.state !== 'fetching') return;
    if (!ready) return later(run);
    run.unread = undefined;
    run.fetched ??= new Map();
    let rows = run.fetched.get(table);
    if (rows === undefined) {
      rows = new Map();
      run.fetched.set(table, rows);
    }
    const row = bytes === null ? undefined : new Row(key, token, hlc, node, undefined, bytes);
    rows.set(token, { row, from });
    again(run);
  }

  nodeLost(lost: NodeId, later: (run: TransactionRun) => void): void {
    for (const [request, fetch] of this.#pending) {
      if (fetch.from !== lost) continue;
      this.#pending.delete(request);
      if (fetch.run.state === 'fetching') later(fetch.run);
    }
  }
}
