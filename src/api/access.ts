/** Who may ask: a session's cookie, a session's token, or the token of the lab. A stranger gets 401 for all of /api. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { getCookie } from 'hono/cookie';
import type { ChangeSource } from '../peer/peer-handle.ts';
import { ApiError } from './errors.ts';
import type { Sessions } from './sessions.ts';

export const SESSION_COOKIE = '__Host-peerage';
/** A page of another origin cannot set it without asking this server first, and this server says no. */
export const CSRF_HEADER = 'x-peerage';
const TOKEN_LENGTH_MAX = 512;

export interface Caller {
  readonly user: string;
  readonly by: 'cookie' | 'session' | 'lab';
  /** Absent for the lab: its token does not end. */
  readonly token: string | undefined;
}

export type ApiEnvironment = { Bindings: Partial<HttpBindings>; Variables: { caller: Caller } };
export type ApiContext = Context<ApiEnvironment>;

const digest = (text: string) => createHash('sha256').update(text).digest();

export function peerOf(context: ApiContext): { address: string; port: number } {
  const socket = context.env?.incoming?.socket;
  return { address: socket?.remoteAddress ?? 'unknown', port: socket?.remotePort ?? 0 };
}

export function sourceOf(context: ApiContext): ChangeSource {
  return { ...peerOf(context), user: context.get('caller').user };
}

export function unauthorized(): ApiError {
  return new ApiError(401, 'unauthorized', 'Access refused', 'no one is logged in', 'Log in first.');
}

export function callerOf(context: ApiContext, sessions: Sessions, labToken: string | undefined): Caller | undefined {
  const bearer = /^Bearer (\S+)$/i.exec(context.req.header('authorization') ?? '')?.[1];
  if (bearer !== undefined) {
    if (bearer.length > TOKEN_LENGTH_MAX) return undefined;
    if (labToken !== undefined && timingSafeEqual(digest(bearer), digest(labToken))) {
      return { user: 'admin', by: 'lab', token: undefined };
    }
    const session = sessions.use(bearer);
    return session === undefined ? undefined : { user: session.user, by: 'session', token: bearer };
  }
  const cookie = getCookie(context, SESSION_COOKIE);
  if (cookie === undefined || cookie.length > TOKEN_LENGTH_MAX) return undefined;
  const session = sessions.use(cookie);
  return session === undefined ? undefined : { user: session.user, by: 'cookie', token: cookie };
}

/** SameSite=Strict keeps the cookie at home; this holds even where a browser does not. */
export function assertOwnPage(context: ApiContext): void {
  const origin = context.req.header('origin');
  const host = context.req.header('host');
  const foreign =
    origin !== undefined && (host === undefined || origin.toLowerCase() !== `https://${host.toLowerCase()}`);
  if (foreign || context.req.header(CSRF_HEADER) === undefined) {
    throw new ApiError(
      403,
      'foreign_origin',
      'The request was refused',
      'it was not sent by a page of this peer',
      `Send it with the header ${CSRF_HEADER}, from this peer's own page.`,
    );
  }
}

export function requireCaller(sessions: Sessions, labToken: string | undefined): MiddlewareHandler<ApiEnvironment> {
  return async (context, next) => {
    const caller = callerOf(context, sessions, labToken);
    if (caller === undefined) throw unauthorized();
    const reads = context.req.method === 'GET' || context.req.method === 'HEAD';
    if (caller.by === 'cookie' && !reads) assertOwnPage(context);
    context.set('caller', caller);
    await next();
  };
}

export const requireLabToken: MiddlewareHandler<ApiEnvironment> = async (context, next) => {
  if (context.get('caller').by !== 'lab') {
    throw new ApiError(
      403,
      'lab_token_needed',
      'Access refused',
      'only the token of the lab may do this',
      'Use that token.',
    );
  }
  await next();
};
