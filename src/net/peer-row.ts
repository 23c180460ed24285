/** One row of the peer list: its dial, its back-off, and what the page shows of it. */
import type { Random, TimerHandle } from '../../storage/environment.ts';
import { shortNameOf } from './addresses.ts';
import { BackOff } from './back-off.ts';
import type { Dial } from './dialler.ts';
import type { LinkFailure, LinkFailureCode } from './failures.ts';
import type { LinkCounters, PeerLink } from './peer-link.ts';
import type { PeerAddress } from './row-match.ts';
import { CertificateJudge, type SeenCertificate } from './seen-certificate.ts';

export interface LinkCertificate {
  readonly valid: boolean;
  /** The certificate line, byte for byte. */
  readonly text: string;
  readonly subject: string;
  readonly names: readonly string[];
  /** ISO 8601. */
  readonly notAfter: string;
}

export interface LinkStatus {
  readonly index: number;
  readonly text: string;
  readonly address: string | undefined;
  /** `unknown`: no contact attempted yet. `connecting`: the first attempt is under way. */
  readonly state: 'unknown' | 'connecting' | 'up' | 'failed';
  readonly node?: string;
  readonly name?: string;
  readonly shortName?: string;
  readonly reason?: string;
  readonly code?: LinkFailureCode;
  readonly rttMs?: number;
  /** Wall clock of the last change of state, ms since the epoch. */
  readonly since?: number;
  /** Judged for this row, in both modes; undefined until the peer has shown one. */
  readonly certificate: LinkCertificate | undefined;
  readonly framesIn: number;
  readonly framesOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly blips: number;
}

const EXPLAINS_CLOSED: ReadonlySet<LinkFailureCode | undefined> = new Set<LinkFailureCode>([
  'wrong_key',
  'self',
  'version_mismatch',
  'certificate_name',
  'certificate_expired',
  'certificate_not_yet_valid',
  'certificate_untrusted',
  'certificate_unusable',
  'address_mismatch',
]);

export class PeerRow {
  readonly peer: PeerAddress;
  readonly backOff: BackOff;
  readonly counters: LinkCounters = { framesIn: 0, framesOut: 0, bytesIn: 0, bytesOut: 0, blips: 0 };
  dial: Dial | undefined;
  redial: TimerHandle | undefined;
  seen: SeenCertificate | undefined;
  readonly #judge: CertificateJudge;
  #state: 'unknown' | 'connecting' | 'failed' = 'unknown';
  #failure: LinkFailure | undefined;
  #sinceMs: number | undefined;

  constructor(peer: PeerAddress, authorities: readonly string[], random: Random) {
    this.peer = peer;
    this.backOff = new BackOff(random);
    this.#judge = new CertificateJudge(authorities);
  }

  /** True when this is news: the same failure again is neither logged nor shown as a change. */
  failed(failure: LinkFailure, wallMs: number): boolean {
    // Whoever refuses our dial closes without a word; when it dialled us, we learnt why.
    if (failure.code === 'handshake_closed' && EXPLAINS_CLOSED.has(this.#failure?.code)) return false;
    const isNews = this.#state !== 'failed' || this.#failure?.code !== failure.code;
    if (isNews) this.#sinceMs = wallMs;
    this.#state = 'failed';
    this.#failure = failure;
    return isNews;
  }

  connecting(wallMs: number): void {
    if (this.#state !== 'unknown') return;
    this.#state = 'connecting';
    this.#sinceMs = wallMs;
  }

  /** The next loss of the link is news again. */
  linked(): void {
    this.#state = 'connecting';
    this.#failure = undefined;
  }

  verdict(seen: SeenCertificate, wallMs: number) {
    return this.#judge.verdict(seen, this.peer.text, wallMs);
  }

  status(link: PeerLink | undefined, wallMs: number): LinkStatus {
    const { index, text, address } = this.peer;
    return {
      index,
      text,
      address,
      ...this.#contact(link),
      certificate: this.#certificate(wallMs),
      ...this.counters,
    };
  }

  #contact(link: PeerLink | undefined) {
    if (link === undefined) {
      return {
        state: this.#state,
        ...(this.#failure === undefined ? {} : { reason: this.#failure.text, code: this.#failure.code }),
        ...(this.#sinceMs === undefined ? {} : { since: this.#sinceMs }),
      };
    }
    const { nodeId, name } = link.identity;
    const rttMs = link.roundTrip.medianMs;
    return {
      state: 'up' as const,
      node: nodeId,
      name,
      shortName: shortNameOf(name),
      since: link.sinceMs,
      ...(rttMs === undefined ? {} : { rttMs }),
    };
  }

  #certificate(wallMs: number): LinkCertificate | undefined {
    if (this.seen === undefined) return undefined;
    const { valid, text, subject, names, notAfter } = this.verdict(this.seen, wallMs);
    return { valid, text, subject, names, notAfter };
  }
}
