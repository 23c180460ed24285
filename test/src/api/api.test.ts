import { scryptSync } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { CSRF_HEADER } from '../../../src/api/access.ts';
import { type Api, createApi } from '../../../src/api/app.ts';
import { BODY_BYTES_MAX } from '../../../src/api/bodies.ts';
import { SUBSCRIBERS_MAX } from '../../../src/api/live-feed.ts';
import { hashPassword, verifyPassword } from '../../../src/api/passwords.ts';
import { LOGIN_PER_ADDRESS } from '../../../src/api/rate-limit.ts';
import { SESSIONS_MAX } from '../../../src/api/sessions.ts';
import type { LabHandle } from '../../../src/peer/peer-handle.ts';
import { StorageError } from '../../../storage/errors.ts';
import { alarm20004, FakePeer, ManualClock } from './fake-peer.ts';

const PASSWORD = 'correct horse';
const LAB_TOKEN = 'l'.repeat(43);
const files = new Map([['/', { type: 'text/html; charset=utf-8', body: '<!doctype html>log in' }]]);
/** Cheap to check: what the real cost is, the last test looks at. */
const passwordHash = (() => {
  const hash = scryptSync(PASSWORD, 'salt', 32, { N: 1024, r: 8, p: 1 });
  return `scrypt$1024$8$1$${Buffer.from('salt').toString('base64url')}$${hash.toString('base64url')}`;
})();
let clock: ManualClock;
let peer: FakePeer;
let api: Api;

beforeEach(() => {
  clock = new ManualClock();
  peer = new FakePeer();
  api = make();
});

function make(lab?: LabHandle): Api {
  peer.lab = lab;
  const labToken = lab === undefined ? undefined : LAB_TOKEN;
  return createApi({ peer, clock, passwordHash, sessionMinutes: 30, labToken, files });
}

async function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return api.app.request(path, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });
}

const logIn = (password = PASSWORD, user = 'admin') => post('/api/v1/session', { user, password });

async function bearer(): Promise<Record<string, string>> {
  const { token } = (await (await logIn()).json()) as { token: string };
  return { authorization: `Bearer ${token}` };
}

async function errorOf(response: Response): Promise<{ code: string; what: string; why: string; do: string }> {
  return ((await response.json()) as { error: { code: string; what: string; why: string; do: string } }).error;
}

describe('a stranger', () => {
  test('gets the log in page and nothing else', async () => {
    expect(await (await api.app.request('/')).text()).toContain('log in');
    for (const path of [
      '/api/v1/status',
      '/api/v1/tree',
      '/api/v1/events',
      '/api/v1/lab/rows',
      '/api/v1/nowhere',
      '/api/x',
    ]) {
      const response = await api.app.request(path);
      expect([path, response.status]).toEqual([path, 401]);
      expect(await errorOf(response)).toEqual({
        code: 'unauthorized',
        what: 'Access refused',
        why: 'no one is logged in',
        do: 'Log in first.',
      });
    }
    expect((await post('/api/v1/xcommand', { line: 'xstatus' })).status).toBe(401);
    expect((await api.app.request('/../../etc/passwd')).status).toBe(404);
  });

  test('is not let in by a wrong password, a wrong user, or a made-up token', async () => {
    expect((await logIn('wrong horse')).status).toBe(401);
    expect((await logIn(PASSWORD, 'root')).status).toBe(401);
    for (const token of ['x', 'x'.repeat(43), 'x'.repeat(5_000)]) {
      const headers = { authorization: `Bearer ${token}` };
      expect((await api.app.request('/api/v1/status', { headers })).status).toBe(401);
    }
    expect(peer.records.map((record) => record.fields[0])).toEqual([
      ['Event', 'Admin Session Login Failure'],
      ['Event', 'Admin Session Login Failure'],
    ]);
    expect(JSON.stringify(peer.records)).not.toContain('horse');
  });

  test('may try a few passwords and then waits, even with the right one', async () => {
    for (let attempt = 0; attempt < LOGIN_PER_ADDRESS.burst; attempt += 1)
      expect((await logIn('wrong')).status).toBe(401);
    const refused = await logIn();
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    clock.advance(LOGIN_PER_ADDRESS.refillMs);
    expect((await logIn()).status).toBe(200);
  });

  test('every answer carries headers that keep a browser from harm', async () => {
    for (const path of ['/', '/api/v1/status', '/nowhere']) {
      const { headers } = await api.app.request(path);
      expect(headers.get('content-security-policy')).toContain("script-src 'self'");
      expect(headers.get('content-security-policy')).not.toContain('unsafe');
      expect(headers.get('strict-transport-security')).toContain('max-age=');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('cache-control')).toBe('no-store');
    }
  });
});

