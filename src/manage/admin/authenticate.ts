// Who asks: a bearer token, or a client certificate.

import type { Context } from 'hono';
import type { Authenticate, Principal } from './api.js';
import type { Failures } from './failures.js';
import { addressOf } from './peer.js';
import { problemJson } from './problem.js';
import type { Tokens } from './tokens.js';

/** A principal, null when there is no certificate, or why it is refused. */
export type Certificates = (exchange: Context) => Principal | null | { refused: string };

export interface Doorkeeping {
  tokens: Tokens;
  failures: Failures;
  certificates: Certificates;
  /** One more failure, for the metric. */
  counted(why: string): void;
}

export function authentication({ tokens, failures, certificates, counted }: Doorkeeping): Authenticate {
  const refuse = (exchange: Context, why: string) => {
    counted(why);
    failures.failed(addressOf(exchange), why);
  };
  const bearer = async (exchange: Context, token: string): Promise<Principal | Response> => {
    // Whoever is known is served, however many others fail from the same address.
    const known = tokens.remembered(token);
    if (known) return { name: known.name, role: known.role, kind: 'token' };
    const wait = failures.wait(addressOf(exchange));
    if (wait > 0 && !tokens.wasGood(token)) {
      refuse(exchange, 'throttled');
      const detail = `Try again in ${wait} s.`;
      return problemJson(exchange, 429, 'Too many failures.', { detail }, { 'Retry-After': String(wait) });
    }
    const found = await tokens.verify(token);
    if (typeof found === 'object') return { name: found.name, role: found.role, kind: 'token' };
    refuse(exchange, found);
    return unauthorized(exchange, 'This token is not accepted.');
  };
  return async exchange => {
    const authorization = exchange.req.header('authorization');
    if (authorization !== undefined) return bearer(exchange, /^bearer +(\S+)$/i.exec(authorization)?.[1] ?? '');
    const found = certificates(exchange);
    if (found === null) return unauthorized(exchange, 'This needs a token.');
    if (!('refused' in found)) return found;
    refuse(exchange, 'certificate');
    return problemJson(exchange, 403, 'This client certificate is not accepted.', { detail: found.refused });
  };
}

function unauthorized(exchange: Context, title: string): Response {
  const detail = 'Send `Authorization: Bearer <token>`.';
  return problemJson(exchange, 401, title, { detail }, { 'WWW-Authenticate': 'Bearer realm="portcullis"' });
}
