/** Every limit of the actor host, with its name. What goes beyond one is refused with this name in the message. */

/** Messages a mailbox holds unless its specification says otherwise. */
export const MAILBOX_MAX_DEFAULT = 10_000;
/** Largest bound a specification may ask for. */
export const MAILBOX_MAX_LIMIT = 1_000_000;
/** A process yields after this many messages … */
export const TURN_MESSAGES_MAX = 256;
/** … or after about this long, whichever comes first. */
export const TURN_MS = 1;
export const CALL_TIMEOUT_MS_DEFAULT = 5_000;
/** Longest wait a timer or a call may ask for (30 days); a call may also wait without limit. */
export const DELAY_MS_MAX = 30 * 24 * 3_600_000;
/** One hop of a long timer: timers of the operating system wrap at 2^31 ms and would fire at once. */
export const TIMER_HOP_MS = 2 ** 30;
export const TIMERS_PER_PROCESS_MAX = 10_000;
export const WORKERS_PER_PROCESS_MAX = 1_000;
export const MONITORS_PER_PROCESS_MAX = 10_000;
export const CALLS_PENDING_MAX = 100_000;
/** Characters of a registered name, a child id, a timer or monitor name. */
export const NAME_LENGTH_MAX = 255;
export const CHILDREN_PER_SUPERVISOR_MAX = 100_000;
/** Supervisors below supervisors: deeper trees are a mistake in a specification. */
export const SUPERVISION_DEPTH_MAX = 32;
export const INTENSITY_MAX = 1_000_000;
/** Shutdown time-out of a worker child that names none, as OTP. */
export const SHUTDOWN_MS_DEFAULT = 5_000;
export const RESTART_INTENSITY_DEFAULT = 1;
export const RESTART_PERIOD_MS_DEFAULT = 5_000;
/** Calls of one other node that wait for an answer here at the same time. */
export const REMOTE_CALLS_PER_NODE_MAX = 10_000;
/** Monitors one other node holds on processes here. */
export const REMOTE_MONITORS_PER_NODE_MAX = 10_000;
/** Characters of an error's text that travel to another node. */
export const REMOTE_REASON_LENGTH_MAX = 1_000;
