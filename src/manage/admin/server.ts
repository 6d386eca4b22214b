// The admin port: a small HTTP server on the main thread, never in the way of an exchange.

import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import type { Hono } from 'hono';

/** Prometheus, probes and a person: loopback clients only, but none of them may hold the port for ever. */
const MAX_CONNECTIONS = 64;
const REQUEST_MS = 30_000;
const HEAD_MS = 5_000;

export interface AdminServer {
  port: number;
  close(): Promise<void>;
}

/** Rejects with the system's error when the address cannot be listened on. */
export function serveAdmin(app: Hono, address: string, port: number): Promise<AdminServer> {
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = HEAD_MS;
  const close = () =>
    new Promise<void>(resolve => {
      server.close(() => resolve());
      server.closeIdleConnections();
    });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      const bound = server.address();
      resolve({ port: typeof bound === 'object' && bound ? bound.port : port, close });
    });
  });
}
