/** The page in a real browser, served by the real API over HTTPS, in front of a peer that is a fake. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApi } from '../../../src/api/app.ts';
import { hashPassword } from '../../../src/api/passwords.ts';
import { type ApiServer, startApiServer } from '../../../src/api/server.ts';
import { loadStaticFiles } from '../../../src/api/static-files.ts';
import { createAuthority, createPeerCertificate, validityFrom } from '../../../src/net/certificates.ts';
import { createClock } from '../../../storage/index.ts';
import { alarm20004, FakePeer } from '../api/fake-peer.ts';

const BROWSER = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);
const CLIENT = resolve(import.meta.dirname, '../../../src/web/client');
const PASSWORD = 'correct horse';

async function buildPage(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await build({
    entryPoints: { app: join(CLIENT, 'main.tsx') },
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'esm',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    logLevel: 'silent',
  });
  for (const name of ['index.html', 'style.css'])
    await writeFile(join(folder, name), await readFile(join(CLIENT, name)));
}

describe.skipIf(BROWSER === undefined)('System > Clustering in a browser', () => {
  let folder: string;
  let server: ApiServer;
  let browser: Browser;
  let page: Page;
  const peer = new FakePeer();
  const complaints: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'peerage-page-'));
    await buildPage(join(folder, 'web'));
    const validity = validityFrom(createClock().wallMs(), 1);
    const authority = await createAuthority('page test', validity);
    const certificate = await createPeerCertificate({ authority, commonName: 'peer1.example.com', validity });
    const api = createApi({
      peer,
      clock: createClock(),
      passwordHash: await hashPassword(PASSWORD),
      sessionMinutes: 30,
      labToken: undefined,
      files: await loadStaticFiles(join(folder, 'web')),
    });
    server = await startApiServer(api, {
      address: '127.0.0.1',
      port: 0,
      certificate: certificate.certificatePem,
      privateKey: certificate.privateKeyPem,
    });
    browser = await chromium.launch({ executablePath: BROWSER!, args: ['--no-sandbox'] });
    page = await browser.newPage({ ignoreHTTPSErrors: true, viewport: { width: 1200, height: 1000 } });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      // The browser itself reports every 401; the page asks for one to learn whether someone is logged in.
      if (message.type() === 'error' && !message.text().includes('401')) complaints.push(message.text());
    });
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const shot = (name: string) =>
    page.screenshot({ path: join(process.env.PEERAGE_SCREENSHOTS ?? folder, `${name}.png`), fullPage: true });

  test('refuses a wrong password in words and lets the right one in, by keyboard alone', async () => {
    await page.goto(server.url);
    await page.getByLabel('Password').fill('wrong');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('Log in failed: user or password is wrong.').waitFor();
    await shot('log-in');
    await page.getByLabel('Password').fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Clustering' }).waitFor();
  }, 30_000);

  test('E40 E48 shows the fields and every row with both lines, their texts exact', async () => {
    for (const text of [
      'Cluster name (FQDN for Provisioning)',
      'Configuration primary',
      'TLS verification mode',
      'Cluster IP version',
      'Certificate: Invalid (Common Name in certificate does not match)',
      'Clustering: This system',
      "Clustering: Active as peer2 (Resolved 'peer2.example.com' as '10.15.13.16')",
      'Cluster database status',
      'Cluster address mapping enabled',
      /^Previous synchronisation: /,
    ]) {
      expect(await page.getByText(text, { exact: true }).count(), String(text)).toBeGreaterThan(0);
    }
    expect(await page.getByRole('rowheader', { name: /^Peer [1-6] address/ }).count()).toBe(6);
    await shot('light');
    await page.emulateMedia({ colorScheme: 'dark' });
    await shot('dark');
    await page.emulateMedia({ colorScheme: 'light' });
  }, 30_000);

  test('E43 every field tells its meaning at the press of a key', async () => {
    const help = page.getByRole('button', { name: 'Help on TLS verification mode' });
    await help.focus();
    await page.keyboard.press('Enter');
    await page.getByText('A change takes effect on a peer when it restarts.', { exact: false }).first().waitFor();
    expect(await help.getAttribute('aria-expanded')).toBe('true');
    await page.keyboard.press('Enter');
  }, 30_000);

  test('E57 shows a failed peer, its alarm and what to do, without a reload', async () => {
    let loads = 0;
    page.on('load', () => {
      loads += 1;
    });
    peer.thirdPeerUp = false;
    peer.alarms = [alarm20004];
    peer.stored = { ...peer.stored, tlsVerify: 'Enforcing' };
    peer.changed();
    await page.getByText('Failed', { exact: true }).first().waitFor();
    await page.getByText('Cluster communication failure', { exact: true }).waitFor();
    await page.getByText('Restart required: cluster configuration', { exact: false }).waitFor();
    await page.getByText('Permissive until this peer restarts', { exact: true }).waitFor();
    expect(loads).toBe(0);
    await shot('failed');
    await page.setViewportSize({ width: 420, height: 900 });
    await shot('narrow');
    await page.setViewportSize({ width: 1200, height: 1000 });
  }, 30_000);

  test('says that it is stale when the peer is gone', async () => {
    await server.close();
    await page.getByText(/^Stale: nothing heard since/).waitFor({ timeout: 20_000 });
    await shot('stale');
  }, 30_000);

  test('did all this without an error or a breach of the content policy', () => {
    expect(complaints.filter((text) => !text.includes('ERR_CONNECTION_REFUSED'))).toEqual([]);
  });
});
