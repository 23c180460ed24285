/**
 * The links of one peer to all others: TLS WebSockets on the cluster port, one per pair of peers, carrying the messages
 * of the database (`db`) and of the actors (`otp`). This is the only class the peer's composition root needs.
 */
import type { RemoteTransport } from '../../actors/otp/types.ts';
import type { Links, TimerHandle } from '../../storage/environment.ts';
import { Acceptor } from './acceptor.ts';
import { BurstLogger } from './burst-logger.ts';
import { Channels, remoteTransport } from './channels.ts';
import type { ChannelName } from './frame-codec.ts';
import { BACKLOG_BYTES_MAX, FRAME_BYTES_MAX } from './limits.ts';
import { LinkKeeper } from './link-keeper.ts';
import { type ClusterLinksOptions, checkOptions, checkPeers } from './link-options.ts';
import { linkRecord } from './log-records.ts';
import type { PeerLink } from './peer-link.ts';
import type { LinkStatus } from './peer-row.ts';
import type { PeerAddress } from './row-match.ts';
import { secureContextOf, type Transport } from './transport.ts';

/** Ticks in one net_ticktime: a link is silent only after several were missed. */
const TICKS_PER_TICKTIME = 4;

export class ClusterLinks {
  readonly #options: ClusterLinksOptions;
  readonly #channels: Channels;
  readonly #keeper: LinkKeeper;
  readonly #acceptor: Acceptor;
  readonly #bursts: BurstLogger;
  readonly #listeners = new Set<() => void>();
  readonly #toFlush = new Set<PeerLink>();
  readonly #backlogBytesMax: number;
  #port: number;
  #tickTimer: TimerHandle | undefined;
  #lastTickMs: number;
  #isFlushDue = false;
  #isStatusChangeDue = false;
  #closing: Promise<void> | undefined;

