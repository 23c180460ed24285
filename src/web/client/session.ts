/** The requests this page makes. Every failure becomes a sentence: what, why, what to do. */
import type { PeerStatus } from '../../peer/peer-handle.ts';

const OWN_PAGE = { 'x-peerage': '1' };

export class RequestFailed extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'RequestFailed';
    this.status = status;
  }
}

async function request(path: string, init: RequestInit): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, { ...init, headers: { ...OWN_PAGE, ...init.headers } });
  } catch {
    throw new RequestFailed(
      0,
      'This peer does not answer: it is stopped, restarting or cut off. It is asked again by itself.',
    );
  }
  if (response.status === 204) return undefined;
  const body = (await response.json()) as { error?: { what: string; why: string; do: string } };
  if (response.ok) return body;
  const { error } = body;
  const text =
    error === undefined ? `The peer answered ${response.status}.` : `${error.what}: ${error.why}. ${error.do}`;
  throw new RequestFailed(response.status, text);
}

export async function logIn(user: string, password: string): Promise<void> {
  const body = JSON.stringify({ user, password });
  await request('/session', { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
}

export async function logOut(): Promise<void> {
  await request('/session', { method: 'DELETE' });
}

export async function readStatus(): Promise<PeerStatus> {
  return (await request('/status', {})) as PeerStatus;
}
