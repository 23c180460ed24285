/**
 * A scenario: nodes that are stopped or killed at named steps of a protocol, transactions whose answers are remembered,
 * and at the end the questions that every one must answer. A failure says in which step of which scenario it came.
 */
import { expect, test } from 'vitest';
import type { Database } from '../../../storage/database.ts';
import type { ProbePoint } from '../../../storage/environment.ts';
import type { StorageError } from '../../../storage/errors.ts';
import type { Key, TableDefinition, Transaction, TransactionOptions, Value } from '../../../storage/types.ts';
import { Cluster, type ClusterNode, type ClusterOptions, type Death } from './cluster.ts';

/** How long any single wait of a scenario may last, virtual ms: longer than every bound of the database. */
const PATIENCE_MS = 90_000;
/** After this everything is acknowledged, synced and forgotten. */
const REST_MS = 6_000;

export type Kind = 'transaction' | 'sync' | 'dirty';
export const KINDS: readonly Kind[] = ['transaction', 'sync', 'dirty'];

/**
 * When a node dies at a step. `at` it: nothing of this turn has left it. `sent`: the frames of the turn have left and
 * arrive, its disc batch is under way.
 */
export type Moment = 'at' | 'sent';
export const MOMENTS: readonly Moment[] = ['at', 'sent'];

/** Defines a test. The title is a sentence; it leads with the case of Mnesia's suite it tells again. */
export function scenario(title: string, body: (scenario: Scenario) => Promise<void>): void {
  test(title, async () => {
    const told = new Scenario(title);
    try {
      await body(told);
    } catch (error) {
      throw told.explain(error);
    }
  });
}

/** A call into the database by somebody who hears the answer only while the node that was asked lives. */
export class Attempt {
  readonly node: ClusterNode;
  readonly writes: ReadonlyMap<Key, Value>;
  readonly begunAt: number;
  /** How often the function was run. */
  runs = 0;
  answers = 0;
  answeredAt = Number.POSITIVE_INFINITY;
  error: StorageError | undefined = undefined;
  value: unknown = undefined;

  constructor(node: ClusterNode, writes: ReadonlyMap<Key, Value>, begunAt: number) {
    this.node = node;
    this.writes = writes;
    this.begunAt = begunAt;
  }

  get isAcknowledged(): boolean {
    return this.answers > 0 && this.error === undefined;
  }

  /** The caller was told that nothing was changed. */
  get isRefused(): boolean {
    if (this.error === undefined) return false;
    return this.error.fields.reason !== 'outcome_unknown' && !this.error.code.startsWith('disc_');
  }
}

export interface Pause {
  readonly isReached: boolean;
  /** Goes on, as after SIGCONT. */
  release(): void;
}

export class Scenario {
  readonly title: string;
  cluster!: Cluster;
  readonly attempts: Attempt[] = [];
  readonly #told: string[] = [];
  #step = 'the beginning';

  constructor(title: string) {
    this.title = title;
  }

  // -- telling ---------------------------------------------------------------------------------------------------------

  /** Names what comes next. */
  step(what: string): void {
    this.#step = what;
    this.#told.push(what);
  }

  explain(error: unknown): unknown {
    if (!(error instanceof Error)) return error;
    const atMs = this.cluster === undefined ? 0 : Math.round(this.cluster.clock.monotonicMs());
    const nodes = this.cluster?.nodes.map((node) => {
      if (!node.isRunning) return `${node.name} does not run`;
      const { runningDbNodes, heldLocks, transactions } = node.db.systemInfo();
      return `${node.name} runs with ${runningDbNodes.length}, ${heldLocks} locks, ${transactions} transactions`;
    });
    error.message = `${error.message}\n  in step "${this.#step}" at ${atMs} ms; before: ${this.#told.slice(0, -1).join('; ') || 'nothing'}\n  ${nodes?.join('\n  ')}`;
    return error;
  }

  // -- a cluster ---------------------------------------------------------------------------------------------------------

  /** Nodes that run as one island. */
  async start(count: number, options: ClusterOptions = {}): Promise<this> {
    this.cluster = await Cluster.start(count, options);
    return this;
  }

