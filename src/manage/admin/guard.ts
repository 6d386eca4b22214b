// The admin port has no authentication: it is reachable from this machine only. What that leaves are web pages in a
// browser on this machine: they reach loopback addresses, by a name of their own that resolves to 127.0.0.1 (DNS
// rebinding), or by posting across origins. Both are refused.

import type { MiddlewareHandler } from 'hono';
import { loopback } from '../../config/units.js';
import { problemJson } from './problem.js';

export const localOnly: MiddlewareHandler = async (exchange, next) => {
  const host = exchange.req.header('host') ?? '';
  if (!loopback(nameOf(host))) {
    return problemJson(exchange, 403, 'This host is not served here.', {
      detail: 'The admin port answers to loopback addresses and `localhost` only.',
    });
  }
  const site = exchange.req.header('sec-fetch-site');
  const cross = site !== undefined && site !== 'same-origin' && site !== 'none';
  const origin = exchange.req.header('origin');
  if (cross || (origin !== undefined && origin !== `http://${host}`)) {
    return problemJson(exchange, 403, 'Requests from other web pages are refused.');
  }
  return await next();
};

/** Without the port and an IPv6 address's brackets. */
function nameOf(host: string): string {
  return host
    .toLowerCase()
    .replace(/:\d+$/, '')
    .replace(/^\[|\]$/g, '');
}
