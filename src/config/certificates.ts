// Certificates of the authorities that servers are verified with.

import { X509Certificate } from 'node:crypto';
import type { Loading } from './loading.js';

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
