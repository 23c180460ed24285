/** Every bound of the database, by name. Callers may set those of DatabaseLimits. */
import type { DatabaseLimits } from './types.ts';

export const DEFAULT_LIMITS: DatabaseLimits = {
  transactionsMax: 5_000,
  transactionDeadlineMs: 30_000,
  lockWaitMs: 5_000,
  connectDeadlineMs: 10_000,
  lastKeysMax: 500,
  valueBytesMax: 1 << 20,
  keyBytesMax: 1024,
  ledgerEntriesMax: 100_000,
  changedKeysMax: 100_000,
  changedBytesMax: 64 << 20,
  changedDeletesMax: 100_000,
};

/** How often a node tells the linked ones its view, and sweeps deadlines. */
export const TICK_MS = 500;
/** A node that has nothing new to tell says so with every n-th tick. */
export const TICKS_PER_REPEAT = 4;
/** Deadlines and waiting prepares are looked at this often, while there are any. */
export const SWEEP_MS = 100;
/** A refusal waits so long, past its deadline if it must, to hear from all who were asked that nobody can make it. */
export const CONFIRMATION_MS_MAX = 1_000;
/** Rows of a table copy or delta that travel in one message. */
export const ROWS_PER_MESSAGE = 500;
/** And at most so many octets of them, and one row more. */
export const ROW_BYTES_PER_MESSAGE = 128 * 1024;
/** Pieces of a copy under way to one node that it has not taken yet. */
export const PIECES_IN_FLIGHT_MAX = 4;
/** A leader takes no more from its sources while so many keys wait to be passed on. */
export const KEYS_WAITING_MAX = 4_000;
/** Writers are stopped for the rest of a copy after so many rounds, however much changed during the last one. */
export const COPY_ROUNDS_MAX = 6;
/** Tries in one go when something that matters to the plan changed between the first report and the freeze. */
export const CONNECT_TRIES_MAX = 3;
/** A failed node connection transaction is tried again after this, doubling up to the second figure. */
export const CONNECT_BACKOFF_MS = 200;
export const CONNECT_BACKOFF_MAX_MS = 3_000;
/**
 * A copy in memory that has to begin anew waits so long for a node that still holds the table: a link is usually there
 * within milliseconds, and rows written before it would be in conflict with all the others have. So does a table that
 * would be loaded on the strength of notes of who went down, for somebody who may know better.
 */
export const ALONE_PATIENCE_MS = 5_000;
/** Where replicas that forgot their promises might count again and did not in the last merge, it is tried so much later. */
export const REMEMBER_AGAIN_MS = 5_000;
/** Nodes of one cluster (E1). */
export const NODES_MAX = 6;
/** An overlapping partition is split into cliques once it lasted this long. */
export const CLIQUE_PATIENCE_MS = 1_500;
/** And after this once all members have been heard since and both ends of every missing link say that it is gone. */
export const CUT_PATIENCE_MS = 100;
/** What one transaction may write: its proposal travels in one message, and a message has to fit a frame. */
export const TRANSACTION_BYTES_MAX = 8 * 1024 * 1024;
/** Octets of proposals that are handed to a link at once, and one proposal more. */
export const PROPOSALS_BYTES_PER_MESSAGE = 4 * 1024 * 1024;
/** While more octets than this wait to leave for a participant, new transactions that need it are refused. */
export const PARTICIPANT_BACKLOG_BYTES_MAX = 8 * 1024 * 1024;
