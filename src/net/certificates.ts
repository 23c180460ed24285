/**
 * Certificates of a lab: an authority and one certificate per peer. ECDSA P-256, as short as such things can be.
 * Only this file and certificate-verdict.ts know @peculiar/x509; the library wants the metadata shim loaded first.
 */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import { isCleanText } from './addresses.ts';

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING_ALGORITHM = { name: 'ECDSA', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
const COMMON_NAME_LENGTH_MAX = 64;

export interface Authority {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface PeerCertificateRequest {
  readonly authority: Authority;
  readonly commonName: string;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly validity: Validity;
}

export interface PeerCertificate {
  /** The peer's certificate followed by its authority's. */
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** From a minute before `nowMs`, so that peers whose clocks differ a little agree that it has begun. */
export function validityFrom(nowMs: number, days: number): Validity {
  return { notBefore: new Date(nowMs - 60_000), notAfter: new Date(nowMs + days * DAY_MS) };
}

export async function createAuthority(commonName: string, validity: Validity): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerialNumber(),
    name: nameOf(commonName),
    ...validity,
    signingAlgorithm: SIGNING_ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: `${certificate.toString('pem')}\n`, privateKeyPem: await exportPrivateKey(keys.privateKey) };
}

export async function createPeerCertificate(request: PeerCertificateRequest): Promise<PeerCertificate> {
  const authority = new x509.X509Certificate(request.authority.certificatePem);
  const signingKey = await importPrivateKey(request.authority.privateKeyPem);
  const keys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify']);
  const names = alternativeNames(request);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerialNumber(),
    subject: nameOf(request.commonName),
    issuer: authority.subject,
    ...request.validity,
    signingAlgorithm: SIGNING_ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      // A peer both dials and listens, so its certificate must be good for both ends of TLS.
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(authority),
    ],
  });
  return {
    certificatePem: `${certificate.toString('pem')}\n${request.authority.certificatePem}`,
    privateKeyPem: await exportPrivateKey(keys.privateKey),
  };
}

function alternativeNames(request: PeerCertificateRequest): x509.JsonGeneralNames {
  const dns = (request.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value: checkedName(value) }));
  const addresses = (request.ipAddresses ?? []).map((value) => {
    if (isIP(value) === 0) throw new TypeError(`"${value}" is not an IP address. Give names in dnsNames.`);
    return { type: 'ip' as const, value };
  });
  return [...dns, ...addresses];
}

function checkedName(name: string): string {
  if (isCleanText(name) && name.length <= 253) return name;
  throw new TypeError(
    `${JSON.stringify(name)} is not a name a certificate may hold. Use letters, digits, "-" and ".".`,
  );
}

function nameOf(commonName: string): x509.JsonName {
  if (!/^[^\p{Cc}]{1,64}$/u.test(commonName)) {
    throw new TypeError(
      `A common name has 1 to ${COMMON_NAME_LENGTH_MAX} characters and no controls, got ${JSON.stringify(commonName)}.`,
    );
  }
  return [{ CN: [commonName] }];
}

/** Positive and never the same twice in the life of an authority. */
function newSerialNumber(): string {
  const octets = randomBytes(16);
  octets[0] = ((octets[0] ?? 0) & 0x7f) | 0x40;
  return octets.toString('hex');
}

async function exportPrivateKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key);
  return `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`;
}

async function importPrivateKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = x509.PemConverter.decode(pem);
  if (der === undefined) throw new TypeError("The authority's private key is not PEM. Make the lab again.");
  return webcrypto.subtle.importKey('pkcs8', der, KEY_ALGORITHM, false, ['sign']);
}
