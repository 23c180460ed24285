/** PEM files hold any number of certificates; each authority is handed on by itself. */

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

export function parseCertificates(pem: string): readonly string[] {
  return pem.match(CERTIFICATE) ?? [];
}
