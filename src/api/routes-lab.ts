/** Faults and load on demand. These routes exist in lab peers only, and for the lab's token only. */
import { Hono } from 'hono';
import type { Key } from '../../storage/index.ts';
import type { LabHandle } from '../peer/peer-handle.ts';
import { type ApiEnvironment, requireLabToken } from './access.ts';
import { check, faultBody, keySchema, loadBody, readBody, rowsLimitQuery, tableName, writeBody } from './bodies.ts';
import { ApiError, badRequest } from './errors.ts';
import { jsonText } from './json.ts';

export function labRoutes(lab: LabHandle): Hono<ApiEnvironment> {
  const routes = new Hono<ApiEnvironment>();
  const json = { 'Content-Type': 'application/json' };
  let loading = false;
  routes.use(requireLabToken);

  routes.get('/faults', (context) => context.json(lab.faults()));
  routes.post('/faults', async (context) => {
    lab.fault(await readBody(context, faultBody));
    return context.json(lab.faults());
  });

  routes.post('/write', async (context) => {
    const { table, key, value } = await readBody(context, writeBody);
    await lab.write(table, key, value);
    return context.json({ written: true });
  });

  /** The key is JSON (`"a"`, `7`, `["a",1]`); anything else is taken as the string it is. */
  routes.get('/read', (context) => {
    const table = check(tableName, context.req.query('table'));
    const text = context.req.query('key');
    if (text === undefined) throw badRequest('Nothing was read', '"key" is missing', 'Add ?table=…&key=… .');
    const value = lab.read(table, keyOf(text));
    return context.body(jsonText({ found: value !== undefined, value }), 200, json);
  });

  routes.get('/rows', (context) => {
    const rows = lab.rows(check(rowsLimitQuery, context.req.query('limit')));
    return context.body(jsonText({ rows }), 200, json);
  });

  routes.post('/load', async (context) => {
    const request = await readBody(context, loadBody);
    if (loading) {
      throw new ApiError(
        409,
        'load_running',
        'The load was not started',
        'one is running already',
        'Wait for its end.',
      );
    }
    loading = true;
    try {
      return context.json(await lab.load(request));
    } finally {
      loading = false;
    }
  });

  return routes;
}

function keyOf(text: string): Key {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
  return check(keySchema, parsed);
}
