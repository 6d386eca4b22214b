// Names of header fields: which an operator may give a meaning of his own.

import { z } from 'zod';

/** RFC 9110, 5.6.2; names of cookies are tokens too (RFC 6265, 4.1.1). */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Longer ones are typing errors: with a value they have to find room in a head of 16 KiB. */
const MAX_NAME = 128;

/**
 * Hop-by-hop (RFC 9110, 7.6.1) or about the message itself, written by the gateway, or believed by origins although
 * anybody may send it: native/forward/src/request.rs, native/engine/src/head.rs.
 */
const RESERVED = new Set(
  `connection keep-alive proxy-connection te trailer transfer-encoding upgrade expect http2-settings proxy
   proxy-authenticate proxy-authorization host content-length content-type content-encoding content-range
   date cookie set-cookie
   forwarded x-request-id traceparent tracestate client-cert client-cert-chain x-ssl-client-cert
   x-real-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip`.split(/\s+/),
);
const RESERVED_PREFIXES = ['x-forwarded-', 'cf-cert-', 'cf-client-cert-'];

export function isHeaderName(name: string): boolean {
  return name.length <= MAX_NAME && TOKEN.test(name);
}

/** A name as an operator writes it. */
export function headerName() {
  return z
    .string()
    .max(MAX_NAME)
    .regex(TOKEN)
    .meta({ title: 'name of a header', forms: ['X-User-Id'] });
}

/** As names are compared: CGI-like origins fold `_` and `-` into one. */
export function folded(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

export function isReserved(name: string): boolean {
  const same = folded(name);
  return RESERVED.has(same) || RESERVED_PREFIXES.some(prefix => same.startsWith(prefix));
}
