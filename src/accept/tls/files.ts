// The TLS contexts with what their files hold: HTTP/2 is served by native code, which reads no files.

import { readFileSync } from 'node:fs';
import type { TlsContext, TlsContexts } from './contexts.js';

/** Texts, PEM. */
export interface TlsFiles {
  host: string;
  certificate: string;
  key: string;
  /** Whose certificates are asked for; without, none is. */
  authorities?: string;
}

export function tlsFiles({ fallback, hosts }: TlsContexts): { fallback: TlsFiles; hosts: TlsFiles[] } {
  return { fallback: read(fallback), hosts: hosts.map(read) };
}

function read({ host, certificate, key, wanted }: TlsContext): TlsFiles {
  const files = { host, certificate: text(certificate), key: text(key) };
  return wanted === null ? files : { ...files, authorities: text(wanted) };
}

function text(path: string): string {
  return readFileSync(path, 'utf8');
}
