// How an operation of the admin API says no.

import type { Context } from 'hono';
import { problemJson } from './problem.js';

type Status = 400 | 403 | 404 | 409 | 412 | 413 | 415 | 422 | 428 | 429 | 501 | 503;

/** Refuses a call: becomes problem+json (RFC 9457). */
export class Refusal extends Error {
  constructor(
    readonly status: Status,
    readonly title: string,
    /** What would do. */
    readonly detail?: string,
    /** Where in the body or query, as JSON pointers. */
    readonly errors: { pointer: string; detail: string }[] = [],
    readonly more: { headers?: Record<string, string>; members?: object } = {},
  ) {
    super(title);
  }
}

export function refused(exchange: Context, { status, title, detail, errors, more }: Refusal): Response {
  const members = { ...(detail && { detail }), ...(errors.length > 0 && { errors }), ...more.members };
  return problemJson(exchange, status, title, members, more.headers);
}