describe('a session', () => {
  test('is a cookie no script reads and no other site sends', async () => {
    const cookie = (await logIn()).headers.get('set-cookie') ?? '';
    for (const part of ['__Host-peerage=', 'HttpOnly', 'Secure', 'SameSite=Strict', 'Path=/'])
      expect(cookie).toContain(part);
    const headers = { cookie: cookie.split(';')[0]! };
    expect((await api.app.request('/api/v1/status', { headers })).status).toBe(200);
  });

  test('ends when unused, and use prolongs it', async () => {
    const headers = await bearer();
    clock.advance(29 * 60_000);
    expect((await api.app.request('/api/v1/status', { headers })).status).toBe(200);
    clock.advance(29 * 60_000);
    expect((await api.app.request('/api/v1/status', { headers })).status).toBe(200);
    clock.advance(30 * 60_000);
    expect((await api.app.request('/api/v1/status', { headers })).status).toBe(401);
  });

  test('ends on logging out', async () => {
    const headers = await bearer();
    expect((await api.app.request('/api/v1/session', { method: 'DELETE', headers })).status).toBe(204);
    expect((await api.app.request('/api/v1/status', { headers })).status).toBe(401);
  });

  test('is one of a bounded number: the longest unused one gives way', async () => {
    const headers = await bearer();
    for (let each = 0; each < SESSIONS_MAX; each += 1) api.sessions.open('admin');
    expect(api.sessions.size).toBe(SESSIONS_MAX);
    expect((await api.app.request('/api/v1/status', { headers })).status).toBe(401);
  });

  test('a write by cookie needs the own page: header present, origin not foreign', async () => {
    const cookie = ((await logIn()).headers.get('set-cookie') ?? '').split(';')[0]!;
    const line = { line: 'xconfiguration clusterConfiguration tls_verify: Enforcing' };
    const host = 'localhost';
    expect((await post('/api/v1/xcommand', line, { cookie, host })).status).toBe(403);
    const foreign = { cookie, host, [CSRF_HEADER]: '1', origin: 'https://evil.example.com' };
    expect((await post('/api/v1/xcommand', line, foreign)).status).toBe(403);
    expect(peer.changes).toEqual([]);
    const own = { cookie, host, [CSRF_HEADER]: '1', origin: 'https://localhost' };
    expect((await post('/api/v1/xcommand', line, own)).status).toBe(200);
    expect(peer.changes).toHaveLength(1);
  });
});

