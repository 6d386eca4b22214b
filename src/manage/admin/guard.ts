// What web pages could do from a browser that reaches the admin port: by a name of their own that resolves to its
// address (DNS rebinding), or by asking across origins, with the browser's client certificate. Both are refused.

import type { MiddlewareHandler } from 'hono';
import { loopback } from '../../config/units.js';
import { problemJson } from './problem.js';

export interface Guarded {
  scheme: 'http' | 'https';
  /** Whether a name or address, beside loopback's, is ours. */
  ours(name: string): boolean;
}

/** They tell nothing, and are asked by the names that orchestrators make up. */
const PROBES = new Set(['/livez', '/readyz']);

export function guard({ scheme, ours }: Guarded): MiddlewareHandler {
  return async (exchange, next) => {
    const host = exchange.req.header('host') ?? '';
    const name = nameOf(host);
    if (!loopback(name) && !(name !== '' && ours(name)) && !PROBES.has(exchange.req.path)) {
      return problemJson(exchange, 403, 'This host is not served here.', {
        detail: 'The admin port answers to loopback addresses, `localhost`, and the names under `admin.hosts`.',
      });
    }
    const site = exchange.req.header('sec-fetch-site');
    const cross = site !== undefined && site !== 'same-origin' && site !== 'none';
    const origin = exchange.req.header('origin');
    if (cross || (origin !== undefined && origin !== `${scheme}://${host}`)) {
      return problemJson(exchange, 403, 'Requests from other web pages are refused.');
    }
    await next();
    const { headers } = exchange.res;
    if (!headers.has('cache-control')) headers.set('Cache-Control', 'no-store');
    headers.set('X-Content-Type-Options', 'nosniff');
    headers.set('Cross-Origin-Resource-Policy', 'same-origin');
    return;
  };
}

/** Without the port and an IPv6 address's brackets. */
function nameOf(host: string): string {
  return host
    .toLowerCase()
    .replace(/:\d+$/, '')
    .replace(/^\[|\]$/g, '');
}
