/** What requests may hold, and how their bodies are read: bounded, JSON, checked; every refusal says which field. */
import { z } from 'zod';
import type { Key, Value } from '../../storage/index.ts';
import type { ApiContext } from './access.ts';
import { ApiError, badRequest } from './errors.ts';
import { PASSWORD_LENGTH_MAX } from './passwords.ts';
import { COMMAND_LENGTH_MAX } from './x-command-line.ts';

export const BODY_BYTES_MAX = 256 * 1024;
const KEY_DEPTH_MAX = 8;

export async function readBody<T extends z.ZodType>(context: ApiContext, schema: T): Promise<z.output<T>> {
  const type = context.req.header('content-type') ?? '';
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new ApiError(415, 'not_json', 'The body was not read', 'it is not application/json', 'Send JSON.');
  }
  let raw: unknown;
  try {
    raw = await context.req.json();
  } catch (error) {
    // Hono's size limit ends a body while it is read; that is no JSON error.
    if (error instanceof Error && error.name === 'BodyLimitError') throw error;
    throw badRequest('The body was not understood', 'it is not JSON', 'Send one JSON object.');
  }
  return check(schema, raw);
}

export function check<T extends z.ZodType>(schema: T, raw: unknown): z.output<T> {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const path = issue.path.map(String).join('.');
  throw badRequest(
    'The request was refused',
    `${path === '' ? 'the body' : `"${path}"`}: ${issue.message}`,
    'Correct it, then send it again.',
  );
}

export const loginBody = z.strictObject({
  user: z.string().min(1).max(64),
  password: z.string().min(1).max(PASSWORD_LENGTH_MAX),
});

export const commandBody = z.strictObject({ line: z.string().max(COMMAND_LENGTH_MAX) });

const address = z.string().min(1).max(128);

export const faultBody = z.discriminatedUnion('op', [
  z.strictObject({ op: z.literal('cut'), address, direction: z.enum(['both', 'in', 'out']).default('both') }),
  z.strictObject({ op: z.literal('heal'), address: address.optional() }),
  z.strictObject({ op: z.literal('delay'), address, ms: z.number().int().min(0).max(60_000) }),
  z.strictObject({ op: z.literal('clock'), offsetMs: z.number().int().min(-86_400_000).max(86_400_000) }),
]);

function isKey(value: unknown, depth = 0): value is Key {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  return Array.isArray(value) && depth < KEY_DEPTH_MAX && value.every((inner) => isKey(inner, depth + 1));
}

export const keySchema = z.custom<Key>((value) => isKey(value), {
  error: 'a key is a string, number, boolean, null or a list of those',
});
const value = z.custom<Value>((inner) => inner !== undefined, { error: 'a value is missing' });
export const tableName = z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/, { error: 'it is no name of a table' });

export const writeBody = z.strictObject({ table: tableName, key: keySchema, value });

export const loadBody = z.strictObject({
  clients: z.number().int().min(1).max(256),
  keys: z.number().int().min(1).max(20_000),
  durationMs: z.number().int().min(1).max(600_000),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/)
    .optional(),
});

export const limitQuery = z.coerce.number().int().min(1).max(10_000).default(200);
export const rowsLimitQuery = z.coerce.number().int().min(1).max(200_000).default(200_000);
export const ledgerId = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, { error: 'it is no id of a ledger entry' });
