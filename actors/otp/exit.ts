import { NAME_LENGTH_MAX } from './limits.ts';
import type { Destination, ExitReason, Pid } from './types.ts';

/** Why a call failed: the callee's exit reason, or what kept the call from ever being answered. */
export type CallFailure = ExitReason | 'timeout' | 'mailbox_full';

const REMEDIES: Partial<Record<string, string>> = {
  noproc: 'No such process is alive: check the name, or wait for its supervisor to start it again.',
  noconnection: 'Its node is not linked: wait for the link, or ask another node.',
  timeout: 'It did not answer in time: it may still do what was asked, so read before you repeat.',
  mailbox_full: 'It has more work than it can take: repeat later.',
  killed: 'It was killed: its supervisor starts it again if it may.',
  shutdown: 'It was stopped in order.',
};

/** What a failed call, start or request to a supervisor rejects with. `reason` tells why; `target` whom it was for. */
export class ExitError extends Error {
  readonly reason: CallFailure;
  readonly target: string;

  constructor(reason: CallFailure, target: string, what = 'Call to') {
    const remedy = typeof reason === 'string' ? REMEDIES[reason] : undefined;
    const cause = typeof reason === 'object' && reason.type === 'error' ? reason.error : undefined;
    super(
      `${what} ${target} failed: ${describeReason(reason)}.${remedy === undefined ? '' : ` ${remedy}`}`,
      cause === undefined ? undefined : { cause },
    );
    this.name = 'ExitError';
    this.reason = reason;
    this.target = target;
  }
}

export function errorReason(error: unknown): ExitReason {
  return { type: 'error', error };
}

/** OTP's three orderly reasons: a transient child is not started again after them, and nobody reports a crash. */
export function isOrderly(reason: ExitReason): boolean {
  return reason === 'normal' || reason === 'shutdown' || (typeof reason === 'object' && reason.type === 'shutdown');
}

/** Never throws: what a process threw may be an object that throws when it is looked at. */
export function describeReason(reason: CallFailure): string {
  try {
    if (typeof reason === 'string') return reason;
    if (reason.type === 'error') return describeError(reason.error);
    return `shutdown: ${describeDetail(reason.detail)}`;
  } catch (error) {
    return `something that cannot be shown (${typeof error})`;
  }
}

function describeError(error: unknown): string {
  if (error instanceof Error) return `${error.name}: ${error.message}`;
  return describeDetail(error);
}

function describeDetail(detail: unknown): string {
  if (typeof detail === 'string') return detail;
  if (detail instanceof Error) return describeError(detail);
  if (isReason(detail)) return describeReason(detail);
  if (typeof detail === 'object' && detail !== null && 'text' in detail) return String(detail.text);
  return typeof detail === 'object' ? 'an object' : String(detail);
}

const REASON_WORDS = new Set<unknown>(['normal', 'shutdown', 'kill', 'killed', 'noproc', 'noconnection']);

/** Is `value` one of the words an exit reason may be? Only a bare word: objects come in by their own doors. */
export function isReasonWord(value: unknown): value is Extract<ExitReason, string> {
  return REASON_WORDS.has(value);
}

export function isReason(value: unknown): value is ExitReason {
  if (isReasonWord(value)) return true;
  if (typeof value !== 'object' || value === null || !('type' in value)) return false;
  return (value.type === 'shutdown' && 'detail' in value) || (value.type === 'error' && 'error' in value);
}

export function isPid(value: unknown): value is Pid {
  return (
    typeof value === 'object' &&
    value !== null &&
    'serial' in value &&
    Number.isSafeInteger(value.serial) &&
    'node' in value &&
    typeof value.node === 'string'
  );
}

export function samePid(a: Pid, b: Pid): boolean {
  return a.serial === b.serial && a.node === b.node && (a.incarnation ?? 0) === (b.incarnation ?? 0);
}

export function describeDestination(to: Destination): string {
  if (typeof to === 'string') return to;
  if (isPid(to)) return to.text;
  return `${to.name} on ${to.node}`;
}

/** A name people and programs give: registered names, child ids, timers, monitors. */
export function assertName(name: unknown, what: string): asserts name is string {
  if (typeof name === 'string' && name.length > 0 && name.length <= NAME_LENGTH_MAX) return;
  throw new TypeError(
    `${what} must be a text of 1 to ${NAME_LENGTH_MAX} characters, this one is ${
      typeof name === 'string' ? `${name.length} characters long` : `of type ${typeof name}`
    }. Give it a short, unique name.`,
  );
}
