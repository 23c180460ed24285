import { beforeAll, describe, expect, it } from 'vitest';
import {
  type Authority,
  createAuthority,
  createPeerCertificate,
  type Validity,
  validityFrom,
  verifyPeerCertificate,
} from '../../../src/net/index.ts';

const NOW_MS = Date.parse('2026-11-22T12:00:00Z');
const DAY_MS = 86_400_000;
const validity = validityFrom(NOW_MS, 90);

let authority: Authority;
let stranger: Authority;

beforeAll(async () => {
  authority = await createAuthority('Lab authority', validity);
  stranger = await createAuthority('Lab authority', validity);
});

interface Wanted {
  readonly commonName?: string;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly validity?: Validity;
  readonly by?: Authority;
}

async function verdict(rowText: string, wanted: Wanted, nowMs = NOW_MS) {
  const { certificatePem } = await createPeerCertificate({
    authority: wanted.by ?? authority,
    commonName: wanted.commonName ?? 'expc01.apolo.local',
    dnsNames: wanted.dnsNames ?? [],
    ipAddresses: wanted.ipAddresses ?? [],
    validity: wanted.validity ?? validity,
  });
  return verifyPeerCertificate({
    certificate: der(certificatePem),
    rowText,
    authorities: [authority.certificatePem],
    nowMs,
  });
}

function der(pem: string): Uint8Array {
  const [body] = /(?<=-----BEGIN CERTIFICATE-----)[^-]+/.exec(pem) ?? [''];
  return Buffer.from(body, 'base64');
}

describe('certificate line of a row', () => {
  it('E49 reads Valid for a certificate that verifies and names the row', async () => {
    const result = await verdict('expc01.apolo.local', { dnsNames: ['expc01.apolo.local'] });
    expect(result).toMatchObject({ valid: true, text: 'Certificate: Valid', fault: undefined });
    expect(result.names).toEqual(['expc01.apolo.local']);
    expect(result.subject).toBe('CN=expc01.apolo.local');
    expect(result.notAfter).toBe(new Date(NOW_MS + 90 * DAY_MS).toISOString());
  });

  it('E70 accepts the common name or any alternative name, without regard to case', async () => {
    const names = {
      commonName: 'expc01.apolo.local',
      dnsNames: ['one.example', 'two.example'],
      ipAddresses: ['10.15.13.15'],
    };
    for (const row of ['EXPC01.apolo.local', 'one.example', 'two.example.', '10.15.13.15']) {
      expect((await verdict(row, names)).text).toBe('Certificate: Valid');
    }
  });

  it('E50 has its exact words when no name matches, also beside other faults', async () => {
    const words = 'Certificate: Invalid (Common Name in certificate does not match)';
    expect((await verdict('10.15.13.15', {})).text).toBe(words);
    expect((await verdict('expc02.apolo.local', {})).text).toBe(words);
    expect((await verdict('expc02.apolo.local', { by: stranger })).text).toBe(words);
  });

  it('does not know wildcards', async () => {
    const result = await verdict('expc01.apolo.local', { commonName: '*.apolo.local', dnsNames: ['*.apolo.local'] });
    expect(result.fault).toBe('name');
  });

  it('E76 tells a certificate of another authority, although that has the same name', async () => {
    const result = await verdict('expc01.apolo.local', { by: stranger });
    expect(result.text).toBe('Certificate: Invalid (certificate is not signed by a trusted authority)');
  });

  it('tells expired and not yet valid certificates, and an authority that has expired', async () => {
    const short = { validity: validityFrom(NOW_MS, 10) };
    expect((await verdict('expc01.apolo.local', short, NOW_MS + 11 * DAY_MS)).fault).toBe('expired');
    expect((await verdict('expc01.apolo.local', short, NOW_MS - DAY_MS)).fault).toBe('not_yet_valid');
    const long = { validity: validityFrom(NOW_MS, 400) };
    expect((await verdict('expc01.apolo.local', long, NOW_MS + 100 * DAY_MS)).fault).toBe('untrusted');
  });

  it('does not take a peer certificate for an authority', async () => {
    const peer = await createPeerCertificate({ authority, commonName: 'evil.example', validity });
    const [leaf = ''] = peer.certificatePem.match(/-----BEGIN[\s\S]+?END CERTIFICATE-----/) ?? [];
    const forged = await createPeerCertificate({
      authority: { certificatePem: leaf, privateKeyPem: peer.privateKeyPem },
      commonName: 'expc01.apolo.local',
      validity,
    });
    const result = verifyPeerCertificate({
      certificate: der(forged.certificatePem),
      chain: [der(leaf)],
      rowText: 'expc01.apolo.local',
      authorities: [authority.certificatePem],
      nowMs: NOW_MS,
    });
    expect(result.fault).toBe('untrusted');
  });

  it('says so when there is no certificate, or none that can be read', () => {
    const question = { rowText: 'x', authorities: [authority.certificatePem], nowMs: NOW_MS };
    expect(verifyPeerCertificate({ ...question, certificate: undefined }).fault).toBe('missing');
    expect(verifyPeerCertificate({ ...question, certificate: Buffer.from('rubbish') }).fault).toBe('unreadable');
  });

  it('lets TLS add what only it checks', async () => {
    const { certificatePem } = await createPeerCertificate({ authority, commonName: 'a.example', validity });
    const result = verifyPeerCertificate({
      certificate: { raw: der(certificatePem) },
      rowText: 'a.example',
      authorities: [authority.certificatePem],
      nowMs: NOW_MS,
      tlsError: 'INVALID_PURPOSE',
    });
    expect(result.text).toBe('Certificate: Invalid (certificate may not be used for cluster links)');
  });

  it('B28 refuses to make certificates for names with NUL', async () => {
    const request = { authority, commonName: 'a.example', validity };
    await expect(createPeerCertificate({ ...request, dnsNames: ['a\u0000.example'] })).rejects.toThrow(/not a name/);
    await expect(createPeerCertificate({ ...request, commonName: 'a\u0000' })).rejects.toThrow(/common name/);
    await expect(createPeerCertificate({ ...request, ipAddresses: ['a'] })).rejects.toThrow(/not an IP address/);
  });
});