describe('a request', () => {
  test('with a body that is too long, no JSON, or holds something unknown is refused with the reason', async () => {
    const headers = await bearer();
    const tooLong = await post('/api/v1/xcommand', { line: 'x'.repeat(BODY_BYTES_MAX) }, headers);
    expect([tooLong.status, (await errorOf(tooLong)).code]).toEqual([413, 'too_large']);
    const broken = await post('/api/v1/xcommand', '{"line":', headers);
    expect([broken.status, (await errorOf(broken)).why]).toEqual([400, 'it is not JSON']);
    const form = await post('/api/v1/xcommand', 'line=x', { ...headers, 'content-type': 'text/plain' });
    expect(form.status).toBe(415);
    const unknown = await post('/api/v1/xcommand', { line: 'x', more: 1 }, headers);
    expect((await errorOf(unknown)).why).toContain('more');
  });

  test('for something that is not there says so', async () => {
    const headers = await bearer();
    expect((await api.app.request('/api/v1/nowhere', { headers })).status).toBe(404);
    const table = await api.app.request('/api/v1/tables/nothing', { headers });
    expect((await errorOf(table)).code).toBe('no_such_table');
    expect((await api.app.request('/api/v1/tables/..%2f', { headers })).status).toBe(400);
    expect((await api.app.request('/api/v1/tables/alarms?limit=0', { headers })).status).toBe(400);
  });

  test('shows rows that JSON cannot hold in a form that says what they are', async () => {
    const page = await api.app.request('/api/v1/tables/alarms', { headers: await bearer() });
    expect(((await page.json()) as { rows: unknown }).rows).toEqual([
      { key: { $bigint: '1' }, value: { $octets: '01ff' } },
    ]);
  });

  test('that the database refuses carries its code; an unexpected failure shows nothing of the inside', async () => {
    const headers = await bearer();
    peer.restoreFromLedger = async () => {
      throw new StorageError('no_such_ledger_entry', 'There is no entry 1-1.');
    };
    const refused = await post('/api/v1/ledger/1-1/restore', {}, headers);
    expect([refused.status, (await errorOf(refused)).code]).toEqual([404, 'no_such_ledger_entry']);
    peer.refusal = new TypeError('secret inside');
    const failed = await post(
      '/api/v1/xcommand',
      { line: 'xConfiguration Alternates ConfigurationPrimary: 2' },
      headers,
    );
    expect(failed.status).toBe(500);
    expect(JSON.stringify(await errorOf(failed))).not.toContain('secret');
    expect(JSON.stringify(peer.records.at(-1))).toContain('secret inside');
  });
});

describe('the live feed', () => {
  async function events(headers: Record<string, string>) {
    const response = await api.app.request('/api/v1/events', { headers });
    const reader = response.body!.getReader();
    const next = async () => new TextDecoder().decode((await reader.read()).value);
    return { response, reader, next };
  }

  test('sends the status at once, and again when it changed', async () => {
    const { response, next } = await events(await bearer());
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(await next()).toMatch(/^event: status\ndata: \{.*"systemName":"peer1".*\}\n\n$/);
    peer.alarms = [alarm20004];
    peer.thirdPeerUp = false;
    peer.changed();
    clock.advance(1_000);
    expect(await next()).toMatch(/^event: alarm\ndata: .*"change":"raised".*20004/);
    expect(await next()).toMatch(/^event: status\ndata: .*"databaseStatus":"Failed"/);
    for (const listener of peer.logListeners) listener('a line');
    expect(await next()).toBe('event: log\ndata: {"line":"a line"}\n\n');
  });

  test('has a bounded number of subscribers, and a place again when one leaves', async () => {
    const headers = await bearer();
    const all = [];
    for (let each = 0; each < SUBSCRIBERS_MAX; each += 1) all.push(await events(headers));
    const refused = await api.app.request('/api/v1/events', { headers });
    expect([refused.status, (await errorOf(refused)).code]).toEqual([503, 'too_many_subscribers']);
    await all[0]!.reader.cancel();
    expect((await events(headers)).response.status).toBe(200);
  });

  test('keeps a bounded number of lines for one that does not read, and says how many it dropped', async () => {
    const { reader } = await events(await bearer());
    for (let each = 0; each < 2_000; each += 1) for (const listener of peer.logListeners) listener(`line ${each}`);
    let seen = 0;
    let dropped = 0;
    while (dropped === 0) {
      const text = new TextDecoder().decode((await reader.read()).value);
      if (text.startsWith('event: log')) seen += 1;
      if (text.startsWith('event: dropped'))
        dropped = (JSON.parse(text.split('data: ')[1]!) as { count: number }).count;
    }
    expect(seen).toBeLessThan(600);
    expect(seen + dropped).toBe(2_000);
  });

  test('ends when its session ended', async () => {
    const { reader } = await events(await bearer());
    await reader.read();
    clock.advance(31 * 60_000);
    expect((await reader.read()).done).toBe(true);
  });
});

