/**
 * Every limit of the network layer, with its name. What a stranger can make a peer hold is bounded by the first group;
 * what a linked peer can, by the second.
 */

// What somebody who has not proved the cluster key can cost.
/** Connections between accept and the end of the handshake, all sources together. */
export const PENDING_CONNECTIONS_MAX = 64;
/** The same, from one address. */
export const PENDING_PER_SOURCE_MAX = 12;
/** The same, from addresses no row resolves to, all together: strangers cannot keep peers out. */
export const PENDING_STRANGERS_MAX = 8;
/** Octets of an HTTP request or response head. */
export const UPGRADE_HEADER_BYTES_MAX = 4096;
/** Octets on the wire between the upgrade and the end of the handshake. */
export const HANDSHAKE_BYTES_MAX = 4096;
/** Sources a burst log remembers one by one; what comes beyond is counted together. */
export const BURST_SOURCES_MAX = 256;
/** A burst is over when nothing came for this long … */
export const BURST_QUIET_MS = 10_000;
/** … or when it has lasted this long: a summary is due, and the count starts again. */
export const BURST_LENGTH_MS_MAX = 60_000;

// What one frame, one link and one turn may cost.
export const FRAME_BYTES_MAX = 16 * 1024 * 1024;
/** All messages of one turn share a frame up to this size; then the next frame begins. */
export const FRAME_TARGET_BYTES = 256 * 1024;
export const BACKLOG_BYTES_MAX = 64 * 1024 * 1024;
/** A receiver acknowledges at the latest after so many frames or octets; ticks acknowledge the rest. */
export const ACK_FRAMES_MAX = 32;
export const ACK_BYTES_MAX = 128 * 1024;
/** Frames held in the fault layer or below for a link that is cut are counted in the link's backlog. */
export const GOODBYE_BYTES_MAX = 256;

// Dialling.
/** Source ports tried for one dial before it is given up. */
export const SOURCE_PORT_TRIES_MAX = 24;
export const BACK_OFF_FIRST_MS = 250;
/** Half of the time a heal may take: a dial that was given up just before it must not be the reason for more. */
export const BACK_OFF_LAST_MS = 1000;
/**
 * Pause before the second try to resume a broken link, doubling up to the last. A process that is being killed loses its
 * links a moment before its listener: the first dial may still be accepted and reset, the next one is refused.
 */
export const RESUME_RETRY_FIRST_MS = 4;
export const RESUME_RETRY_LAST_MS = 64;
/** How long close() waits for goodbyes to leave. */
export const GOODBYE_WAIT_MS = 500;

export const NODE_ID_LENGTH_MAX = 128;
export const NODE_NAME_LENGTH_MAX = 320;
export const ROUND_TRIP_SAMPLES = 5;
export const CERTIFICATE_CHAIN_MAX = 8;
/** Fewer octets than this are not a key but a password. */
export const CLUSTER_KEY_BYTES_MIN = 32;