  /** The same with a table `t` that every node keeps. */
  async startWithTable(
    count: number,
    kind: 'ram_copies' | 'disc_copies' = 'disc_copies',
    rest: Partial<TableDefinition> = {},
    options: ClusterOptions = {},
  ): Promise<this> {
    await this.start(count, options);
    await this.cluster.createTable('t', kind, rest);
    return this;
  }

  node(number: number): ClusterNode {
    return this.cluster.node(number);
  }

  // -- at named steps ------------------------------------------------------------------------------------------------------

  /** Does something when a node passes a step for the nth time from now. */
  at(node: number, point: ProbePoint, act: () => void, nth = 1): void {
    const target = this.node(node);
    const before = target.onProbe;
    let left = nth;
    target.onProbe = (reached) => {
      before(reached);
      if (reached !== point || left === 0) return;
      left -= 1;
      if (left === 0) act();
    };
  }

  killAt(
    node: number,
    point: ProbePoint,
    { nth = 1, moment = 'at', ...death }: { nth?: number; moment?: Moment } & Death = {},
  ): void {
    const target = this.node(node);
    const die = (): void => target.kill({ sent: moment === 'sent' ? 'arrives' : 'lost', ...death });
    this.at(node, point, () => (moment === 'at' ? die() : target.onceSent(die)), nth);
  }

  /** Kills one node when another passes a step. */
  killWhen(victim: number, witness: number, point: ProbePoint, death: Death = {}): void {
    this.at(witness, point, () => {
      if (this.node(victim).isRunning) this.node(victim).kill(death);
    });
  }

  /** Stops a node, as SIGSTOP does, at its nth pass of a step; `sent` lets the frames of that turn leave first. */
  pauseAt(node: number, point: ProbePoint, { nth = 1, moment = 'at' }: { nth?: number; moment?: Moment } = {}): Pause {
    const target = this.node(node);
    const pause = { isReached: false, release: () => target.resume() };
    const stop = (): void => {
      pause.isReached = true;
      target.pause();
    };
    this.at(node, point, () => (moment === 'at' ? stop() : target.onceSent(stop)), nth);
    return pause;
  }

  /** Everything set with `at`, `killAt` and `pauseAt` is off; who is stopped goes on. */
  release(): void {
    for (const node of this.cluster.nodes) {
      node.onProbe = () => undefined;
      node.resume();
    }
  }

  // -- asking the database ---------------------------------------------------------------------------------------------------

