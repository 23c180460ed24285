/**
 * The only door between the database and the world: time, timers, randomness, links, disc and turns.
 *
 * The core holds no reference to `Date`, `setTimeout`, `Math.random`, `fs` or a socket. A peer passes the real
 * implementations (`src/peer/real-environment.ts`), the simulator passes virtual ones driven by a seed.
 */

/** Stable identity of one database instance, made once and kept in its data directory. Never an address. */
export type NodeId = string;

export interface TimerHandle {
  readonly timer: unknown;
}

export interface Clock {
  /** Wall clock, ms since the epoch. May jump, in both directions. */
  wallMs(): number;
  /** Never goes back, origin unspecified. For durations and deadlines. */
  monotonicMs(): number;
  after(delayMs: number, run: () => void): TimerHandle;
  cancel(timer: TimerHandle): void;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** `count` random octets as lower-case hex, unguessable in a real environment. */
  hex(count: number): string;
}

/** What the other end said of itself in the handshake of a link. */
export interface LinkInfo {
  /** `clusterdb@<fqdn>`: an attribute, it may change between links. */
  readonly name: string;
  /** Persisted boot counter of the other node. */
  readonly incarnation: number;
}

/**
 * Why a link is down.
 * - `refused`: nothing listens there any more, its process is gone.
 * - `silent`: nothing heard for net_ticktime, or it could not be resumed within the resume window.
 * - `closed`: the other side said goodbye, an orderly stop.
 * - `dropped`: this side asked for it (`Links.drop`).
 * - `protocol`: a frame that was too long, malformed or of an unknown version.
 */
export type LinkDownReason = 'refused' | 'silent' | 'closed' | 'dropped' | 'protocol';

export interface LinkHandlers {
  up(node: NodeId, info: LinkInfo): void;
  /** Nothing from `node` arrives after this until the next `up`. */
  down(node: NodeId, reason: LinkDownReason): void;
  message(node: NodeId, message: unknown): void;
}

/**
 * FIFO, exactly-once messages to directly linked nodes while a link lasts; a blip that is resumed in time is invisible
 * here. Messages are values msgpack carries (arrays, numbers, strings, Uint8Array, plain objects) and belong to the
 * link after `send`: the sender must not change them.
 */
export interface Links {
  send(node: NodeId, message: unknown): void;
  isUp(node: NodeId): boolean;
  /** Bytes queued towards `node` and not yet taken by the operating system. */
  backlogBytes(node: NodeId): number;
  /** Close the link to `node`; the net layer may dial again after its back-off. */
  drop(node: NodeId, reason: string): void;
  setHandlers(handlers: LinkHandlers): void;
}

export type DiscOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

/** A disc that failed an operation. `code` is stable: see storage/errors.ts. */
export interface DiscFailure {
  readonly code: 'disc_full' | 'disc_io' | 'disc_corrupt' | 'disc_closed';
  readonly message: string;
}

/** Acknowledged writes that a disc found missing or damaged when it was opened: its records `first` to `last`. */
export interface DiscLoss {
  readonly first: number;
  readonly last: number;
  /** Damaged files, which were renamed and can still be looked at. */
  readonly setAside: readonly string[];
}

/**
 * One ordered key-value store. Keys compare bytewise. A batch is atomic; batches take effect in call order, and so do
 * their `done` calls, synced ones among themselves; none happens inside `write`. Without `sync` a finished batch is with
 * the operating system (survives the death of the process); with it, it and all before it are on the medium.
 */
export interface Disc {
  write(operations: readonly DiscOperation[], sync: boolean, done: (failure: DiscFailure | undefined) => void): void;
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** Entries with `from <= key < to` in key order, handed over in chunks; the octets belong to the callee. */
  scan(
    from: Uint8Array,
    to: Uint8Array,
    chunk: (entries: readonly (readonly [Uint8Array, Uint8Array])[]) => void,
  ): Promise<void>;
  close(): Promise<void>;
  /** Known once something has been read. Everything before it is there, nothing after it: an older state of the disc. */
  readonly loss?: DiscLoss | undefined;
}

export interface Environment {
  readonly clock: Clock;
  readonly random: Random;
  readonly links: Links;
  readonly disc: Disc;
  /** Runs `run` once at the end of the current turn of the event loop, after every microtask of that turn. */
  endOfTurn(run: () => void): void;
  /** A named step of a protocol. Tests pause or kill the node here; in a peer it does nothing. */
  probe(name: ProbePoint): void;
}

/**
 * Steps at which a test may stop a node, in the order in which they come. Every one of them has a scenario in which a
 * node dies there (test/storage/scenarios/steps.test.ts).
 */
export const PROBE_POINTS = [
  // A commit, at its coordinator.
  'commit.before_prepare',
  'commit.after_prepare_sent',
  'commit.vote_received',
  'commit.refused',
  'commit.confirmation_asked',
  'commit.shortened',
  'commit.decided',
  'commit.after_commit_sent',
  'commit.on_disc',
  'commit.kept',
  // And at a participant.
  'participant.before_vote',
  'participant.waiting',
  'participant.after_vote',
  'participant.refused',
  'participant.before_apply',
  'participant.after_apply',
  'participant.acknowledged',
  // A dirty write, at its writer and at another replica; a survivor hands on what a lost writer told it.
  'dirty.sent',
  'dirty.applied',
  'dirty.handed_on',
  // A participant settles what a lost coordinator left behind.
  'orphan.asked',
  'orphan.before_settle',
  'orphan.settled',
  // A node is lost.
  'down.before_record',
  'down.after_record',
  // A node starts and its tables become active.
  'load.disc_read',
  'load.before_load',
  'load.after_load',
  // A change of the schema, at the node that makes it or asks for it; the node connection transaction brings it to the
  // others, or makes it on all nodes.
  'schema.before_define',
  'schema.after_define',
  'schema.proposed',
  'schema.settled',
  // The node connection transaction: all write on, then they are stopped for the end of it.
  'connect.surveyed',
  'connect.offered',
  'connect.copied',
  'connect.before_lock',
  'connect.locked',
  'connect.before_prepare',
  'connect.prepared',
  'connect.before_apply',
  'connect.after_apply',
  'connect.done',
] as const;

export type ProbePoint = (typeof PROBE_POINTS)[number];
