// The admin port: a small HTTP server on the main thread, never in the way of an exchange.

import { createServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { createAdaptorServer } from '@hono/node-server';
import type { Hono } from 'hono';
import { Leaving } from '../leaving.js';
import type { Bound } from '../port.js';
import { PROBLEM_TYPE } from './problem.js';

/** Prometheus, probes and people: none of them may hold the port for ever. */
const MAX_CONNECTIONS = 64;
const REQUEST_MS = 30_000;
const HEAD_MS = 5_000;
const HANDSHAKE_MS = 5_000;
/** How often Node.js looks for requests that are late. */
const LOOK_MS = 1_000;
/** A token, and what browsers send along. */
const MAX_HEAD_BYTES = 16_384;

export interface AdminServer {
  port: number;
  /** No new connections from now on; resolves when those that are open have ended. */
  close(): Promise<void>;
  /** The same, but connections that are idle are not closed under a client's next request. */
  retire(): void;
}

export interface AdminTls {
  /** PEM. */
  certificate: string;
  key: string;
  /** Authorities of client certificates, PEM; null asks for none. */
  clientAuthorities: string[] | null;
}

/** Made, but not listening yet: what can fail for the sake of its certificate has not. `listen` rejects with the system's error. */
export function prepareAdmin(app: Hono, tls: AdminTls | null) {
  const server = makeServer(app, tls);
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuse(socket, error.code));
  const leaving = new Leaving(server);
  const [close, retire] = [() => leaving.atOnce(), () => void leaving.gently()];
  const listen = ({ handle, port }: Pick<Bound, 'handle' | 'port'>) =>
    new Promise<AdminServer>((resolve, reject) => {
      server.once('error', reject);
      server.listen(handle, () => {
        server.off('error', reject);
        resolve({ port, close, retire });
      });
    });
  return { listen };
}

/** What is refused before there is a request, in the words of everything else. */
function refuse(socket: Duplex, code: string | undefined): void {
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const [status, phrase, title] = UNREADABLE[code ?? ''] ?? [400, 'Bad Request', 'This is no HTTP request.'];
  const body = JSON.stringify({ title, status });
  socket.end(
    `HTTP/1.1 ${status} ${phrase}\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${body.length}\r\n` +
      `Cache-Control: no-store\r\nConnection: close\r\n\r\n${body}`,
  );
}

const UNREADABLE: Readonly<Record<string, [number, string, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'The head of the request is too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'The request took too long.'],
};

function makeServer({ fetch }: Hono, tls: AdminTls | null): Server {
  const limits: ServerOptions = {
    requestTimeout: REQUEST_MS,
    headersTimeout: HEAD_MS,
    connectionsCheckingInterval: LOOK_MS,
    maxHeaderSize: MAX_HEAD_BYTES,
  };
  if (!tls) return createAdaptorServer({ fetch, createServer, serverOptions: limits }) as Server;
  const { certificate: cert, key, clientAuthorities } = tls;
  // Not refused by TLS itself, so that a token will do, and that the answer can say what is wrong.
  const asked = { requestCert: true, rejectUnauthorized: false, ca: clientAuthorities ?? [] };
  const serverOptions = {
    ...limits,
    cert,
    key,
    minVersion: 'TLSv1.2' as const,
    handshakeTimeout: HANDSHAKE_MS,
    ...(clientAuthorities && asked),
  };
  return createAdaptorServer({ fetch, createServer: createTlsServer, serverOptions } as never) as Server;
}