  /** Runs a function as a transaction of that node. */
  run(
    node: number,
    fn: (tx: Transaction) => unknown,
    kind: 'transaction' | 'sync' = 'transaction',
    options: TransactionOptions = {},
  ): Attempt {
    return this.#ask(node, new Map(), (db, attempt) => {
      const counted = (tx: Transaction): unknown => {
        attempt.runs += 1;
        return fn(tx);
      };
      return kind === 'sync' ? db.syncTransaction(counted, options) : db.transaction(counted, options);
    });
  }

  /** One row of table `t`: what becomes of it is asked again at the end. */
  write(node: number, key: Key, value: Value, kind: Kind = 'transaction'): Attempt {
    return this.#ask(node, new Map([[key, value]]), (db) => {
      if (kind === 'dirty') return db.dirtyWrite('t', key, value);
      if (kind === 'sync') return db.syncTransaction((tx) => tx.write('t', key, value));
      return db.transaction((tx) => tx.write('t', key, value));
    });
  }

  #ask(node: number, writes: Map<Key, Value>, call: (db: Database, attempt: Attempt) => Promise<unknown>): Attempt {
    const asked = this.node(node);
    const { incarnation, db } = asked;
    const attempt = new Attempt(asked, writes, this.cluster.clock.monotonicMs());
    this.attempts.push(attempt);
    const hear = (value: unknown, error: unknown): void => {
      if (!asked.isRunning || asked.incarnation !== incarnation) return;
      attempt.answers += 1;
      attempt.answeredAt = this.cluster.clock.monotonicMs();
      attempt.value = value;
      if (error !== undefined) attempt.error = error as StorageError;
    };
    call(db, attempt).then(
      (value) => hear(value, undefined),
      (error) => hear(undefined, error),
    );
    return attempt;
  }

  /** The same, and waits for a yes. */
  async written(node: number, key: Key, value: Value, kind: Kind = 'transaction'): Promise<Attempt> {
    const attempt = this.write(node, key, value, kind);
    await this.until(`${String(key)} is written at peer ${node}`, () => attempt.answers > 0);
    if (attempt.error !== undefined) throw attempt.error;
    return attempt;
  }

  async until(what: string, holds: () => boolean, patienceMs = PATIENCE_MS): Promise<void> {
    this.step(what);
    if (!(await this.cluster.clock.advanceUntil(holds, patienceMs)))
      throw new Error(`${what}: not so within ${patienceMs} ms`);
  }

  /** What each of these nodes reads now; undefined too for one that does not run. */
  values(key: Key, nodes: readonly number[] = this.cluster.nodes.map((_, index) => index + 1), table = 't'): Value[] {
    return nodes.map((node) => (this.node(node).isRunning ? this.node(node).db.dirtyRead(table, key) : undefined));
  }

  // -- at the end ------------------------------------------------------------------------------------------------------------

  /** Everything is released, mended and started; then every promise must have been kept. */
  async allAgain(): Promise<void> {
    this.release();
    this.step('everybody is started again');
    for (const node of this.cluster.nodes) if (!node.isRunning) await node.start();
    this.cluster.heal();
    await this.until('all are one island', () =>
      this.cluster.nodes.every(({ db }) => db.systemInfo().runningDbNodes.length === this.cluster.nodes.length),
    );
    await this.cluster.advance(REST_MS);
    this.step('everything is at rest');
    this.expectRest();
    this.expectEqualReplicas();
    this.expectPromisesKept();
  }

  /** No lock, no transaction, no one waiting; nothing remembered for anybody, as everybody has everything. */
  expectRest(): void {
    for (const { name, db } of this.cluster.nodes) {
      const { heldLocks, lockQueue, transactions, recentCommits, changedSince, mnesiaDown } = db.systemInfo();
      expect({ name, heldLocks, lockQueue, transactions }).toEqual({
        name,
        heldLocks: 0,
        lockQueue: 0,
        transactions: 0,
      });
      expect({ name, recentCommits, changedSince, mnesiaDown }).toEqual({
        name,
        recentCommits: 0,
        changedSince: [],
        mnesiaDown: [],
      });
    }
  }

  expectEqualReplicas(): void {
    for (const table of new Set(this.cluster.nodes.flatMap(({ db }) => db.systemInfo().tables))) {
      const replicas = this.cluster.nodes.flatMap(({ db, name }) => {
        if (!db.systemInfo().tables.includes(table)) return [[name, table, 'is not known']];
        const { storageType, localContent, loaded, digest } = db.tableInfo(table);
        if (storageType === 'unknown' || localContent) return [];
        return [[name, table, loaded ? digest : 'is not loaded']];
      });
      for (const replica of replicas) expect(replica).toEqual([replica[0], ...(replicas[0] as string[]).slice(1)]);
    }
  }

  /** Every replica of `t` has what was answered, or something that came later; nothing that was refused. */
  expectPromisesKept(): void {
    const keys = new Set(this.attempts.flatMap(({ writes }) => [...writes.keys()]));
    for (const key of keys) {
      const allowed = this.#allowed(key);
      for (const { name, db } of this.cluster.nodes) {
        if (db.tableInfo('t').storageType === 'unknown') continue;
        expect({ name, key, allowed, found: db.dirtyRead('t', key) }).toSatisfy(({ found }) => allowed.includes(found));
      }
    }
    for (const attempt of this.attempts) expect(attempt.answers).toBeLessThanOrEqual(1);
  }

  #allowed(key: Key): Value[] {
    const ofKey = this.attempts.filter(({ writes }) => writes.has(key));
    const overtaken = (attempt: { answeredAt: number }): boolean =>
      ofKey.some((later) => later.isAcknowledged && later.begunAt > attempt.answeredAt);
    const allowed = ofKey
      .filter((attempt) => !attempt.isRefused && !overtaken(attempt))
      .map(({ writes }) => writes.get(key));
    if (!ofKey.some(({ isAcknowledged }) => isAcknowledged)) allowed.push(undefined);
    return allowed;
  }
}
