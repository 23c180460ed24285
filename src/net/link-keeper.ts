/**
 * Makes links, mends them and declares them down: which row is dialled when, whose connection is taken, and what the
 * upper floors hear. The parts that are easy to get wrong are pure and elsewhere: arbitration.ts, row-match.ts,
 * session.ts, handshake.ts.
 */
import type { LogLevel } from '../../actors/otp/types.ts';
import type { LinkDownReason, NodeId, TimerHandle } from '../../storage/environment.ts';
import { sameAddress } from './addresses.ts';
import { arbitrate, replacedReason } from './arbitration.ts';
import type { Channels } from './channels.ts';
import type { Connection } from './connection.ts';
import { Dial } from './dialler.ts';
import type { LinkFailure } from './failures.ts';
import { encodeLastWord } from './frame-codec.ts';
import type { HandshakeAgreement, HandshakeAnswer } from './handshake.ts';
import type { Hello, Moment, SessionOffer } from './handshake-messages.ts';
import { BACK_OFF_LAST_MS } from './limits.ts';
import type { ClusterLinksOptions } from './link-options.ts';
import { type LogFields, linkRecord } from './log-records.ts';
import { PeerLink, type PeerLinkHandlers } from './peer-link.ts';
import { PeerRow } from './peer-row.ts';
import { matchRow, type PeerAddress } from './row-match.ts';
import type { SeenCertificate } from './seen-certificate.ts';
import type { Transport } from './transport.ts';

export interface LinkKeeperOptions {
  readonly options: ClusterLinksOptions;
  readonly transport: Transport;
  readonly channels: Channels;
  /** A message has arrived for the upper floors. */
  readonly deliver: PeerLinkHandlers['deliver'];
  /** True when this process slept longer than links live, and they are down now. */
  readonly overslept: () => boolean;
  readonly statusChanged: () => void;
}

interface DownOptions {
  /** Raised inside a call of the upper floors: they hear of it at the end of the turn. */
  readonly deferred?: boolean;
  /** Tell the other side why, after everything queued. */
  readonly lastWord?: string;
}

export class LinkKeeper {
  readonly rows = new Map<number, PeerRow>();
  readonly links = new Map<NodeId, PeerLink>();
  readonly #keeper: LinkKeeperOptions;
  readonly #options: ClusterLinksOptions;
  readonly #windows = new Map<PeerLink, TimerHandle>();
  /** Rows of connections answered with a welcome, from the answer to `established` in the same turn. */
  readonly #answered = new WeakMap<Connection, PeerRow>();
  #moment: Moment = 0;
  #isClosed = false;

  constructor(keeper: LinkKeeperOptions) {
    this.#keeper = keeper;
    this.#options = keeper.options;
  }

  /** Rows that stay as they are keep their link and their history; the others begin anew. */
  setPeers(peers: readonly PeerAddress[]): void {
    const before = new Map(this.rows);
    this.rows.clear();
    for (const peer of peers.toSorted((left, right) => left.index - right.index)) {
      const known = before.get(peer.index);
      const isSame = known?.peer.text === peer.text && sameTarget(known.peer, peer);
      const row = isSame && known !== undefined ? known : this.#newRow(peer);
      this.rows.set(peer.index, row);
    }
    for (const row of before.values()) if (this.rows.get(row.peer.index) !== row) this.#stopDialling(row);
    for (const link of [...this.links.values()]) this.#placeLink(link);
    for (const row of this.rows.values()) if (row.dial === undefined && row.redial === undefined) this.dial(row);
    this.#keeper.statusChanged();
  }

  linkOfRow(row: PeerRow): PeerLink | undefined {
    for (const link of this.links.values()) if (link.rowIndex === row.peer.index) return link;
    return undefined;
  }

