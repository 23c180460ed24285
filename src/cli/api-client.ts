/**
 * Asks one peer over HTTPS. Small on purpose: it is loaded by every command that prints something at once.
 * Every failure is a value with a kind, so that `status` can say why a peer did not answer.
 */

import { Agent, request } from 'node:https';
import { CliError, messageOf, systemCode } from './errors.ts';
import { isRecord } from './shape.ts';

export interface Endpoint {
  /** How people call it: `peer 2`, or the URL. */
  readonly label: string;
  readonly url: string;
  /** The name its certificate must hold, when it is not the host of the URL. */
  readonly serverName?: string;
  /** Authorities (PEM) to trust instead of those of the system. */
  readonly authority?: string;
  readonly token?: string;
}

export type ApiFailureKind = 'refused' | 'silent' | 'unreachable' | 'certificate' | 'unauthorised' | 'http' | 'answer';

export class ApiFailure extends Error {
  readonly kind: ApiFailureKind;
  /** The code the peer gave in its answer, if it gave one. */
  readonly code: string | undefined;
  /** What the peer says should be done. */
  readonly remedy: string | undefined;

  constructor(kind: ApiFailureKind, message: string, code?: string, remedy?: string) {
    super(message);
    this.name = 'ApiFailure';
    this.kind = kind;
    this.code = code;
    this.remedy = remedy;
  }
}

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly timeoutMs: number;
}

const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

const certificateCodes = /^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT|INVALID_CA|HOSTNAME_MISMATCH)/;

function failureOf(failure: Error, timeoutMs: number): ApiFailure {
  if (failure instanceof ApiFailure) return failure;
  const code = systemCode(failure) ?? '';
  if (failure.name === 'TimeoutError' || failure.name === 'AbortError') {
    return new ApiFailure('silent', `no answer within ${timeoutMs} ms`);
  }
  if (code === 'ECONNREFUSED') return new ApiFailure('refused', 'nothing listens there (connection refused)');
  if (code === 'ECONNRESET' || code === 'EPIPE') return new ApiFailure('refused', 'the connection was closed');
  if (certificateCodes.test(code)) return new ApiFailure('certificate', failure.message);
  return new ApiFailure('unreachable', failure.message);
}

/** What a refusing peer says of it: `{ error: { code, what, why, do } }`. */
function refusalOf(body: unknown): {
  message: string | undefined;
  code: string | undefined;
  remedy: string | undefined;
} {
  const error = isRecord(body) && isRecord(body.error) ? body.error : {};
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
  const parts = [text(error.what), text(error.why)].filter((part) => part !== undefined);
  return { message: parts.length === 0 ? undefined : parts.join(': '), code: text(error.code), remedy: text(error.do) };
}

function readAnswer(status: number, text: string): unknown {
  let body: unknown;
  try {
    body = text === '' ? undefined : JSON.parse(text);
  } catch (failure) {
    if (status < 400) throw new ApiFailure('answer', `the answer is not JSON: ${messageOf(failure)}`);
  }
  if (status < 400) return body;
  const { message, code, remedy } = refusalOf(body);
  const kind = status === 401 || status === 403 || status === 429 ? 'unauthorised' : 'http';
  throw new ApiFailure(kind, message ?? `HTTP status ${status}`, code, remedy);
}

export function callApi(endpoint: Endpoint, call: ApiRequest): Promise<unknown> {
  const url = new URL(call.path, endpoint.url);
  const body = call.body === undefined ? undefined : JSON.stringify(call.body);
  return new Promise((resolve, reject) => {
    const fail = (failure: Error) => reject(failureOf(failure, call.timeoutMs));
    const sent = request(
      url,
      {
        method: call.method,
        // One connection a question: a command never waits for a kept one to close.
        agent: new Agent({ keepAlive: false }),
        signal: AbortSignal.timeout(call.timeoutMs),
        ...(endpoint.serverName === undefined ? {} : { servername: endpoint.serverName }),
        ...(endpoint.authority === undefined ? {} : { ca: endpoint.authority }),
        headers: {
          accept: 'application/json',
          ...(endpoint.token === undefined ? {} : { authorization: `Bearer ${endpoint.token}` }),
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        let size = 0;
        answer.on('data', (chunk: Buffer) => {
          size += chunk.length;
          chunks.push(chunk);
          if (size > ANSWER_BYTES_MAX) {
            sent.destroy(new ApiFailure('answer', `the answer is longer than ${ANSWER_BYTES_MAX} bytes`));
          }
        });
        answer.on('error', fail);
        answer.on('end', () => {
          try {
            resolve(readAnswer(answer.statusCode ?? 0, Buffer.concat(chunks).toString('utf8')));
          } catch (failure) {
            reject(failure);
          }
        });
      },
    );
    sent.on('error', fail);
    sent.end(body);
  });
}

/** The same failure as the end of a command. */
export function cliErrorOf(endpoint: Endpoint, failure: unknown): unknown {
  if (!(failure instanceof ApiFailure)) return failure;
  const { label } = endpoint;
  switch (failure.kind) {
    case 'certificate':
      return new CliError(
        'certificate_not_trusted',
        `The certificate of ${label} could not be verified`,
        failure.message,
        'name the authority of the cluster with --ca FILE, and address the peer by a name in its certificate',
      );
    case 'answer':
      return new CliError(
        'bad_answer',
        `The answer of ${label} was not understood`,
        failure.message,
        `check that a peer of this version listens at ${endpoint.url}`,
      );
    case 'unauthorised':
      return new CliError(
        'not_authorised',
        `${label} refused the password or token`,
        failure.message,
        failure.remedy ?? 'check PEERAGE_PASSWORD, or the token file of the lab',
      );
    case 'http':
      return new CliError(
        'request_refused',
        `${label} refused`,
        failure.code === undefined ? failure.message : `${failure.message} [${failure.code}]`,
        failure.remedy ?? 'correct what it names',
      );
    default:
      return new CliError(
        'peer_silent',
        `${label} did not answer at ${endpoint.url}`,
        failure.message,
        'run `peerage status` to see which peers answer, or name another one with --peer',
      );
  }
}

/** `callApi`, with failures as ends of a command. */
export async function askPeer(endpoint: Endpoint, call: ApiRequest): Promise<unknown> {
  try {
    return await callApi(endpoint, call);
  } catch (failure) {
    throw cliErrorOf(endpoint, failure);
  }
}
