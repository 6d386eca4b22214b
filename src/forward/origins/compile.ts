// Origin URLs to addresses. Names are resolved here, by the control plane; the engine only sees addresses.

import { isIP } from 'node:net';
import type { ReadPair } from '../../config/certificates.js';
import type { Loading } from '../../config/loading.js';
import { child } from '../../config/pointer.js';
import type { PolicyOrigin } from '../../config/policy.js';
import { type Origin, originDefaults } from './config.js';
import { compileTls, nodesAuthorities } from './tls.js';

/** Addresses taken from one name; a name with more is a mistake or an attack on the resolver. */
const MAX_ADDRESSES = 64;

export type Resolve = (name: string) => Promise<string[]>;

/** Origins of several hosts, each once: hosts with the same origin share its connections. Null is chosen where it has a problem. */
export async function compileOrigins(
  written: readonly { origin: Origin; at: string }[],
  loading: Loading,
  resolve: Resolve,
  readPair: ReadPair,
): Promise<{ origins: PolicyOrigin[]; chosen: (number | null)[] }> {
  const origins: PolicyOrigin[] = [];
  const seen = new Map<string, number>();
  const chosen: (number | null)[] = [];
  for (const origin of await Promise.all(
    written.map(({ origin, at }) => compileOrigin(origin, at, loading, resolve, readPair)),
  )) {
    if (!origin) {
      chosen.push(null);
      continue;
    }
    const same = JSON.stringify(origin, (_, value) => (value === nodesAuthorities() ? null : value));
    const index = seen.get(same) ?? origins.push(origin) - 1;
    seen.set(same, index);
    chosen.push(index);
  }
  return { origins, chosen };
}

async function compileOrigin(
  origin: Origin,
  at: string,
  loading: Loading,
  resolve: Resolve,
  readPair: ReadPair,
): Promise<PolicyOrigin | null> {
  const bare = typeof origin === 'string';
  const { connections, timeouts, protocol, tls } = bare ? originDefaults() : origin;
  const urls = bare ? [origin] : origin.urls;
  const places = urls.map((_, index) => {
    if (bare) return at;
    return origin.written === 'url' ? child(at, 'url') : child(child(at, 'addresses'), index);
  });
  const parsed = urls.map((url, index) => parse(url, places[index] as string, loading));
  const good = parsed.flatMap((url, index) => (url ? [{ url, at: places[index] as string }] : []));
  const [found, known] = await Promise.all([
    Promise.all(good.map(({ url, at }) => addresses(url, at, loading, resolve))),
    compileTls(good, tls, at, loading, readPair),
  ]);
  if (good.length < urls.length || known === 'faulty' || found.some(some => some === null)) return null;
  return {
    addresses: [...new Set(found.flatMap(some => some ?? []))],
    protocol,
    tls: known,
    connections,
    connect_timeout_ms: timeouts.connect,
    first_byte_timeout_ms: timeouts.firstByte,
    idle_timeout_ms: timeouts.idle,
  };
}

async function addresses(url: URL, at: string, loading: Loading, resolve: Resolve): Promise<string[] | null> {
  const name = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  if (isIP(name)) return [join(name, port)];
  try {
    const resolved = await resolve(name);
    if (resolved.length > 0) return resolved.slice(0, MAX_ADDRESSES).map(address => join(address, port));
    throw Object.assign(new Error('no address'), { code: 'ENODATA' });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    loading.problem(at, `the origin's name \`${name}\` cannot be resolved (${code})`, {
      hint: 'check the name and the resolver of this machine, or write an address',
    });
    return null;
  }
}

function parse(written: string, at: string, loading: Loading): URL | null {
  const refuse = (message: string, hint: string) => {
    loading.problem(at, message, { hint });
    return null;
  };
  const url = URL.canParse(written) ? new URL(written) : null;
  if (!url || !/^https?:$/.test(url.protocol) || !url.hostname) {
    return refuse('not an origin URL', 'such as `http://127.0.0.1:3000` or `https://orders.internal:8443`');
  }
  if (url.username || url.password || url.search || url.hash || url.pathname !== '/') {
    return refuse(
      'an origin is a host and a port, nothing else',
      `\`${url.protocol}//${url.host}\`: paths, queries and credentials are passed on as the client sent them`,
    );
  }
  return url;
}

function join(address: string, port: string): string {
  return isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}