  private constructor(options: ClusterLinksOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#backlogBytesMax = options.backlogBytesMax ?? BACKLOG_BYTES_MAX;
    this.#lastTickMs = options.clock.monotonicMs();
    const transport = this.#transportOf(options);
    this.#bursts = new BurstLogger({
      clock: options.clock,
      log: (record) => options.log(record),
      record: (level, detail, fields) => linkRecord(options.nodeName, level, detail, fields),
    });
    this.#channels = new Channels({
      send: (channel, node, message) => this.#send(channel, node, message),
      isUp: (node) => this.#keeper.links.has(node),
      backlogBytes: (node) => this.#keeper.links.get(node)?.backlogBytes ?? 0,
      drop: (node, reason) => this.#drop(node, reason),
      upNodes: () => [...this.#keeper.links.values()].map((link) => [link.node, link.info] as const),
    });
    this.#keeper = new LinkKeeper({
      options,
      transport,
      channels: this.#channels,
      deliver: (link, channel, message) => this.#channels.message(channel, link.node, message),
      overslept: () => this.#overslept(),
      statusChanged: () => this.#statusChanged(),
    });
    this.#acceptor = this.#createAcceptor(transport);
  }

  /** Opens the cluster port. Nobody is dialled or let in before setPeers. */
  static async open(options: ClusterLinksOptions): Promise<ClusterLinks> {
    checkOptions(options);
    const links = new ClusterLinks(options);
    links.#port = await links.#acceptor.listen(options.port);
    links.#tick();
    return links;
  }

  /** The port listened on. */
  get port(): number {
    return this.#port;
  }

  /** Connections that have not finished their handshake. */
  get pendingConnections(): number {
    return this.#acceptor.pendingCount;
  }

  /**
   * The rows of the peer list without this system's own. Rows with an address are dialled; links of rows that are gone
   * are dropped, in Enforcing mode also those whose certificate does not fit their row any more.
   */
  setPeers(rows: readonly PeerAddress[]): void {
    checkPeers(rows);
    if (this.#closing === undefined) this.#keeper.setPeers(rows);
  }

  /**
   * Storage's port. A message for a node without a link vanishes. One that msgpack cannot carry throws a TypeError, one
   * longer than a frame a RangeError. Messages that arrive before handlers are set are lost.
   */
  channel(name: ChannelName): Links {
    return this.#channels.links(name);
  }

  /** The actors' transport, by node name, over channel `otp`. Take it once: it replaces that channel's handlers. */
  remote(): RemoteTransport {
    return remoteTransport(this.channel('otp'));
  }

  status(): readonly LinkStatus[] {
    const wallMs = this.#options.clock.wallMs();
    return [...this.#keeper.rows.values()].map((row) => row.status(this.#keeper.linkOfRow(row), wallMs));
  }

  /** Called at the end of a turn in which something of `status` other than counters and times changed. */
  onStatusChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Sends what is queued and a goodbye on every link, then closes everything. No handler is called any more. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#tickTimer !== undefined) this.#options.clock.cancel(this.#tickTimer);
    this.#channels.close();
    this.#listeners.clear();
    this.#keeper.close();
    const goodbyes = [...this.#keeper.links.values()].map((link) => link.finish('goodbye', 'stopping'));
    await Promise.all([this.#acceptor.close(), ...goodbyes]);
    this.#keeper.links.clear();
    this.#bursts.close();
  }

  #transportOf(options: ClusterLinksOptions): Transport {
    const port = () => this.#port;
    return {
      identity: {
        nodeId: options.nodeId,
        name: options.nodeName,
        incarnation: options.incarnation,
        // Known only once listening, when the system was asked to choose.
        get port() {
          return port();
        },
      },
      bindAddress: options.bindAddress,
      sourcePorts: options.sourcePorts,
      clusterKey: Uint8Array.from(options.clusterKey),
      ...secureContextOf(options.certificate, options.privateKey, options.trustedAuthorities),
      frameBytesMax: options.frameBytesMax ?? FRAME_BYTES_MAX,
      handshakeTimeoutMs: options.handshakeTimeoutMs ?? options.netTicktimeMs,
      clock: options.clock,
      random: options.random,
      faults: options.faults,
    };
  }

  #createAcceptor(transport: Transport): Acceptor {
    const hooks = {
      isRowAddress: (address: string) => this.#keeper.isRowAddress(address),
      judge: (...question: Parameters<LinkKeeper['judgeIncoming']>) => this.#keeper.judgeIncoming(...question),
      answer: (...question: Parameters<LinkKeeper['answer']>) => this.#keeper.answer(...question),
      established: (...result: Parameters<LinkKeeper['accepted']>) => this.#keeper.accepted(...result),
      failed: (...result: Parameters<LinkKeeper['acceptFailed']>) => this.#keeper.acceptFailed(...result),
    };
    return new Acceptor(transport, hooks, this.#bursts);
  }

  #send(channel: ChannelName, node: string, message: unknown): void {
    const link = this.#keeper.links.get(node);
    if (link === undefined) return;
    link.enqueue(channel, message);
    if (link.heldBytes > this.#backlogBytesMax) {
      const text = `${link.identity.name} does not take its messages: more than ${this.#backlogBytesMax} octets wait for it`;
      this.#keeper.down(link, 'dropped', { code: 'backlog', text }, { deferred: true });
      return;
    }
    // The database sends once, at the end of its turn: a frame that waited for another end would cost it a whole turn.
    if (channel === 'db') this.#flushSoon();
    else if (this.#toFlush.size === 0) setImmediate(() => this.#flush());
    this.#toFlush.add(link);
  }

  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(() => {
      this.#isFlushDue = false;
      this.#flush();
    });
  }

  /** Everything sent in a turn leaves in one frame per link. */
  #flush(): void {
    const links = [...this.#toFlush];
    this.#toFlush.clear();
    for (const link of links) link.flush();
  }

  #drop(node: string, reason: string): void {
    const link = this.#keeper.links.get(node);
    if (link === undefined) return;
    const failure = { code: 'dropped', text: `the link to ${link.identity.name} was dropped here: ${reason}` } as const;
    this.#keeper.down(link, 'dropped', failure, { deferred: true, lastWord: reason });
  }

  #tick(): void {
    const { clock, netTicktimeMs } = this.#options;
    this.#tickTimer = clock.after(netTicktimeMs / TICKS_PER_TICKTIME, () => this.#tick());
    if (this.#overslept()) return;
    const nowMs = clock.monotonicMs();
    this.#lastTickMs = nowMs;
    for (const link of [...this.#keeper.links.values()]) {
      if (!link.isConnected) continue;
      if (nowMs - link.lastHeardMs > netTicktimeMs) {
        const text = `nothing was heard of ${link.identity.name} for ${netTicktimeMs} ms`;
        this.#keeper.down(link, 'silent', { code: 'silent', text });
      } else link.tick();
    }
  }

  /**
   * A process that was stopped, or whose turns took too long, has been given up by the others although its sockets hold
   * octets. It must find out before it believes any of them. Asked before everything that comes from outside.
   */
  #overslept(): boolean {
    const { clock, netTicktimeMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const gapMs = nowMs - this.#lastTickMs;
    if (gapMs <= netTicktimeMs) return false;
    this.#lastTickMs = nowMs;
    const detail = `This peer did not run for ${Math.round(gapMs)} ms; the others have given up its links, so it does too`;
    this.#options.log(linkRecord(this.#options.nodeName, 'WARN', detail));
    for (const link of [...this.#keeper.links.values()]) {
      this.#keeper.down(link, 'silent', { code: 'silent', text: `this peer did not run for ${Math.round(gapMs)} ms` });
    }
    return true;
  }

  #statusChanged(): void {
    if (this.#isStatusChangeDue || this.#closing !== undefined) return;
    this.#isStatusChangeDue = true;
    setImmediate(() => {
      this.#isStatusChangeDue = false;
      for (const listener of [...this.#listeners]) listener();
    });
  }
}
