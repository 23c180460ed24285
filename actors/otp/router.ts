import type { CallOutcome } from './calls.ts';
import { describeDestination, isPid } from './exit.ts';
import type { Address } from './frames.ts';
import type { Envelope } from './mailbox.ts';
import type { ProcessMonitors } from './monitors.ts';
import type { Kernel, Process, Router } from './process.ts';
import type { RemoteNodes } from './remote.ts';
import { assertDelay } from './timers.ts';
import type { Destination, ExitReason, From, Pid } from './types.ts';

type Target =
  | { readonly here: true; readonly process: Process | undefined }
  | { readonly here: false; readonly node: string; readonly address: Address };

/** Finds the process a destination means, here or on another node, and hands over. */
export class MessageRouter implements Router {
  private readonly kernel: Kernel;
  private readonly processes: ReadonlyMap<number, Process>;
  /** The pid calls from outside any process go by. */
  private readonly outside: Pid;
  private readonly incarnation: number;
  remote: RemoteNodes | undefined;

  constructor(kernel: Kernel, processes: ReadonlyMap<number, Process>, outside: Pid) {
    this.kernel = kernel;
    this.processes = processes;
    this.outside = outside;
    this.incarnation = outside.incarnation ?? 0;
  }

  send(to: Destination, message: unknown): void {
    const target = this.locate(to);
    if (target.here) this.post(target.process, { kind: 'info', message });
    else this.away(target.node, 'send', target.address, message);
  }

  cast(to: Destination, message: unknown): void {
    const target = this.locate(to);
    if (target.here) this.post(target.process, { kind: 'cast', message });
    else this.away(target.node, 'cast', target.address, message);
  }

  call(
    caller: Process | undefined,
    to: Destination,
    message: unknown,
    timeoutMs: number,
    settle: (outcome: CallOutcome) => void,
  ): void {
    if (timeoutMs !== Number.POSITIVE_INFINITY)
      assertDelay(timeoutMs, `The timeout of a call to ${describeDestination(to)}`);
    const target = this.locate(to);
    if (target.here && target.process === undefined) {
      settle({ ok: false, reason: 'noproc' });
      return;
    }
    const { calls } = this.kernel;
    const call = calls.open({ pid: caller?.pid ?? this.outside, caller, timeoutMs, settle });
    if (!target.here) {
      if (this.remote === undefined) calls.fail(call.id, 'noconnection');
      else this.remote.call(call, target.node, target.address, timeoutMs, message);
    } else if (target.process !== undefined) {
      calls.bindCallee(call, target.process);
      const fits = target.process.post({ kind: 'call', message, from: call.from });
      if (!fits) calls.fail(call.id, 'mailbox_full');
    }
  }

  reply(to: From, value: unknown): void {
    assertFrom(to);
    this.kernel.calls.answer(to, value);
  }

  refuse(to: From, reason: ExitReason): void {
    this.kernel.calls.refuse(to, reason);
  }

  monitor(monitors: ProcessMonitors, to: Destination, name: string): void {
    const target = this.locate(to);
    const monitor = monitors.add(name);
    if (!target.here) {
      if (this.remote === undefined) monitor.fire(undefined, 'noconnection');
      else this.remote.monitor(target.node, target.address, monitor);
      return;
    }
    const { process } = target;
    if (process === undefined) {
      monitor.fire(isPid(to) ? to : undefined, 'noproc');
      return;
    }
    process.watchers.add(monitor);
    monitor.release = () => process.watchers.delete(monitor);
  }

  exit(to: Destination, reason: ExitReason): void {
    const target = this.locate(to);
    if (!target.here) {
      throw new TypeError(
        `exit reaches processes of this node only, not ${describeDestination(to)}. Ask an actor there.`,
      );
    }
    target.process?.signal(undefined, reason);
  }

  /** A process of this node by what a frame from another node names. */
  find(address: Address): Process | undefined {
    if (typeof address === 'string') return this.kernel.registry.whereis(address);
    return address.incarnation === this.incarnation ? this.processes.get(address.serial) : undefined;
  }

  private post(process: Process | undefined, envelope: Envelope): void {
    if (process === undefined) this.kernel.deadLetters('noproc', 1);
    else process.post(envelope);
  }

  private away(node: string, kind: 'send' | 'cast', address: Address, message: unknown): void {
    if (this.remote === undefined) this.kernel.deadLetters('noconnection', 1);
    else this.remote.send(node, kind, address, message);
  }

  private locate(to: Destination): Target {
    if (typeof to === 'string') return { here: true, process: this.kernel.registry.whereis(to) };
    if (isPid(to)) {
      const address = { serial: to.serial, incarnation: to.incarnation ?? 0 };
      if (to.node !== this.kernel.node) return { here: false, node: to.node, address };
      return { here: true, process: this.find(address) };
    }
    if (typeof to === 'object' && to !== null && typeof to.name === 'string' && typeof to.node === 'string') {
      if (to.node !== this.kernel.node) return { here: false, node: to.node, address: to.name };
      return { here: true, process: this.kernel.registry.whereis(to.name) };
    }
    throw new TypeError('A destination is a pid, a registered name, or { name, node }. This is none of them.');
  }
}

function assertFrom(to: From): void {
  if (typeof to === 'object' && to !== null && Number.isSafeInteger(to.callId) && isPid(to.pid)) return;
  throw new TypeError('A reply goes to the From that handleCall was given. This is something else.');
}
