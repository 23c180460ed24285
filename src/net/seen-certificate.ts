/** The certificate the other side of a TLS connection presented, kept as octets so that it can be judged for any row. */
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { type CertificateVerdict, verifyPeerCertificate } from './certificate-verdict.ts';
import { CERTIFICATE_CHAIN_MAX } from './limits.ts';

export interface SeenCertificate {
  readonly certificate: Uint8Array | undefined;
  readonly chain: readonly Uint8Array[];
  readonly tlsError: string | undefined;
}

export function certificateSeenOn(tls: TLSSocket): SeenCertificate {
  const chain: Uint8Array[] = [];
  let current: DetailedPeerCertificate | undefined = tls.getPeerCertificate(true);
  while (current?.raw !== undefined && chain.length < CERTIFICATE_CHAIN_MAX) {
    chain.push(Uint8Array.from(current.raw));
    // The last of a complete chain is its own issuer.
    current = current.issuerCertificate === current ? undefined : current.issuerCertificate;
  }
  const [certificate, ...rest] = chain;
  return { certificate, chain: rest, tlsError: tls.authorized ? undefined : errorCode(tls.authorizationError) };
}

/** Judges what was seen; the same question is not asked of the cryptography again until the answer may differ. */
export class CertificateJudge {
  readonly #authorities: readonly string[];
  #last: { seen: SeenCertificate; rowText: string; untilMs: number; verdict: CertificateVerdict } | undefined;

  constructor(authorities: readonly string[]) {
    this.#authorities = authorities;
  }

  verdict(seen: SeenCertificate, rowText: string, nowMs: number): CertificateVerdict {
    const last = this.#last;
    if (last?.seen === seen && last.rowText === rowText && nowMs < last.untilMs) return last.verdict;
    const verdict = verifyPeerCertificate({
      certificate: seen.certificate,
      chain: seen.chain,
      rowText,
      authorities: this.#authorities,
      nowMs,
      ...(isAboutTime(seen.tlsError) ? {} : { tlsError: seen.tlsError }),
    });
    // Authorities expire too, so no answer is kept for longer than a minute.
    this.#last = { seen, rowText, untilMs: nowMs + 60_000, verdict };
    return verdict;
  }
}

/** TLS compared with the machine's clock; the verdict does so itself, with the peer's. */
function isAboutTime(tlsError: string | undefined): boolean {
  return tlsError === 'CERT_HAS_EXPIRED' || tlsError === 'CERT_NOT_YET_VALID';
}

/** Typed as Error, but what TLS leaves there is the code. */
function errorCode(error: unknown): string {
  if (typeof error === 'string') return error;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return error instanceof Error ? error.message : 'UNVERIFIED';
}
