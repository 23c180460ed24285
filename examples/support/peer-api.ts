/** A peer's REST API as any program would use it: HTTPS, the cluster's authority, a token. */
import { request } from 'node:https';

export interface PeerAddress {
  /** `https://127.16.2.1:8443` */
  readonly url: string;
  /** Authority (PEM) of the peers' certificates. */
  readonly authority: string;
  /** Of a session, or of the lab. */
  readonly token?: string;
}

const ANSWER_MS_MAX = 15_000;

/** The answer's JSON. Rejects with what the peer says when it refuses. `limitMs` bounds silence, not the whole work. */
export function askPeer<T>(peer: PeerAddress, method: string, path: string, body?: unknown, limitMs = ANSWER_MS_MAX) {
  return new Promise<T>((resolve, reject) => {
    const headers: Record<string, string> = body === undefined ? {} : { 'Content-Type': 'application/json' };
    if (peer.token !== undefined) headers.Authorization = `Bearer ${peer.token}`;
    const asked = request(`${peer.url}/api/v1/${path}`, { method, headers, ca: peer.authority }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        if (response.statusCode === 200) resolve(JSON.parse(text) as T);
        else reject(new Error(`${method} ${path} at ${peer.url}: ${response.statusCode} ${text}`));
      });
    });
    asked.setTimeout(limitMs, () => asked.destroy(new Error(`${peer.url} did not answer within ${limitMs} ms`)));
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Logs in as the administrator; what is asked with the result is asked in that session. */
export async function logIn(peer: PeerAddress, password: string): Promise<PeerAddress> {
  const { token } = await askPeer<{ token: string }>(peer, 'POST', 'session', { user: 'admin', password });
  return { ...peer, token };
}

/** The parts of GET /api/v1/status that the examples show. */
export interface Status {
  readonly systemName: string;
  readonly cluster: {
    readonly databaseStatus: string;
    readonly configurationPrimary: number;
    readonly peers: readonly { readonly index: number; readonly text: string; readonly state: string }[];
  };
  readonly database: { readonly runningDbNodes: readonly string[]; readonly tables: readonly TableLine[] };
}

interface TableLine {
  readonly name: string;
  readonly size: number;
  readonly digest: string;
  readonly loaded: boolean;
  readonly localContent: boolean;
}

export function status(peer: PeerAddress): Promise<Status> {
  return askPeer<Status>(peer, 'GET', 'status');
}

/** One line of xConfiguration, xStatus or xCommand. */
export async function x(peer: PeerAddress, line: string): Promise<readonly string[]> {
  const { lines } = await askPeer<{ lines: readonly string[]; code: number }>(peer, 'POST', 'xcommand', { line });
  return lines;
}
