// What the edge threads are told about TLS: paths of files, per host and for clients without SNI.
//
// The certificates of the authorities are written to a private folder, under names made of their content:
// what did not change keeps its path.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TlsHost } from './compile.js';

export interface TlsContext {
  host: string;
  /** Paths. */
  certificate: string;
  key: string;
  /** Authorities whose certificates uWebSockets.js asks for, PEM; null asks for none. */
  clientAuthorities: string | null;
  /** Those that HTTP/2 asks for: the host's own, and none where it wants none. */
  wanted: string | null;
}

export interface TlsContexts {
  /** For clients without SNI. It also decides whether certificates are asked for at all. */
  fallback: TlsContext;
  hosts: TlsContext[];
}

export interface Contexts {
  tls: TlsContexts;
  /** Changes when any context does, or what its files hold: running edge threads keep the contexts they have. */
  digest: string;
  /** Removes files of earlier contexts, once nothing can fall back on them. */
  sweep(): void;
}

export function makeContexts(hosts: readonly TlsHost[], folder: string): Contexts {
  const union = [...new Set(hosts.flatMap(({ clientAuthorities }) => clientAuthorities ?? []))];
  const kept = new Set<string>();
  const file = (authorities: readonly string[]) => {
    const pem = `${[...authorities].sort().join('\n')}\n`;
    const name = `authorities-${digestOf([pem]).slice(0, 32)}.pem`;
    kept.add(name);
    const path = join(folder, name);
    if (!existsSync(path)) writeFileSync(path, pem, { mode: 0o600 });
    return path;
  };
  // uWebSockets.js asks by the fallback's authorities: once one host wants certificates, all contexts need a file.
  const unionFile = union.length > 0 ? file(union) : null;
  const contexts = hosts.map(({ host, certificate, key, clientAuthorities }) => ({
    host,
    certificate,
    key,
    clientAuthorities: unionFile && clientAuthorities ? file(clientAuthorities) : unionFile,
    wanted: unionFile && clientAuthorities ? file(clientAuthorities) : null,
  }));
  const [first] = contexts;
  if (!first) throw new Error('a policy without hosts has no TLS contexts');
  const tls = { fallback: { ...first, clientAuthorities: unionFile, wanted: unionFile }, hosts: contexts };
  return {
    tls,
    sweep: () => {
      for (const name of readdirSync(folder)) if (!kept.has(name)) rmSync(join(folder, name));
    },
    digest: digestOf([JSON.stringify(tls), ...hosts.map(({ content }) => content)]),
  };
}

function digestOf(parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}
