// What `store.url` says: where PostgreSQL is, and how far it is trusted on the way.

import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { loopback } from '../../config/units.js';
import { StoreRefused } from './refused.js';

/** What the URL says of TLS is what pg gets; the rest of the URL is left to it. */
export interface Target {
  connectionString: string;
  ssl: false | ConnectionOptions;
  /** Host, port and database: for people. */
  shown: string;
}

/** Throws what an operator understands; never repeats a password. */
export function readTarget(url: string): Target {
  const hint = '`postgres://user:password@host/database?sslmode=verify-full&sslrootcert=/path/ca.pem`';
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new StoreRefused('this is no URL', `${hint}; special characters of a password as %XX`);
  }
  const { searchParams } = parsed;
  const taken = (name: string) => {
    const value = searchParams.get(name);
    searchParams.delete(name);
    return value;
  };
  const [mode, ca, cert, key] = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'].map(taken);
  for (const name of ['ssl', 'uselibpqcompat', 'sslnegotiation']) {
    if (searchParams.has(name)) throw new StoreRefused(`\`${name}\` is not understood`, '`sslmode=verify-full`');
  }
  const host = searchParams.get('host') ?? decodeURIComponent(parsed.hostname).replace(/^\[(.*)\]$/, '$1');
  if (host === '') throw new StoreRefused('the URL names no host', `${hint}; \`?host=/run/postgresql\` for a socket`);
  const shown = `${host}${parsed.port && `:${parsed.port}`}${parsed.pathname}`;
  const file = (name: string, path: string | null | undefined) => {
    if (!path) return {};
    // A relative one would depend on where the program was started.
    if (!isAbsolute(path))
      throw new StoreRefused(`\`${path}\` of the URL is not an absolute path`, 'begin it with `/`');
    try {
      return { [name]: readFileSync(path, 'utf8') };
    } catch (error) {
      throw new StoreRefused(`\`${path}\` of the URL cannot be read: ${(error as Error).message}`, 'PEM');
    }
  };
  const verified = () => ({ ...file('ca', ca), ...file('cert', cert), ...file('key', key) });
  const connectionString = parsed.href;
  switch (mode ?? (host.startsWith('/') || loopback(host) ? 'disable' : 'verify-full')) {
    case 'disable':
      return { connectionString, ssl: false, shown };
    // Weaker in libpq, where they leave out what makes TLS worth its while.
    case 'require':
    case 'verify-ca':
    case 'verify-full':
      return { connectionString, ssl: verified(), shown };
    default:
      throw new StoreRefused(
        `\`sslmode=${mode}\` would talk to anybody`,
        '`sslmode=verify-full`, with `sslrootcert=` for an authority of your own; `disable` to do without TLS',
      );
  }
}
