import type { Context as Exchange } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';

export const PROBLEM_TYPE = 'application/problem+json';

/** RFC 9457. */
export function problemJson(
  exchange: Exchange,
  status: ContentfulStatusCode,
  title: string,
  more: object = {},
  headers: Record<string, string> = {},
) {
  return exchange.json({ title, status, ...more }, status, { ...headers, 'Content-Type': PROBLEM_TYPE });
}
