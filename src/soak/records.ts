/**
 * What a working peer tells the soak, line by line, in the order in which it happens. A line is with the operating
 * system before the next step is taken, so a peer that is killed has told all it did.
 */

import type { Version } from '../../storage/types.ts';
import type { OperationKind, Step } from '../simulation/history.ts';

export type PeerRecord =
  | {
      readonly type: 'invoke';
      readonly atUs: number;
      readonly index: number;
      readonly client: string;
      readonly kind: OperationKind;
      readonly sync: boolean;
    }
  /** What the function did, told before its commit begins. */
  | {
      readonly type: 'attempt';
      readonly atUs: number;
      readonly index: number;
      readonly attempt: number;
      readonly steps: Step[];
    }
  | {
      readonly type: 'done';
      readonly atUs: number;
      readonly index: number;
      readonly outcome: 'ok' | 'fail' | 'info';
      readonly error: string | undefined;
    }
  | {
      readonly type: 'row';
      readonly atUs: number;
      readonly table: string;
      readonly key: string;
      readonly change: 'write' | 'delete';
      readonly by: string | undefined;
      readonly oldBy: string | undefined;
      readonly version: Version;
      readonly origin: 'local' | 'remote' | 'merge';
    }
  | {
      readonly type: 'event';
      readonly atUs: number;
      readonly event: string;
      readonly others: readonly string[];
      readonly view: readonly string[];
    }
  | { readonly type: 'ready'; readonly atUs: number; readonly url: string }
  | {
      readonly type: 'answer';
      readonly atUs: number;
      readonly id: number;
      readonly result: unknown;
      readonly error: string | undefined;
    };

/** What the soak asks of a working peer, one JSON line each on its standard input. */
export type PeerRequest =
  | { readonly id: number; readonly ask: 'work'; readonly work: WorkOrder }
  /** No new operations; answers when each client had its last answer. */
  | { readonly id: number; readonly ask: 'rest' }
  | { readonly id: number; readonly ask: 'state' }
  | { readonly id: number; readonly ask: 'rows' }
  /** Deletes all rows: of the replicated tables, or of those that are this peer's own. */
  | { readonly id: number; readonly ask: 'clear'; readonly own: boolean };

export interface WorkOrder {
  readonly seed: number;
  readonly clients: number;
  readonly thinkMs: readonly [number, number];
  readonly keys: number;
  /** Operations of this peer are numbered from here in steps of `step`, so that no two peers share a number. */
  readonly firstIndex: number;
  readonly step: number;
}

export interface PeerTables {
  readonly view: readonly string[];
  readonly heldLocks: number;
  readonly lockQueue: number;
  readonly transactions: number;
  readonly tables: Readonly<Record<string, { loaded: boolean; digest: string; awaiting: readonly string[] }>>;
}
