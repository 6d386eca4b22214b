// Certificates where the gateway is the client: of the authorities that servers are verified with, and its own.

import { X509Certificate } from 'node:crypto';
import type { Loading } from './loading.js';
import { child } from './pointer.js';

/** PEM, nothing else of the file; null, with a problem, when it holds none. */
export function readAuthorities(file: string, at: string, loading: Loading): string | null {
  const text = loading.text(at, file);
  if (text === null) return null;
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    for (const pem of found) new X509Certificate(pem);
    if (found.length > 0) return found.join('\n');
  } catch {
    // As if it held none.
  }
  loading.problem(at, 'the file holds no certificates that can be read', {
    hint: 'PEM; DER converts with `openssl x509 -inform der`',
  });
  return null;
}

/** The first certificate of one file and the key of another, when they belong together: problems are told. */
export type ReadPair = (
  files: { certificate: string; key: string },
  at: string,
  loading: Loading,
) => { pem: string; secret: string } | null;

/** What is shown to a server: `certificate` and `key`, or neither (null). 'faulty' with a problem. */
export function readShown(
  { certificate, key }: { certificate?: string | undefined; key?: string | undefined },
  at: string,
  loading: Loading,
  readPair: ReadPair,
): ReturnType<ReadPair> | 'faulty' {
  if (certificate !== undefined && key !== undefined) return readPair({ certificate, key }, at, loading) ?? 'faulty';
  if (certificate === undefined && key === undefined) return null;
  const [there, missing] = key === undefined ? ['certificate', 'key'] : ['key', 'certificate'];
  loading.problem(child(at, there), `\`${there}\` without \`${missing}\``, { key: true, hint: 'both or none' });
  return 'faulty';
}