  dial(row: PeerRow): void {
    const link = this.linkOfRow(row);
    const address = row.peer.address ?? link?.address;
    if (this.#isClosed || row.dial !== undefined || link?.isConnected === true) return;
    if (address === undefined) {
      const text = `Peer ${row.peer.index} address "${row.peer.text}" cannot be resolved. Correct DNS or the address mapping.`;
      this.#rowFailed(row, { code: 'unresolved', text });
      return;
    }
    this.#cancelRedial(row);
    row.connecting(this.#options.clock.wallMs());
    const dial = new Dial(this.#keeper.transport, address, row.peer.port, {
      judge: (seen) => this.#judge(row, seen),
      offer: () => this.#offer(row),
      established: (connection, agreement) => {
        row.dial = undefined;
        this.#established(row, connection, agreement);
      },
      failed: (failure) => this.#dialFailed(row, failure),
    });
    row.dial = dial;
    dial.start();
    this.#keeper.statusChanged();
  }

  /** The acceptor's question, asked when somebody has proved the key. */
  answer(connection: Connection, hello: Hello): HandshakeAnswer {
    this.#keeper.overslept();
    const peers = [...this.rows.values()].map((row) => row.peer);
    const match = matchRow(peers, connection.address, hello.identity, this.#options.tlsVerify);
    const row = match.row && this.rows.get(match.row.index);
    if (match.failure !== undefined || row === undefined) {
      const failure = match.failure ?? { code: 'unknown_node', text: 'not in the peer list' };
      if (row !== undefined && this.linkOfRow(row) === undefined) this.#showFailure(row, failure);
      return { accept: false, refusal: failure };
    }
    const failure = this.#judge(row, connection.certificate) ?? this.#twin(row, hello.identity.nodeId);
    if (failure !== undefined) return { accept: false, refusal: failure };
    return this.#arbitrated(row, connection, hello);
  }

  /** The acceptor's connection is the link now. */
  accepted(connection: Connection, agreement: HandshakeAgreement): void {
    const row = this.#answered.get(connection);
    if (row === undefined || this.#isClosed) connection.terminate();
    else this.#established(row, connection, agreement);
  }

  /**
   * A handshake with somebody at an address came to nothing. The page shows why, when it can only be one row. False when
   * that is no news: a linked peer gave up its own dial because it had accepted ours.
   */
  acceptFailed(address: string, failure: LinkFailure): boolean {
    const rows = this.#rowsAt(address);
    const [row] = rows;
    const isLinked = rows.some((candidate) => this.linkOfRow(candidate) !== undefined);
    if (failure.code === 'handshake_closed' || failure.code === 'deadline') return !isLinked;
    if (row !== undefined && rows.length === 1 && !isLinked && failure.code !== 'unknown_node') {
      this.#showFailure(row, failure);
    }
    return true;
  }

  isRowAddress(address: string): boolean {
    return this.#rowsAt(address).length > 0;
  }

  /** Enforcing, before anything else is known of an incoming connection: some row at its address must vouch for it. */
  judgeIncoming(seen: SeenCertificate, address: string): LinkFailure | undefined {
    const rows = this.#rowsAt(address);
    const [row] = rows;
    if (rows.length === 1 && row !== undefined && this.linkOfRow(row) === undefined) row.seen = seen;
    if (this.#options.tlsVerify === 'Permissive') return undefined;
    const failures = rows.map((candidate) => this.#verdictFailure(candidate, seen));
    if (failures.includes(undefined)) return undefined;
    return failures[0] ?? { code: 'unknown_node', text: `${address} is the address of no row of the peer list` };
  }

  down(link: PeerLink, reason: LinkDownReason, failure: LinkFailure, options: DownOptions = {}): void {
    if (this.links.get(link.node) !== link) return;
    this.links.delete(link.node);
    if (options.lastWord === undefined) link.takeDown();
    else void link.finish('drop', options.lastWord);
    this.#closeWindow(link);
    this.#log('WARN', `Cluster link is down: ${failure.text}`, [
      ['Peer', link.identity.name],
      ['Reason', reason],
      ['Code', failure.code],
    ]);
    const row = this.rows.get(link.rowIndex);
    if (row !== undefined) this.#redialAfterDown(row, link, failure);
    const event = { type: 'down', node: link.node, reason } as const;
    if (options.deferred === true) this.#keeper.channels.defer(event);
    else this.#keeper.channels.emit(event);
    this.#keeper.statusChanged();
  }

  /** Ends everything at once but the links: those are given a last word by the caller. */
  close(): void {
    this.#isClosed = true;
    for (const row of this.rows.values()) this.#stopDialling(row);
    for (const link of this.links.values()) this.#closeWindow(link);
  }

  // — dialling —

  #newRow(peer: PeerAddress): PeerRow {
    return new PeerRow(peer, this.#options.trustedAuthorities, this.#options.random);
  }

  #offer(row: PeerRow): SessionOffer {
    const link = this.linkOfRow(row);
    const resume = link && { session: link.session.id, received: link.session.received };
    return { moment: this.#nextMoment(), session: this.#options.random.hex(16), resume };
  }

  #dialFailed(row: PeerRow, failure: LinkFailure): void {
    row.dial = undefined;
    if (this.#isClosed) return;
    this.#keeper.overslept();
    const link = this.linkOfRow(row);
    if (link?.isConnected === true) return;
    if (link === undefined) {
      if (failure.code !== 'duplicate') this.#rowFailed(row, failure);
      this.#scheduleRedial(row, row.backOff.nextMs());
    } else if (failure.code === 'refused') {
      const text = `${link.identity.name} is gone: nothing listens at its cluster port any more`;
      this.down(link, 'refused', { code: 'refused', text });
    } else {
      this.#scheduleRedial(row, link.nextResumeRetryMs());
    }
  }

  #redialAfterDown(row: PeerRow, link: PeerLink, failure: LinkFailure): void {
    row.dial?.cancel();
    row.dial = undefined;
    row.linked();
    row.failed(failure, this.#options.clock.wallMs());
    // A link that breaks as soon as it is made must not be made in a tight loop.
    if (this.#options.clock.monotonicMs() - link.upAtMs >= this.#options.netTicktimeMs) row.backOff.reset();
    this.#scheduleRedial(row, row.backOff.nextMs());
  }

  #scheduleRedial(row: PeerRow, delayMs: number): void {
    this.#cancelRedial(row);
    if (this.#isClosed || this.rows.get(row.peer.index) !== row) return;
    row.redial = this.#options.clock.after(delayMs, () => {
      row.redial = undefined;
      this.dial(row);
    });
  }

  #cancelRedial(row: PeerRow): void {
    if (row.redial !== undefined) this.#options.clock.cancel(row.redial);
    row.redial = undefined;
  }

  #stopDialling(row: PeerRow): void {
    this.#cancelRedial(row);
    row.dial?.cancel();
    row.dial = undefined;
  }

