import { type CallFailure, describeReason, isReasonWord } from './exit.ts';
import { DELAY_MS_MAX, NAME_LENGTH_MAX, REMOTE_REASON_LENGTH_MAX } from './limits.ts';
import type { ExitReason } from './types.ts';

/**
 * What actors of two nodes say to each other, as arrays `[kind, …]`. Everything that comes in is checked here, field
 * by field, before anything else looks at it; messages themselves are the business of the actor they are for.
 */

/** A process on the other node: its registered name, or the two numbers that make its pid unique there. */
export type Address = string | { readonly serial: number; readonly incarnation: number };

export type Frame =
  | { readonly kind: 'send'; readonly to: Address; readonly message: unknown }
  | { readonly kind: 'cast'; readonly to: Address; readonly message: unknown }
  | {
      readonly kind: 'call';
      readonly callId: number;
      /** Serial of the calling process. */
      readonly serial: number;
      readonly to: Address;
      /** When the caller will have stopped waiting; Infinity: never. */
      readonly timeoutMs: number;
      readonly message: unknown;
    }
  | { readonly kind: 'reply'; readonly callId: number; readonly value: unknown }
  | { readonly kind: 'fail'; readonly callId: number; readonly reason: CallFailure }
  | { readonly kind: 'monitor'; readonly ref: number; readonly to: Address }
  | { readonly kind: 'demonitor'; readonly ref: number }
  | { readonly kind: 'down'; readonly ref: number; readonly reason: ExitReason; readonly process: Address | undefined };

/** An error of a process on another node: its text travels, nothing else of it does. */
export class RemoteError extends Error {
  constructor(text: string) {
    super(text);
    this.name = 'RemoteError';
  }
}

export function encodeFrame(frame: Frame): readonly unknown[] {
  switch (frame.kind) {
    case 'send':
    case 'cast':
      return [frame.kind, encodeAddress(frame.to), frame.message];
    case 'call': {
      const timeoutMs = frame.timeoutMs === Number.POSITIVE_INFINITY ? -1 : frame.timeoutMs;
      return ['call', frame.callId, frame.serial, encodeAddress(frame.to), timeoutMs, frame.message];
    }
    case 'reply':
      return ['reply', frame.callId, frame.value];
    case 'fail':
      return ['fail', frame.callId, encodeReason(frame.reason)];
    case 'monitor':
      return ['monitor', frame.ref, encodeAddress(frame.to)];
    case 'demonitor':
      return ['demonitor', frame.ref];
    case 'down':
      return [
        'down',
        frame.ref,
        encodeReason(frame.reason),
        frame.process === undefined ? null : encodeAddress(frame.process),
      ];
  }
}

/** The frame, or what is wrong with it. */
export function decodeFrame(value: unknown): Frame | string {
  if (!Array.isArray(value)) return 'not a list';
  const fields: readonly unknown[] = value;
  const kind = fields[0];
  switch (kind) {
    case 'send':
    case 'cast':
      return decodeMessage(kind, fields);
    case 'call':
      return decodeCall(fields);
    case 'reply':
      if (fields.length !== 3 || !isNumber(fields[1])) return 'malformed reply';
      return { kind, callId: fields[1], value: fields[2] };
    case 'fail': {
      const reason = decodeFailure(fields[2]);
      if (fields.length !== 3 || !isNumber(fields[1]) || reason === undefined) return 'malformed fail';
      return { kind, callId: fields[1], reason };
    }
    case 'monitor': {
      const to = decodeAddress(fields[2]);
      if (fields.length !== 3 || !isNumber(fields[1]) || to === undefined) return 'malformed monitor';
      return { kind, ref: fields[1], to };
    }
    case 'demonitor':
      if (fields.length !== 2 || !isNumber(fields[1])) return 'malformed demonitor';
      return { kind, ref: fields[1] };
    case 'down':
      return decodeDown(fields);
    default:
      return 'unknown kind';
  }
}

function decodeMessage(kind: 'send' | 'cast', fields: readonly unknown[]): Frame | string {
  const to = decodeAddress(fields[1]);
  if (fields.length !== 3 || to === undefined) return `malformed ${kind}`;
  if (kind === 'send' && isHostInfo(fields[2])) return 'a message only the host itself sends';
  return { kind, to, message: fields[2] };
}

function decodeCall(fields: readonly unknown[]): Frame | string {
  const [, callId, serial, address, timeout, message] = fields;
  const to = decodeAddress(address);
  if (fields.length !== 6 || !isNumber(callId) || !isNumber(serial) || to === undefined) return 'malformed call';
  if (typeof timeout !== 'number' || !(timeout === -1 || (timeout >= 0 && timeout <= DELAY_MS_MAX))) {
    return 'call with an impossible timeout';
  }
  const timeoutMs = timeout === -1 ? Number.POSITIVE_INFINITY : timeout;
  return { kind: 'call', callId, serial, to, timeoutMs, message };
}

function decodeDown(fields: readonly unknown[]): Frame | string {
  const reason = decodeReason(fields[2]);
  const process = fields[3] === null || fields[3] === undefined ? undefined : decodeAddress(fields[3]);
  const badProcess = process === undefined && fields[3] !== null && fields[3] !== undefined;
  if (fields.length !== 4 || !isNumber(fields[1]) || reason === undefined || badProcess) return 'malformed down';
  return { kind: 'down', ref: fields[1], reason, process };
}

function encodeAddress(address: Address): unknown {
  return typeof address === 'string' ? address : [address.serial, address.incarnation];
}

function decodeAddress(value: unknown): Address | undefined {
  if (typeof value === 'string') return value.length > 0 && value.length <= NAME_LENGTH_MAX ? value : undefined;
  if (!Array.isArray(value) || value.length !== 2) return undefined;
  const [serial, incarnation]: unknown[] = value;
  return isNumber(serial) && isNumber(incarnation) ? { serial, incarnation } : undefined;
}

function encodeReason(reason: CallFailure): unknown {
  if (typeof reason === 'string') return reason;
  return [reason.type, describeReason(reason).slice(0, REMOTE_REASON_LENGTH_MAX)];
}

function decodeFailure(value: unknown): CallFailure | undefined {
  return value === 'timeout' || value === 'mailbox_full' ? value : decodeReason(value);
}

function decodeReason(value: unknown): ExitReason | undefined {
  if (isReasonWord(value)) return value;
  if (!Array.isArray(value) || value.length !== 2) return undefined;
  const [type, text]: unknown[] = value;
  if (typeof text !== 'string' || text.length > REMOTE_REASON_LENGTH_MAX) return undefined;
  if (type === 'shutdown') return { type, detail: text };
  return type === 'error' ? { type, error: new RemoteError(text) } : undefined;
}

/** A message that looks like the host's own would let another node fake a timeout or a death. */
function isHostInfo(message: unknown): boolean {
  if (typeof message !== 'object' || message === null || !('type' in message)) return false;
  return message.type === 'timeout' || message.type === 'worker' || message.type === 'DOWN';
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
