import type { CallParty, OpenCall } from './calls.ts';
import { errorReason } from './exit.ts';
import { type Address, decodeFrame, encodeFrame, type Frame } from './frames.ts';
import { REMOTE_CALLS_PER_NODE_MAX, REMOTE_MONITORS_PER_NODE_MAX } from './limits.ts';
import type { Monitor } from './monitors.ts';
import type { Kernel, Process } from './process.ts';
import { badFrame } from './reports.ts';
import type { Pid, RemoteTransport } from './types.ts';

/**
 * One linked node, for as long as that link lasts. A new link makes a new one, so that an answer meant for the node's
 * earlier life never reaches its next. As a party of calls it stands for all its callers.
 */
class Peer implements CallParty {
  readonly node: string;
  readonly asked = new Set<number>();
  readonly waiting = new Set<number>();
  /** Monitors held here on processes there, by our number. */
  readonly watching = new Map<number, Monitor>();
  /** Monitors held there on processes here, by their number. */
  readonly watched = new Map<number, Monitor>();
  badFrames = 0;

  constructor(node: string) {
    this.node = node;
  }
}

/** Actors on other nodes: messages, calls and monitors over the transport, and their end when a link is lost. */
export class RemoteNodes {
  private readonly kernel: Kernel;
  private readonly transport: RemoteTransport;
  private readonly find: (address: Address) => Process | undefined;
  private readonly self: Pid;
  private readonly peers = new Map<string, Peer>();
  private refs = 0;
  badFrames = 0;

  constructor(kernel: Kernel, transport: RemoteTransport, self: Pid, find: (address: Address) => Process | undefined) {
    this.kernel = kernel;
    this.transport = transport;
    this.self = self;
    this.find = find;
  }

  open(): void {
    this.transport.setHandlers({
      up: (node) => this.lost(node),
      down: (node) => this.lost(node),
      message: (node, message) => this.receive(node, message),
    });
  }

  send(node: string, kind: 'send' | 'cast', to: Address, message: unknown): void {
    if (!this.transmit(node, { kind, to, message })) this.kernel.deadLetters('noconnection', 1);
  }

  call(call: OpenCall, node: string, to: Address, timeoutMs: number, message: unknown): void {
    call.node = node;
    const { serial } = call.from.pid;
    const sent = this.transmit(node, { kind: 'call', callId: call.id, serial, to, timeoutMs, message });
    if (!sent) this.kernel.calls.fail(call.id, 'noconnection');
  }

  monitor(node: string, to: Address, monitor: Monitor): void {
    this.refs += 1;
    const ref = this.refs;
    if (!this.transmit(node, { kind: 'monitor', ref, to })) {
      monitor.fire(undefined, 'noconnection');
      return;
    }
    const peer = this.peer(node);
    peer.watching.set(ref, monitor);
    monitor.release = () => {
      if (peer.watching.delete(ref)) this.transmit(node, { kind: 'demonitor', ref });
    };
  }

