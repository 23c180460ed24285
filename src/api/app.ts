/** The REST API, the live feed and the page of one peer, over its `PeerHandle`. No socket here: `server.ts` has it. */
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { LogRecord } from '../../actors/otp/types.ts';
import type { Clock } from '../../storage/environment.ts';
import { InvariantViolation } from '../../storage/errors.ts';
import type { PeerHandle } from '../peer/peer-handle.ts';
import { type ApiEnvironment, requireCaller } from './access.ts';
import { BODY_BYTES_MAX } from './bodies.ts';
import { ApiError, errorResponse, toApiError } from './errors.ts';
import { securityHeaders } from './headers.ts';
import { LiveFeed } from './live-feed.ts';
import { LoginLimiter } from './rate-limit.ts';
import { labRoutes } from './routes-lab.ts';
import { peerRoutes } from './routes-peer.ts';
import { sessionRoutes } from './routes-session.ts';
import { Sessions } from './sessions.ts';
import type { StaticFiles } from './static-files.ts';

export interface ApiOptions {
  readonly peer: PeerHandle;
  readonly clock: Clock;
  /** scrypt hash of the administrator's password. */
  readonly passwordHash: string;
  readonly sessionMinutes: number;
  /** Only of a lab peer. */
  readonly labToken: string | undefined;
  readonly files: StaticFiles;
  /** A broken invariant met while answering: the peer must not go on with it. */
  fatal?(reason: string): void;
}

export interface Api {
  readonly app: Hono<ApiEnvironment>;
  readonly sessions: Sessions;
  /** Ends the live feeds. */
  close(): void;
}

export function createApi(options: ApiOptions): Api {
  const { peer, clock, labToken, files } = options;
  const sessions = new Sessions(clock, options.sessionMinutes * 60_000);
  const limiter = new LoginLimiter(clock);
  const feed = new LiveFeed(peer, clock);
  const app = new Hono<ApiEnvironment>();
  app.use(securityHeaders);
  app.use('/api/*', bodyLimit({ maxSize: BODY_BYTES_MAX, onError: () => tooLarge() }));
  app.route(
    '/api/v1/session',
    sessionRoutes({ peer, sessions, limiter, labToken, passwordHash: options.passwordHash }),
  );
  // From here on a stranger learns nothing, not even which addresses exist.
  app.use('/api/*', requireCaller(sessions, labToken));
  app.route('/api/v1', peerRoutes(peer, feed, sessions));
  if (peer.lab !== undefined && labToken !== undefined) app.route('/api/v1/lab', labRoutes(peer.lab));
  app.get('*', (context, next) => {
    const file = files.get(context.req.path);
    if (file === undefined) return next();
    return context.body(file.body, 200, { 'Content-Type': file.type });
  });
  app.notFound((context) => errorResponse(context, notFound()));
  app.onError((error, context) => {
    if (error instanceof InvariantViolation) options.fatal?.(error.message);
    const known = toApiError(error);
    if (known.status === 500) peer.log(failureRecord(error, context.req.method, context.req.path));
    return errorResponse(context, known);
  });
  return { app, sessions, close: () => feed.close() };
}

function tooLarge(): never {
  throw new ApiError(
    413,
    'too_large',
    'The request was refused',
    `a body has at most ${BODY_BYTES_MAX} octets`,
    'Send less.',
  );
}

function notFound(): ApiError {
  return new ApiError(404, 'not_found', 'There is nothing here', 'no page or resource has this address', 'Start at /.');
}

/** Method and path, never a body: a password could stand there. */
function failureRecord(error: unknown, method: string, path: string): LogRecord {
  const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    tag: `httpd[${process.pid}]: web`,
    utcTime: 'last-seconds',
    level: 'ERROR',
    fields: [
      ['Event', 'Request Failed'],
      ['Detail', `${method} ${path.slice(0, 200)}`],
      ['Reason', reason.slice(0, 500)],
      ['Level', '1'],
    ],
  };
}
