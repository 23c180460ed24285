/**
 * What a peer's certificate is worth for one row of the peer list. The same verdict is shown on the page in both modes
 * (E49, E50, E55) and decides in Enforcing mode (E69, E70, E76). Nothing is fetched: chain and authorities are given.
 */
import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { comparableName, isCleanText } from './addresses.ts';
import { CERTIFICATE_CHAIN_MAX } from './limits.ts';

export type CertificateFault =
  | 'missing'
  | 'unreadable'
  | 'name'
  | 'not_yet_valid'
  | 'expired'
  | 'untrusted'
  | 'unusable';

export interface CertificateQuestion {
  /** The peer's own certificate: DER octets or anything that carries them as `raw`. */
  readonly certificate: Uint8Array | { readonly raw: Uint8Array } | undefined;
  /** Certificates the peer sent along, DER. */
  readonly chain?: readonly Uint8Array[];
  /** The row as typed: FQDN or IP address. */
  readonly rowText: string;
  /** Trusted authorities, PEM; one entry may hold several. */
  readonly authorities: readonly string[];
  readonly nowMs: number;
  /** What the TLS layer held against the certificate (purpose, path length …), when it was asked. */
  readonly tlsError?: string;
}

export interface CertificateVerdict {
  readonly valid: boolean;
  /** The certificate line of the row, byte for byte. */
  readonly text: string;
  readonly fault: CertificateFault | undefined;
  readonly subject: string;
  readonly names: readonly string[];
  /** ISO 8601, or empty when the certificate cannot be read. */
  readonly notBefore: string;
  readonly notAfter: string;
}

const FAULT_TEXTS: Readonly<Record<CertificateFault, string>> = {
  missing: 'Certificate: Invalid (no certificate was presented)',
  unreadable: 'Certificate: Invalid (certificate cannot be read)',
  name: 'Certificate: Invalid (Common Name in certificate does not match)',
  not_yet_valid: 'Certificate: Invalid (certificate is not valid yet)',
  expired: 'Certificate: Invalid (certificate has expired)',
  untrusted: 'Certificate: Invalid (certificate is not signed by a trusted authority)',
  unusable: 'Certificate: Invalid (certificate may not be used for cluster links)',
};

/** Verdicts of the TLS layer about the issuer: with the authority absent they say no more than "untrusted". */
const TLS_ISSUER_ERRORS = new Set([
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_UNTRUSTED',
]);

export function verifyPeerCertificate(question: CertificateQuestion): CertificateVerdict {
  const raw = rawOf(question.certificate);
  if (raw === undefined) return faulty('missing');
  const leaf = readCertificate(raw);
  const names = leaf === undefined ? undefined : namesOf(raw);
  if (leaf === undefined || names === undefined) return faulty('unreadable');
  const fault = faultOf(leaf, names, question);
  return {
    valid: fault === undefined,
    text: fault === undefined ? 'Certificate: Valid' : FAULT_TEXTS[fault],
    fault,
    subject: leaf.subject?.replaceAll('\n', ', ') ?? '',
    names,
    notBefore: isoTime(leaf.validFrom),
    notAfter: isoTime(leaf.validTo),
  };
}

/** The name comes first: a row must read as in section 7 of the specification whatever else is wrong. */
function faultOf(
  leaf: X509Certificate,
  names: readonly string[],
  question: CertificateQuestion,
): CertificateFault | undefined {
  const wanted = comparableName(question.rowText);
  if (!names.some((name) => comparableName(name) === wanted)) return 'name';
  const time = timeFault(leaf, question.nowMs);
  if (time !== undefined) return time;
  if (!isTrusted(leaf, question)) return 'untrusted';
  if (question.tlsError === undefined) return undefined;
  return TLS_ISSUER_ERRORS.has(question.tlsError) ? 'untrusted' : 'unusable';
}

function timeFault(certificate: X509Certificate, nowMs: number): CertificateFault | undefined {
  if (nowMs < Date.parse(certificate.validFrom)) return 'not_yet_valid';
  return nowMs > Date.parse(certificate.validTo) ? 'expired' : undefined;
}

/** Walks from the certificate to a trusted authority; every step is a CA in its time whose signature holds. */
function isTrusted(leaf: X509Certificate, question: CertificateQuestion): boolean {
  const trusted = parseAuthorities(question.authorities);
  const given = (question.chain ?? []).slice(0, CERTIFICATE_CHAIN_MAX).flatMap((raw) => readCertificate(raw) ?? []);
  let current = leaf;
  for (let depth = 0; depth < CERTIFICATE_CHAIN_MAX; depth++) {
    const anchor = trusted.find((authority) => isIssuer(authority, current, question.nowMs));
    if (anchor !== undefined) return true;
    const next = given.find(
      (candidate) =>
        candidate.fingerprint256 !== current.fingerprint256 && isIssuer(candidate, current, question.nowMs),
    );
    if (next === undefined) return false;
    current = next;
  }
  return false;
}

function isIssuer(issuer: X509Certificate, subject: X509Certificate, nowMs: number): boolean {
  return (
    issuer.ca &&
    subject.checkIssued(issuer) &&
    timeFault(issuer, nowMs) === undefined &&
    subject.verify(issuer.publicKey)
  );
}

/** All common names and all DNS and IP alternative names. One with a NUL or control counts as no name at all (B28). */
function namesOf(raw: Uint8Array): readonly string[] | undefined {
  try {
    const certificate = new x509.X509Certificate(raw as Uint8Array<ArrayBuffer>);
    const alternative = certificate.getExtension(x509.SubjectAlternativeNameExtension);
    const items = alternative?.names.items.filter((item) => item.type === 'dns' || item.type === 'ip') ?? [];
    const names = [...certificate.subjectName.getField('CN'), ...items.map((item) => item.value)];
    return [...new Set(names.filter(isCleanText))];
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

function rawOf(certificate: CertificateQuestion['certificate']): Uint8Array | undefined {
  if (certificate === undefined || certificate instanceof Uint8Array) return certificate;
  return certificate.raw;
}

function readCertificate(raw: Uint8Array): X509Certificate | undefined {
  try {
    return new X509Certificate(raw);
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** Throws when one cannot be read: trust is configuration, and a broken file must be said, not skipped. */
export function parseAuthorities(authorities: readonly string[]): readonly X509Certificate[] {
  return authorities.flatMap((pem) => {
    const blocks = pem.match(PEM_BLOCK) ?? [];
    if (blocks.length === 0) {
      throw new TypeError(
        'A trusted authority holds no certificate in PEM form. Check the file of trusted authorities.',
      );
    }
    return blocks.map((block) => new X509Certificate(block));
  });
}

function faulty(fault: CertificateFault): CertificateVerdict {
  return { valid: false, text: FAULT_TEXTS[fault], fault, subject: '', names: [], notBefore: '', notAfter: '' };
}

function isoTime(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? '' : new Date(ms).toISOString();
}
