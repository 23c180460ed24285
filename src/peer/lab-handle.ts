/** What a lab peer does on demand: faults of its own links and clock, and a closed loop of acknowledged writes. */
import { InvariantViolation, StorageError } from '../../storage/errors.ts';
import type { Database, RealClock, Value } from '../../storage/index.ts';
import type { FaultLayer } from '../net/index.ts';
import type { FaultRequest, LabHandle, LoadRequest, LoadResult } from './peer-handle.ts';
import { LAB_TABLE, sleep } from './peer-tables.ts';

/** After a refused write a client waits a moment, as a person's program would. */
const PAUSE_AFTER_ERROR_MS = 5;

export interface LabHandleOptions {
  readonly database: Database;
  readonly faults: FaultLayer;
  readonly clock: RealClock;
  /** Default prefix of the load's keys, so that peers under load at once do not write the same ones. */
  readonly systemName: string;
  changed(): void;
}

export function createLabHandle(options: LabHandleOptions): LabHandle {
  const { database, faults, clock } = options;
  return {
    fault(request) {
      applyFault(request, faults, clock);
      options.changed();
    },
    faults: () => ({ links: faults.list(), clockOffsetMs: clock.wallOffsetMs() }),
    // A transaction: one after the other stands in that order, however wrong the clocks of the peers are.
    write: (table, key, value) => database.transaction((tx) => tx.write(table, key, value)),
    read: (table, key) => database.dirtyRead(table, key),
    rows(limit) {
      const rows: { key: ReturnType<Database['dirtyAllKeys']>[number]; value: Value }[] = [];
      database.dirtyForEach(LAB_TABLE, (key, value) => {
        if (rows.length < limit) rows.push({ key, value });
      });
      return rows;
    },
    load: (request) => new Load(options, request).run(),
  };
}

function applyFault(request: FaultRequest, faults: FaultLayer, clock: RealClock): void {
  if (request.op === 'cut') faults.cut(request.address, request.direction);
  if (request.op === 'heal') faults.heal(request.address);
  if (request.op === 'delay') faults.delay(request.address, request.ms);
  if (request.op === 'clock') clock.setWallOffset(request.offsetMs);
}

/**
 * Each client adds one to a key's sequence in a transaction, again and again. What was acknowledged is remembered by key,
 * so that whoever asked can compare it with the rows afterwards: a row below its sequence is a lost write.
 */
class Load {
  readonly #database: Database;
  readonly #clock: RealClock;
  readonly #request: LoadRequest;
  readonly #prefix: string;
  readonly #byKey = new Map<string, number>();
  readonly #errorCodes: Record<string, number> = {};
  #acknowledged = 0;
  #errors = 0;
  #lastMs = 0;
  #longestGapMs = 0;

  constructor({ database, clock, systemName }: LabHandleOptions, request: LoadRequest) {
    this.#database = database;
    this.#clock = clock;
    this.#request = request;
    this.#prefix = request.prefix ?? systemName;
  }

  async run(): Promise<LoadResult> {
    const startMs = this.#clock.monotonicMs();
    const endMs = startMs + this.#request.durationMs;
    this.#lastMs = startMs;
    await Promise.all(Array.from({ length: this.#request.clients }, (_, client) => this.#client(client, endMs)));
    this.#noteGap();
    return {
      acknowledged: this.#acknowledged,
      errors: this.#errors,
      errorCodes: this.#errorCodes,
      longestGapMs: Math.round(this.#longestGapMs),
      durationMs: Math.round(this.#clock.monotonicMs() - startMs),
      byKey: Object.fromEntries(this.#byKey),
    };
  }

  async #client(client: number, endMs: number): Promise<void> {
    const { clients, keys } = this.#request;
    for (let round = 0; this.#clock.monotonicMs() < endMs; round += 1) {
      const key = `${this.#prefix}-${(client + round * clients) % keys}`;
      try {
        this.#acknowledge(key, await this.#increment(key));
      } catch (error) {
        if (error instanceof InvariantViolation) throw error;
        this.#errors += 1;
        const code = error instanceof StorageError ? error.code : 'unexpected';
        this.#errorCodes[code] = (this.#errorCodes[code] ?? 0) + 1;
        if (code === 'closed') return;
        await sleep(this.#clock, PAUSE_AFTER_ERROR_MS);
      }
    }
  }

  #increment(key: string): Promise<number> {
    return this.#database.transaction((tx) => {
      const row = tx.read(LAB_TABLE, key) as { sequence?: unknown } | undefined;
      const before = typeof row?.sequence === 'number' ? row.sequence : 0;
      tx.write(LAB_TABLE, key, { sequence: before + 1, writer: this.#database.nodeName });
      return before + 1;
    });
  }

  #acknowledge(key: string, sequence: number): void {
    this.#acknowledged += 1;
    this.#byKey.set(key, Math.max(sequence, this.#byKey.get(key) ?? 0));
    this.#noteGap();
  }

  #noteGap(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }
}
