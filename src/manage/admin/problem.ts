import type { Context as Exchange } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';

/** RFC 9457. */
export function problemJson(exchange: Exchange, status: ContentfulStatusCode, title: string, more: object = {}) {
  return exchange.json({ title, status, ...more }, status, { 'Content-Type': 'application/problem+json' });
}
