/** Logging in and out. The password is checked by scrypt, few at a time: each check takes tens of megabytes. */
import { Hono } from 'hono';
import { deleteCookie, setCookie } from 'hono/cookie';
import type { PeerHandle } from '../peer/peer-handle.ts';
import {
  type ApiContext,
  type ApiEnvironment,
  assertOwnPage,
  callerOf,
  peerOf,
  SESSION_COOKIE,
  unauthorized,
} from './access.ts';
import { loginBody, readBody } from './bodies.ts';
import { ApiError } from './errors.ts';
import { verifyPassword } from './passwords.ts';
import type { LoginLimiter } from './rate-limit.ts';
import type { Sessions } from './sessions.ts';

export const CHECKS_AT_ONCE_MAX = 4;
const ADMINISTRATOR = 'admin';

export interface SessionRoutesOptions {
  readonly peer: PeerHandle;
  readonly sessions: Sessions;
  readonly limiter: LoginLimiter;
  readonly labToken: string | undefined;
  readonly passwordHash: string;
}

export function sessionRoutes(options: SessionRoutesOptions): Hono<ApiEnvironment> {
  const { peer, sessions, limiter, labToken } = options;
  const routes = new Hono<ApiEnvironment>();
  let checks = 0;

  routes.post('/', async (context) => {
    const { address } = peerOf(context);
    const waitMs = checks >= CHECKS_AT_ONCE_MAX ? 1_000 : limiter.take(address);
    if (waitMs !== undefined) throw tooMany(waitMs);
    checks += 1;
    try {
      const { user, password } = await readBody(context, loginBody);
      const right = await verifyPassword(password, options.passwordHash);
      if (!right || user !== ADMINISTRATOR) {
        logAccess(peer, context, 'Admin Session Login Failure', user);
        throw new ApiError(401, 'wrong_password', 'Log in failed', 'user or password is wrong', 'Try again.');
      }
      limiter.succeeded(address);
      logAccess(peer, context, 'Admin Session Start', user);
    } finally {
      checks -= 1;
    }
    const token = sessions.open(ADMINISTRATOR);
    setCookie(context, SESSION_COOKIE, token, { path: '/', httpOnly: true, secure: true, sameSite: 'Strict' });
    return context.json({ token });
  });

  routes.delete('/', (context) => {
    const caller = callerOf(context, sessions, labToken);
    if (caller === undefined) throw unauthorized();
    if (caller.by === 'cookie') assertOwnPage(context);
    if (caller.token !== undefined) sessions.close(caller.token);
    deleteCookie(context, SESSION_COOKIE, { path: '/', secure: true });
    logAccess(peer, context, 'Admin Session Finish', caller.user);
    return context.body(null, 204);
  });

  return routes;
}

function tooMany(waitMs: number): ApiError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1_000));
  return new ApiError(
    429,
    'too_many_attempts',
    'Log in refused',
    'there were too many attempts',
    `Wait ${seconds} s, then try again.`,
    seconds,
  );
}

/** The user's name comes from a stranger: visible characters only, and few. */
function logAccess(peer: PeerHandle, context: ApiContext, event: string, user: string): void {
  const source = peerOf(context);
  peer.log({
    tag: `httpd[${process.pid}]: web`,
    utcTime: 'last-seconds',
    level: event.endsWith('Failure') ? 'WARN' : 'INFO',
    fields: [
      ['Event', event],
      ['Src-ip', source.address],
      ['Src-port', String(source.port)],
      ['User', user.replace(/[^\x20-\x7e]|"/g, '?').slice(0, 32)],
      ['Level', '1'],
    ],
  });
}
