/** When this node's tables become active, and who waits for them. */
import type { NodeId, TimerHandle } from '../environment.ts';
import { StorageError } from '../errors.ts';
import { ALONE_PATIENCE_MS } from '../limits.ts';
import type { NodeState } from '../node-state.ts';
import type { Row, Token } from '../tables/row.ts';
import type { Table } from '../tables/table.ts';
import { checkKey, keyToken } from '../term.ts';
import type { Key } from '../types.ts';
import { seenDown, settleDowns } from './down-notes.ts';
import { awaitedHolders } from './load-rule.ts';

interface Waiting {
  readonly names: readonly string[];
  readonly timer: TimerHandle;
  resolve(): void;
  reject(error: StorageError): void;
}

export class Loader {
  readonly #node: NodeState;
  readonly #startedMs: number;
  #waiting: Waiting[] = [];

  constructor(node: NodeState) {
    this.#node = node;
    this.#startedMs = node.environment.clock.monotonicMs();
    node.subscribe((event) => {
      if (event.type === 'table_loaded' || event.type === 'connected') this.#resolveWaiting();
    });
  }

  /** Some table held here is not active yet. */
  isStarting(): boolean {
    for (const table of this.#node.tables.values()) {
      if (table.held && !table.loaded && table.definition.deletedAt === 0) return true;
    }
    return false;
  }

  /** Nodes whose newer rows must be waited for, as far as this node alone can tell. */
  awaiting(table: Table): NodeId[] {
    if (table.loaded || !table.held) return [];
    const { self, view } = this.#node;
    if (!this.#mayLoadAlone(table)) {
      return [...table.definition.replicas.keys()].filter((node) => !view.has(node)).sort();
    }
    const masters = this.#node.masters.get(table.name);
    return awaitedHolders(table.definition, [{ node: self, loaded: false, downs: seenDown(this.#node), masters }]);
  }

  /** A replica that never took part has nothing of its own: it is given its rows by the others. */
  #mayLoadAlone(table: Table): boolean {
    return !table.fresh || table.kind === 'ram_copies' || table.definition.replicas.size === 1;
  }

  /** It goes by notes of who went down, and somebody who may have seen more has not been met yet. */
  #mayBeToldBetter({ definition }: Table): boolean {
    const { self, names, downs, retired } = this.#node;
    if (![...definition.replicas.keys()].some((holder) => downs.has(holder))) return false;
    return [...names.keys()].some((node) => node !== self && !downs.has(node) && !retired.has(node));
  }

  /** Loads whatever needs nobody else's rows. In an island the node connection transaction decides instead. */
  evaluate(): void {
    if (this.#node.view.size > 1) return;
    const inLoadOrder = [...this.#node.tables.values()].sort((a, b) => b.definition.loadOrder - a.definition.loadOrder);
    for (const table of inLoadOrder) {
      if (!table.held || table.loaded || table.definition.deletedAt > 0 || !this.#mayLoadAlone(table)) continue;
      if (this.awaiting(table).length > 0) continue;
      const beginsAnew = table.kind === 'ram_copies' && table.definition.replicas.size > 1;
      const isMaster = this.#node.masters.get(table.name)?.includes(this.#node.self) ?? false;
      const isEarly = this.#node.environment.clock.monotonicMs() - this.#startedMs < ALONE_PATIENCE_MS;
      if (isEarly && !isMaster && (beginsAnew || this.#mayBeToldBetter(table))) continue;
      table.rootless = beginsAnew;
      this.load(table, this.#node.selfName);
    }
  }

  /** Says with whom these tables may begin, whoever else may hold newer rows. No nodes: the usual rule holds again. */
  setMasters(tables: readonly Table[], names: readonly string[]): void {
    const chosen = tables.map((table): [Table, NodeId[]] => [table, names.map((name) => this.#holder(table, name))]);
    for (const [table, nodes] of chosen) this.#node.setMasters(table.name, nodes);
    this.evaluate();
  }

  #holder(table: Table, name: string): NodeId {
    const node = this.#node.idOf(name);
    if (node !== undefined && table.definition.replicas.has(node)) return node;
    const holders = this.#node.namesOf(table.definition.replicas.keys()).join(', ');
    throw new StorageError(
      'bad_definition',
      `${name} cannot be a master node of table "${table.name}": it holds no replica. Nothing was changed. Choose of ${holders}.`,
      { table: table.name, property: 'master_nodes', node: name },
    );
  }

  load(table: Table, from: string): void {
    if (table.loaded) return;
    this.#node.environment.probe('load.before_load');
    table.loaded = true;
    table.fresh = false;
    settleDowns(this.#node);
    this.#node.emit({ type: 'table_loaded', table: table.name, from });
    this.#node.environment.probe('load.after_load');
  }

  rows(name: string): ReadonlyMap<Token, Row> {
    return this.#node.readable(name).rows;
  }

  token(table: string, key: Key): Token {
    return keyToken(checkKey(table, key, this.#node.limits.keyBytesMax));
  }

  // -- waiting -------------------------------------------------------------------------------------------------------

  waitFor(names: readonly string[], timeoutMs: number): Promise<void> {
    if (names.every((name) => this.#isReady(name))) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = this.#node.environment.clock.after(timeoutMs, () => this.#giveUp(waiting, timeoutMs));
      const waiting: Waiting = { names, timer, resolve, reject };
      this.#waiting.push(waiting);
    });
  }

  /** Active here, or active somewhere in the view for a table without a replica here. */
  #isReady(name: string): boolean {
    const table = this.#node.tables.get(name);
    if (table === undefined || table.definition.deletedAt > 0) return false;
    if (table.held) return table.loaded;
    return [...table.definition.replicas.keys()].some((node) => this.#node.view.has(node));
  }

  #giveUp(waiting: Waiting, timeoutMs: number): void {
    this.#waiting = this.#waiting.filter((other) => other !== waiting);
    const missing = waiting.names.filter((name) => !this.#isReady(name));
    const nodes = new Set<string>();
    for (const name of missing) {
      const table = this.#node.tables.get(name);
      for (const node of table === undefined ? [] : this.awaiting(table)) nodes.add(this.#node.nameOf(node));
    }
    const awaited = [...nodes].sort();
    waiting.reject(
      new StorageError(
        'table_not_loaded',
        `After ${timeoutMs} ms not loaded: ${missing.join(', ')}. Awaited: ${awaited.join(', ') || 'their creation'}. Start those nodes, or call forceLoadTable.`,
        { table: missing[0], nodes: awaited },
      ),
    );
  }

  #resolveWaiting(): void {
    const still: Waiting[] = [];
    for (const waiting of this.#waiting) {
      if (!waiting.names.every((name) => this.#isReady(name))) {
        still.push(waiting);
        continue;
      }
      this.#node.environment.clock.cancel(waiting.timer);
      waiting.resolve();
    }
    this.#waiting = still;
  }

  close(error: StorageError): void {
    for (const waiting of this.#waiting) {
      this.#node.environment.clock.cancel(waiting.timer);
      waiting.reject(error);
    }
    this.#waiting = [];
  }
}
