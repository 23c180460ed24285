/** What a person who is logged in may see and do. */
import { Hono } from 'hono';
import type { PeerHandle } from '../peer/peer-handle.ts';
import { type ApiEnvironment, sourceOf } from './access.ts';
import { check, commandBody, ledgerId, limitQuery, readBody, tableName } from './bodies.ts';
import { ApiError } from './errors.ts';
import { jsonText } from './json.ts';
import type { LiveFeed } from './live-feed.ts';
import type { Sessions } from './sessions.ts';
import { executeCommand } from './x-commands.ts';

const LOG_LINES_MAX = 1_000;

export function peerRoutes(peer: PeerHandle, feed: LiveFeed, sessions: Sessions): Hono<ApiEnvironment> {
  const routes = new Hono<ApiEnvironment>();
  const json = { 'Content-Type': 'application/json' };

  routes.get('/status', (context) => context.json(peer.status()));
  routes.get('/tree', (context) => context.json({ tree: peer.tree() }));

  routes.get('/tables/:name', (context) => {
    const name = check(tableName, context.req.param('name'));
    const page = peer.table(name, check(limitQuery, context.req.query('limit')));
    if (page === undefined) {
      throw new ApiError(
        404,
        'no_such_table',
        'The table cannot be shown',
        `there is no table "${name}"`,
        'See /api/v1/status.',
      );
    }
    return context.body(jsonText(page), 200, json);
  });

  routes.get('/ledger', (context) => context.body(jsonText({ entries: peer.ledger() }), 200, json));
  routes.post('/ledger/:id/restore', async (context) => {
    await peer.restoreFromLedger(check(ledgerId, context.req.param('id')));
    return context.json({ restored: true });
  });

  routes.get('/log', (context) => context.json({ lines: peer.recentLog(LOG_LINES_MAX) }));

  routes.get('/events', (context) => {
    const { token } = context.get('caller');
    const body = feed.subscribe(() => token === undefined || sessions.isOpen(token));
    return context.body(body, 200, { 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
  });

  routes.post('/xcommand', async (context) => {
    const { line } = await readBody(context, commandBody);
    return context.json(await executeCommand(line, peer, sourceOf(context)));
  });

  return routes;
}