  // — who may be linked —

  #judge(row: PeerRow, seen: SeenCertificate): LinkFailure | undefined {
    row.seen = seen;
    return this.#options.tlsVerify === 'Enforcing' ? this.#verdictFailure(row, seen) : undefined;
  }

  #verdictFailure(row: PeerRow, seen: SeenCertificate): LinkFailure | undefined {
    const verdict = row.verdict(seen, this.#options.clock.wallMs());
    if (verdict.fault === undefined) return undefined;
    const names = verdict.names.join(', ') || 'no name';
    const text = `Peer ${row.peer.index} "${row.peer.text}": ${verdict.text}; the certificate holds ${names}`;
    return { code: `certificate_${verdict.fault}`, text };
  }

  /** A copied data directory: two systems with one identity would throw each other out for ever. */
  #twin(row: PeerRow, nodeId: NodeId): LinkFailure | undefined {
    const link = this.links.get(nodeId);
    if (link === undefined || !link.isConnected || link.rowIndex === row.peer.index) return undefined;
    const text = `Peer ${row.peer.index} has the node identity of peer ${link.rowIndex}. Was its data directory copied? Each peer needs its own.`;
    return { code: 'duplicate_node', text };
  }

  #arbitrated(row: PeerRow, connection: Connection, hello: Hello): HandshakeAnswer {
    const link = this.links.get(hello.identity.nodeId);
    const resume = hello.offer.resume;
    const canResume = link !== undefined && resume !== undefined && link.session.canReplayFrom(resume.received);
    const arbitration = arbitrate({
      ownNodeId: this.#options.nodeId,
      peerNodeId: hello.identity.nodeId,
      peerIncarnation: hello.identity.incarnation,
      offer: canResume ? hello.offer : { ...hello.offer, resume: undefined },
      link: link && {
        sessionId: link.session.id,
        incarnation: link.identity.incarnation,
        received: link.session.received,
        moment: link.moment,
      },
      isOwnHelloOut: row.dial?.isHelloSent === true,
    });
    if (arbitration.type === 'refuse') {
      return {
        accept: false,
        refusal: { code: 'duplicate', text: 'both sides dialled; the other connection is used' },
      };
    }
    this.#answered.set(connection, row);
    const { session } = arbitration;
    const moment = this.#nextMoment();
    if (arbitration.type === 'begin') return { accept: true, moment, session, resumed: false, received: 0 };
    return { accept: true, moment, session, resumed: true, received: arbitration.received };
  }

  #rowsAt(address: string): readonly PeerRow[] {
    return [...this.rows.values()].filter((row) => sameAddress(row.peer.address, address));
  }

  /** After a change of the peer list: to which row a link belongs now, if to any. */
  #placeLink(link: PeerLink): void {
    const peers = [...this.rows.values()].map((row) => row.peer);
    const match = matchRow(peers, link.address, link.identity, this.#options.tlsVerify);
    const row = match.failure === undefined ? this.rows.get(match.row.index) : undefined;
    if (row === undefined) {
      const text = `${link.identity.name} is in no row of the peer list any more`;
      this.down(link, 'dropped', { code: 'forgotten', text }, { deferred: true, lastWord: 'not in the peer list' });
      return;
    }
    link.rowIndex = row.peer.index;
    link.counters = row.counters;
    const seen = link.connection?.certificate;
    const failure = seen && this.#judge(row, seen);
    if (failure !== undefined) {
      this.down(link, 'dropped', failure, { deferred: true, lastWord: 'certificate does not match the row any more' });
    }
  }

  #nextMoment(): Moment {
    this.#moment++;
    return this.#moment;
  }

  // — links —

  #established(row: PeerRow, connection: Connection, agreement: HandshakeAgreement): void {
    this.#keeper.overslept();
    this.#stopDialling(row);
    const link = this.links.get(agreement.peer.nodeId);
    const twin = this.#twin(row, agreement.peer.nodeId);
    if (twin !== undefined) {
      connection.send(encodeLastWord('drop', 0, twin.text));
      void connection.finish();
      this.#rowFailed(row, twin);
      this.#scheduleRedial(row, BACK_OFF_LAST_MS);
      return;
    }
    if (agreement.resumed) this.#resume(row, link, connection, agreement);
    else this.#begin(row, link, connection, agreement);
    this.#keeper.statusChanged();
  }

  #resume(row: PeerRow, link: PeerLink | undefined, connection: Connection, agreement: HandshakeAgreement): void {
    if (link === undefined || link.session.id !== agreement.session) {
      // It went down here while the other side agreed to go on; it will hear so at the next dial.
      connection.terminate();
      this.#scheduleRedial(row, row.backOff.nextMs());
      return;
    }
    const { clock } = this.#options;
    const brokenMs = Math.round(clock.monotonicMs() - (link.brokenAtMs ?? clock.monotonicMs()));
    this.#closeWindow(link);
    link.counters.blips++;
    link.moment = agreement.moment;
    const replayed = link.attach(connection, agreement.receivedByPeer);
    if (replayed === undefined) {
      connection.terminate();
      const text = `${link.identity.name} asks for frames it has acknowledged`;
      this.down(link, 'protocol', { code: 'protocol', text });
      return;
    }
    this.#log('INFO', `Cluster link was broken for ${brokenMs} ms and has been resumed, nothing lost`, [
      ['Peer', link.identity.name],
      ['Frames-sent-again', String(replayed)],
    ]);
  }

  #begin(row: PeerRow, old: PeerLink | undefined, connection: Connection, agreement: HandshakeAgreement): void {
    const { peer, session } = agreement;
    if (old !== undefined) this.#replace(old, peer.incarnation);
    // Another node at the same row: whoever was there has given its place up.
    const former = this.linkOfRow(row);
    if (former !== undefined) this.#replace(former, -1);
    this.#stopDialling(row);
    const { clock, frameBytesMax } = { ...this.#options, frameBytesMax: this.#keeper.transport.frameBytesMax };
    const link = new PeerLink({
      identity: peer,
      sessionId: session,
      moment: agreement.moment,
      frameBytesMax,
      counters: row.counters,
      rowIndex: row.peer.index,
      sinceMs: clock.wallMs(),
      monotonicMs: () => clock.monotonicMs(),
      handlers: this.#linkHandlers(),
    });
    row.linked();
    this.links.set(link.node, link);
    link.attach(connection, 0);
    this.#log('INFO', 'Cluster link is up', [
      ['Peer', peer.name],
      ['Row', `${row.peer.index} ${row.peer.text}`],
      ['Address', connection.address],
      ['Dialled', connection.dialledHere ? 'here' : 'there'],
    ]);
    this.#keeper.channels.emit({ type: 'up', node: link.node, info: link.info });
  }

  #replace(link: PeerLink, newIncarnation: number): void {
    const reason = replacedReason(link.identity.incarnation, newIncarnation);
    const text =
      reason === 'refused'
        ? `${link.identity.name} has been restarted`
        : `${link.identity.name} has begun a new session`;
    this.down(link, reason, { code: 'replaced', text });
  }

  #linkHandlers(): PeerLinkHandlers {
    return {
      deliver: this.#keeper.deliver,
      overslept: this.#keeper.overslept,
      broken: (link) => this.#broken(link),
      ended: (link, how, text) => {
        const name = link.identity.name;
        if (how === 'goodbye') this.down(link, 'closed', { code: 'closed', text: `${name} is stopping` });
        else this.down(link, 'silent', { code: 'dropped', text: `${name} ended the link: ${text}` });
      },
      violated: (link, code, text) =>
        this.down(link, 'protocol', { code, text: `${link.identity.name} broke the protocol: ${text}` }),
    };
  }

  /** The other side may be gone, or only the connection: a dial tells within milliseconds. */
  #broken(link: PeerLink): void {
    const { clock, resumeWindowMs } = this.#options;
    this.#windows.set(
      link,
      clock.after(resumeWindowMs, () => {
        this.#windows.delete(link);
        if (this.#keeper.overslept()) return;
        const text = `the connection to ${link.identity.name} broke and could not be resumed within ${resumeWindowMs} ms`;
        this.down(link, 'silent', { code: 'silent', text });
      }),
    );
    const row = this.rows.get(link.rowIndex);
    if (row === undefined) return;
    this.#stopDialling(row);
    this.dial(row);
  }

  #closeWindow(link: PeerLink): void {
    const timer = this.#windows.get(link);
    if (timer !== undefined) this.#options.clock.cancel(timer);
    this.#windows.delete(link);
  }

  /** For failures others bring about: the log of those is kept per burst, by the acceptor. */
  #showFailure(row: PeerRow, failure: LinkFailure): boolean {
    const isNews = row.failed(failure, this.#options.clock.wallMs());
    if (isNews) this.#keeper.statusChanged();
    return isNews;
  }

  #rowFailed(row: PeerRow, failure: LinkFailure): void {
    if (!this.#showFailure(row, failure)) return;
    this.#log('WARN', `Cluster link cannot be made: ${failure.text}`, [
      ['Row', `${row.peer.index} ${row.peer.text}`],
      ['Code', failure.code],
    ]);
  }

  #log(level: LogLevel, detail: string, fields: LogFields): void {
    this.#options.log(linkRecord(this.#options.nodeName, level, detail, fields));
  }
}

function sameTarget(left: PeerAddress, right: PeerAddress): boolean {
  const bothUnresolved = left.address === undefined && right.address === undefined;
  return left.port === right.port && (bothUnresolved || sameAddress(left.address, right.address));
}
