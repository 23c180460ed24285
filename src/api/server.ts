/** HTTPS in front of the API: the peer's own certificate, TLS 1.2 or later, few and short-lived strangers. */
import { createServer, type Server } from 'node:https';
import { createAdaptorServer } from '@hono/node-server';
import type { Api } from './app.ts';

const CONNECTIONS_MAX = 256;
const HEADER_BYTES_MAX = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface ApiServerOptions {
  readonly address: string;
  readonly port: number;
  readonly certificate: string;
  readonly privateKey: string;
}

export interface ApiServer {
  /** `https://<address>:<port>`. */
  readonly url: string;
  close(): Promise<void>;
}

export async function startApiServer(api: Api, options: ApiServerOptions): Promise<ApiServer> {
  const server = createAdaptorServer({
    fetch: api.app.fetch,
    createServer,
    serverOptions: {
      key: options.privateKey,
      cert: options.certificate,
      minVersion: 'TLSv1.2',
      maxHeaderSize: HEADER_BYTES_MAX,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    },
  }) as Server;
  server.maxConnections = CONNECTIONS_MAX;
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.address, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : options.port;
  const host = options.address.includes(':') ? `[${options.address}]` : options.address;
  return { url: `https://${host}:${port}`, close: () => closeServer(server, api) };
}

async function closeServer(server: Server, api: Api): Promise<void> {
  api.close();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    // Requests under way get their answers: what is idle goes now, and a feed ended above.
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), 1_000).unref();
  });
}
