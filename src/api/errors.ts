/** Every refusal of the API has one form: `{error: {code, what, why, do}}`. */
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { StorageError } from '../../storage/errors.ts';
import { ChangeRefused } from '../peer/changes.ts';

export class ApiError extends Error {
  readonly status: ContentfulStatusCode;
  readonly code: string;
  readonly why: string;
  readonly remedy: string;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    status: ContentfulStatusCode,
    code: string,
    what: string,
    why: string,
    remedy: string,
    retryAfterSeconds?: number,
  ) {
    super(what);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.why = why;
    this.remedy = remedy;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export function badRequest(what: string, why: string, remedy: string): ApiError {
  return new ApiError(400, 'bad_request', what, why, remedy);
}

const STORAGE_STATUS: Readonly<Record<string, ContentfulStatusCode>> = {
  no_such_table: 404,
  no_such_ledger_entry: 404,
  ledger_entry_settled: 409,
  bad_key: 400,
  bad_value: 400,
  overloaded: 503,
  transaction_too_large: 413,
  table_not_loaded: 503,
  node_not_running: 503,
  closed: 503,
  deadline: 504,
  disc_full: 507,
  no_majority: 409,
  aborted: 409,
  read_only: 409,
  node_running: 409,
  node_removed: 409,
};

/** What a caller is told. The inside of an unexpected error stays in the log. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof ChangeRefused) {
    return new ApiError(409, 'change_refused', error.what, error.why, error.remedy);
  }
  if (error instanceof StorageError) {
    const { retryAfterMs } = error.fields;
    const retry = retryAfterMs === undefined ? undefined : Math.ceil(retryAfterMs / 1000);
    const status = STORAGE_STATUS[error.code] ?? 500;
    return new ApiError(
      status,
      error.code,
      'The database refused',
      error.message,
      'See /api/v1/status, then try again.',
      retry,
    );
  }
  return new ApiError(
    500,
    'internal',
    'The peer could not answer',
    'an unexpected error happened in it',
    'See the event log of this peer.',
  );
}

export function errorResponse(context: Context, error: ApiError): Response {
  if (error.retryAfterSeconds !== undefined) context.header('Retry-After', String(error.retryAfterSeconds));
  return context.json(
    { error: { code: error.code, what: error.message, why: error.why, do: error.remedy } },
    error.status,
  );
}
