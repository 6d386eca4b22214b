// The connection that a call of the admin API came on.

import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Context } from 'hono';

/** As @hono/node-server hands it over; absent where there is no connection, as in tests. */
export function socketOf(exchange: Context): TLSSocket | undefined {
  return (exchange.env as { incoming?: IncomingMessage } | undefined)?.incoming?.socket as TLSSocket | undefined;
}

export function addressOf(exchange: Context): string {
  return socketOf(exchange)?.remoteAddress ?? 'unknown';
}