  /** False when there is no link, or the frame cannot be carried: then the message is the reason and it is logged. */
  private transmit(node: string, frame: Frame): boolean {
    if (!this.transport.isUp(node)) return false;
    try {
      this.transport.send(node, encodeFrame(frame));
      return true;
    } catch (error) {
      this.log(node, `could not be sent: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
  }

  private peer(node: string): Peer {
    let peer = this.peers.get(node);
    if (peer === undefined) {
      peer = new Peer(node);
      this.peers.set(node, peer);
    }
    return peer;
  }

  /** Also on `up`: whatever is still held of an earlier link is of a link that is gone. */
  private lost(node: string): void {
    const peer = this.peers.get(node);
    this.peers.delete(node);
    this.kernel.calls.failWhere((call) => call.node === node, 'noconnection');
    if (peer === undefined) return;
    this.kernel.calls.dropWaiting(peer);
    const watching = [...peer.watching.values()];
    peer.watching.clear();
    for (const monitor of peer.watched.values()) monitor.release();
    peer.watched.clear();
    for (const monitor of watching) monitor.fire(undefined, 'noconnection');
  }

  private receive(node: string, message: unknown): void {
    const peer = this.peer(node);
    const frame = decodeFrame(message);
    const problem = typeof frame === 'string' ? frame : this.take(peer, frame);
    if (problem === undefined) return;
    this.badFrames += 1;
    peer.badFrames += 1;
    // One line for the first of a link: a peer that sends rubbish must not fill the log as well.
    if (peer.badFrames === 1) this.log(node, problem);
  }

  /** What is wrong with the frame, if anything. */
  private take(peer: Peer, frame: Frame): string | undefined {
    switch (frame.kind) {
      case 'send':
      case 'cast':
        this.deliver(frame);
        return undefined;
      case 'call':
        this.takeCall(peer, frame);
        return undefined;
      case 'reply':
      case 'fail':
        return this.takeAnswer(peer, frame);
      case 'monitor':
        return this.takeMonitor(peer, frame.ref, frame.to);
      case 'demonitor':
        peer.watched.get(frame.ref)?.release();
        peer.watched.delete(frame.ref);
        return undefined;
      case 'down': {
        const monitor = peer.watching.get(frame.ref);
        peer.watching.delete(frame.ref);
        monitor?.fire(pidThere(peer.node, frame.process), frame.reason);
        return undefined;
      }
    }
  }

  private deliver(frame: Extract<Frame, { kind: 'send' | 'cast' }>): void {
    const process = this.find(frame.to);
    if (process === undefined) this.kernel.deadLetters('noproc', 1);
    else process.post({ kind: frame.kind === 'cast' ? 'cast' : 'info', message: frame.message });
  }

  private takeCall(peer: Peer, frame: Extract<Frame, { kind: 'call' }>): void {
    const { calls } = this.kernel;
    const { callId } = frame;
    const fail = (reason: 'noproc' | 'mailbox_full'): void => {
      this.transmit(peer.node, { kind: 'fail', callId, reason });
    };
    const process = this.find(frame.to);
    if (process === undefined) {
      fail('noproc');
      return;
    }
    if (peer.waiting.size >= REMOTE_CALLS_PER_NODE_MAX || calls.full) {
      fail('mailbox_full');
      return;
    }
    const call = calls.open({
      pid: { node: peer.node, serial: frame.serial, text: `<0.${frame.serial}.0>` },
      caller: peer,
      timeoutMs: frame.timeoutMs,
      settle: (outcome) => {
        if (outcome.ok) this.answer(peer.node, callId, outcome.value);
        // The caller has a deadline of its own and does not need to be told.
        else if (outcome.reason !== 'timeout') {
          this.transmit(peer.node, { kind: 'fail', callId, reason: outcome.reason });
        }
      },
    });
    calls.bindCallee(call, process);
    if (!process.post({ kind: 'call', message: frame.message, from: call.from })) calls.fail(call.id, 'mailbox_full');
  }

  private answer(node: string, callId: number, value: unknown): void {
    if (this.transmit(node, { kind: 'reply', callId, value })) return;
    const reason = errorReason(new Error('The answer could not be sent over the link.'));
    this.transmit(node, { kind: 'fail', callId, reason });
  }

  private takeAnswer(peer: Peer, frame: Extract<Frame, { kind: 'reply' | 'fail' }>): string | undefined {
    const { calls } = this.kernel;
    const call = calls.find(frame.callId);
    if (call === undefined) {
      calls.lateReplies += 1;
      return undefined;
    }
    if (call.node !== peer.node) return 'an answer to a call that went elsewhere';
    if (frame.kind === 'reply') calls.answer(call.from, frame.value);
    else calls.fail(call.id, frame.reason);
    return undefined;
  }

  private takeMonitor(peer: Peer, ref: number, to: Address): string | undefined {
    if (peer.watched.has(ref)) return 'a monitor number used twice';
    if (peer.watched.size >= REMOTE_MONITORS_PER_NODE_MAX) return 'too many monitors';
    const process = this.find(to);
    if (process === undefined) {
      this.transmit(peer.node, { kind: 'down', ref, reason: 'noproc', process: undefined });
      return undefined;
    }
    const monitor: Monitor = {
      name: String(ref),
      active: true,
      release: () => process.watchers.delete(monitor),
      fire: (pid, reason) => {
        if (!peer.watched.delete(ref)) return;
        const address = pid === undefined ? undefined : { serial: pid.serial, incarnation: pid.incarnation ?? 0 };
        this.transmit(peer.node, { kind: 'down', ref, reason, process: address });
      },
    };
    process.watchers.add(monitor);
    peer.watched.set(ref, monitor);
    return undefined;
  }

  private log(node: string, problem: string): void {
    this.kernel.log(badFrame({ node: this.kernel.node, pid: this.self }, node, problem));
  }
}

function pidThere(node: string, address: Address | undefined): Pid | undefined {
  if (address === undefined || typeof address === 'string') return undefined;
  return { node, serial: address.serial, text: `<0.${address.serial}.0>`, incarnation: address.incarnation };
}