describe('the lab', () => {
  const rows: unknown[] = [];
  const faults: unknown[] = [];
  const lab: LabHandle = {
    fault: (request) => void faults.push(request),
    faults: () => ({ links: faults, clockOffsetMs: 0 }),
    write: async (table, key, value) => void rows.push([table, key, value]),
    read: (_table, key) => (key === 7 ? 'seven' : undefined),
    rows: () => [],
    load: async (request) => ({
      acknowledged: request.keys,
      errors: 0,
      errorCodes: {},
      longestGapMs: 1,
      durationMs: request.durationMs,
      byKey: {},
    }),
  };
  const token = { authorization: `Bearer ${LAB_TOKEN}` };

  test('does not exist in a peer without it, not even for one who is logged in', async () => {
    const headers = await bearer();
    for (const path of ['faults', 'read', 'rows']) {
      expect((await api.app.request(`/api/v1/lab/${path}`, { headers })).status).toBe(404);
    }
    for (const path of ['faults', 'write', 'load'])
      expect((await post(`/api/v1/lab/${path}`, {}, headers)).status).toBe(404);
    expect((await api.app.request('/api/v1/status', { headers: token })).status).toBe(401);
  });

  test('obeys its own token only', async () => {
    api = make(lab);
    const response = await api.app.request('/api/v1/lab/faults', { headers: await bearer() });
    expect([response.status, (await errorOf(response)).code]).toEqual([403, 'lab_token_needed']);
    expect((await api.app.request('/api/v1/lab/faults')).status).toBe(401);
    expect((await api.app.request('/api/v1/lab/faults', { headers: token })).status).toBe(200);
    expect((await api.app.request('/api/v1/status', { headers: token })).status).toBe(200);
  });

  test('injects faults, writes, reads and loads within limits', async () => {
    api = make(lab);
    expect((await post('/api/v1/lab/faults', { op: 'cut', address: '127.0.0.2' }, token)).status).toBe(200);
    expect(faults).toEqual([{ op: 'cut', address: '127.0.0.2', direction: 'both' }]);
    expect((await post('/api/v1/lab/faults', { op: 'burn', address: '127.0.0.2' }, token)).status).toBe(400);
    expect((await post('/api/v1/lab/write', { table: 'lab', key: ['a', 1], value: { b: null } }, token)).status).toBe(
      200,
    );
    expect(rows).toEqual([['lab', ['a', 1], { b: null }]]);
    expect((await post('/api/v1/lab/write', { table: 'lab', key: { a: 1 }, value: 1 }, token)).status).toBe(400);
    const read = await api.app.request('/api/v1/lab/read?table=lab&key=7', { headers: token });
    expect(await read.json()).toEqual({ found: true, value: 'seven' });
    const load = await post('/api/v1/lab/load', { clients: 2, keys: 5, durationMs: 10 }, token);
    expect(await load.json()).toMatchObject({ acknowledged: 5 });
    expect((await post('/api/v1/lab/load', { clients: 1e6, keys: 5, durationMs: 10 }, token)).status).toBe(400);
  });
});

describe('passwords', () => {
  test('are stored salted, and a broken hash lets nobody in', async () => {
    const stored = await hashPassword(PASSWORD);
    expect(stored).toMatch(/^scrypt\$32768\$8\$1\$/);
    expect(await hashPassword(PASSWORD)).not.toBe(stored);
    expect(await verifyPassword(PASSWORD, stored)).toBe(true);
    for (const broken of ['', 'scrypt$1$8$1$a$b', 'scrypt$32768$8$1$$', stored.slice(0, -30), 'plain']) {
      expect(await verifyPassword(PASSWORD, broken)).toBe(false);
    }
    await expect(hashPassword('short')).rejects.toThrow('8 to 1024');
  });
});
