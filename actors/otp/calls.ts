import { type CallFailure, samePid } from './exit.ts';
import { CALLS_PENDING_MAX } from './limits.ts';
import type { Timer, TimerService } from './timers.ts';
import type { From, Pid } from './types.ts';

export type CallOutcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly reason: CallFailure };

/** A side of a call that may die: its open calls are kept with it. */
export interface CallParty {
  /** Calls it has been asked and not yet answered. */
  readonly asked: Set<number>;
  /** Calls it waits for. */
  readonly waiting: Set<number>;
}

export interface OpenCall {
  readonly id: number;
  readonly from: From;
  readonly caller: CallParty | undefined;
  readonly settle: (outcome: CallOutcome) => void;
  /** Set when the callee is on another node: only that node may answer. */
  node: string | undefined;
  callee: CallParty | undefined;
  timer: Timer | undefined;
}

export interface CallRequest {
  /** The caller's pid, here or on another node. */
  readonly pid: Pid;
  readonly caller: CallParty | undefined;
  /** Milliseconds, or Infinity. */
  readonly timeoutMs: number;
  readonly settle: (outcome: CallOutcome) => void;
}

/**
 * Every call that waits for an answer, by a number that is never used twice. A call ends once: with its answer, with
 * the end of its callee or of the callee's node, with its deadline, or with the end of its caller; whichever comes
 * first takes the timer and the other traces with it.
 */
export class CallTable {
  private readonly timers: TimerService;
  private readonly calls = new Map<number, OpenCall>();
  private ids = 0;
  lateReplies = 0;

  constructor(timers: TimerService) {
    this.timers = timers;
  }

  get pending(): number {
    return this.calls.size;
  }

  get full(): boolean {
    return this.calls.size >= CALLS_PENDING_MAX;
  }

  open(request: CallRequest): OpenCall {
    if (this.full) {
      throw new RangeError(
        `Call refused: ${CALLS_PENDING_MAX} calls already wait for answers on this node. Repeat later.`,
      );
    }
    this.ids += 1;
    const call: OpenCall = {
      id: this.ids,
      from: { pid: request.pid, callId: this.ids },
      caller: request.caller,
      settle: request.settle,
      node: undefined,
      callee: undefined,
      timer: undefined,
    };
    if (request.timeoutMs !== Number.POSITIVE_INFINITY) {
      call.timer = this.timers.after(request.timeoutMs, () => {
        call.timer = undefined;
        this.fail(call.id, 'timeout');
      });
    }
    this.calls.set(call.id, call);
    call.caller?.waiting.add(call.id);
    return call;
  }

  bindCallee(call: OpenCall, callee: CallParty): void {
    call.callee = callee;
    callee.asked.add(call.id);
  }

  find(id: number): OpenCall | undefined {
    return this.calls.get(id);
  }

  /**
   * An answer given on this node. The pid is compared as well: a `From` that strayed here from another node would
   * otherwise answer whichever call has the same number.
   */
  answer(to: From, value: unknown): void {
    const call = this.calls.get(to.callId);
    if (call === undefined || !samePid(call.from.pid, to.pid)) {
      this.lateReplies += 1;
      return;
    }
    this.close(call.id);
    call.settle({ ok: true, value });
  }

  /** A failure given instead of an answer. */
  refuse(to: From, reason: CallFailure): void {
    const call = this.calls.get(to.callId);
    if (call === undefined || !samePid(call.from.pid, to.pid)) this.lateReplies += 1;
    else this.fail(call.id, reason);
  }

  fail(id: number, reason: CallFailure): void {
    this.close(id)?.settle({ ok: false, reason });
  }

  /** The callee is gone: nobody waits for it any longer. */
  failAsked(callee: CallParty, reason: CallFailure): void {
    for (const id of [...callee.asked]) this.fail(id, reason);
  }

  /** The caller is gone: answers to it are late from now on. */
  dropWaiting(caller: CallParty): void {
    for (const id of [...caller.waiting]) this.close(id);
  }

  failWhere(test: (call: OpenCall) => boolean, reason: CallFailure): void {
    for (const call of [...this.calls.values()]) if (test(call)) this.fail(call.id, reason);
  }

  /** Forgets a call without telling its caller, which is gone. */
  close(id: number): OpenCall | undefined {
    const call = this.calls.get(id);
    if (call === undefined) return undefined;
    this.calls.delete(id);
    call.timer?.cancel();
    call.caller?.waiting.delete(id);
    call.callee?.asked.delete(id);
    return call;
  }
}
